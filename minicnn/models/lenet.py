"""LeNet-5, and a smaller relative of it for 8 x 8 digits."""

from __future__ import annotations

from minicnn import nn
from minicnn.core.tensor import Tensor
from minicnn.models.sizes import image_size_at_least
from minicnn.typing import IntOrPair

__all__ = ["DigitsCNN", "LeNet5", "digits_cnn", "lenet5"]


class LeNet5(nn.Module):
    """Two convolutions with pooling, then three dense layers (LeCun et al. 1998), with ReLU.

    Parameters
    ----------
    num_classes : int
        Number of logits.
    in_channels : int
        Channels of the images.
    image_size : int or (int, int)
        Their height and width in pixels, at least 12.

    Raises
    ------
    OptionError
        If the images are too small for the layers.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> import minicnn
    >>> LeNet5()(minicnn.zeros(2, 1, 28, 28)).shape
    (2, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: IntOrPair = 28) -> None:
        height, width = image_size_at_least(12, image_size, "lenet5")
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        left = ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * left, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class DigitsCNN(nn.Module):
    """Three convolutions with batch normalization, and one dense layer: enough for 8 x 8 digits.

    Parameters
    ----------
    num_classes : int
        Number of logits.
    in_channels : int
        Channels of the images.
    image_size : int or (int, int)
        Their height and width in pixels, at least 4.

    Raises
    ------
    OptionError
        If the images are too small for the layers.

    Examples
    --------
    >>> import minicnn
    >>> DigitsCNN()(minicnn.zeros(2, 1, 8, 8)).shape
    (2, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: IntOrPair = 8) -> None:
        height, width = image_size_at_least(4, image_size, "digits_cnn")
        super().__init__()
        self.features = nn.Sequential(
            *_conv_bn_relu(in_channels, 16),
            *_conv_bn_relu(16, 32),
            nn.MaxPool2d(2),
            *_conv_bn_relu(32, 64),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * (height // 4) * (width // 4), num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def _conv_bn_relu(in_channels: int, out_channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]


def lenet5(num_classes: int = 10, in_channels: int = 1, image_size: IntOrPair = 28) -> LeNet5:
    """LeNet-5 for 28 x 28 digits: 61,706 parameters with the defaults. See :class:`LeNet5`."""
    return LeNet5(num_classes, in_channels, image_size)


def digits_cnn(num_classes: int = 10, in_channels: int = 1, image_size: IntOrPair = 8) -> DigitsCNN:
    """A small CNN for 8 x 8 digits: 25,978 parameters with the defaults. See :class:`DigitsCNN`."""
    return DigitsCNN(num_classes, in_channels, image_size)
