"""A tensor that a module owns and an optimizer changes."""

from __future__ import annotations

from typing import Any

from minicnn.core.tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A leaf tensor that counts among a module's parameters when assigned as its attribute.

    Parameters
    ----------
    data : array_like or Tensor, optional
        The numbers, shared where possible. Empty by default.
    requires_grad : bool
        Whether ``backward`` fills ``.grad``.

    Raises
    ------
    DTypeError
        If gradients are asked for and the element type is no floating point type.

    Examples
    --------
    >>> Parameter([1.0, 2.0])
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        super().__init__([] if data is None else data, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
