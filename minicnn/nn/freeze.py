"""A trained model as one program of compiled kernels: for evaluation only, and as fast as it gets."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.core import dispatch
from minicnn.core.dispatch import Declined
from minicnn.core.fusion import fusing
from minicnn.core.plan import trace
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor, as_array
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.nn.module import Module
from minicnn.typing import Array

__all__ = ["Frozen", "freeze"]

TOLERANCE = 1e-3  # of the largest result: far above rounding, far below any mistake
MISMATCH = (
    "with other images the program gave other results: its forward computes with other things than tensors, "
    "or depends on the numbers in the images or on how many there are"
)
MANY = 64  # images that the program for more than one image is made for


class Frozen:
    """A model whose weights do not change any more, made by :func:`freeze`. Call it with images ``(N, ...)``.

    Attributes
    ----------
    shape : tuple of int
        Of one image.
    reason : str or None
        Why it runs operation by operation, as the model does; None if it is a program.
    instructions : list of str
        The program for many images, a line each.
    """

    def __init__(self, model: Module, images: Array) -> None:
        self._model = copy.deepcopy(model).eval()
        self._example = np.array(images[:4], order="C")
        self.shape, self.dtype = images.shape[1:], images.dtype
        self.instructions: list[str] = []
        self._for_one: Callable[[Array], Array] | None = None
        self._for_many: Callable[[Array], Array] | None = None
        with dispatch.use_strict(False):  # the program counts, not what the model is traced and compared with
            self.reason = self._become_program(np.array(images, order="C"))
        self._served = dispatch.program_counts(
            f"frozen {type(model).__name__}", dispatch.backend_of((images,)).name
        )
        if self.reason is not None:
            dispatch.require_kernel(f"the model runs operation by operation: {self.reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._model, self._example)

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
        program = self._for_one if len(x) == 1 else self._for_many
        if program is None:
            self._served.decline(str(self.reason))
            return Tensor.wrap(self._run_model(x))
        self._served.kernel += 1
        return Tensor.wrap(program(np.ascontiguousarray(x)))

    def _run_model(self, x: Array) -> Array:
        with no_grad(), fusing():
            return self._model(Tensor.wrap(x)).array

    def _become_program(self, images: Array) -> str | None:
        """Trace and lower the model; None, or why that cannot be."""
        backend = dispatch.backend_of((images,))
        if backend.lower is None:
            return f"the {backend.name} backend has no programs"
        if any(module._hooks is not None for module in self._model.modules()):
            return "it has hooks, which see every call"
        try:
            plan = trace(self._model, np.concatenate([images[:1], images[:1]]))
        except Exception as error:  # whatever the model does with two images
            return f"it cannot be traced: {error}"
        lowered = backend.lower(plan, (1, MANY))
        if isinstance(lowered, Declined):
            return lowered.reason
        programs = [program for program, _ in lowered]
        self.instructions = lowered[1][1]
        for sample in (images, images[:1], _noise(images)):
            difference = self._difference(programs[len(sample) > 1], sample)
            if difference is not None:
                self.instructions = []
                return difference
        self._for_one, self._for_many = programs
        return None

    def _difference(self, program: Callable[[Array], Array], images: Array) -> str | None:
        """None if the program computes what the model does, else why not; each gets images of its own."""
        try:
            expected = self._run_model(images.copy())
        except Exception as error:  # whatever the model does with so many images
            return f"it does not take {len(images)} images: {error}"
        got = program(images.copy())
        if got.shape != expected.shape:
            return MISMATCH
        finite = np.isfinite(expected)
        bound = TOLERANCE * np.abs(expected[finite]).max(initial=0)
        same = np.allclose(got[finite], expected[finite], 0, bound)
        same = same and np.array_equal(got[~finite], expected[~finite], equal_nan=True)
        return None if same else MISMATCH

    def __repr__(self) -> str:
        lines = [f"operation by operation: {self.reason}"] if self.reason else self.instructions
        return "\n  ".join(["Frozen(", *lines]) + "\n)"


def _noise(images: Array) -> Array:
    """Three images of random numbers on the scale of the given ones, positive and negative."""
    scale = float(np.abs(images[np.isfinite(images)]).max(initial=0)) or 1.0
    generator = np.random.default_rng(0)
    return (scale * generator.standard_normal((3, *images.shape[1:]))).astype(images.dtype)


def freeze(model: Module, images: Tensor) -> Frozen:
    """A copy of a model for evaluation, as one program of compiled kernels where that can be.

    The weights are copied as they are now, packed for their kernels, batch normalization is folded into
    the convolutions before it; a call runs all layers without going back to Python. Training the model
    further, or choosing another precision, does not change what was frozen.

    It becomes a program if it computes float32 on the native backend with operations that programs have
    instructions for, each image by itself: convolutions, dense layers, normalizations, pooling and means,
    activations, softmax, arithmetic, concatenation, padding and views. docs/serving.md has the whole table.

    Parameters
    ----------
    model : Module
        It stays as it is. Its ``forward`` takes one tensor and returns one, and does the same to any
        images: what it computes is written down once, so a branch that depends on the numbers in the
        images must not be frozen. The given images and random ones are used to check that; a model
        that fails, has hooks, or an operation that programs lack, runs operation by operation as ever
        (``reason`` says why, and so does ``minicnn.backends.report()``; in strict mode it is an error).
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
