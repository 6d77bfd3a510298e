"""Draws docs/augmentations.png: every transform that changes a picture, on one picture.

python docs/make_augmentations.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minicnn import transforms as T
from minicnn.core.random import new_generator, use_generator
from minicnn.data import default_collate

SIDE = 96
COLUMNS = 6
GAP, LINE = 12, 18

CHANGES = {
    "the picture": T.RandomApply([], p=0),
    "Resize(48)": T.Resize(48),
    "CenterCrop(64)": T.CenterCrop(64),
    "Pad(16, 'symmetric')": T.Compose([T.CenterCrop(64), T.Pad(16, padding_mode="symmetric")]),
    "RandomCrop(96, padding=12)": T.RandomCrop(SIDE, padding=12),
    "RandomResizedCrop": T.RandomResizedCrop(SIDE, scale=(0.2, 0.6)),
    "RandomHorizontalFlip": T.RandomHorizontalFlip(p=1),
    "RandomVerticalFlip": T.RandomVerticalFlip(p=1),
    "RandomRotation(30)": T.RandomRotation(30, "bilinear"),
    "RandomAffine": T.RandomAffine(15, (0.1, 0.1), (0.7, 1.2), 20, "bilinear"),
    "RandomPerspective": T.RandomPerspective(0.6, p=1),
    "ColorJitter": T.ColorJitter(0.5, 0.5, 0.5, 0.3),
    "Grayscale": T.Grayscale(3),
    "RandomGrayscale": T.RandomGrayscale(p=1),
    "RandomInvert": T.RandomInvert(p=1),
    "RandomPosterize(2)": T.RandomPosterize(2, p=1),
    "RandomSolarize(128)": T.RandomSolarize(128, p=1),
    "RandomAdjustSharpness(8)": T.RandomAdjustSharpness(8, p=1),
    "RandomAutocontrast": T.RandomAutocontrast(p=1),
    "RandomEqualize": T.RandomEqualize(p=1),
    "GaussianBlur(9)": T.GaussianBlur(9, 3),
    "RandomErasing": T.RandomErasing(p=1, value=127),
    "RandomErasing('random')": T.RandomErasing(p=1, value="random"),
    "Cutout(48)": T.Cutout(48),
    "TrivialAugmentWide": T.TrivialAugmentWide(),
    "TrivialAugmentWide, again": T.TrivialAugmentWide(),
    "TrivialAugmentWide, 3rd": T.TrivialAugmentWide(),
    "TrivialAugmentWide, 4th": T.TrivialAugmentWide(),
    "MixUp": T.MixUp(num_classes=2),
    "CutMix": T.CutMix(num_classes=2),
}


def scene() -> Image.Image:
    """A house by day: no two sides alike, so that one sees what has been turned or mirrored."""
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    sky = np.stack([110 + y, 160 + y // 2, np.full_like(x, 235)], -1).astype(np.uint8)
    image = Image.fromarray(sky)
    draw = ImageDraw.Draw(image)
    draw.ellipse((6, 6, 26, 26), fill=(255, 225, 90))
    draw.rectangle((0, 72, SIDE, SIDE), fill=(70, 140, 60))
    draw.rectangle((66, 22, 73, 44), fill=(110, 70, 60))
    draw.polygon([(24, 46), (52, 20), (80, 46)], fill=(170, 60, 50))
    draw.rectangle((30, 46, 74, 82), fill=(235, 215, 180))
    draw.rectangle((36, 52, 48, 64), fill=(90, 130, 190), outline=(80, 60, 50))
    draw.rectangle((56, 56, 68, 82), fill=(120, 75, 45))
    draw.line((0, 95, 60, 83), fill=(200, 190, 150), width=4)
    return image


def other() -> Image.Image:
    """A boat by night, to be mixed with it."""
    image = Image.new("RGB", (SIDE, SIDE), (20, 25, 60))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 64, SIDE, SIDE), fill=(15, 60, 90))
    draw.polygon([(46, 12), (46, 60), (16, 60)], fill=(240, 240, 245))
    draw.polygon([(50, 20), (50, 60), (76, 60)], fill=(220, 60, 60))
    draw.polygon([(10, 64), (86, 64), (72, 80), (24, 80)], fill=(150, 100, 60))
    return image


def changed(name: str) -> Image.Image:
    """What a transform makes of the picture."""
    transform = CHANGES[name]
    with use_generator(new_generator(3, *name.encode())):
        if name not in ("MixUp", "CutMix"):
            return transform(scene())
        samples = [(T.ToTensor()(image), label) for label, image in enumerate((scene(), other()))]
        images, _ = transform(*default_collate(samples))
        return T.ToPILImage()(images[0])


def sheet() -> Image.Image:
    """All of them with their names."""
    rows = -(-len(CHANGES) // COLUMNS)
    width, height = SIDE + 5 * GAP, SIDE + LINE + GAP
    page = Image.new("RGB", (COLUMNS * width, rows * height + GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for place, name in enumerate(CHANGES):
        x, y = place % COLUMNS * width, place // COLUMNS * height + GAP
        image = changed(name)
        page.paste(image, (x + (width - image.width) // 2, y + (SIDE - image.height) // 2))
        draw.text((x + width / 2, y + SIDE + 4), name, "black", font, anchor="ma")
    return page


if __name__ == "__main__":
    sheet().save(Path(__file__).with_name("augmentations.png"), optimize=True)
