"""From a list of samples to one batch of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.core.dispatch import backend_of
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, ShapeError

__all__ = ["Columns", "default_collate", "default_convert"]


class Columns(Sequence[tuple[Any, ...]]):
    """Samples whose parts lie side by side already, so that :func:`default_collate` has nothing to copy.

    A data set whose ``__getitems__(indices)`` makes a whole batch at once returns it as this. Looked at, it
    is a sequence of tuples, one for each sample.

    Parameters
    ----------
    *columns : Tensor, array or list
        One for each part of the samples, all of one length. Of an array of integers a sample has Python's.

    Raises
    ------
    ShapeError
        If there is no column, or their lengths differ.

    Examples
    --------
    >>> samples = Columns(Tensor(np.zeros((2, 3), np.float32)), np.array([7, 8]))
    >>> samples[1][0].shape, samples[1][1]
    ((3,), 8)
    >>> images, labels = default_collate(samples)
    >>> images.shape, labels.tolist()
    ((2, 3), [7, 8])
    """

    def __init__(self, *columns: Any) -> None:
        lengths = {len(column) for column in columns}
        if len(lengths) != 1:
            raise ShapeError(expected="columns of one length", got=f"{sorted(lengths)}", op="Columns")
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return tuple(_part(column, index) for column in self.columns)


def _part(column: Any, index: int) -> Any:
    if isinstance(column, Tensor):
        return Tensor.wrap(column.array[index])
    part = column[index]
    return part.item() if isinstance(part, np.generic) else part


def default_collate(batch: Sequence[Any]) -> Any:
    """Put samples side by side along a new first axis, as PyTorch's function of that name does.

    Parameters
    ----------
    batch : sequence
        Samples of one structure: tensors, arrays or numbers, or tuples, lists and mappings of them.

    Returns
    -------
    Tensor, list, tuple or dict
        For images of shape (C, H, W) with labels: ``[images (N, C, H, W), labels (N,)]``. Integers become
        int64 and Python floats float64; strings stay as they are.

    Raises
    ------
    ShapeError
        If there is no sample, or they have different shapes or structures.
    DTypeError
        If a sample is nothing that a tensor can hold, such as a PIL image.

    Examples
    --------
    >>> image = np.zeros((1, 2, 2), np.float32)
    >>> images, labels = default_collate([(image, 3), (image, 7)])
    >>> images.shape, labels.tolist()
    ((2, 1, 2, 2), [3, 7])
    """
    if isinstance(batch, Columns):
        return [_column(column) for column in batch.columns]
    if not len(batch):
        raise ShapeError(expected="at least one sample", got="an empty batch", op="default_collate")
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack([sample.array for sample in batch])
    if isinstance(first, np.ndarray):
        return _stack(list(batch))
    if isinstance(first, (bool, int, float, np.number, np.bool_)):
        return Tensor(np.array(batch))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        return _collate_sequences(batch)
    raise DTypeError(
        expected="tensors, arrays, numbers, strings, or tuples, lists and dicts of them",
        got=type(first).__name__,
        hint="add ToTensor() to the transform, or give a collate_fn",
        op="default_collate",
    )


def _column(column: Any) -> Any:
    if isinstance(column, Tensor):
        return column
    return Tensor(column) if isinstance(column, np.ndarray) else default_collate(column)


def _stack(arrays: list[Any]) -> Tensor:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ShapeError(
            expected="samples of one shape in a batch",
            got=" and ".join(str(shape) for shape in sorted(shapes)),
            hint="make them equal with Resize or CenterCrop, or give a collate_fn",
            op="default_collate",
        )
    backend, dtypes = backend_of(arrays), {array.dtype for array in arrays}
    out = backend.empty((len(arrays), *arrays[0].shape), *dtypes) if len(dtypes) == 1 else None
    return Tensor(backend.xp.stack(arrays, out=out))


def _collate_sequences(batch: Sequence[Any]) -> Any:
    first = batch[0]
    lengths = {len(sample) for sample in batch}
    if len(lengths) > 1:
        raise ShapeError(
            expected="samples with the same number of parts", got=f"{sorted(lengths)}", op="default_collate"
        )
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    return type(first)(*columns) if hasattr(first, "_fields") else columns  # a named tuple keeps its names


def default_convert(sample: Any) -> Any:
    """Turn the arrays inside one sample into tensors and leave the rest as it is.

    Examples
    --------
    >>> default_convert((np.zeros(3), "name"))[0].shape
    (3,)
    """
    if isinstance(sample, (np.ndarray, np.number)):
        return Tensor(sample)
    if isinstance(sample, Mapping):
        return {key: default_convert(value) for key, value in sample.items()}
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*(default_convert(part) for part in sample))
    if isinstance(sample, (list, tuple)):
        return [default_convert(part) for part in sample]
    return sample
