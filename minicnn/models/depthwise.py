"""A small MobileNet: convolutions split into one per channel and one across channels."""

from __future__ import annotations

from minicnn import nn
from minicnn.core.tensor import Tensor

__all__ = ["DepthwiseBlock", "DepthwiseSmall", "depthwise_small"]

BLOCKS = ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2))  # channels before, after, stride


class DepthwiseBlock(nn.Module):
    """A 3 x 3 convolution within each channel, then a 1 x 1 convolution across channels.

    Together they need about 9 times fewer multiplications than one 3 x 3 convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    stride : int
        Of the first convolution.

    Examples
    --------
    >>> import minicnn
    >>> DepthwiseBlock(4, 8, stride=2)(minicnn.zeros(1, 4, 6, 6)).shape
    (1, 8, 3, 3)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False
        )
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.depthwise(x)))
        return self.relu(self.bn2(self.pointwise(x)))


class DepthwiseSmall(nn.Module):
    """A convolution, four :class:`DepthwiseBlock`, the mean over each channel, a dense layer.

    Parameters
    ----------
    num_classes : int
        Number of logits.
    in_channels : int
        Channels of the images, which may have any size.

    References
    ----------
    Howard et al., "MobileNets", 2017, arXiv:1704.04861.

    Examples
    --------
    >>> import minicnn
    >>> DepthwiseSmall()(minicnn.zeros(2, 3, 8, 8)).shape
    (2, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU(inplace=True)
        self.blocks = nn.Sequential(*(DepthwiseBlock(*options) for options in BLOCKS))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(256, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def depthwise_small(num_classes: int = 10, in_channels: int = 3) -> DepthwiseSmall:
    """A MobileNet for 32 x 32 images: 67,914 parameters with the defaults. See :class:`DepthwiseSmall`."""
    return DepthwiseSmall(num_classes, in_channels)
