"""The residual network of 20 layers for small images."""

from __future__ import annotations

from minicnn import nn
from minicnn.core.tensor import Tensor
from minicnn.nn import functional as F

__all__ = ["BasicBlock", "ResNet", "resnet20"]


class BasicBlock(nn.Module):
    """y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).

    Where the block makes the image smaller and the channels more, the shortcut skips pixels and adds
    channels of zeros ("option A" of the paper): it has no parameters.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after; their difference is even.
    stride : int
        Of the first convolution.

    Examples
    --------
    >>> import minicnn
    >>> BasicBlock(16, 32, stride=2)(minicnn.zeros(1, 16, 8, 8)).shape
    (1, 32, 4, 4)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.new_channels = (out_channels - in_channels) // 2  # on each side

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """The input in the shape of the output."""
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            x = F.pad(x, (0, 0, 0, 0, self.new_channels, self.new_channels))
        return x


class ResNet(nn.Module):
    """A convolution, three stages of residual blocks, the mean over each channel, a dense layer.

    The second and third stage halve the image and double the channels (16, 32, 64).

    Parameters
    ----------
    blocks : int
        Blocks per stage; there are 6 · blocks + 2 layers with weights.
    num_classes : int
        Number of logits.
    in_channels : int
        Channels of the images, which may have any size.

    References
    ----------
    He, Zhang, Ren & Sun, "Deep residual learning for image recognition", 2015, arXiv:1512.03385, §4.2.

    Examples
    --------
    >>> import minicnn
    >>> ResNet(blocks=1)(minicnn.zeros(2, 3, 8, 8)).shape
    (2, 10)
    """

    def __init__(self, blocks: int = 3, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._stage(16, 16, blocks, stride=1)
        self.layer2 = self._stage(16, 32, blocks, stride=2)
        self.layer3 = self._stage(32, 64, blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)

    @staticmethod
    def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        others = [BasicBlock(channels, channels) for _ in range(blocks - 1)]
        return nn.Sequential(BasicBlock(in_channels, channels, stride), *others)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def resnet20(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """ResNet-20 for CIFAR-10: 269,722 parameters with the defaults. See :class:`ResNet`."""
    return ResNet(3, num_classes, in_channels)
