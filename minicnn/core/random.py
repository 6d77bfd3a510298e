"""The one source of randomness: a generator that can be seeded, saved, and set for a block.

Everything random (initial weights, dropout, shuffling, augmentation) draws from
:func:`generator`. Inside :class:`use_generator` it is a generator of your own, for the current
thread only; a loader uses that to make augmentation a function of (seed, epoch, sample index).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from typing import Any

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.errors import CheckpointError, OptionError

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
    "to_generator",
    "uniforms",
    "uniforms_of_samples",
    "use_generator",
    "use_keys",
]

_MAX_SEED = 2**63
Key = tuple[int, ...]


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


def to_generator(own: Any, op: str) -> np.random.Generator | None:
    """A generator of somebody's own, or None, checked."""
    if own is None or isinstance(own, np.random.Generator):
        return own
    raise OptionError(
        expected="a generator of minicnn or NumPy",
        got=repr(own),
        hint="minicnn.Generator().manual_seed(0) makes one",
        op=op,
    )


_default = new_generator(int(np.random.SeedSequence().generate_state(1)[0]))
_current: ContextVar[np.random.Generator | Keyed | None] = ContextVar("generator", default=None)


def generator() -> np.random.Generator:
    """The generator in force in this thread."""
    current = _current.get()
    return current.generator if isinstance(current, Keyed) else current or _default


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


class SampleKeys(Sequence[Key]):
    """Keys that differ in their last number alone: a sequence of the tuples ``(*common, number)``.

    Parameters
    ----------
    common : tuple of int
        What all keys begin with.
    numbers : sequence of int
        In [0, 2^64).

    Examples
    --------
    >>> list(SampleKeys((5, 0), [7, 9]))
    [(5, 0, 7), (5, 0, 9)]
    """

    def __init__(self, common: Key, numbers: Sequence[int]) -> None:
        self.common, self.numbers = common, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return SampleKeys(self.common, self.numbers[place])
        return (*self.common, self.numbers[place])


class Keyed:
    """Random numbers of a sample, or of the samples of a batch, that depend on their keys alone.

    They are those of the splitmix64 generator, begun at a place made from the key: number n of a sample is a
    function of n and the key, so that those of a whole batch come from a few operations on arrays. Its
    generator is made when somebody asks for it, which takes far longer.

    Parameters
    ----------
    key : tuple of int
        Of the sample, or of the batch.
    samples : sequence of tuple of int
        Those of the batch's samples.

    References
    ----------
    G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
    """

    def __init__(self, key: Key, samples: Sequence[Key] = ()) -> None:
        self._key, self._samples = key, samples
        self._drawn = self._drawn_of_samples = 0

    @cached_property
    def generator(self) -> np.random.Generator:
        """See :func:`new_generator`."""
        return new_generator(*self._key)

    @cached_property
    def _start(self) -> int:
        return _begun(self._key)

    @cached_property
    def _starts(self) -> np.ndarray:
        if isinstance(self._samples, SampleKeys):
            numbers = np.array(self._samples.numbers, np.uint64)
            return _begun((*self._samples.common, numbers))[:, None]
        return np.array([_begun(key) for key in self._samples], np.uint64)[:, None]

    def uniforms(self, count: int) -> list[float]:
        """The next numbers of the sample itself."""
        first = self._drawn
        self._drawn += count
        return [_uniform(self._start + _STEP * n & _WORD) for n in range(first + 1, self._drawn + 1)]

    def uniforms_of_samples(self, samples: int, count: int) -> np.ndarray:
        """The next numbers of each sample, (samples, count).

        They come from the generator if these are not the samples whose keys are known: a data set may ask
        another for some of them, or for a single one.
        """
        if not samples or samples != len(self._samples):
            return self.generator.random((samples, count))
        first = self._drawn_of_samples
        self._drawn_of_samples += count
        return _uniform(self._starts + _STEP * np.arange(first + 1, first + count + 1, dtype=np.uint64))


_WORD = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


def _begun(key: Sequence[Any]) -> Any:
    """Where the numbers of a key begin; of arrays of words, those of all keys."""
    start = len(key)
    for word in key:
        start = _mixed((start ^ word) + _STEP & _WORD)
    return start


def _mixed(z: Any) -> Any:
    """splitmix64's function of a 64-bit integer, or of an array of them."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _WORD
    return z ^ z >> 31


def _uniform(place: Any) -> Any:
    """In [0, 1), 53 bits."""
    return (_mixed(place) >> 11) * 2.0**-53


class use_keys:  # noqa: N801 - used like a function
    """Let everything random in this thread depend on keys for a block; see :class:`Keyed`.

    Examples
    --------
    >>> with use_keys((0, 1, 7)):
    ...     one = uniforms(2)
    >>> with use_keys((0, 1, 7, 1), [(0, 1, 7), (0, 1, 8)]):
    ...     batch = uniforms_of_samples(2, 2)
    >>> batch[0].tolist() == one
    True
    """

    def __init__(self, key: Key, samples: Sequence[Key] = ()) -> None:
        self._own = Keyed(key, samples)

    def __enter__(self) -> None:
        self._token: Any = _current.set(self._own)

    def __exit__(self, *exc: object) -> None:
        _current.reset(self._token)


def uniforms(count: int) -> list[float]:
    """So many random numbers in [0, 1): of the sample in force, or else from the generator in force."""
    current = _current.get()
    return current.uniforms(count) if isinstance(current, Keyed) else generator().random(count).tolist()


def uniforms_of_samples(samples: int, count: int) -> np.ndarray:
    """What ``uniforms(count)`` would give for each sample of the batch in force, (samples, count)."""
    current = _current.get()
    if isinstance(current, Keyed):
        return current.uniforms_of_samples(samples, count)
    return generator().random((samples, count))
