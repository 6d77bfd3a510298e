"""Transforms of images under torchvision's names: a chain of them turns a picture into a tensor.

An image is a PIL image, an array (H, W) or (H, W, C), or a tensor (C, H, W); a transform returns the kind it
got unless its name says otherwise. :mod:`minicnn.transforms.functional` has what they compute, with every
choice made. What is random draws from :func:`minicnn.core.random.generator`, which a
:class:`~minicnn.data.DataLoader` sets for each sample, and for each batch.
"""

from minicnn.transforms import functional
from minicnn.transforms._arguments import InterpolationMode
from minicnn.transforms.augment import (
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
)
from minicnn.transforms.base import Compose, Lambda, Transform
from minicnn.transforms.choose import RandomApply, RandomChoice, RandomOrder
from minicnn.transforms.colour import (
    ColorJitter,
    GaussianBlur,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from minicnn.transforms.convert import (
    ConvertImageDtype,
    Grayscale,
    Normalize,
    PILToTensor,
    ToPILImage,
    ToTensor,
)
from minicnn.transforms.erase import Cutout, RandomErasing
from minicnn.transforms.geometry import CenterCrop, FiveCrop, Pad, Resize, TenCrop
from minicnn.transforms.mix import CutMix, MixUp
from minicnn.transforms.trivial import TrivialAugmentWide
from minicnn.transforms.warp import RandomAffine, RandomPerspective, RandomRotation

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "CutMix",
    "Cutout",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "MixUp",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
    "Transform",
    "TrivialAugmentWide",
    "functional",
]
