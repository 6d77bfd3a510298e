"""Datasets: things with a length and items, and how to cut them up."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from minicnn.core.promises import of_many
from minicnn.core.random import generator as current_generator
from minicnn.core.random import new_generator, to_generator
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError

__all__ = ["ConcatDataset", "Dataset", "Subset", "TensorDataset", "random_split", "stratified_split"]

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """Base of all data sets: ``dataset[i]`` is a sample, ``len(dataset)`` their number.

    A subclass writes ``__getitem__`` and ``__len__``. It may also write ``__getitems__(indices)``, which
    returns the list of samples for a whole batch at once, or None where it would rather be asked one by one.
    Where a subclass, or a class mixed in before it, changes ``__getitem__`` alone, it is asked one by one.

    Examples
    --------
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[3], len(Squares() + Squares())
    (9, 8)
    """

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError(f"{type(self).__name__} has to define __getitem__")

    def __len__(self) -> int:
        # A TypeError, as from an object without __len__: an endless data set has no length.
        raise TypeError(f"{type(self).__name__} does not define __len__")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors side by side: sample ``i`` is ``(a[i], b[i], ...)``.

    Parameters
    ----------
    *tensors : Tensor or array_like
        All with the same number of rows.

    Raises
    ------
    ShapeError
        If the numbers of rows differ.

    Examples
    --------
    >>> import minicnn
    >>> pairs = TensorDataset(minicnn.zeros(3, 2), minicnn.tensor([5, 6, 7]))
    >>> len(pairs), pairs[1][1].item()
    (3, 6)
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(t) for t in tensors)
        sizes = [len(t) for t in self.tensors]
        if not sizes or len(set(sizes)) > 1:
            raise ShapeError(
                expected="tensors with the same number of rows", got=f"{sizes}", op="TensorDataset"
            )

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(Tensor.wrap(np.asarray(t.array[index])) for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset[T]):
    """The samples of ``dataset`` at ``indices``, in that order.

    Examples
    --------
    >>> list(Subset(["a", "b", "c"], [2, 0]))
    ['c', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T:
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[T] | None:
        many = of_many(self.dataset)
        if many is None:
            return None
        if isinstance(self.indices, np.ndarray):
            return many(self.indices[list(indices)].tolist())
        return many([self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[Any]):
    """Data sets one after the other.

    Examples
    --------
    >>> both = ConcatDataset(["ab", "cde"])
    >>> len(both), both[0], both[2], both[-1]
    (5, 'a', 'c', 'e')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise OptionError(expected="at least one data set", got="none", op="ConcatDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} samples")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: np.random.Generator | None = None
) -> list[Subset[Any]]:
    """Cut a data set at random into parts that do not overlap.

    Parameters
    ----------
    dataset : Dataset
        What to cut.
    lengths : sequence of int or float
        Sizes that add up to ``len(dataset)``, or fractions that add up to 1; what rounding leaves over
        goes one by one to the first parts.
    generator : numpy.random.Generator, optional
        Where the order comes from; the one in force by default.

    Returns
    -------
    list of Subset

    Raises
    ------
    OptionError
        If the lengths do not add up.

    See Also
    --------
    stratified_split : also keeps the share of every class.

    Examples
    --------
    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    sizes = _sizes(list(lengths), len(dataset))
    rng = to_generator(generator, "random_split") or current_generator()
    order = rng.permutation(len(dataset)).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _sizes(lengths: list[int | float], total: int) -> list[int]:
    if lengths and math.isclose(sum(lengths), 1) and all(0 <= length <= 1 for length in lengths):
        sizes = [math.floor(total * length) for length in lengths]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
        return sizes
    if sum(lengths) != total or any(length < 0 or length != int(length) for length in lengths):
        raise OptionError(
            expected=f"lengths that add up to {total}, or fractions that add up to 1",
            got=str(lengths),
            op="random_split",
        )
    return [int(length) for length in lengths]


def stratified_split(labels: Any, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the same share of every class, shuffled.

    Parameters
    ----------
    labels : array_like of int, (N,)
        The class of each sample; they may be sorted.
    fraction : float
        The share to hold out, between 0 and 1 exclusive.
    seed : int
        The split depends on the labels, the fraction and this number alone.

    Returns
    -------
    kept, held_out : (N - M,), (M,) arrays of int64
        Indices in shuffled order. Each class with at least two samples is in both; a class with a single
        sample is in ``kept``.

    Raises
    ------
    OptionError
        If the fraction is not between 0 and 1.

    Examples
    --------
    >>> labels = np.repeat([0, 1, 2], [10, 10, 100])
    >>> kept, held_out = stratified_split(labels, 0.2)
    >>> np.bincount(labels[held_out]).tolist()
    [2, 2, 20]
    """
    if not 0 < fraction < 1:
        raise OptionError(expected="a fraction between 0 and 1", got=str(fraction), op="stratified_split")
    rng = new_generator(seed)
    labels = np.asarray(labels)
    kept, held_out = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out.append(members[:count])
        kept.append(members[count:])
    return _shuffled(kept, rng), _shuffled(held_out, rng)


def _shuffled(parts: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.concatenate([np.empty(0, np.int64), *parts]))
