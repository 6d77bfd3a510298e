"""Dropout layers: they drop in training mode and do nothing in evaluation mode."""

from __future__ import annotations

from minicnn.core.tensor import Tensor
from minicnn.nn import functional as F
from minicnn.nn.checks import number
from minicnn.nn.module import Module

__all__ = ["Dropout", "Dropout2d"]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        number(type(self).__name__, "p", p, 0, 1)
        super().__init__()
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Set each number to zero with probability p and divide the others by 1 - p.

    Parameters
    ----------
    p : float
        Probability in [0, 1].
    inplace : bool
        Accepted for PyTorch's sake; the input is never overwritten.

    Raises
    ------
    OptionError
        If p is no probability.

    References
    ----------
    Srivastava et al., "Dropout", 2014.

    Examples
    --------
    >>> import minicnn
    >>> sorted(set(Dropout(0.5)(minicnn.ones(100)).tolist()))
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class Dropout2d(_Dropout):
    """Like :class:`Dropout`, but whole channels of an image are kept or dropped.

    Parameters
    ----------
    p : float
        Probability in [0, 1].
    inplace : bool
        Accepted for PyTorch's sake; the input is never overwritten.

    Raises
    ------
    OptionError
        If p is no probability.

    References
    ----------
    Tompson et al., "Efficient object localization using convolutional networks", 2015, arXiv:1411.4280.

    Examples
    --------
    >>> import minicnn
    >>> y = Dropout2d(0.5)(minicnn.ones(1, 8, 2, 2))
    >>> {len(set(channel.flatten().tolist())) for channel in y[0]}
    {1}
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)
