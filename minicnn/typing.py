"""Small type aliases; no logic."""

from __future__ import annotations

from typing import Any, TypeAlias

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray: the same code serves both
ArrayModule: TypeAlias = Any  # the module `xp`: numpy or cupy
Shape: TypeAlias = tuple[int, ...]
IntOrPair: TypeAlias = int | tuple[int, int]
Attrs: TypeAlias = dict[str, Any]
