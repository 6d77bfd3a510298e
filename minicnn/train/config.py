"""The whole configuration of a training run: one frozen dataclass, kept as flat TOML."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minicnn.errors import OptionError
from minicnn.train.choices import BALANCES, MIXES, OPTIMIZERS, SCHEDULES
from minicnn.train.losses import LOSSES
from minicnn.train.stopping import MONITORS

__all__ = ["Config", "dump_toml", "load_toml", "suggest", "suggest_flag"]


_MOST = 2**31 - 1  # of anything that is counted


def option(default: Any, help: str, *, choices: tuple[str, ...] = (), **limits: float | bool) -> Any:
    """A field with its help text and its range; ``resumable=True`` if a resumed run may change it.

    A whole number is at most ``high``, about two thousand million by default.
    """
    return field(default=default, metadata={"help": help, "choices": choices, **limits})


@dataclass(frozen=True)
class Config:
    """What ``minicnn train`` is told, or a default for it.

    An empty string, or 0 where 0 makes no sense as a value, means: chosen for the data set.

    Raises
    ------
    OptionError
        If a value is of the wrong type or out of its range.

    Examples
    --------
    >>> Config(epochs=3).epochs
    3
    >>> Config.from_dict({"epoch": 3})
    Traceback (most recent call last):
    ...
    minicnn.errors.OptionError: there is no option 'epoch'; did you mean 'epochs'?
    """

    data: str = option("digits", "path of images, or name of a data set; default: digits", resumable=True)
    data_dir: str = option("", "directory of the data set's files", resumable=True)
    image_size: int = option(
        0, "height and width of images from files; default: by the data set", low=0, high=8192
    )
    skip_bad: bool = option(False, "leave out images that cannot be read, and list them")
    model: str = option("", "name of a model; default: by the data set")
    epochs: int = option(0, "passes over the training images; default: by the data set", low=0)
    max_steps: int = option(0, "stop after this many updates; 0: at the end", low=0, resumable=True)
    batch_size: int = option(0, "images per update; default: by the data set", low=0)
    optimizer: str = option("", "default: by the data set", choices=("", *OPTIMIZERS))
    lr: float = option(0.0, "largest learning rate; default: by the data set", low=0)
    momentum: float = option(0.9, "momentum of sgd", low=0, below=1)
    schedule: str = option("", "of the learning rate; default: onecycle", choices=("", *SCHEDULES))
    loss: str = option("cross_entropy", "default: cross_entropy", choices=tuple(LOSSES))
    label_smoothing: float = option(0.0, "share of each label given to all classes evenly", low=0, below=1)
    balance: str = option("none", "uneven classes: loss (weights), sample (drawn evenly)", choices=BALANCES)
    l1: float = option(0.0, "strength of L1 regularisation", low=0)
    weight_decay: float = option(0.0, "strength of weight decay (L2)", low=0)
    clip_norm: float = option(0.0, "largest norm of the gradient; 0: any", low=0)
    accumulate: int = option(1, "batches whose gradients make one update", low=1)
    ema: float = option(
        0.0, "decay of a moving average of the weights, used to measure; 0: none", low=0, below=1
    )
    patience: int = option(0, "stop after so many epochs without a better monitor; 0: never", low=0)
    monitor: str = option(
        "val_loss", "what patience and best watch; default: val_loss", choices=tuple(MONITORS)
    )
    best: bool = option(False, "end with the weights of the best epoch; patience does that too")
    mix: str = option("none", "mix images of a batch: mixup, cutmix or both in turn", choices=MIXES)
    mix_alpha: float = option(0.0, "how much; default: 0.2 for mixup, 1 for cutmix", low=0)
    start_from: str = option(
        "", "run directory, or .safetensors file, whose weights the model begins with", resumable=True
    )
    augment: str = option("", "none, standard, or names with commas between; default: by the data set")
    val_fraction: float = option(0.1, "share of the training images held out for validation", low=0, below=1)
    seed: int = option(0, "seed of everything random", low=0, high=2**63 - 1)
    threads: int = option(
        0, "threads to compute with; default: MINICNN_NUM_THREADS, else all processors, 1 with BLAS", low=0
    )
    workers: int = option(
        1, "threads that load images meanwhile; 0: none; default: 1", low=0, high=256, resumable=True
    )
    processes: bool = option(False, "workers are processes, for transforms in pure Python", resumable=True)
    backend: str = option("", "numpy, native, ...; default: the fastest available")
    device: str = option("cpu", "cpu or cuda")
    compile: bool = option(True, "compute neighbouring layers at once; default: on")
    out: str = option("", "run directory; default: runs/<data>-<model>-<number>", resumable=True)
    checkpoint_every: int = option(
        0, "updates between checkpoints; 0: at the end of each epoch", low=0, resumable=True
    )
    keep: int = option(2, "newest checkpoints to keep", low=2, resumable=True)

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            object.__setattr__(self, entry.name, _checked(entry, getattr(self, entry.name)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """A configuration from option names and values."""
        names = [entry.name for entry in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise OptionError(f"there is no option {name!r}", hint=suggest(name, names))
        return cls(**values)

    def replace(self, **changes: Any) -> Config:
        """The same with some options changed."""
        return Config.from_dict(dataclasses.asdict(self) | changes)

    def to_dict(self) -> dict[str, Any]:
        """All options by name."""
        return dataclasses.asdict(self)

    def decisive(self) -> dict[str, Any]:
        """The options that decide the numbers: a resumed run must have the same.

        Of the data and of the weights to start from it is what they hold, which a run compares by itself, and
        not where they lie. The threads of native kernels change no number.
        """
        names = {field.name for field in dataclasses.fields(self) if not field.metadata.get("resumable")}
        if self.backend == "native":
            names.remove("threads")
        return {name: value for name, value in self.to_dict().items() if name in names}


_IN_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _checked(entry: dataclasses.Field[Any], value: Any) -> Any:
    """The value in its type, or an :class:`OptionError` that names the option."""
    kind: Any = {"str": str, "int": int, "float": float, "bool": bool}[str(entry.type)]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1000 else math.inf
    limits = entry.metadata
    if type(value) is not kind:
        raise _wrong(entry, _IN_WORDS[kind], value)
    if kind is str and not _writable(value):
        raise _wrong(entry, "text that a file and a path can hold", value)
    if limits["choices"] and value not in limits["choices"]:
        names = [name for name in limits["choices"] if name]
        raise _wrong(entry, f"one of {', '.join(names)}", value, closest(value, names))
    if kind is float and not math.isfinite(value):
        raise _wrong(entry, "a finite number", value)
    if "low" in limits and value < limits["low"]:
        raise _wrong(entry, f"at least {limits['low']}", value)
    if "below" in limits and value >= limits["below"]:
        raise _wrong(entry, f"less than {limits['below']}", value)
    if kind is int and value > limits.get("high", _MOST):
        raise _wrong(entry, f"at most {limits.get('high', _MOST)}", value)
    return value


def _writable(text: str) -> bool:
    """Whether the text has neither NUL nor the halves that stand for bytes which are no UTF-8."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)


