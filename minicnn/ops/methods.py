"""The one table that gives tensors their operators and methods; importing this module binds them.

In place: a leaf, or any tensor under ``no_grad``, gets the new numbers into its own memory. A
tensor that a graph has made is not overwritten, since the graph may need the old numbers; it
becomes the new result instead, so that gradients stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.core import creation
from minicnn.core.device import MetaArray
from minicnn.core.op import Op, describe
from minicnn.core.tape import grad_enabled
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, GradError, ShapeError
from minicnn.ops import functions as F
from minicnn.ops import shape
from minicnn.ops.indexing import apart, without_leading_ones
from minicnn.ops.rearrange import sizes
from minicnn.ops.rules import normal_dim
from minicnn.ops.selection import grid, normal_index

__all__ = ["METHODS", "PROPERTIES", "become"]

Function = Callable[..., Any]


# -- kinds of operators ----------------------------------------------------------------------


def _binary(op: Op) -> Function:
    apply = op.apply  # rather than op itself: one frame less in the hottest path
    return lambda self, other: apply((self, other), {})[0]


def _reflected(op: Op) -> Function:
    apply = op.apply
    return lambda self, other: apply((other, self), {})[0]


def _comparison(function: Function) -> Function:
    def compare(self: Tensor, other: Any) -> Any:
        if isinstance(other, (int, float)) or hasattr(other, "dtype"):
            return function(self, other)
        return NotImplemented  # a tensor equals no string, and not None

    return compare


def _logical(function: Function) -> Function:
    def combine(self: Tensor, *other: Any) -> Tensor:
        for operand in (self, *other):
            if getattr(operand, "dtype", None) != np.bool_ and type(operand) is not bool:
                raise DTypeError(expected="bools for & | ^ ~", got=describe(operand), op=function.__name__)
        return function(self, *other)

    return combine


def _in_place(function: Function, rebinds: bool = False) -> Function:
    def change(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return become(self, function(self, *args, **kwargs), f"{function.__name__}_", rebinds)

    change.__doc__ = f"In place: :func:`{function.__name__}`."
    return change


def _operator(function: Function) -> Function:
    return _in_place(function, rebinds=True)


def become(x: Tensor, result: Tensor, name: str, rebinds: bool = False) -> Tensor:
    """Let ``x`` hold ``result``: in x's own memory, or as a new step of the graph if it is recorded.

    Raises
    ------
    ShapeError, DTypeError
        If x cannot hold the result.
    GradError
        If x is a leaf that requires grad, outside ``no_grad``, or a view that would come apart from
        what it views. An operator ``rebinds`` a name to a recorded view's result: ``x[0] += 1`` then
        assigns it to the part.
    """
    if result.shape != x.shape:
        raise ShapeError(expected=f"a result of shape {x.shape} in place", got=str(result.shape), op=name)
    if result.dtype.kind == "f" and x.dtype.kind != "f":
        raise DTypeError(expected=f"a result that fits {x.dtype} in place", got=str(result.dtype), op=name)
    if not result.requires_grad or (x.requires_grad and x.is_leaf):
        return x.write_(result)
    if x._is_view and (x.is_leaf or not rebinds):
        raise GradError(
            "a view of other memory cannot take a recorded result: the memory it views would not follow",
            hint="assign to a part, base[index] = value, or clone() the view first",
            op=name,
        )
    made = F.to(result, x.dtype)
    made = F.clone(made) if made._is_view else made  # its memory is x's from now on
    if x.node is not None and made.node is not None:  # .grad becomes that of the new result
        made.node.keeper, x.node.keeper = x.node.keeper, None
    x.array, x.node, x._requires_grad, x._is_view = made.array, made.node, True, False
    return x


# -- methods that are no functions -----------------------------------------------------------


def set_item(self: Tensor, index: Any, value: Any) -> None:
    """``x[index] = value``, under the same rule as every change in place."""
    if grad_enabled.get() and (self.requires_grad or getattr(value, "requires_grad", False)):
        become(self, F.setitem(self, index, value), "setitem")
        return
    numbers = value.array if isinstance(value, Tensor) else value
    view, rest = apart(normal_index(self, index))
    _write(self, without_leading_ones(numbers), "setitem", index=rest, view=view)


def _write(x: Tensor, value: Any, name: str, **where: Any) -> Tensor:
    """Put numbers into x's own memory, with the array library's refusals in our words."""
    try:
        return x.write_(value, **where)
    except DTypeError as error:
        error.op = name
        raise
    except (OverflowError, ValueError) as error:
        kind = DTypeError if isinstance(value, (int, float)) else ShapeError  # a number has no shape
        raise kind(str(error), op=name) from error


def iterate(self: Tensor) -> Iterator[Tensor]:
    """The slices along the first dimension."""
    if not self.ndim:
        raise TypeError("iteration over a 0-dimensional tensor")
    return iter(F.unbind(self))


def as_text(self: Tensor, spec: str) -> str:
    """``f"{loss:.4f}"``: a single number takes a number's format."""
    return format(self.item(), spec) if spec and not self.ndim else format(repr(self), spec)


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or one size."""
    return self.shape if dim is None else self.shape[normal_dim(dim, self.ndim, "size")]


def expand(self: Tensor, *shape: Any) -> Tensor:
    """Stretch dimensions of size 1; -1 keeps a size. A view."""
    return F.broadcast_to(self, sizes(shape, "expand"))


def view(self: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape; ``reshape`` copies where that cannot be."""
    result = F.reshape(self, *shape)
    if not result._is_view and not isinstance(self.array, MetaArray) and self.array.size:
        raise ShapeError(
            "the elements do not lie in memory in this order", hint="use reshape(), which copies", op="view"
        )
    return result


