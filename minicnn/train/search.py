"""A search for good options by Optuna, on validation images alone: ``pip install "minicnn[tune]"``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minicnn.data.packing import Progress
from minicnn.data.sources import Source
from minicnn.errors import NonFiniteError, OptionError
from minicnn.train.callbacks import Callback
from minicnn.train.config import Config, suggest
from minicnn.train.evaluate import load_source
from minicnn.train.journal import Journal
from minicnn.train.recipes import LEFT_OPEN
from minicnn.train.run import validated
from minicnn.train.starting import Start

__all__ = ["Search", "Span", "parse_space", "search"]


@dataclass(frozen=True)
class Span:
    """The values an option may take: some of them, or all between two.

    Attributes
    ----------
    choices : sequence, optional
        Single values.
    low, high : float, optional
        The ends.
    log : bool
        Whether to draw evenly in the logarithm.
    whole : bool
        Whether the option is a whole number.
    """

    choices: Sequence[Any] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    def draw(self, trial: Any, name: str) -> Any:
        """A value for an Optuna trial."""
        if self.choices:
            return trial.suggest_categorical(name, list(self.choices))
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Search:
    """What a search came to.

    Attributes
    ----------
    best : Config
        The configuration with the best validation accuracy; it watches that, and ends with its best epoch.
    accuracy : float
        Of its best epoch, on the validation images it was chosen on: the test set was not looked at.
    trials : list of dict
        For each trial its options, ``val_accuracy`` (None if it was given up or diverged) and ``state``.
    space : mapping of str to Span
        What was searched.
    """

    best: Config
    accuracy: float
    trials: list[dict[str, Any]]
    space: Mapping[str, Span]


# What all trials share, or what decides no accuracy.
_FIXED = {
    *("data", "data_dir", "image_size", "skip_bad", "val_fraction", "seed", "start_from"),
    *("max_steps", "monitor", "best", "out", "keep", "checkpoint_every"),
    *("threads", "workers", "processes", "backend", "device", "compile"),
}


def parse_space(words: Sequence[str]) -> dict[str, Span]:
    """Spans from words: ``lr=1e-4:1e-1:log``, ``batch-size=32:256``, ``optimizer=sgd,adam``.

    Raises
    ------
    OptionError
        If there is no such option, it cannot take such values, or trials with it could not be compared: they
        need the same images to learn from and to validate on.

    Examples
    --------
    >>> space = parse_space(["lr=0.001:0.1:log", "optimizer=sgd,adam"])
    >>> space["lr"].log, space["optimizer"].choices
    (True, ('sgd', 'adam'))
    """
    fields = {field.name: field for field in dataclasses.fields(Config)}
    names = [name for name in fields if name not in _FIXED]
    space = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.replace("-", "_")
        if not equals or name not in names:
            raise OptionError(f"there is no option {name!r} to search", hint=suggest(name, names))
        space[name] = span = _span(word, text, str(fields[name].type))
        for value in span.choices or (span.low, span.high):
            Config.from_dict({name: value})  # it refuses what is out of range
            if name in LEFT_OPEN and not value:
                raise OptionError(f"{word!r}: 0 leaves the option open", hint="begin above it", op="tune")
    return space


def _span(word: str, text: str, kind: str) -> Span:
    low, colon, rest = text.partition(":")
    if not colon:
        convert: Any = {"int": int, "float": float, "str": str}[kind]
        try:
            return Span(choices=tuple(convert(value) for value in text.split(",")))
        except ValueError as error:
            raise OptionError(expected=f"values of type {kind}", got=repr(word), op="tune") from error
    high, _, log = rest.partition(":")
    try:
        first, last = (_typed(float(end), kind) for end in (low, high))
        span = Span((), first, last, log == "log", kind == "int")
    except (ValueError, OverflowError) as error:
        raise OptionError(expected="low:high or low:high:log", got=repr(word), op="tune") from error
    if kind not in ("int", "float") or log not in ("", "log") or not span.low < span.high:
        raise OptionError(expected="low:high or low:high:log of a number", got=repr(word), op="tune")
    if span.log and span.low <= 0:
        raise OptionError(expected="a low end larger than 0 for a logarithm", got=repr(word), op="tune")
    return span


def _typed(value: float, kind: str) -> float | int:
    return int(value) if kind == "int" else value


def search(
    config: Config,
    space: Mapping[str, Span],
    *,
    trials: int = 20,
    journal: Journal | None = None,
    tell: Callable[[str], object] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> Search:
    """Train with different options, drawn by a tree-structured Parzen estimator, and keep the best.

    After each epoch a trial that is worse than the median of the others at that epoch is given up.

    Parameters
    ----------
    config : Config
        What all trials share; its seed is the search's, so a search can be repeated.
    space : mapping of str to Span
        The options that are searched.
    trials : int
        How many to train.
    journal : Journal, optional
        Keeps what each trial came to. A search that goes on draws and gives up as before, so it ends as one
        that was not stopped.
    tell : callable
        Gets a line after each trial.
    progress : callable
        See :func:`minicnn.data.packing.pack`.

    Returns
    -------
    Search

    Raises
    ------
    OptionError
        If Optuna is not installed, nothing is searched, there is no validation, a trial ends before it, or no
        trial gave a figure.

    References
    ----------
    J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011.
    """
    optuna = _optuna()
    if not space:
        raise OptionError("nothing to search", hint="--search lr=1e-3:1e-1:log", op="tune")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=config.seed % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.MedianPruner())
    journal = journal or Journal()
    start = Start(config.start_from)
    source = load_source(config, start.image_shape, progress)
    config = config.replace(monitor="val_accuracy")  # by which trials are compared

    def objective(trial: Any) -> float:
        options = {name: span.draw(trial, name) for name, span in space.items()}
        watch = _Report(trial)
        name = f"trial {trial.number + 1}: {json.dumps(options)}"
        if name in journal.done:
            for accuracy in journal.done[name]["val_accuracies"]:
                watch.heed(accuracy)
        else:
            heard = tell if not trial.number else lambda line: None
            finite = _stays_finite(config.replace(**options), source, start, watch, heard)
            journal.add(name, {"val_accuracies": watch.accuracies, "finite": finite})
            tell(f"trial {trial.number + 1} of {trials}: {_words(options)}: {_end(watch, finite)}")
        if watch.hopeless or not journal.done[name]["finite"]:
            raise optuna.TrialPruned
        return max(watch.accuracies)

    study.optimize(objective, n_trials=trials)
    done = [_facts(trial) for trial in study.trials]
    if all(trial["val_accuracy"] is None for trial in done):
        raise OptionError("no trial gave a finite validation accuracy", hint="a lower lr may help", op="tune")
    best = config.replace(**study.best_params)
    if not best.patience:  # which keeps the best epoch, too: the accuracy is that one's
        best = best.replace(best=True)
    return Search(best, study.best_value, done, space)


class _Report(Callback):
    """Reports the validation accuracy of each epoch, and ends a trial without hope."""

    def __init__(self, trial: Any) -> None:
        self.trial, self.accuracies, self.hopeless = trial, list[float](), False

    def heed(self, accuracy: float) -> None:
        """Take note of the next epoch's."""
        self.trial.report(accuracy, len(self.accuracies))
        self.accuracies.append(accuracy)
        self.hopeless = self.trial.should_prune()

    def on_epoch(self, trainer: Any, record: dict[str, Any]) -> None:
        self.heed(record["val_accuracy"])
        if self.hopeless:
            trainer.stop()


