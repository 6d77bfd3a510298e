"""Lays kernels of one array, element by element, over an operation."""

from __future__ import annotations

import inspect

from minicnn import _native
from minicnn.backends.native.arrays import not_float32, one_run
from minicnn.core.op import Op

__all__ = ["lay_over"]


def lay_over(op: Op, saved: str) -> None:
    """Attach ``<op>_forward`` and ``<op>_backward`` to an operation that saves its ``"x"`` or ``"y"``."""
    assert op.backward_kernel is not None
    forward_kernel = getattr(_native, f"{op.name}_forward")
    backward_kernel = getattr(_native, f"{op.name}_backward")
    saves_y = saved == "y"

    def forward(xp, x, **attrs):
        declined = not_float32(x)
        if declined:
            return declined
        y = _native.empty(x.shape)
        forward_kernel(y, one_run(x), **attrs)
        return y, (y if saves_y else x,)

    def backward(xp, gy, saved, needs, **attrs):
        declined = not_float32(gy, *saved)
        if declined:
            return declined
        gx = _native.empty(gy.shape)
        backward_kernel(gx, one_run(gy), one_run(saved[0]), **attrs)
        return (gx,)

    for kernel, function in ((op.forward_kernel, forward), (op.backward_kernel, backward)):
        function.__name__ = f"{kernel.name.replace('.', '_')}_native"
        function.__signature__ = inspect.signature(kernel.reference)  # type: ignore[union-attr]
        kernel.overlay("native")(function)