_TYPES = {
    f"torch.{name}Tensor": np.dtype(code)
    for name, code in zip(
        ("Half", "Float", "Double", "Byte", "Char", "Short", "Int", "Long", "Bool"), "efdBbhiq?", strict=True
    )
}


def type_(self: Tensor, dtype: Any = None) -> Any:
    """The tensor in another dtype; without one, the name of PyTorch's tensor type, ``torch.FloatTensor``."""
    if dtype is not None:
        return F.to(self, _TYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype)
    return next((name for name, own in _TYPES.items() if own == self.dtype), f"torch.{self.dtype}")


def contiguous(self: Tensor) -> Tensor:
    """The tensor itself if its elements lie in row-major order, else a copy where they do."""
    return self if is_contiguous(self) else F.clone(self)


def is_contiguous(self: Tensor) -> bool:
    """Whether the elements lie in memory in row-major order, without gaps."""
    return bool(self.array.flags.c_contiguous)


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """The tensor on a GPU."""
    return F.to(self, f"cuda:{device}" if isinstance(device, int) else device or "cuda")


def detach_(self: Tensor) -> Tensor:
    """Take this tensor out of its graph."""
    self.node, self.requires_grad = None, False
    return self


def copy_(self: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """Take over the numbers of another tensor or array, which broadcasts to this shape."""
    return become(self, F.broadcast_to(F.to(creation.as_tensor(source), self), self.shape), "copy_")


def fill_(self: Tensor, value: float) -> Tensor:
    """One number everywhere, in place."""
    return _write(self, value, "fill_")


def uniform_(self: Tensor, from_: float = 0, to: float = 1) -> Tensor:
    """Random numbers in place, uniform in [from, to)."""
    return self.write_(creation.rand_like(self) * (to - from_) + from_)


def normal_(self: Tensor, mean: float = 0, std: float = 1) -> Tensor:
    """Random numbers in place, normal with this mean and standard deviation."""
    return self.write_(creation.randn_like(self) * std + mean)


def addcmul(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """x + value · tensor1 · tensor2."""
    return self + tensor1 * tensor2 * value


def addcdiv(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """x + value · tensor1 / tensor2."""
    return self + tensor1 / tensor2 * value


def scatter(self: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """A copy with  x[i, index[i, j]] = src[i, j]  for ``dim`` = 1; the reverse of ``gather``."""
    places = grid(self, dim, index, "scatter")
    if not isinstance(src, Tensor):
        return F.setitem(self, places, src)
    if src.ndim != index.ndim or any(n < m for n, m in zip(src.shape, index.shape, strict=True)):
        raise ShapeError(
            expected=f"a source of at least the index's shape {index.shape}", got=str(src.shape), op="scatter"
        )
    return F.setitem(self, places, F.getitem(src, tuple(slice(n) for n in index.shape)))


def _converter(dtype: Any) -> Function:
    wanted = np.dtype(dtype)

    def convert(self: Tensor) -> Tensor:
        return F.to(self, wanted)

    convert.__doc__ = f"The tensor in {wanted}."
    return convert


def _new(function: Function) -> Function:
    """A creation function that takes dtype and device from the tensor it is called on."""

    def new(
        self: Tensor, *args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        return function(
            *args, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad
        )

    new.__doc__ = f"As :func:`minicnn.{function.__name__}`, with this tensor's dtype and device."
    return new


# -- the table -------------------------------------------------------------------------------

METHODS: dict[str, Function] = {
    # arithmetic operators
    "__add__": _binary(F.elementwise.add),
    "__radd__": _reflected(F.elementwise.add),
    "__sub__": _binary(F.elementwise.sub),
    "__rsub__": _reflected(F.elementwise.sub),
    "__mul__": _binary(F.mul),
    "__rmul__": _reflected(F.mul),
    "__truediv__": _binary(F.div),
    "__rtruediv__": _reflected(F.div),
    "__floordiv__": _binary(F.floor_divide),
    "__rfloordiv__": _reflected(F.floor_divide),
    "__mod__": _binary(F.remainder),
    "__rmod__": _reflected(F.remainder),
    "__pow__": _binary(F.pow),
    "__rpow__": _reflected(F.pow),
    "__matmul__": _binary(F.matmul),
    "__rmatmul__": _reflected(F.matmul),
    "__neg__": lambda self: F.neg(self),
    "__abs__": lambda self: F.abs(self),
    # comparison and logical operators
    "__eq__": _comparison(F.eq),
    "__ne__": _comparison(F.ne),
    "__lt__": _comparison(F.lt),
    "__le__": _comparison(F.le),
    "__gt__": _comparison(F.gt),
    "__ge__": _comparison(F.ge),
    "__and__": _logical(F.logical_and),
    "__rand__": _logical(F.logical_and),
    "__or__": _logical(F.logical_or),
    "__ror__": _logical(F.logical_or),
    "__xor__": _logical(F.ne),
    "__rxor__": _logical(F.ne),
    "__invert__": _logical(F.logical_not),
    # operators in place
    "__iadd__": _operator(F.add),
    "__isub__": _operator(F.sub),
    "__imul__": _operator(F.mul),
    "__itruediv__": _operator(F.div),
    "__ifloordiv__": _operator(F.floor_divide),
    "__imod__": _operator(F.remainder),
    "__ipow__": _operator(F.pow),
    # parts
    "__getitem__": F.getitem,
    "__setitem__": set_item,
    "__iter__": iterate,
    "__format__": as_text,
    # methods that are a function of the same name
    **{name: getattr(F, name) for name in (
        "abs", "add", "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "argsort", "bmm",
        "ceil", "chunk", "clamp", "clone", "cos", "div", "dot", "eq", "equal", "exp", "flatten", "flip",
        "floor", "floor_divide", "gather", "ge", "gt", "index_select", "isfinite", "isnan", "le", "log",
        "log_softmax", "logical_and", "logical_not", "logical_or", "lt", "masked_fill", "masked_select",
        "matmul", "max", "maximum", "mean", "min", "minimum", "mm", "mul", "ne", "neg", "nonzero", "norm",
        "permute", "pow", "relu", "remainder", "reshape", "round", "sigmoid", "sign", "sin", "softmax",
        "sort", "split", "sqrt",
        "square", "squeeze", "std", "sub", "sum", "t", "tanh", "to", "topk", "transpose", "unbind",
        "unsqueeze", "var",
    )},
    "view": view,
    "view_as": lambda self, other: view(self, other.shape),
    "reshape_as": lambda self, other: F.reshape(self, other.shape),
    "expand": expand,
    "expand_as": lambda self, other: F.broadcast_to(self, other.shape),
    "repeat": lambda self, *times: F.tile(self, sizes(times, "repeat")),
    "clip": F.clamp,
    "multiply": F.mul,
    "divide": F.div,
    "type": type_,
    "type_as": lambda self, other: F.to(self, other.dtype),
    "addcmul": addcmul,
    "addcdiv": addcdiv,
    "scatter": scatter,
    # sizes
    "size": size,
    "dim": lambda self: self.ndim,
    "numel": lambda self: self.array.size,
    "nelement": lambda self: self.array.size,
    "element_size": lambda self: self.dtype.itemsize,
    "is_floating_point": lambda self: self.dtype.kind == "f",
    # dtype, device, memory
    "float": _converter(np.float32),
    "double": _converter(np.float64),
    "half": _converter(np.float16),
    "int": _converter(np.int32),
    "long": _converter(np.int64),
    "bool": _converter(np.bool_),
    "byte": _converter(np.uint8),
    "cpu": lambda self: F.to(self, "cpu"),
    "cuda": cuda,
    "contiguous": contiguous,
    "is_contiguous": is_contiguous,
    "detach_": detach_,
    "new_zeros": _new(creation.zeros),
    "new_ones": _new(creation.ones),
    "new_empty": _new(creation.empty),
    "new_full": _new(creation.full),
    "new_tensor": _new(creation.tensor),
    # in place
    **{f"{name}_": _in_place(getattr(F, name)) for name in (
        "abs", "add", "ceil", "clamp", "div", "exp", "floor", "floor_divide", "log", "masked_fill", "mul",
        "neg", "pow", "relu", "remainder", "round", "sigmoid", "sign", "sqrt", "square", "sub", "tanh",
    )},
    "clip_": _in_place(F.clamp),
    "addcmul_": _in_place(addcmul),
    "addcdiv_": _in_place(addcdiv),
    "scatter_": _in_place(scatter),
    "copy_": copy_,
    "fill_": fill_,
    "zero_": lambda self: self.write_(0),
    "uniform_": uniform_,
    "normal_": normal_,
}  # fmt: skip

PROPERTIES: dict[str, Function] = {
    "T": lambda self: shape.permute(self, dim=tuple(range(self.array.ndim - 1, -1, -1))),
    "mT": lambda self: F.transpose(self, -2, -1),
    "is_cuda": lambda self: self.device.type == "cuda",
}

for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
for _name, _getter in PROPERTIES.items():
    setattr(Tensor, _name, property(_getter))
