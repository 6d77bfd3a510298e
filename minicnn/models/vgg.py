"""A small VGG: pairs of 3 x 3 convolutions between poolings."""

from __future__ import annotations

from minicnn import nn
from minicnn.core.tensor import Tensor
from minicnn.models.sizes import image_size_at_least
from minicnn.typing import IntOrPair

__all__ = ["VGGSmall", "vgg_small"]

WIDTHS = (32, 64, 128)


class VGGSmall(nn.Module):
    """Three pairs of convolutions, each followed by pooling, and two dense layers.

    Parameters
    ----------
    num_classes : int
        Number of logits.
    in_channels : int
        Channels of the images.
    image_size : int or (int, int)
        Their height and width in pixels, at least 8.

    Raises
    ------
    OptionError
        If the images are too small for the layers.

    References
    ----------
    Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
    arXiv:1409.1556.

    Examples
    --------
    >>> import minicnn
    >>> VGGSmall()(minicnn.zeros(1, 3, 32, 32)).shape
    (1, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, image_size: IntOrPair = 32) -> None:
        height, width = image_size_at_least(8, image_size, "vgg_small")
        super().__init__()
        self.features = nn.Sequential()
        channels = in_channels
        for width_out in WIDTHS:
            self.features.extend(
                [
                    nn.Conv2d(channels, width_out, 3, padding=1),
                    nn.ReLU(),
                    nn.Conv2d(width_out, width_out, 3, padding=1),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                ]
            )
            channels = width_out
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * (height // 8) * (width // 8), 256),
            nn.ReLU(),
            nn.Linear(256, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def vgg_small(num_classes: int = 10, in_channels: int = 3, image_size: IntOrPair = 32) -> VGGSmall:
    """A VGG for 32 x 32 images: 814,122 parameters with the defaults. See :class:`VGGSmall`."""
    return VGGSmall(num_classes, in_channels, image_size)
