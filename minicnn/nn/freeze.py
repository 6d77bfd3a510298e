"""A trained model as one program of compiled kernels: for evaluation only, and as fast as it gets."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.core import dispatch
from minicnn.core.dispatch import Declined
from minicnn.core.fusion import fusing
from minicnn.core.plan import signature, trace
from minicnn.core.precision import get_conv_precision, use_conv_precision
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor, as_array
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.nn.module import Module
from minicnn.typing import Array

__all__ = ["Frozen", "freeze"]

MANY = 64  # images that the program for more than one image is made for
NUDGE = 1e-5  # of the largest pixel: how far results move when pixels do is the measure of rounding errors
MOVES = 30  # as often as that a program may be off: far above rounding, far below any mistake
FLOOR = 1e-6  # of the channel's largest result: it may be off by that too
CHANGES = "it computes otherwise from call to call: with random numbers, or with a state of its own"
LOOKS = "it computes otherwise with other images: with numbers that were taken from them"
MISMATCH = (
    "with other images the program gave other results: its forward computes with other things than tensors, "
    "or depends on how many images there are"
)


class Frozen:
    """A model whose weights do not change any more, made by :func:`freeze`. Call it with images ``(N, ...)``.

    It never changes, so ``copy`` gives the same object; what is pickled becomes a program again where it is
    loaded, of the same precision.

    Attributes
    ----------
    shape : tuple of int
        Of one image.
    name : str
        Its row in ``minicnn.backends.report()``.
    reason : str or None
        Why it runs operation by operation, as the model does; None if it is a program.
    instructions : list of str
        The program for many images, a line each.
    """

    def __init__(self, model: Module, images: Array, precision: str) -> None:
        self._model = _copy(model).eval()
        self._example = images[:4].copy()
        self._precision = precision
        self.shape, self.dtype = images.shape[1:], images.dtype
        self.instructions: list[str] = []
        self._for_one: Callable[[Array], Array] | None = None
        self._for_many: Callable[[Array], Array] | None = None
        # What counts is the program, not what the model is traced and compared with.
        with dispatch.use_strict(False), use_conv_precision(precision), np.errstate(all="ignore"):
            self.reason = self._become_program(images)
        backend = dispatch.backend_of((images,))
        self.name, self._served = dispatch.program_counts(f"frozen {type(model).__name__}", backend.name)
        if self.reason is not None:
            self._require_program()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._model, self._example, self._precision)

    def __copy__(self) -> Frozen:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        return self

    def __call__(self, images: Tensor | Array) -> Tensor:
        """The model's result in evaluation mode, without gradients.

        Raises
        ------
        ShapeError, DTypeError
            If they are not such images as the model was frozen for.
        BackendError
            In strict mode, if it is no program.
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
            self._require_program()
            return Tensor.wrap(self._run_model(x))
        self._served.kernel += 1
        return Tensor.wrap(program(np.ascontiguousarray(x)))

    def _require_program(self) -> None:
        dispatch.require_kernel(f"the model runs operation by operation: {self.reason}")

    def _run_model(self, x: Array) -> Array:
        with no_grad(), fusing():
            return self._model(Tensor.wrap(x)).array

    def _become_program(self, images: Array) -> str | None:
        """Trace and lower the model; None, or why that cannot be."""
        backend = dispatch.backend_of((images,))
        if backend.lower is None:
            return f"the {backend.name} backend has no programs"
        if any(module._hooks for module in self._model.modules()):
            return "it has hooks, which see every call"
        try:
            pair = np.concatenate([images[:1], images[:1]])
            plan = trace(self._model, pair.copy())
            written = signature(plan)  # now, as constants may change in place
            lowered = backend.lower(plan, (1, MANY))
            if isinstance(lowered, Declined):
                return lowered.reason
            programs = [program for program, _ in lowered]
            reason = self._varies(written, pair) or self._differs(programs, images)
        except Exception as error:  # whatever the model does
            return f"it cannot become a program: {error}"
        if reason is None:
            self.instructions = lowered[1][1]
            self._for_one, self._for_many = programs
        return reason

    def _varies(self, written: Any, images: Array) -> str | None:
        """None if the model computes in the same way with the same images, and with others; else why not."""
        if signature(trace(self._model, images.copy())) != written:
            return CHANGES
        others = -images, np.zeros_like(images), _noise(images, len(images))
        return None if all(signature(trace(self._model, x)) == written for x in others) else LOOKS

    def _differs(self, programs: list[Callable[[Array], Array]], images: Array) -> str | None:
        """None if the programs compute what the model does, else why not; each gets images of its own."""
        noise, allowed = _noise(images, MANY + 1), np.zeros(1, np.float32)
        for sample in (noise, noise[:3], np.array(images, order="C"), np.array(images[:1], order="C")):
            try:
                expected, nudged = self._run_model(sample.copy()), self._run_model(_nudged(sample))
            except Exception as error:  # whatever the model does with so many images
                return f"it does not take {len(sample)} images: {error}"
            got = programs[len(sample) > 1](sample)
            if not got.shape == expected.shape == nudged.shape:
                return MISMATCH
            allowed = np.maximum(allowed, _allowed(expected, nudged))
            if not _agree(got, expected, allowed):
                return MISMATCH
        return None

    def __repr__(self) -> str:
        lines = [f"operation by operation: {self.reason}"] if self.reason else self.instructions
        return "\n  ".join(["Frozen(", *lines]) + "\n)"


def _copy(model: Module) -> Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever its attributes are
        got = f"{type(model).__name__}: {error}"
        raise OptionError(expected="a model that can be copied", got=got, op="freeze") from error


def _scale(images: Array) -> float:
    """The largest pixel; 1 where there is none but zeros."""
    return float(np.abs(images[np.isfinite(images)]).max(initial=0)) or 1.0


def _noise(images: Array, count: int) -> Array:
    """Images of random numbers on the scale of the given ones, positive and negative."""
    generator = np.random.default_rng(0)
    return (_scale(images) * generator.standard_normal((count, *images.shape[1:]))).astype(images.dtype)


def _nudged(images: Array) -> Array:
    """The images with each pixel a little larger."""
    steps = np.random.default_rng(1).random(images.shape, np.float32)
    return (images + NUDGE * _scale(images) * steps).astype(images.dtype)


def _allowed(results: Array, nudged: Array) -> Array:
    """How far results may be off, by channel, so that no large one hides a small one."""
    others = tuple(i for i in range(results.ndim) if i != 1)
    moves, sizes = np.abs(nudged - results), np.abs(results)
    return sum(
        factor * np.where(np.isfinite(values), values, 0).max(others, keepdims=True)
        for factor, values in ((MOVES, moves), (FLOOR, sizes))
    )


def _agree(got: Array, expected: Array, allowed: Array) -> bool:
    """Whether results are the same but for rounding."""
    finite = np.isfinite(expected)
    near = (np.abs(got - expected) <= allowed)[finite].all()
    return bool(near and np.array_equal(got[~finite], expected[~finite], equal_nan=True))


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
        images must not be frozen. That is checked: it is written down once more, with the given images and
        with others, and compared with the program for one, some and more than 64 images. A model that fails,
        has hooks, random numbers, or an operation that programs lack, runs operation by operation as ever
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
        If it is no module, or one that cannot be copied, or there is no image.
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
    if not isinstance(images, Tensor) or images.shape[:1] in ((), (0,)) or images.device.type == "meta":
        raise OptionError(expected="a tensor of images, at least one", got=repr(images), op="freeze")
    return Frozen(model, images.array, get_conv_precision())
