"""What operations share: rules of shapes, dimensions and element types, and the gradient of broadcasting."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minicnn.core.tensor import default_dtype
from minicnn.errors import DTypeError, ShapeError
from minicnn.typing import Array, ArrayModule, Shape

__all__ = [
    "NUMBERS",
    "Form",
    "align",
    "as_float",
    "bool_dtype",
    "broadcast_shape",
    "common_dtype",
    "float_dtype",
    "form",
    "in_dtype",
    "index_dtype",
    "infinite_slope",
    "normal_dim",
    "normal_dims",
    "numeric_dtype",
    "reduce_shape",
    "require_dtype_of",
    "require_float",
    "require_number",
    "same_shape",
    "shape_of",
    "to_form",
    "total",
    "unbroadcast",
    "whole",
]

# Shape and dtype of an operand; None where it is a Python number.
Form = tuple[Shape, np.dtype] | None

NUMBERS = (float, int, bool)


# -- shapes ----------------------------------------------------------------------------------


def shape_of(operand: Any) -> Shape:
    """The shape of an array; ``()`` for a Python number.

    Examples
    --------
    >>> shape_of(np.zeros((2, 3))), shape_of(1.5)
    ((2, 3), ())
    """
    return getattr(operand, "shape", ())


def same_shape(x: Any, *others: Any, **attrs: Any) -> Shape:
    """Shape rule of an operation whose result has its first operand's shape."""
    return x.shape


def broadcast_shape(*operands: Any, **attrs: Any) -> Shape:
    """Shape rule of elementwise operations: sizes aligned at the right, equal or 1.

    Parameters
    ----------
    *operands : array, number or None
        Whatever has a ``shape`` counts; numbers broadcast to anything.

    Raises
    ------
    ShapeError
        If two sizes differ and neither is 1.

    Examples
    --------
    >>> broadcast_shape(np.zeros((4, 1, 3)), np.zeros((5, 1)), 2.0)
    (4, 5, 3)
    """
    shapes = [operand.shape for operand in operands if hasattr(operand, "shape")]
    sizes = []
    for i in range(1, max(map(len, shapes), default=0) + 1):
        others = {shape[-i] for shape in shapes if len(shape) >= i} - {1}
        if len(others) > 1:
            raise ShapeError(
                expected="shapes that broadcast (aligned at the right, sizes equal or 1)",
                got=" and ".join(map(str, shapes)),
            )
        sizes.append(others.pop() if others else 1)
    return tuple(reversed(sizes))


def reduce_shape(x: Any, *, dim: Shape, keepdim: bool = False, **attrs: Any) -> Shape:
    """Shape rule of reductions over the dimensions ``dim``; refuses those that are not in normal form.

    Examples
    --------
    >>> reduce_shape(np.zeros((2, 3, 4)), dim=(0, 2), keepdim=True)
    (1, 3, 1)
    """
    if tuple(dim) != tuple(i for i in range(len(x.shape)) if i in dim):
        raise ShapeError(expected=f"sorted dimensions from 0 to {len(x.shape) - 1}, each once", got=repr(dim))
    if keepdim:
        return tuple(1 if i in dim else n for i, n in enumerate(x.shape))
    return tuple(n for i, n in enumerate(x.shape) if i not in dim)


