"""New tensors: from data, filled, counted up, or random; PyTorch's names and signatures.

``dtype``, ``device`` and ``requires_grad`` are explained with :func:`tensor`.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minicnn.core import random
from minicnn.core.device import device as Device
from minicnn.core.device import device_of, move
from minicnn.core.tensor import Tensor, as_array, default_dtype
from minicnn.errors import DTypeError, GradError, OptionError, ShapeError
from minicnn.typing import Array, Shape

__all__ = [
    "arange", "as_tensor", "empty", "eye", "from_numpy", "full", "full_like", "linspace", "normal",
    "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "tensor",
    "zeros", "zeros_like",
]  # fmt: skip


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data.

    Parameters
    ----------
    data : array_like or Tensor
        Numbers, nested lists, arrays. Arrays keep their dtype; Python floats become float32, Python
        integers int64.
    dtype : dtype, optional
        Element type to convert to.
    device : str or device, optional
        Where to put it; by default where the data is.
    requires_grad : bool
        Whether ``backward`` shall fill ``.grad``.

    Raises
    ------
    DTypeError
        If the data are no numbers, or integers require grad.

    Examples
    --------
    >>> tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    array = as_array(data, dtype)
    return _finish(array.copy() if hasattr(array, "copy") else array, None, device, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor that shares the data's memory where dtype and device allow it; a tensor comes back itself.

    Examples
    --------
    >>> array = np.zeros(2, np.float32)
    >>> as_tensor(array).array is array
    True
    """
    if isinstance(data, Tensor):
        same_type = dtype is None or data.dtype == dtype
        if same_type and (device is None or Device(device).holds(data.array)):
            return data
        if data.requires_grad:
            raise GradError("as_tensor would leave the graph; use data.to(...)", op="as_tensor")
    return _finish(as_array(data, dtype), device=device)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor that shares memory with a NumPy array: a change of one shows in the other.

    An array in foreign byte order is converted, and so copied.

    Raises
    ------
    DTypeError
        If it is no NumPy array, or not one of numbers.

    Examples
    --------
    >>> array = np.array([1.0, 2.0])
    >>> x = from_numpy(array)
    >>> array[0] = 7.0
    >>> x.tolist()
    [7.0, 2.0]
    """
    if not isinstance(ndarray, np.ndarray):
        raise DTypeError(expected="a NumPy array", got=type(ndarray).__name__, op="from_numpy")
    return Tensor(ndarray)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros.

    Parameters
    ----------
    *size : int, or one tuple of int
    dtype : dtype, optional
        float32 if left out.

    Raises
    ------
    ShapeError
        If a size is negative or no integer.

    Examples
    --------
    >>> zeros(2, 3).shape, zeros((2, 3)).shape
    ((2, 3), (2, 3))
    """
    return _finish(np.zeros(_shape(size), dtype or default_dtype), None, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones; parameters as in :func:`zeros`.

    Examples
    --------
    >>> ones(2).tolist()
    [1.0, 1.0]
    """
    return _finish(np.ones(_shape(size), dtype or default_dtype), None, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Memory as it comes, with arbitrary numbers in it; parameters as in :func:`zeros`.

    Examples
    --------
    >>> empty(2, 3).shape
    (2, 3)
    """
    return _finish(np.empty(_shape(size), dtype or default_dtype), None, device, requires_grad)


def full(
    size: Any, fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number everywhere.

    Parameters
    ----------
    size : tuple of int
    fill_value : number
        Without ``dtype`` it decides the type: bool, int64 or float32.

    Examples
    --------
    >>> full((2,), 7).tolist()
    [7, 7]
    """
    value = as_array(fill_value.item() if isinstance(fill_value, np.generic) else fill_value, dtype)
    return _finish(np.full(_shape((size,)), value, value.dtype), None, device, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix of zeros; m = n if left out.

    Examples
    --------
    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows, columns = _shape((n, n if m is None else m))
    return _finish(np.eye(rows, columns, dtype=dtype or default_dtype), None, device, requires_grad)


def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in the shape, dtype and device of another tensor.

    Examples
    --------
    >>> zeros_like(ones(2, 3)).shape
    (2, 3)
    """
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape, dtype and device of another tensor.

    Examples
    --------
    >>> ones_like(zeros(2)).tolist()
    [1.0, 1.0]
    """
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number everywhere, in the shape, dtype and device of another tensor.

    Examples
    --------
    >>> full_like(zeros(2), 0.5).tolist()
    [0.5, 0.5]
    """
    return _finish(np.full(input.shape, fill_value, dtype or input.dtype), input, device, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers start, start + step, ... before end; ``arange(end)`` starts at 0.

    Parameters
    ----------
    start, end, step : number
        If all are integers the result is int64, else float32.

    Raises
    ------
    OptionError
        If step is 0 or leads away from end, or the numbers never end.

    Examples
    --------
    >>> arange(3).tolist(), arange(1, 2, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    first, last = (0, start) if end is None else (start, end)
    if not step or not 0 <= (last - first) / step < np.inf:  # NaN too
        raise OptionError(expected=f"a step from {first} towards {last}", got=str(step), op="arange")
    numbers = np.arange(first, last, step)
    natural = default_dtype if numbers.dtype.kind == "f" else np.int64
    return _finish(numbers.astype(dtype or natural), None, device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` numbers at equal distances from start to end, both included.

    Examples
    --------
    >>> linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    (count,) = _shape((steps,))
    return _finish(np.linspace(start, end, count).astype(dtype or default_dtype), None, device, requires_grad)


def rand(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Random numbers, uniform in [0, 1); parameters as in :func:`zeros`, floating point.

    Examples
    --------
    >>> rand(2, 3).shape
    (2, 3)
    """
    array = _draw(random.generator().random, _shape(size), dtype)
    return _finish(array, None, device, requires_grad)


def randn(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Random numbers, normal with mean 0 and standard deviation 1; parameters as in :func:`rand`.

    Examples
    --------
    >>> randn(2, 3).shape
    (2, 3)
    """
    array = _draw(random.generator().standard_normal, _shape(size), dtype)
    return _finish(array, None, device, requires_grad)


def normal(mean: float, std: float, size: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Random numbers, normal with this mean and standard deviation.

    Examples
    --------
    >>> normal(10.0, 0.0, (2,)).tolist()
    [10.0, 10.0]
    """
    array = _draw(random.generator().standard_normal, _shape((size,)), dtype) * float(std) + float(mean)
    return _finish(array, device=device)


def randint(*limits_and_size: Any, dtype: Any = None, device: Any = None, **named: Any) -> Tensor:
    """Random integers, uniform in [low, high): ``randint(high, size)`` or ``randint(low, high, size)``.

    Parameters
    ----------
    low, high : int
        low is 0 if left out.
    size : tuple of int
    dtype : dtype, optional
        int64 if left out.

    Raises
    ------
    OptionError
        If low ≥ high, or high or size are missing.

    Examples
    --------
    >>> randint(5, 6, (3,)).tolist()
    [5, 5, 5]
    """
    names = ("low", "high", "size") if len(limits_and_size) + len(named) == 3 else ("high", "size")
    given = dict(zip([name for name in names if name not in named], limits_and_size, strict=False)) | named
    low, high = given.get("low", 0), given.get("high")
    if set(given) != set(names) or not low < high:
        raise OptionError(expected="randint(low=0, high, size) with low < high", got=str(given))
    array = random.generator().integers(low, high, _shape((given["size"],)))
    return _finish(array.astype(dtype or np.int64, copy=False), device=device)


def randperm(n: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The integers 0 to n - 1 in random order; int64.

    Examples
    --------
    >>> sorted(randperm(4).tolist())
    [0, 1, 2, 3]
    """
    (count,) = _shape((n,))
    array = random.generator().permutation(count)
    return _finish(array.astype(dtype or np.int64, copy=False), device=device)


def rand_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """:func:`rand` in the shape, dtype and device of another tensor.

    Examples
    --------
    >>> rand_like(zeros(2, 3)).shape
    (2, 3)
    """
    array = _draw(random.generator().random, input.shape, dtype or input.dtype)
    return _finish(array, input, device, requires_grad)


def randn_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """:func:`randn` in the shape, dtype and device of another tensor.

    Examples
    --------
    >>> randn_like(zeros(2, 3)).shape
    (2, 3)
    """
    array = _draw(random.generator().standard_normal, input.shape, dtype or input.dtype)
    return _finish(array, input, device, requires_grad)


def _draw(method: Any, shape: Shape, dtype: Any) -> np.ndarray:
    """Draw in float32 or float64; float16 is rounded from float32."""
    wanted = np.dtype(dtype or default_dtype)
    if wanted.kind != "f":
        raise DTypeError(expected="a floating point dtype", got=str(wanted))
    drawn = np.float64 if wanted == np.float64 else np.float32
    return np.asarray(method(shape, dtype=drawn)).astype(wanted, copy=False)


def _shape(size: tuple[Any, ...]) -> Shape:
    """The shape from ``(2, 3)`` or ``((2, 3),)``."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    try:
        shape = tuple(map(operator.index, size))
    except TypeError as error:
        raise ShapeError(expected="sizes that are integers", got=str(size)) from error
    if min(shape, default=0) < 0:
        raise ShapeError(expected="sizes >= 0", got=str(shape))
    return shape


def _finish(
    array: Array, like: Tensor | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor around a new array, on the device asked for, or else that of ``like``."""
    device = device_of(like.array) if like is not None and device is None else device
    result = Tensor.wrap(array if device is None else move(array, device))
    return result.requires_grad_() if requires_grad else result
