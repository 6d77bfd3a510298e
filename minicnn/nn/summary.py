"""What a model will cost, found without computing anything: an abstract run on shapes alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from minicnn.core.device import MetaArray
from minicnn.core.op import Op, observe
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor, default_dtype
from minicnn.errors import ShapeError
from minicnn.nn.module import Module
from minicnn.ops.conv import WORKSPACE
from minicnn.typing import Attrs, Shape

__all__ = ["Row", "SecondsOf", "Summary", "macs", "summarize"]

# Expected seconds of an operation from its name, operands, attributes and result, and whether an operand is
# the model's input.
SecondsOf = Callable[[str, Sequence[Any], Attrs, Any, bool], float]


class Row(NamedTuple):
    """What one call of a layer costs, for the given batch.

    Attributes
    ----------
    name : str
        Qualified name, such as ``"features.3"``; empty for the model's own computations.
    kind : str
        The layer's class.
    output_shape : tuple of int or None
        Shape of its result; None if that is no tensor.
    parameters : int
        Parameters of this layer itself that no layer before had, and no call before of this one.
    macs : int
        Multiplications (each with an addition) of its convolutions and matrix products.
    activation_bytes : int
        Size of the results that it makes; views make none.
    scratch_bytes : int
        Largest buffer that the reference convolution needs on top; the native kernels' are smaller.
    seconds : float or None
        What it is expected to take; None if nobody was asked.
    """

    name: str
    kind: str
    output_shape: Shape | None
    parameters: int
    macs: int
    activation_bytes: int
    scratch_bytes: int
    seconds: float | None = None


class Summary(list[Row]):
    """The rows of all layers in the order in which they finish; ``str`` gives a table."""

    @property
    def parameters(self) -> int:
        """Parameters of all layers that were called."""
        return sum(row.parameters for row in self)

    @property
    def macs(self) -> int:
        """Multiplications of one forward pass."""
        return sum(row.macs for row in self)

    @property
    def activation_bytes(self) -> int:
        """All intermediate results together, as training keeps them for the backward pass."""
        return sum(row.activation_bytes for row in self)

    @property
    def scratch_bytes(self) -> int:
        """The largest buffer that any layer needs."""
        return max((row.scratch_bytes for row in self), default=0)

    @property
    def seconds(self) -> float | None:
        """What all layers together are expected to take; None if nobody was asked."""
        known = [row.seconds for row in self if row.seconds is not None]
        return sum(known) if known else None

    def __str__(self) -> str:
        head = ["layer", "kind", "output", "parameters", "multiply-adds", "activations", "scratch"]
        head += ["training step"] if self.seconds is not None else []
        cells = [head, *(_cells(row) for row in self)]
        cells.append(("total", "", "", *_numbers(self)))
        widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 3 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summarize(
    model: Module, input_shape: Shape, dtype: Any = None, seconds_of: SecondsOf | None = None
) -> Summary:
    """Layers, output shapes, parameters, multiply-adds and memory of a model, without computing.

    A copy of the model whose tensors have shapes but no numbers runs in evaluation mode, so the model
    itself is not touched, and a shape that does not fit gives the error that a real run would give.

    Parameters
    ----------
    model : Module
        Any model that decides by shapes only, not by the numbers in tensors.
    input_shape : tuple of int
        Shape of the input, the batch size included: (N, C, H, W), say.
    dtype : dtype, optional
        Type of the input; that of the model's parameters by default.
    seconds_of : callable, optional
        Says what an operation will take, as :class:`minicnn.bench.forecast.Forecast` does.

    Returns
    -------
    Summary
        A list of :class:`Row` with totals; print it for a table.

    Raises
    ------
    ShapeError
        If the input does not fit the model.

    Examples
    --------
    >>> from minicnn import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.Flatten(), nn.Linear(4704, 10))
    >>> print(summarize(model, (1, 1, 28, 28)))
    layer  kind     output          parameters  multiply-adds  activations   scratch
    --------------------------------------------------------------------------------
    0      Conv2d   (1, 6, 28, 28)         156        117,600     18.4 KiB  76.6 KiB
    1      ReLU     (1, 6, 28, 28)           0              0     18.4 KiB       0 B
    2      Flatten  (1, 4704)                0              0          0 B       0 B
    3      Linear   (1, 10)             47,050         47,040         40 B       0 B
    --------------------------------------------------------------------------------
    total                               47,206        164,640     36.8 KiB  76.6 KiB
    """
    if not all(isinstance(n, int) and n >= 0 for n in input_shape):
        raise ShapeError(expected="input_shape = a tuple of integers", got=repr(input_shape), op="summarize")
    types = [parameter.dtype for parameter in model.parameters()]
    input = Tensor.wrap(MetaArray(input_shape, dtype or (types[0] if types else default_dtype)))
    abstract = _without_numbers(model).eval()
    recorder = _Recorder(abstract, input.array, seconds_of)
    with no_grad(), observe(recorder.on_op):
        abstract(input)
    return recorder.summary


def _without_numbers(model: Module) -> Module:
    """A copy with meta tensors for parameters and buffers, and without hooks."""
    memo: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        meta = type(tensor).wrap(MetaArray(tensor.shape, tensor.dtype))
        meta.requires_grad = tensor.requires_grad
        memo[id(tensor)] = meta
    abstract = copy.deepcopy(model, memo)
    for module in abstract.modules():
        module._hooks = None
    return abstract


@dataclass
class _Call:
    """What the operations of one running layer, its children's excluded, add up to."""

    macs: int = 0
    activation_bytes: int = 0
    scratch_bytes: int = 0
    seconds: float = 0.0


