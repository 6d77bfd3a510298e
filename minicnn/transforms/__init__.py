"""Transforms of images under torchvision's names: a chain of them turns a picture into a tensor.

An image is a PIL image, an array (H, W) or (H, W, C), or a tensor (C, H, W); a transform returns the kind it
got unless its name says otherwise. What is random draws from :func:`minicnn.core.random.generator`, which a
:class:`~minicnn.data.DataLoader` sets for each sample.
"""

from minicnn.transforms._arguments import InterpolationMode
from minicnn.transforms.augment import (
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)
from minicnn.transforms.base import Compose, Lambda, Transform
from minicnn.transforms.convert import Grayscale, Normalize, ToPILImage, ToTensor
from minicnn.transforms.geometry import CenterCrop, Pad, Resize

__all__ = [
    "CenterCrop",
    "Compose",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
    "Transform",
]
