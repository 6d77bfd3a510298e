"""The image sizes that a model with dense layers takes."""

from __future__ import annotations

from minicnn.errors import OptionError
from minicnn.nn.checks import pair
from minicnn.typing import IntOrPair

__all__ = ["image_size_at_least"]


def image_size_at_least(least: int, image_size: IntOrPair, model: str) -> tuple[int, int]:
    """Height and width, or an error that says what the model's layers need.

    Raises
    ------
    OptionError
        If one of them is less than ``least``.

    Examples
    --------
    >>> image_size_at_least(12, 28, "lenet5")
    (28, 28)
    """
    height, width = pair(model, "image_size", image_size)
    if min(height, width) < least:
        raise OptionError(
            expected=f"images of at least {least} x {least} pixels",
            got=f"{height} x {width}",
            hint="resize them, or choose digits_cnn, resnet20 or mlp" if least > 4 else None,
            op=model,
        )
    return height, width