@dataclass
class _Recorder:
    """Follows a run: hooks tell which layer is running, the observer which operation."""

    model: Module
    input: Any
    seconds_of: SecondsOf | None
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self.running: list[_Call] = []
        self.counted: set[int] = set()  # parameters, which several layers may share
        self.names = {module: name for name, module in self.model.named_modules()}
        for module in self.names:
            module.register_forward_pre_hook(self.on_enter)
            module.register_forward_hook(self.on_leave)

    def on_enter(self, module: Module, args: Any) -> None:
        self.running.append(_Call())

    def on_op(self, op: Op, arrays: list[Any], attrs: Attrs, result: Any) -> None:
        call = self.running[-1]
        call.macs += macs(op.name, arrays, result)
        call.activation_bytes += 0 if op.view else result.nbytes
        call.scratch_bytes = max(call.scratch_bytes, _scratch_bytes(op.name, arrays, result))
        if self.seconds_of is not None and not op.view:
            leaf = any(array is self.input for array in arrays)
            call.seconds += self.seconds_of(op.name, arrays, attrs, result, leaf)

    def on_leave(self, module: Module, args: Any, output: Any) -> None:
        call = self.running.pop()
        own = list(module.parameters(recurse=False))
        new = [parameter for parameter in own if id(parameter) not in self.counted]
        self.counted.update(map(id, new))
        if call.activation_bytes or own or not any(module.children()):
            self.summary.append(
                Row(
                    name=self.names[module],
                    kind=type(module).__name__,
                    output_shape=getattr(output, "shape", None),
                    parameters=sum(parameter.array.size for parameter in new),
                    macs=call.macs,
                    activation_bytes=call.activation_bytes,
                    scratch_bytes=call.scratch_bytes,
                    seconds=call.seconds if self.seconds_of is not None else None,
                )
            )


def macs(op: str, arrays: Sequence[Any], result: Any) -> int:
    """Multiplications of a convolution or matrix product; 0 for any other operation."""
    if op in ("conv2d", "linear"):
        return result.size * math.prod(arrays[1].shape[1:])
    if op == "conv_transpose2d":
        return arrays[0].size * math.prod(arrays[1].shape[1:])
    if op == "matmul":
        return result.size * arrays[0].shape[-1]
    return 0


def _scratch_bytes(op: str, arrays: list[Any], result: Any) -> int:
    """At most so many bytes of columns does the reference convolution hold at a time.

    All columns have KH·KW numbers per input channel and output pixel; beyond ``WORKSPACE`` bytes they
    are made in parts, of one row of one image at least.
    """
    if op not in ("conv2d", "conv_transpose2d"):
        return 0
    images, small = arrays[0], result
    if op == "conv_transpose2d":
        images, small = result, arrays[0]
    kernel = math.prod(arrays[1].shape[2:])
    row = images.shape[1] * kernel * small.shape[3] * images.dtype.itemsize
    return min(row * small.shape[2] * small.shape[0], max(WORKSPACE, row))


def _numbers(row: Row | Summary) -> tuple[str, ...]:
    numbers = (
        f"{row.parameters:,}",
        f"{row.macs:,}",
        _bytes(row.activation_bytes),
        _bytes(row.scratch_bytes),
    )
    return numbers if row.seconds is None else (*numbers, _duration(row.seconds))


def _cells(row: Row) -> tuple[str, ...]:
    return (row.name or "(model)", row.kind, str(row.output_shape or "-"), *_numbers(row))


def _bytes(size: float) -> str:
    """A number of bytes in words: 512 B, 18.4 KiB, 3.1 MiB, 1.2 GiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _duration(seconds: float) -> str:
    """A time in words: 3.2 µs, 18 ms, 1.3 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
