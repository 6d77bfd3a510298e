"""What is measured: an operation on operands of certain shapes, and the work that each pass needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.bench.steps import networks
from minicnn.core.op import ops
from minicnn.errors import OptionError
from minicnn.typing import Attrs, Shape

__all__ = ["OPERATIONS", "PRODUCTS", "Case", "Work", "leaves", "standard", "work_of"]

# The operations there are cases of, with attributes that their standard cases have.
_ADAM = {"lr": 1e-6, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "l2": 0.0, "weight_decay": 0.0, "steps": [10]}
OPERATIONS: dict[str, Attrs] = {
    "conv2d": {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1},
    "linear": {},
    "matmul": {},
    "max_pool2d": {"kernel_size": (2, 2), "stride": (2, 2)},
    "avg_pool2d": {"kernel_size": (2, 2), "stride": (2, 2)},
    "adaptive_avg_pool2d": {"output_size": (1, 1)},
    "batch_norm": {},
    "relu": {},
    "softmax": {"dim": 1},
    "cross_entropy": {},
    "adam_update": {**_ADAM, "maximize": False},
    "sgd_update": {
        "lr": 1e-6,
        "momentum": 0.9,
        "dampening": [0.0],
        "l2": 0.0,
        "nesterov": False,
        "maximize": False,
    },
}
PRODUCTS = ("conv2d", "linear", "matmul")  # y is linear in each of the two operands: three passes
UPDATES = ("adam_update", "sgd_update")  # in place, no derivative: one pass


@dataclass(frozen=True)
class Work:
    """What a pass cannot do without.

    Attributes
    ----------
    operations : int
        Multiplications and additions of products as the formula has them; 0 for what is no product: its
        time goes into moving numbers.
    read, written : int
        Bytes of the operands, and of the results, each counted once.
    """

    operations: int
    read: int
    written: int

    @property
    def moved(self) -> int:
        """Bytes, read and written."""
        return self.read + self.written

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.operations / self.moved if self.moved else 0.0


@dataclass(frozen=True)
class Case:
    """One operation on one shape.

    Attributes
    ----------
    op : str
        Out of :data:`OPERATIONS`.
    shape, weight : tuple of int
        Of the first operand, and of the second where it is a product.
    attrs : dict
        The operation's attributes, in its canonical form.
    """

    op: str
    shape: Shape
    weight: Shape | None = None
    attrs: Attrs = field(default_factory=dict)

    def label(self) -> str:
        """In a few words, with the attributes that it is computed with.

        What says nothing more is left out: of a product, whose weights have a shape, what is 0 or 1.

        Examples
        --------
        >>> Case("conv2d", (64, 3, 32, 32), (32, 3, 3, 3), {"padding": ((1, 1), (1, 1))}).label()
        'conv2d 64x3x32x32 * 32x3x3x3 padding 1'
        >>> Case("max_pool2d", (64, 6, 28, 28)).label()
        'max_pool2d 64x6x28x28 kernel-size 2 stride 2 padding 0'
        """
        text = f"{self.op} {_x(self.shape)}"
        text += f" * {_x(self.weight)}" if self.weight else ""
        attrs = self.full_attrs()
        usual = OPERATIONS["conv2d"] if self.op in PRODUCTS else {"dilation": (1, 1)}
        for name in ("kernel_size", "output_size", "stride", "padding", "dilation", "groups"):
            if name in attrs and attrs[name] != usual.get(name):
                text += f" {name.replace('_', '-')} {_short(attrs[name])}"
        return text

    def operands(self) -> list[Any]:
        """Random float32 arrays, in lists of one where an update takes lists; the same at each call."""
        rng = np.random.default_rng(0)

        def normal(*shape: int) -> Any:
            return rng.standard_normal(shape, dtype=np.float32)

        x = normal(*self.shape)
        if self.op == "matmul":
            return [x, normal(*self._weight())]
        if self.op in PRODUCTS:
            weight = self._weight()
            return [x, normal(*weight) / np.float32(math.sqrt(math.prod(weight[1:]))), normal(weight[0])]
        if self.op == "batch_norm":
            return [x, normal(self.shape[1]), normal(self.shape[1])]
        if self.op == "cross_entropy":
            return [x, rng.integers(0, self.shape[1], self.shape[0])]
        if self.op == "adam_update":
            return [[x], [normal(*self.shape)], [normal(*self.shape)], [normal(*self.shape) ** 2], None]
        if self.op == "sgd_update":
            return [[x], [normal(*self.shape)], [normal(*self.shape)]]
        return [x]

    def _weight(self) -> Shape:
        if self.weight is None:
            raise OptionError(f"{self.op} needs the shape of its second operand", hint="add --weight")
        return self.weight

    def full_attrs(self) -> Attrs:
        """All attributes, defaults included."""
        defaults = ops[self.op].defaults if self.op in ops else {}
        return {**defaults, **OPERATIONS[self.op], **self.attrs}

    def multiply_adds(self, y_shape: Shape) -> int:
        """Of one pass, from the shape of the result: all three passes of a product have as many."""
        if self.op not in PRODUCTS:
            return 0
        weight = self._weight()
        return math.prod(y_shape) * (weight[0] if self.op == "matmul" else math.prod(weight[1:]))


def work_of(case: Case, y_shape: Shape, inputs: Any, outputs: Any) -> Work:
    """The work of a pass that reads ``inputs`` and makes ``outputs`` (arrays, nested as they come).

    Examples
    --------
    >>> x, y = np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32)
    >>> work_of(Case("linear", (2, 3), (4, 3)), (2, 4), [x], [y])
    Work(operations=48, read=24, written=32)
    """
    read, written = (sum(array.nbytes for array in leaves(arrays)) for arrays in (inputs, outputs))
    return Work(2 * case.multiply_adds(y_shape), read, written)


def leaves(value: Any) -> list[Any]:
    """All arrays in nested tuples and lists."""
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if hasattr(value, "nbytes") else []


def standard(op: str | None = None) -> list[Case]:
    """The cases of the five benchmark networks at their batch sizes, or those of one operation."""
    found: dict[str, Case] = {}
    for case in _cases():
        found.setdefault(case.label(), case)
    return [case for case in found.values() if op in (None, case.op)]


def _cases() -> Iterator[Case]:
    for model, layers in networks.LAYERS.items():
        yield from _of_layers(layers, (networks.BATCH[model], *networks.INPUT[model]))
    yield Case("matmul", (1024, 1024), (1024, 1024))
    yield Case("avg_pool2d", (64, 32, 32, 32))
    for shape in ((128, 10), (4096, 1000)):
        yield Case("softmax", shape)
        yield Case("cross_entropy", shape)
    for size in [*(networks.parameters(layers) for layers in networks.LAYERS.values()), 10_000_000]:
        yield Case("adam_update", (size,))
        yield Case("sgd_update", (size,))


def _of_layers(layers: list[Any], shape: Shape) -> Iterator[Case]:
    """The operations of a network on a batch of this shape."""
    for kind, *sizes in layers:
        if kind == "block":
            yield from _of_layers(_block(*sizes), shape)
            shape = (shape[0], sizes[1], shape[2] // sizes[2], shape[3] // sizes[2])
        elif kind == "conv":
            case, shape = _convolution(shape, *sizes)
            yield case
        elif kind == "linear":
            yield Case("linear", shape, (sizes[1], sizes[0]))
            shape = (shape[0], sizes[1])
        elif kind == "pool":
            yield Case("max_pool2d", shape)
            shape = (*shape[:2], shape[2] // 2, shape[3] // 2)
        elif kind == "mean":
            yield Case("adaptive_avg_pool2d", shape)
            shape = shape[:2]
        elif kind == "flatten":
            shape = (shape[0], math.prod(shape[1:]))
        else:
            yield Case({"bn": "batch_norm", "relu": "relu"}[kind], shape)


def _block(c_in: int, c_out: int, stride: int) -> list[Any]:
    first = ("conv", c_in, c_out, 3, stride, 1, 1, False)
    second = ("conv", c_out, c_out, 3, 1, 1, 1, False)
    return [first, ("bn", c_out), ("relu",), second, ("bn", c_out), ("relu",)]


def _convolution(
    shape: Shape, c_in: int, c_out: int, kernel: int, stride: int, padding: int, groups: int, bias: bool
) -> tuple[Case, Shape]:
    """The case, and the shape of its result."""
    attrs = {"stride": (stride,) * 2, "padding": ((padding,) * 2,) * 2, "dilation": (1, 1), "groups": groups}
    h, w = ((size + 2 * padding - kernel) // stride + 1 for size in shape[2:])
    case = Case("conv2d", shape, (c_out, c_in // groups, kernel, kernel), attrs)
    return case, (shape[0], c_out, h, w)


def _x(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _short(value: Any) -> str:
    """An attribute as one types it: (1, 1) and ((1, 1), (1, 1)) are 1."""
    if not isinstance(value, tuple):
        return str(value)
    parts = [_short(part) for part in value]
    return parts[0] if len(set(parts)) == 1 else f"({','.join(parts)})"
