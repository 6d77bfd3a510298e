"""The one source of randomness: a generator that can be seeded, saved, and set for a block.

Everything random (initial weights, dropout, shuffling, augmentation) draws from
:func:`generator`. Inside :class:`use_generator` it is a generator of your own, for the current
thread only; a loader uses that to make augmentation a function of (seed, epoch, sample index).
"""

from __future__ import annotations

import json
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError

__all__ = [
    "Generator",
    "generator",
    "get_rng_state",
    "get_state",
    "manual_seed",
    "new_generator",
    "next_seed",
    "set_rng_state",
    "set_state",
    "use_generator",
]

_MAX_SEED = 2**63


def new_generator(*key: int) -> np.random.Generator:
    """A generator whose stream depends on the key alone.

    Parameters
    ----------
    *key : int
        Non-negative integers, such as (seed, epoch, index).

    Examples
    --------
    >>> a, b = new_generator(0, 1), new_generator(0, 1)
    >>> bool(a.random() == b.random())
    True
    """
    # With its length in front, since NumPy gives (s, e) and (s, e, 0) the same stream.
    words: Any = (len(key), *key)
    with suppress(OverflowError):  # larger numbers become several words
        words = np.array(words, np.uint32)  # what NumPy would make of it, but sooner
    return np.random.Generator(np.random.PCG64(words))


class Generator(np.random.Generator):
    """A generator to hand to a loader or a split, as PyTorch's scripts make it.

    Parameters
    ----------
    device : str
        Accepted for PyTorch's sake; the numbers are always drawn on the CPU.

    Examples
    --------
    >>> from minicnn.data import random_split
    >>> [list(part) for part in random_split(range(4), [3, 1], generator=Generator().manual_seed(42))]
    [[2, 1, 0], [3]]
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(np.random.PCG64())

    def manual_seed(self, seed: int) -> Generator:
        """Start afresh from a seed; returns the generator itself."""
        self.bit_generator.state = _seeded_state(seed)
        return self


def _seeded_state(seed: int) -> Any:
    return new_generator(int(seed) % _MAX_SEED).bit_generator.state


_default = new_generator(int(np.random.SeedSequence().generate_state(1)[0]))
_current: ContextVar[np.random.Generator | None] = ContextVar("generator", default=None)


def generator() -> np.random.Generator:
    """The generator in force in this thread."""
    return _current.get() or _default


def manual_seed(seed: int) -> np.random.Generator:
    """Start the generator in force afresh from ``seed``, so that what follows can be repeated.

    Examples
    --------
    >>> import minicnn
    >>> a = (minicnn.manual_seed(0), minicnn.rand(2))[1]
    >>> b = (minicnn.manual_seed(0), minicnn.rand(2))[1]
    >>> (a == b).tolist()
    [True, True]
    """
    current = generator()
    current.bit_generator.state = _seeded_state(seed)
    return current


def next_seed() -> int:
    """Draw a seed in [0, 2^63) for something that needs a stream of its own."""
    return int(generator().integers(_MAX_SEED))


def get_state() -> str:
    """The state of the generator in force, as JSON text."""
    return json.dumps(generator().bit_generator.state)


def set_state(state: str) -> None:
    """Put back what :func:`get_state` returned.

    Raises
    ------
    CheckpointError
        If the text is not a generator's state.
    """
    try:
        generator().bit_generator.state = json.loads(state)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"not a random generator's state: {error}") from error


def get_rng_state() -> Tensor:
    """The state of the generator in force, as a tensor of bytes (PyTorch's form of ``get_state``)."""
    return Tensor(np.frombuffer(get_state().encode(), dtype=np.uint8).copy())


def set_rng_state(state: Tensor) -> None:
    """Put back what :func:`get_rng_state` returned."""
    set_state(np.asarray(state).tobytes().decode())


class use_generator:  # noqa: N801 - used like a function
    """Let :func:`generator` return ``own`` in this thread for a block."""

    def __init__(self, own: np.random.Generator) -> None:
        self._own = own

    def __enter__(self) -> np.random.Generator:
        self._token: Any = _current.set(self._own)
        return self._own

    def __exit__(self, *exc: object) -> None:
        _current.reset(self._token)