def _wrong(entry: dataclasses.Field[Any], expected: str, value: Any, meant: str | None = None) -> OptionError:
    # Python refuses to write out a whole number of more than 4,300 digits.
    huge = type(value) is int and abs(value) >= 2**1000
    got = f"one of {value.bit_length()} bits" if huge else repr(value)
    hint = f"did you mean {meant!r}?" if meant else None
    return OptionError(expected=expected, got=got, hint=hint, op=f"option {entry.name.replace('_', '-')}")


def suggest(name: str, known: list[str]) -> str:
    """A hint for a mistyped name: the closest that exists, or all of them."""
    close = closest(name, known)
    return f"did you mean {close!r}?" if close else f"there are {', '.join(known)}"


def suggest_flag(flag: str, known: list[str]) -> str:
    """The same for an option as it is typed.

    Examples
    --------
    >>> suggest_flag("--kernelsize", ["--kernel-size", "--pass"])
    'did you mean --kernel-size?'
    """
    close = closest(flag.lstrip("-"), [name.lstrip("-").replace("-", "_") for name in known])
    return f"did you mean --{close.replace('_', '-')}?" if close else f"there are {', '.join(known)}"


# What others call an option.
_ELSEWHERE = {
    "architecture": "model",
    "augmentation": "augment",
    "bs": "batch_size",
    "criterion": "loss",
    "dataset": "data",
    "early_stopping": "patience",
    "ema_decay": "ema",
    "grad_clip": "clip_norm",
    "gradient_accumulation": "accumulate",
    "init_from": "start_from",
    "l2": "weight_decay",
    "learning_rate": "lr",
    "max_norm": "clip_norm",
    "network": "model",
    "num_epochs": "epochs",
    "num_workers": "workers",
    "output": "out",
    "pretrained": "start_from",
    "scheduler": "schedule",
    "validation_split": "val_fraction",
    "wd": "weight_decay",
    "weights": "start_from",
}


def closest(name: str, known: list[str]) -> str | None:
    """The name that was probably meant: what others call so, one that begins so, or the most similar.

    Examples
    --------
    >>> closest("ep", ["help", "epochs"]), closest("adm", ["adam", "sgd"]), closest("x", ["adam"])
    ('epochs', 'adam', None)
    >>> closest("learning-rate", ["label_smoothing", "lr"])
    'lr'
    """
    import difflib

    name = name.replace("-", "_")
    if _ELSEWHERE.get(name) in known:
        return _ELSEWHERE[name]
    begun = [other for other in known if name and other.startswith(name)]
    return next(iter(begun or difflib.get_close_matches(name, known, n=1)), None)


# -- TOML ------------------------------------------------------------------------------------


def dump_toml(values: Mapping[str, Any]) -> str:
    """Text in TOML: ``key = value`` lines, and a ``[table]`` for each value that is a mapping.

    Parameters
    ----------
    values : mapping of str
        To strings, booleans, numbers, lists of these, or flat mappings to these.

    Examples
    --------
    >>> print(dump_toml({"lr": 0.1, "names": ["a", "b"], "made": {"by": "me"}}), end="")
    lr = 0.1
    names = ["a", "b"]
    <BLANKLINE>
    [made]
    by = "me"
    """
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for key, table in values.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{key}]", dump_toml(table).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(v) for v in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf and nan are TOML too
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f") if isinstance(value, str) else text


def load_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    OptionError
        If it is missing or is not TOML; the text names the file and the line.
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise OptionError(f"there is no configuration file {os.fspath(path)!r}") from error
    except (ValueError, RecursionError) as error:  # also of text that is no UTF-8, or a number too long
        raise OptionError(f"{os.fspath(path)}: not TOML: {error}") from error
