"""Results of many trainings, written down one by one: what is stopped goes on without doing them again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicnn import __version__
from minicnn.errors import FormatError, OptionError
from minicnn.io import atomic, locking

__all__ = ["Journal", "held"]


class Journal:
    """A JSON file of results by name, whole whenever the process stops.

    Parameters
    ----------
    path : path-like, optional
        The file, which is begun or gone on with; without it results are kept in memory alone.
    settings : mapping
        What decides the results, as JSON: only a file of the same is gone on with.

    Attributes
    ----------
    done : dict
        The results so far.

    Raises
    ------
    OptionError
        If the file is of other settings; the first that differs is named.
    FormatError
        If it is damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "squares.json")
    ...     first = Journal(path, {"seed": 0}).once("seven", lambda: 7 * 7)
    ...     first, Journal(path, {"seed": 0}).once("seven", lambda: 0)
    (49, 49)
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = None if path is None else Path(path)
        self.settings: dict[str, Any] = json.loads(json.dumps(settings or {}))
        self.done: dict[str, Any] = {}
        if self.path is not None and self.path.exists():
            self.done = self._read(self.path)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            before, done = dict(kept["settings"]), dict(kept["done"])
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError("damaged: it holds no results of trainings", path=path) from error
        for name in self.settings | before:
            then, now = before.get(name), self.settings.get(name)
            if then != now:
                raise OptionError(
                    f"{path} was begun with {name} {then!r}, now it is {now!r}",
                    hint="another --out, or remove the file",
                )
        return done

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of that name, made now and written down if it is not there yet; JSON."""
        if name not in self.done:
            self.add(name, make())
        return self.done[name]

    def add(self, name: str, result: Any) -> None:
        """Write a result down."""
        self.done[name] = result
        if self.path is not None:
            kept = {"settings": self.settings, "done": self.done}
            atomic.write(self.path, json.dumps(kept, indent=1) + "\n")


@contextmanager
def held(path: Path, settings: Mapping[str, Any], tell: Callable[[str], object]) -> Iterator[Journal]:
    """The journal of a file, for a block in which no other process writes it; ``tell`` gets what is done.

    Raises
    ------
    OptionError
        If another process writes it; also as :class:`Journal`.
    """

    def refuse(seconds: float) -> None:
        raise OptionError(f"another process is writing {path}", hint="wait until it ends, or another --out")

    with locking.file(path.with_name(f".{path.name}.lock"), refuse):
        journal = Journal(path, {"version": __version__, **settings})
        if journal.done:
            tell(f"{len(journal.done)} trainings are done: {path}")
        yield journal
