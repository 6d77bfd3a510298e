"""From a picture to a tensor: with random changes for training, without for everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicnn import transforms
from minicnn.errors import OptionError
from minicnn.train.config import suggest

__all__ = ["AUGMENTATIONS", "HOLES", "augmented", "plain"]

# By name: from (height, width) of the images to a transform of a picture, but for those of HOLES.
AUGMENTATIONS: dict[str, Callable[[int, int], Any]] = {
    "crop": lambda h, w: transforms.RandomCrop((h, w), padding=max(1, h // 8)),
    "shift": lambda h, w: transforms.RandomCrop((h, w), padding=max(1, h // 14)),
    "resized-crop": lambda h, w: transforms.RandomResizedCrop((h, w), scale=(0.6, 1.0)),
    "flip": lambda h, w: transforms.RandomHorizontalFlip(),
    "vertical-flip": lambda h, w: transforms.RandomVerticalFlip(),
    "rotate": lambda h, w: transforms.RandomRotation(10),
    "affine": lambda h, w: transforms.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5, "bilinear"),
    "perspective": lambda h, w: transforms.RandomPerspective(0.3),
    "jitter": lambda h, w: transforms.ColorJitter(0.2, 0.2, 0.2, 0.05),
    "grey": lambda h, w: transforms.RandomGrayscale(0.2),
    "trivial": lambda h, w: transforms.TrivialAugmentWide(),
    "erase": lambda h, w: transforms.RandomErasing(),
    "cutout": lambda h, w: transforms.Cutout(max(1, min(h, w) // 2)),
}
HOLES = ("erase", "cutout")  # made in the normalized numbers, where 0 is the mean
_STANDARD = {1: ("shift", "rotate"), 3: ("crop", "flip")}  # by channels: a mirrored digit is no digit


def plain(mean: Sequence[float], std: Sequence[float]) -> Any:
    """Pixels as numbers from 0 to 1, then less the mean and over the standard deviation of each channel."""
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])


def augmented(names: str, mean: Sequence[float], std: Sequence[float], image_shape: Sequence[int]) -> Any:
    """Random changes, then as :func:`plain`.

    Parameters
    ----------
    names : str
        ``"none"``; ``"standard"``, which is ``shift,rotate`` for grey images and ``crop,flip`` for
        coloured ones; or names out of :data:`AUGMENTATIONS` with commas between, in that order, those of
        :data:`HOLES` behind the normalisation.
    mean, std : sequences of float, one per channel
    image_shape : (C, H, W)

    Raises
    ------
    OptionError
        If there is no augmentation of a name.
    """
    channels, height, width = image_shape
    chosen: Sequence[str] = [name.strip() for name in names.split(",")]
    if chosen in (["none"], [""]):
        chosen = ()
    elif chosen == ["standard"]:
        chosen = _STANDARD[channels]
    for name in chosen:
        if name not in AUGMENTATIONS:
            raise OptionError(
                f"there is no augmentation {name!r}", hint=suggest(name, [*AUGMENTATIONS, "standard"])
            )
    changes, holes = (
        [AUGMENTATIONS[name](height, width) for name in chosen if (name in HOLES) == late]
        for late in (False, True)
    )
    return transforms.Compose([*changes, *plain(mean, std).transforms, *holes])
