"""Activation layers. ``inplace`` is accepted for PyTorch's sake; the input is never overwritten."""

from __future__ import annotations

from typing import Any

from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError
from minicnn.nn import functional as F
from minicnn.nn.checks import choice, number
from minicnn.nn.module import Module

__all__ = [
    "ELU",
    "GELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


def _inplace(inplace: bool) -> str:
    return "inplace=True" if inplace else ""


class ReLU(Module):
    """Rectified linear unit:  y = max(0, x).

    Parameters
    ----------
    inplace : bool
        Has no effect.

    Examples
    --------
    >>> import minicnn
    >>> ReLU()(minicnn.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)

    def extra_repr(self) -> str:
        return _inplace(self.inplace)


class Hardtanh(Module):
    """The input, limited to [min_val, max_val].

    Parameters
    ----------
    min_val, max_val : float
        Bounds, the second above the first.
    inplace : bool
        Has no effect.

    Raises
    ------
    OptionError
        If the bounds are in the wrong order.

    Examples
    --------
    >>> import minicnn
    >>> Hardtanh()(minicnn.tensor([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        if not number("Hardtanh", "min_val", min_val) < number("Hardtanh", "max_val", max_val):
            raise OptionError(expected="min_val below max_val", got=f"{min_val} and {max_val}", op="Hardtanh")
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        text = f"min_val={self.min_val}, max_val={self.max_val}"
        return f"{text}, inplace=True" if self.inplace else text


class ReLU6(Hardtanh):
    """y = min(max(0, x), 6).

    Parameters
    ----------
    inplace : bool
        Has no effect.

    Examples
    --------
    >>> import minicnn
    >>> ReLU6()(minicnn.tensor([-1.0, 2.0, 7.0])).tolist()
    [0.0, 2.0, 6.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return _inplace(self.inplace)


class LeakyReLU(Module):
    """y = x where x > 0, else negative_slope · x.

    Parameters
    ----------
    negative_slope : float
        Slope on the negative side.
    inplace : bool
        Has no effect.

    Examples
    --------
    >>> import minicnn
    >>> LeakyReLU(0.5)(minicnn.tensor([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        number("LeakyReLU", "negative_slope", negative_slope)
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        text = f"negative_slope={self.negative_slope}"
        return f"{text}, inplace=True" if self.inplace else text


class ELU(Module):
    """Exponential linear unit:  y = x where x > 0, else alpha · (eˣ - 1).

    Parameters
    ----------
    alpha : float
        Minus the limit on the negative side.
    inplace : bool
        Has no effect.

    Examples
    --------
    >>> import minicnn
    >>> ELU()(minicnn.tensor([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        number("ELU", "alpha", alpha)
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        text = f"alpha={self.alpha}"
        return f"{text}, inplace=True" if self.inplace else text


class GELU(Module):
    """Gaussian error linear unit:  y = x · Φ(x), with Φ the normal distribution function.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        The exact Φ, or the common approximation by tanh.

    Raises
    ------
    OptionError
        If it is neither.

    Examples
    --------
    >>> import minicnn
    >>> GELU()(minicnn.tensor([0.0, 100.0])).tolist()
    [0.0, 100.0]
    """

    def __init__(self, approximate: str = "none") -> None:
        choice("GELU", "approximate", approximate, ("none", "tanh"))
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """y = x · sigmoid(x), also called swish.

    Parameters
    ----------
    inplace : bool
        Has no effect.

    Examples
    --------
    >>> import minicnn
    >>> SiLU()(minicnn.tensor([0.0])).tolist()
    [0.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input)

    def extra_repr(self) -> str:
        return _inplace(self.inplace)


class Sigmoid(Module):
    """y = 1 / (1 + e⁻ˣ), in (0, 1).

    Examples
    --------
    >>> import minicnn
    >>> Sigmoid()(minicnn.tensor([0.0])).tolist()
    [0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent, in (-1, 1).

    Examples
    --------
    >>> import minicnn
    >>> Tanh()(minicnn.tensor([0.0])).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class Softplus(Module):
    """y = log(1 + e^(beta · x)) / beta, a smooth ReLU; x itself where beta · x > threshold.

    Parameters
    ----------
    beta : float
        How closely it follows ReLU; positive.
    threshold : float
        From where on it is linear.

    Raises
    ------
    OptionError
        If beta is not positive.

    Examples
    --------
    >>> import minicnn
    >>> round(Softplus()(minicnn.tensor([0.0])).item(), 4)
    0.6931
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        if number("Softplus", "beta", beta) <= 0:
            raise OptionError(expected="beta above 0", got=repr(beta), op="Softplus")
        number("Softplus", "threshold", threshold)
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _AlongDim(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        if not (dim is None or isinstance(dim, int)):
            raise OptionError(expected="dim = an integer or None", got=repr(dim), op=type(self).__name__)
        self.dim = dim

    def _dim(self, input: Tensor) -> Any:
        """Without a choice, PyTorch's: classes are dimension 1 of matrices and images, else dimension 0."""
        if self.dim is not None:
            return self.dim
        return 0 if input.ndim in (0, 1, 3) else 1

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """Probabilities from logits:  y_i = e^(x_i) / Σ_j e^(x_j).

    Parameters
    ----------
    dim : int, optional
        The dimension that sums to 1. Without it, 0 for 0, 1 or 3 dimensions and else 1.

    Examples
    --------
    >>> import minicnn
    >>> Softmax(dim=1)(minicnn.zeros(1, 2)).tolist()
    [[0.5, 0.5]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self._dim(input))


class LogSoftmax(_AlongDim):
    """The logarithm of :class:`Softmax`, computed without overflow.

    Parameters
    ----------
    dim : int, optional
        As for :class:`Softmax`.

    Examples
    --------
    >>> import minicnn
    >>> round(LogSoftmax(dim=0)(minicnn.zeros(2))[0].item(), 4)
    -0.6931
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self._dim(input))
