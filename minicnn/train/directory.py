"""The run directory: which one it is, that it is free, and that one process at a time writes into it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicnn.errors import OptionError
from minicnn.io import atomic, locking
from minicnn.train.config import Config, dump_toml, load_toml
from minicnn.train.recipes import LEFT_OPEN
from minicnn.train.recorded import Recorded

__all__ = ["claimed", "continued", "write_config"]

_TRAINS_ON = "--start-from RUN with another --out trains on from its weights"
_RUN_FILES = ("config.toml", "metrics.jsonl", "model.safetensors", "checkpoints")


def continued(given: Mapping[str, Any]) -> Config:
    """The configuration of the run in ``given["out"]``, for resuming it.

    Parameters
    ----------
    given : mapping of str
        The options that the user gave now. Those that decide the numbers must be as they were.

    Raises
    ------
    OptionError
        If there is no run, or naming the first option that differs.
    """
    if not given.get("out"):
        raise OptionError("--resume needs --out RUN_DIR, the run to go on with")
    _refuse_no_run(Path(given["out"]))
    path = Path(given["out"]) / "config.toml"
    values = load_toml(path)
    values.pop("recorded", None)
    stored = Config.from_dict(values)
    left_open = {name for name in LEFT_OPEN if name in given and not given[name]}
    now = stored.replace(**{name: value for name, value in given.items() if name not in left_open})
    for name, value in now.decisive().items():
        before = getattr(stored, name)
        if value != before:
            text = f"cannot resume: {name} was {before!r} in {path}, now it is {value!r}"
            raise OptionError(text, hint=_TRAINS_ON if name in ("epochs", "lr") else None)
    return now


@contextmanager
def claimed(config: Config, recorded: Recorded, resume: bool) -> Iterator[Config]:
    """Hold the run directory for a block, made if need be; gives the configuration with its name.

    Raises
    ------
    OptionError
        If it is not this run's, or another process trains in it.
    OSError
        If it cannot be made.
    """
    config = config if config.out else config.replace(out=_new_directory(config))
    out = Path(config.out)
    if resume:
        _refuse_no_run(out)
    elif out.exists() and not out.is_dir():
        raise OptionError(f"--out {out} is a file", hint="a run needs a directory of its own")
    atomic.make_directory(out)
    # Looked at only when it is ours: another process may have begun a run in it just now.
    with locking.directory(out, lambda seconds: _refuse_busy(out)):
        _refuse_other_data(out, recorded) if resume else _refuse_occupied(out)
        yield config


def write_config(config: Config, recorded: Recorded) -> None:
    """Write the run's configuration."""
    out = Path(config.out)
    atomic.remove_stale(out)
    atomic.write(
        out / "config.toml", dump_toml(config.to_dict() | {"recorded": dataclasses.asdict(recorded)})
    )


def _refuse_no_run(out: Path) -> None:
    if not (out / "config.toml").is_file():
        raise OptionError(f"{out}: no run there to resume", hint="to begin one, leave out --resume")


def _refuse_occupied(out: Path) -> None:
    """A new run begins in an empty directory; hidden files, which file managers leave, do not count."""
    there = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    if any(name in there for name in _RUN_FILES):
        kind = "a finished" if "result.json" in there else "an unfinished"
        raise OptionError(
            f"{out} holds {kind} run", hint="go on with it by --resume, or choose another --out"
        )
    if there:
        raise OptionError(f"{out} holds other files", hint="a run needs a directory of its own")


def _refuse_other_data(out: Path, recorded: Recorded) -> None:
    before = load_toml(out / "config.toml").get("recorded", {})
    now = dataclasses.asdict(recorded)
    for name in ("data_fingerprint", *now):
        if name != "version" and before.get(name) != now[name]:
            what = name.replace("_", " ")
            text = f"cannot resume: {what} differs from that of the run in {out}"
            hint = f"these are other images; {_TRAINS_ON}" if name == "data_fingerprint" else None
            raise OptionError(text, hint=hint)


def _refuse_busy(out: Path) -> None:
    raise OptionError(
        f"another process is training in {out}", hint="wait until it ends, or choose another --out"
    )


def _new_directory(config: Config) -> str:
    """A directory that was not there before, made at once so that no other process takes the name."""
    data = re.sub(r"[^\w.-]+", "-", Path(config.data).name) or "data"
    number = 1
    while True:
        path = Path("runs") / f"{data}-{config.model}-{number}"
        try:
            atomic.make_directory(path, exist_ok=False)
            return str(path)
        except FileExistsError:
            number += 1
