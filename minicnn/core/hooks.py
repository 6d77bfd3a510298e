"""Hooks in the order in which they were registered, and the handle that takes one away."""

from __future__ import annotations

import itertools
from typing import Any

__all__ = ["RemovableHandle"]

_next_key = itertools.count().__next__


class RemovableHandle:
    """What registering a hook returns; ``remove()``, or the end of a ``with`` block, removes the hook."""

    def __init__(self, hooks: dict[int, Any], hook: Any, prepend: bool = False) -> None:
        self.id = _next_key()
        self._hooks = hooks
        others = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[self.id] = hook
        hooks.update(others)

    def remove(self) -> None:
        """Take the hook away; harmless the second time."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
