"""Gradient clipping, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor
from minicnn.errors import NonFiniteError, OptionError, ShapeError
from minicnn.ops import functions

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients together, so that their common norm is at most ``max_norm``.

        g ← g · min(1, max_norm / (‖g‖ + 1e-6)),   ‖g‖ over all elements of all gradients

    The norm is computed in float64 and relative to the largest element, so it neither overflows nor
    vanishes however the gradients are scaled.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
        Not negative.
    norm_type : float
        p of the p-norm; ``inf`` for the largest absolute value.
    error_if_nonfinite : bool
        Whether to refuse a norm that is NaN or infinite; otherwise the gradients become NaN or 0.

    Returns
    -------
    Tensor ()
        The norm before clipping, in the type of the gradients.

    Raises
    ------
    NonFiniteError
        See ``error_if_nonfinite``; no gradient is changed then.
    OptionError
        If ``max_norm`` is negative or ``norm_type`` not positive.

    References
    ----------
    Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013.

    Examples
    --------
    >>> import minicnn
    >>> w = minicnn.zeros(2, requires_grad=True)
    >>> w.grad = minicnn.tensor([3.0, 4.0])
    >>> clip_grad_norm_(w, 1.0).item(), w.grad.numpy().round(4).tolist()
    (5.0, [0.6000000238418579, 0.800000011920929])
    """
    gradients = _gradients(parameters)
    if not max_norm >= 0:
        raise OptionError(expected="max_norm of at least 0", got=repr(max_norm), op="clip_grad_norm_")
    if not norm_type > 0:
        raise OptionError(expected="norm_type above 0", got=repr(norm_type), op="clip_grad_norm_")
    norm = _norm(gradients, float(norm_type))
    if error_if_nonfinite and not math.isfinite(norm):
        raise NonFiniteError(f"the norm of the gradients is {norm}", op="clip_grad_norm_")
    factor = float(max_norm) / (norm + 1e-6)
    if not factor >= 1:  # also if it is NaN
        with np.errstate(invalid="ignore"):  # 0 · inf, for an infinite norm
            for gradient in gradients:
                gradient.array *= factor
    dtypes = {gradient.dtype for gradient in gradients} or {np.dtype(np.float32)}
    with np.errstate(over="ignore"):  # it may be infinite in half precision
        return Tensor(np.asarray(norm, np.result_type(*dtypes)))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of each gradient to [-clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    clip_value : float
        Not negative.

    Raises
    ------
    OptionError
        If ``clip_value`` is negative.

    Examples
    --------
    >>> import minicnn
    >>> w = minicnn.zeros(2, requires_grad=True)
    >>> w.grad = minicnn.tensor([3.0, -0.5])
    >>> clip_grad_value_(w, 1.0)
    >>> w.grad.tolist()
    [1.0, -0.5]
    """
    if not clip_value >= 0:
        raise OptionError(expected="clip_value of at least 0", got=repr(clip_value), op="clip_grad_value_")
    limit = float(clip_value)
    for gradient in _gradients(parameters):
        gradient.array.clip(-limit, limit, out=gradient.array)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters, one after the other.

    Parameters
    ----------
    parameters : iterable of Tensor
        Gradients flow back to them.

    Returns
    -------
    Tensor (number of elements,)

    Examples
    --------
    >>> from minicnn import nn
    >>> parameters_to_vector(nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    return functions.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into the parameters, the inverse of :func:`parameters_to_vector`.

    Parameters
    ----------
    vec : Tensor (number of elements,)
        The new values.
    parameters : iterable of Tensor
        Changed in place.

    Raises
    ------
    ShapeError
        If the vector is too short or too long; nothing is changed then.

    Examples
    --------
    >>> import minicnn
    >>> a, b = minicnn.zeros(2), minicnn.zeros(1, 1)
    >>> vector_to_parameters(minicnn.tensor([1.0, 2.0, 3.0]), [a, b])
    >>> a.tolist(), b.tolist()
    ([1.0, 2.0], [[3.0]])
    """
    parameters = list(parameters)
    size = sum(parameter.array.size for parameter in parameters)
    if vec.shape != (size,):
        raise ShapeError(
            expected=f"a vector of shape ({size},)", got=str(vec.shape), op="vector_to_parameters"
        )
    start = 0
    with no_grad():
        for parameter in parameters:
            end = start + parameter.array.size
            parameter.write_(vec.array[start:end].reshape(parameter.shape))
            start = end


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors: Iterable[Tensor] = (parameters,) if isinstance(parameters, Tensor) else parameters
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


def _norm(gradients: list[Tensor], p: float) -> float:
    """The p-norm of all elements:  largest · (Σ |g / largest|^p)^(1/p)."""
    sizes = [abs(gradient.array.astype(np.float64)) for gradient in gradients if gradient.array.size]
    largest = float(np.max([float(size.max()) for size in sizes], initial=0.0))
    if math.isinf(p) or not 0 < largest < math.inf:  # also if it is NaN
        return largest
    return largest * sum(float(((size / largest) ** p).sum()) for size in sizes) ** (1 / p)
