"""A trained model as one program of compiled kernels: for evaluation only, and as fast as it gets."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from minicnn.core import dispatch
from minicnn.core.dispatch import Declined
from minicnn.core.fusion import fusing
from minicnn.core.plan import Plan, trace
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor, as_array
from minicnn.errors import DTypeError, MiniCNNError, OptionError, ShapeError
from minicnn.nn.module import Module
from minicnn.typing import Array

__all__ = ["Frozen", "freeze"]

TOLERANCE = 1e-3  # of the largest result: far above rounding, far below any mistake


class Frozen:
    """A model whose weights do not change any more, made by :func:`freeze`. Call it with images ``(N, ...)``.

    Attributes
    ----------
    shape : tuple of int
        Of one image.
    reason : str or None
        Why it runs operation by operation, as the model does; None if it is one program.
    instructions : list of str
        The program, a line each.
    """

    def __init__(self, model: Module, images: Array) -> None:
        self._model = copy.deepcopy(model).eval()
        self._plan: Plan | None = None
        self._programs: dict[int, Callable[[Array], Array]] = {}  # by number of images, a power of two
        self.shape, self.dtype = images.shape[1:], images.dtype
        self.instructions: list[str] = []
        self.reason = self._become_program(images)
        if self.reason is not None:
            dispatch.require_kernel(f"the model runs operation by operation: {self.reason}")

    def __call__(self, images: Tensor | Array) -> Tensor:
        """The model's result in evaluation mode, without gradients.

        Raises
        ------
        ShapeError, DTypeError
            If they are not such images as the model was frozen for.
        """
        x = images.array if isinstance(images, Tensor) else as_array(images)
        if x.ndim == 0 or x.shape[1:] != self.shape:
            expected = f"images of shape (N, {str(self.shape)[1:]}"
            raise ShapeError(expected=expected, got=str(x.shape), op="Frozen")
        if x.dtype != self.dtype:
            raise DTypeError(expected=f"images of {self.dtype}", got=str(x.dtype), op="Frozen")
        if self.reason is not None or not len(x):
            return Tensor.wrap(self._run_model(x))
        program = self._programs.get(len(x)) or self._program(len(x))
        return Tensor.wrap(program(np.ascontiguousarray(x)))

    def _run_model(self, x: Array) -> Array:
        with no_grad(), fusing():
            return self._model(Tensor.wrap(x)).array

    def _program(self, images: int) -> Callable[[Array], Array]:
        """The program for so many images: that for the next power of two."""
        size = 1 << (images - 1).bit_length()
        if size not in self._programs:
            lowered = dispatch.active().lower(self._plan, size)  # type: ignore[misc]
            self._programs[size], self.instructions = lowered
        self._programs[images] = self._programs[size]
        return self._programs[size]

    def _become_program(self, images: Array) -> str | None:
        """Trace and lower the model; None, or why that cannot be."""
        backend = dispatch.backend_of((images,))
        if backend.lower is None:
            return f"the {backend.name} backend has no programs"
        two = np.concatenate([images[:1], images[:1]])
        try:
            plan = trace(self._model, two)
        except MiniCNNError as error:
            return f"it cannot be traced: {error}"
        lowered = backend.lower(plan, 1)
        if isinstance(lowered, Declined):
            return lowered.reason
        self._plan = plan
        self._programs[1], self.instructions = lowered
        others = np.concatenate([images[:1, ..., ::-1], images[:1] * np.float32(0.5)])
        program = self._program(2)
        expected, got = self._run_model(others), program(others)
        bound = TOLERANCE * np.abs(expected).max()
        if got.shape != expected.shape or not np.allclose(got, expected, 0, bound):
            return "its forward computes with other things than tensors: other images gave other results"
        return None

    def __repr__(self) -> str:
        lines = [f"operation by operation: {self.reason}"] if self.reason else self.instructions
        return "\n  ".join(["Frozen(", *lines]) + "\n)"


def freeze(model: Module, images: Tensor) -> Frozen:
    """A copy of a model for evaluation, as one program of compiled kernels where that can be.

    The weights are copied as they are now, packed for their kernels, batch normalization is folded into
    the convolutions before it; a call runs all layers without going back to Python. Training the model
    further does not change what was frozen.

    Parameters
    ----------
    model : Module
        It stays as it is. Its ``forward`` takes one tensor and returns one, and does the same to any
        images: what it computes is written down once. That is checked with other images; a model that
        fails, or has an operation that programs lack, runs operation by operation as ever
        (``reason`` says why; in strict mode it is an error).
    images : Tensor, (N, ...)
        At least one image, such as the model is used with; any number may be given later.

    Returns
    -------
    Frozen
        To be called with images.

    Raises
    ------
    OptionError
        If it is no module, or there is no image.
    BackendError
        In strict mode, if the model does not become a program.

    Examples
    --------
    >>> import minicnn
    >>> model = minicnn.nn.Sequential(minicnn.nn.Flatten(), minicnn.nn.Linear(4, 2))
    >>> frozen = freeze(model, minicnn.zeros(1, 1, 2, 2))
    >>> frozen(minicnn.zeros(3, 1, 2, 2)).shape
    (3, 2)
    """
    if not isinstance(model, Module):
        raise OptionError(expected="a module", got=type(model).__name__, op="freeze")
    if not isinstance(images, Tensor) or images.ndim == 0 or images.shape[0] == 0:
        raise OptionError(expected="a tensor of images, at least one", got=repr(images), op="freeze")
    return Frozen(model, images.array)