def whole(value: Any) -> int | None:
    """An integer of Python, NumPy or a tensor as Python's own; None for all else, bools and 2.0 too.

    Examples
    --------
    >>> whole(np.int64(3)), whole(3.0), whole(True)
    (3, None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def normal_dim(dim: int, ndim: int, op: str | None = None) -> int:
    """A dimension counted from the front: ``-1`` of 3 dimensions is 2.

    Raises
    ------
    ShapeError
        If it is no integer, or there is no such dimension. A 0-dimensional tensor has, as in PyTorch,
        0 and -1.

    Examples
    --------
    >>> normal_dim(-1, 3)
    2
    """
    count = ndim or 1
    number = dim if type(dim) is int else whole(dim)
    if number is None or not -count <= number < count:
        raise ShapeError(expected=f"a dimension from {-count} to {count - 1}", got=repr(dim), op=op)
    return number % count


def normal_dims(dim: int | tuple[int, ...] | list[int] | None, ndim: int, op: str | None = None) -> Shape:
    """Dimensions in normal form: a sorted tuple counted from the front; None means all, ``()`` none.

    Raises
    ------
    ShapeError
        If a dimension is no integer, does not exist or is named twice.

    Examples
    --------
    >>> normal_dims((-1, 0), 3), normal_dims(None, 2)
    ((0, 2), (0, 1))
    """
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        return (normal_dim(dim, ndim, op),)[:ndim]
    named = [normal_dim(d, ndim, op) for d in dim]
    if len(set(named)) != len(named):
        raise ShapeError(expected="each dimension once", got=str(dim), op=op)
    return tuple(sorted(named)) if ndim else ()


# -- element types ---------------------------------------------------------------------------


def common_dtype(*operands: Any, **attrs: Any) -> np.dtype:
    """The type in which operands meet, by PyTorch's rule; None among them is passed over.

    Floating point wins over integers, these over bools, and the wider type over the narrower. But
    0-dimensional arrays adapt to arrays with dimensions, and Python numbers to both: they count only where
    they are of a higher kind, a float as float32 and an int as int64.

    Examples
    --------
    >>> str(common_dtype(np.zeros(1, np.float32), np.zeros(1, np.int64), np.zeros((), np.float64), 0.5))
    'float32'
    """
    arrays: list[np.dtype] = []
    points: list[np.dtype] = []
    numbers: list[np.dtype] = []
    for operand in operands:
        if hasattr(operand, "dtype"):
            (arrays if operand.shape else points).append(operand.dtype)
        elif isinstance(operand, NUMBERS):
            numbers.append(_number_dtype(operand))
    met = [_widest(types) for types in (arrays, points, numbers) if types]
    return max(met, key=_rank, default=np.dtype(np.bool_))  # of equal rank the first


def _number_dtype(number: float) -> np.dtype:
    if isinstance(number, float):
        return default_dtype
    return np.dtype(np.bool_ if isinstance(number, bool) else np.int64)


def _widest(types: list[np.dtype]) -> np.dtype:
    floats = [dtype for dtype in types if dtype.kind == "f"]
    return max(floats, key=lambda dtype: dtype.itemsize) if floats else np.result_type(*types)


def _rank(dtype: np.dtype) -> int:
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]


def numeric_dtype(*operands: Any, **attrs: Any) -> np.dtype:
    """Dtype rule of operations that bools do not have, such as the difference: else :func:`common_dtype`."""
    dtype = common_dtype(*operands)
    if dtype.kind == "b":
        raise DTypeError(expected="numbers", got="bool", hint="use & | ^ ~ on bools, or .long()")
    return dtype


def float_dtype(*operands: Any, **attrs: Any) -> np.dtype:
    """Dtype rule of operations whose result is floating point: integers become float32."""
    dtype = common_dtype(*operands)
    return dtype if dtype.kind == "f" else default_dtype


def bool_dtype(*operands: Any, **attrs: Any) -> np.dtype:
    """Dtype rule of comparisons."""
    return np.dtype(np.bool_)


def index_dtype(*operands: Any, **attrs: Any) -> np.dtype:
    """Dtype rule of operations that give indices."""
    return np.dtype(np.int64)


def as_float(x: Any) -> Any:
    """The array itself if floating point, else converted to float32. Python numbers pass."""
    kind = getattr(x, "dtype", default_dtype).kind
    return x if kind == "f" else x.astype(default_dtype)


def require_float(x: Any, name: str = "input", op: str | None = None) -> None:
    """Refuse an integer or bool array.

    Raises
    ------
    DTypeError
        With the hint to convert.
    """
    if x.dtype.kind != "f":
        raise DTypeError(
            expected=f"{name} of floating point numbers", got=str(x.dtype), hint="use .float()", op=op
        )


def require_number(x: Any, name: str = "input") -> None:
    """Refuse a bool array.

    Raises
    ------
    DTypeError
        With the hint to convert.
    """
    if x.dtype.kind == "b":
        raise DTypeError(expected=f"{name} of numbers", got="bool", hint="use .float()")


def require_dtype_of(x: Any, **operands: Any) -> None:
    """Refuse named operands of another element type than the input x; numbers and None pass.

    Raises
    ------
    DTypeError
        With the hint to convert.
    """
    for name, operand in operands.items():
        if getattr(operand, "dtype", x.dtype) != x.dtype:
            raise DTypeError(
                expected=f"{name} in the dtype of the input, {x.dtype}",
                got=str(operand.dtype),
                hint="use .to(dtype)",
            )


# -- two operands and their gradients --------------------------------------------------------


def align(x: Any, y: Any) -> tuple[Any, Any, tuple[Form, Form] | None]:
    """Two operands in their common dtype, and the forms that their gradients have to take again.

    The forms are None if shapes and dtypes agree, or one is a number and the other floating point:
    the usual cases, in which a gradient is right as it is.
    """
    x_type, y_type = type(x), type(y)
    if x_type is y_type:
        if x.dtype is y.dtype and x.shape == y.shape:
            return x, y, None
    elif (y_type in NUMBERS and x.dtype.kind == "f") or (x_type in NUMBERS and y.dtype.kind == "f"):
        return x, y, None
    dtype = common_dtype(x, y)
    return in_dtype(x, dtype), in_dtype(y, dtype), (form(x), form(y))


def to_form(xp: ArrayModule, g: Array, forms: tuple[Form, Form] | None, position: int) -> Array:
    """The gradient of operand ``position``, in the shape and dtype that it had before :func:`align`."""
    own = forms[position] if forms is not None else None
    if own is None:
        return g
    shape, dtype = own
    return unbroadcast(xp, g, shape).astype(dtype, copy=False)


def total(xp: ArrayModule, x: Array, axis: Any, keepdims: bool = False) -> Array:
    """Sum over axes in x's dtype, without losing digits to a long naive sum.

    NumPy adds in pairs along contiguous memory only; along all else one number after the other, which costs
    float32 up to 1 % of a sum of a million. So the last axes of a contiguous array are summed as they are,
    and all others in float64.

    Parameters
    ----------
    x : array of floating point numbers
    axis : int or tuple of int
        Not negative.
    keepdims : bool

    Examples
    --------
    >>> float(total(np, np.full((10**6, 2), 0.1, np.float32), (0,))[0]) - 1e5 < 0.01
    True
    """
    if x.dtype.itemsize == 8 or x.dtype.kind != "f":
        return x.sum(axis, keepdims=keepdims)
    axes = axis if type(axis) is tuple else (axis,)
    last = _last_axes(axes, x.ndim) if x.flags.c_contiguous else ()
    if len(last) == len(axes):
        if x.dtype.itemsize == 4:
            return x.sum(axes, keepdims=keepdims)
        return x.sum(axes, dtype=xp.float32, keepdims=keepdims).astype(x.dtype)
    parts = x.sum(last, dtype=xp.float32, keepdims=True) if last else x
    return parts.sum(axes, dtype=xp.float64, keepdims=keepdims).astype(x.dtype)


def _last_axes(axes: Shape, ndim: int) -> Shape:
    """Those of the axes that no other axis follows."""
    if len(axes) == ndim:
        return axes
    first = ndim
    while first - 1 in axes:
        first -= 1
    return tuple(range(first, ndim))


def unbroadcast(xp: ArrayModule, g: Array, shape: Shape) -> Array:
    """The gradient of an operand that was broadcast: summed over the copies.

    Parameters
    ----------
    g : array
        Gradient in the shape that resulted from broadcasting.
    shape : tuple of int
        The operand's own shape.

    Returns
    -------
    array
        ``g`` itself if nothing was broadcast.

    Examples
    --------
    >>> unbroadcast(np, np.ones((4, 2, 3)), (2, 1)).tolist()
    [[12.0], [12.0]]
    """
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    return total(xp, g, (*range(extra), *stretched), keepdims=True).reshape(shape)


def infinite_slope(xp: ArrayModule, g: Array) -> Array:
    """``g`` · inf, except that no gradient stays no gradient: 0 · inf = 0. It raises no warning."""
    return xp.where(g > 0, xp.inf, xp.where(g < 0, -xp.inf, g)).astype(g.dtype, copy=False)


def form(x: Any) -> Form:
    """Shape and dtype of an operand; None for a Python number."""
    return (x.shape, x.dtype) if hasattr(x, "shape") else None


def in_dtype(x: Any, dtype: np.dtype) -> Any:
    """An array in another dtype; Python numbers pass, all else is refused."""
    if hasattr(x, "dtype"):
        return x.astype(dtype, copy=False)
    if isinstance(x, NUMBERS):
        return x
    raise DTypeError(expected="tensors, arrays or numbers", got=type(x).__name__)
