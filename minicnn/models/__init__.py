"""Floor 4: models to learn from and to compare with, and building them by name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from typing import Any

from minicnn import nn
from minicnn.errors import OptionError
from minicnn.models.depthwise import DepthwiseSmall, depthwise_small
from minicnn.models.lenet import DigitsCNN, LeNet5, digits_cnn, lenet5
from minicnn.models.mlp import mlp
from minicnn.models.resnet import ResNet, resnet20
from minicnn.models.vgg import VGGSmall, vgg_small
from minicnn.nn.checks import whole
from minicnn.typing import Shape

__all__ = [
    "DepthwiseSmall",
    "DigitsCNN",
    "LeNet5",
    "ResNet",
    "VGGSmall",
    "build",
    "default_shape",
    "depthwise_small",
    "digits_cnn",
    "lenet5",
    "mlp",
    "names",
    "resnet20",
    "vgg_small",
]

# By name: what builds it, and the shape of one sample that it is made for.
_MODELS: dict[str, tuple[Callable[..., nn.Module], Shape]] = {
    "mlp": (mlp, (784,)),
    "lenet5": (lenet5, (1, 28, 28)),
    "digits_cnn": (digits_cnn, (1, 8, 8)),
    "vgg_small": (vgg_small, (3, 32, 32)),
    "resnet20": (resnet20, (3, 32, 32)),
    "depthwise_small": (depthwise_small, (3, 32, 32)),
}


def names() -> list[str]:
    """The names that :func:`build` knows.

    Examples
    --------
    >>> names()
    ['mlp', 'lenet5', 'digits_cnn', 'vgg_small', 'resnet20', 'depthwise_small']
    """
    return list(_MODELS)


def default_shape(name: str) -> Shape:
    """The shape of one sample that a model is made for.

    Raises
    ------
    OptionError
        If there is no model of that name.

    Examples
    --------
    >>> default_shape("lenet5")
    (1, 28, 28)
    """
    return _find(name)[1]


def build(name: str, num_classes: int = 10, in_shape: Shape | None = None) -> nn.Module:
    """A model by name, fitted to the data.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    num_classes : int
        Number of logits.
    in_shape : (C, H, W), optional
        Shape of one sample; for ``mlp``, any shape. The model's own by default.

    Returns
    -------
    Module
        In training mode, with new parameters.

    Raises
    ------
    OptionError
        If there is no model of that name, or it cannot take such images.

    Examples
    --------
    >>> import minicnn
    >>> build("lenet5", num_classes=5, in_shape=(3, 32, 32))(minicnn.zeros(1, 3, 32, 32)).shape
    (1, 5)
    """
    builder, usual = _find(name)
    num_classes = whole(name, "num_classes", num_classes)
    sizes = tuple(whole(name, "in_shape", size) for size in (usual if in_shape is None else in_shape))
    if builder is mlp:
        return mlp(num_classes, math.prod(sizes))
    if len(sizes) != 3:
        raise OptionError(expected="in_shape = (C, H, W)", got=str(sizes), op=name)
    options: dict[str, Any] = {"image_size": sizes[1:]} if builder in (lenet5, digits_cnn, vgg_small) else {}
    return builder(num_classes, sizes[0], **options)


def _find(name: str) -> tuple[Callable[..., nn.Module], Shape]:
    if name in _MODELS:
        return _MODELS[name]
    close = difflib.get_close_matches(str(name), _MODELS, 1)
    raise OptionError(
        expected=f"a model out of {', '.join(_MODELS)}",
        got=repr(name),
        hint=f"did you mean {close[0]!r}?" if close else None,
    )


def __dir__() -> list[str]:
    """What completion offers: the public names, without what this file imports."""
    return sorted(__all__)
