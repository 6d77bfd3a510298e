"""Samplers: in which order the samples come, and which of them make a batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from minicnn.core.random import generator as current_generator
from minicnn.core.random import to_generator
from minicnn.errors import OptionError

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


class Sampler:
    """Base of all samplers: iterating gives indices.

    A sampler that draws at random draws from its own ``generator``, or from the one in force; a
    :class:`~minicnn.data.DataLoader` puts one in force that depends on its seed and the epoch alone.

    Examples
    --------
    >>> class Odd(Sampler):
    ...     def __iter__(self):
    ...         return iter(range(1, 6, 2))
    >>> list(Odd())
    [1, 3, 5]
    """

    def __init__(self, data_source: Sized | None = None) -> None:
        return None

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} has to define __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ...

    Examples
    --------
    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A random order, or independent draws.

    Parameters
    ----------
    data_source : sized
        Its length is what counts.
    replacement : bool
        Draw independently, so that an index may come twice.
    num_samples : int, optional
        How many indices; ``len(data_source)`` by default. Without replacement, more than that means
        one order after another.
    generator : numpy.random.Generator, optional
        Where the order comes from; the one in force by default.

    Raises
    ------
    OptionError
        If ``num_samples`` is not positive.

    Examples
    --------
    >>> sorted(RandomSampler("abcd"))
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        if num_samples is not None and num_samples <= 0:
            raise OptionError(expected="num_samples > 0", got=str(num_samples), op="RandomSampler")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = to_generator(generator, "RandomSampler")

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        rng = self.generator or current_generator()
        total, wanted = len(self.data_source), self.num_samples
        if not total:
            return
        if self.replacement:
            yield from rng.integers(total, size=wanted).tolist()
            return
        while wanted > 0:
            order = rng.permutation(total)[:wanted].tolist()
            wanted -= len(order)
            yield from order

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in a random order.

    Examples
    --------
    >>> sorted(SubsetRandomSampler([7, 3, 5]))
    [3, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: np.random.Generator | None = None) -> None:
        self.indices = indices
        self.generator = to_generator(generator, "SubsetRandomSampler")

    def __iter__(self) -> Iterator[int]:
        order = (self.generator or current_generator()).permutation(len(self.indices)).tolist()
        return (self.indices[i] for i in order)

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Draws with chances in proportion to weights, one per sample.

    Parameters
    ----------
    weights : sequence of float
        Non-negative; they need not add up to 1.
    num_samples : int
        How many indices one pass gives.
    replacement : bool
        Whether an index may come twice.
    generator : numpy.random.Generator, optional
        Where the draws come from; the one in force by default.

    Raises
    ------
    OptionError
        If a weight is negative or not finite, all are 0, or there are fewer positive weights than samples
        to draw without replacement.

    Examples
    --------
    >>> set(WeightedRandomSampler([0.0, 1.0, 0.0], 5))
    {1}
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.weights = np.asarray(weights, np.float64)
        if not (self.weights.ndim == 1 and np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise OptionError("weights must be a row of finite numbers >= 0", op="WeightedRandomSampler")
        possible = int(np.count_nonzero(self.weights))
        if num_samples <= 0 or not possible or (not replacement and num_samples > possible):
            raise OptionError(
                expected=f"num_samples from 1 to the number of positive weights, {possible}"
                if not replacement
                else "num_samples > 0 and a positive weight",
                got=f"{num_samples} samples, {possible} positive weights",
                op="WeightedRandomSampler",
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = to_generator(generator, "WeightedRandomSampler")

    def __iter__(self) -> Iterator[int]:
        rng = self.generator or current_generator()
        chances = self.weights / self.weights.sum()
        return iter(rng.choice(len(chances), self.num_samples, self.replacement, chances).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices out of another sampler.

    Parameters
    ----------
    sampler : iterable of int
        The order of the samples.
    batch_size : int
        Samples in a batch.
    drop_last : bool
        Leave out the last batch if it is not full.

    Raises
    ------
    OptionError
        If ``batch_size`` is not a positive integer.

    Examples
    --------
    >>> list(BatchSampler(range(5), 2, False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size <= 0:
            raise OptionError(
                expected="a batch_size that is a positive integer", got=repr(batch_size), op="BatchSampler"
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return full + bool(rest and not self.drop_last)