def _end(watch: _Report, finite: bool) -> str:
    """How a trial ended, in words."""
    if watch.hopeless or not finite:
        return "given up" if finite else "diverged"
    return f"validation {max(watch.accuracies):.2%}"


def _stays_finite(
    config: Config, source: Source, start: Start, watch: _Report, tell: Callable[[str], object]
) -> bool:
    """Train; whether the numbers stay finite."""
    try:
        validated(config, source, start, [watch], tell)
    except NonFiniteError:
        return False
    return True


def _facts(trial: Any) -> dict[str, Any]:
    state = trial.state.name.lower()
    value = trial.value if state == "complete" else None  # one that was given up has its last
    return {"options": trial.params, "val_accuracy": value, "state": state}


def _words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in options.items())


def _optuna() -> Any:
    try:
        import optuna  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise OptionError("optuna is not installed", hint='pip install "minicnn[tune]"') from error
    return optuna


def draw(found: Search) -> Any:
    """A matplotlib figure: the validation accuracy of each trial, and over each option that was searched."""
    from matplotlib.figure import Figure

    names = list(found.trials[0]["options"])
    figure = Figure(figsize=(3.2 * (len(names) + 1), 3.4), layout="constrained")
    panels = figure.subplots(1, len(names) + 1, sharey=True, squeeze=False)[0]
    good = [(i, t) for i, t in enumerate(found.trials, 1) if t["val_accuracy"] is not None]
    accuracies = [100 * trial["val_accuracy"] for _, trial in good]
    numbers_of = [i for i, _ in good]
    panels[0].plot(numbers_of, accuracies, "o", color="0.6")
    best = [max(accuracies[: i + 1]) for i in range(len(good))]
    panels[0].plot(numbers_of, best, label="best so far")
    panels[0].set(xlabel="trial", ylabel="validation accuracy in %")
    panels[0].legend(fontsize=8)
    for axes, name in zip(panels[1:], names, strict=True):
        values = [trial["options"][name] for _, trial in good]
        numbers = all(isinstance(value, (int, float)) for value in values)
        axes.plot(values if numbers else list(map(str, values)), accuracies, "o")
        if found.space[name].log:
            axes.set_xscale("log")
        axes.set_xlabel(name.replace("_", " "))
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure
