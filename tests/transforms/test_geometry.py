"""Size, margins, the middle: every kind of image gives the same pixels."""

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError

Image = pytest.importorskip("PIL.Image")


def pixels(height=5, width=7, channels=3):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def agreed(transform, array):
    """What the transform makes of an array; it must make the same of a picture and of a tensor."""
    made = transform(array)
    picture = transform(Image.fromarray(array))
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    tensor = transform(Tensor(np.ascontiguousarray(planes)))
    assert isinstance(made, np.ndarray)
    assert np.array_equal(np.asarray(picture), made)
    assert tensor.array.flags.c_contiguous
    assert np.array_equal(tensor.array[0] if array.ndim == 2 else tensor.array.transpose(1, 2, 0), made)
    return made


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        (10, {}, (10, 14)),
        ([3], {}, (3, 4)),
        ((4, 9), {}, (4, 9)),
        (10, {"max_size": 12}, (8, 12)),
        (5, {}, (5, 7)),
        (3, {"interpolation": "nearest"}, (3, 4)),
        (3, {"interpolation": 3}, (3, 4)),
        (3, {"interpolation": transforms.InterpolationMode.LANCZOS}, (3, 4)),
    ],
)
def test_resize(channels, size, options, expected):
    assert agreed(transforms.Resize(size, **options), pixels(channels=channels)).shape[:2] == expected


def test_resize_is_that_of_pillow():
    array = pixels(20, 30)
    expected = Image.fromarray(array).resize((6, 4), Image.Resampling.BILINEAR)
    assert np.array_equal(transforms.Resize((4, 6))(array), np.asarray(expected))
    numbers = [mode.number for mode in transforms.InterpolationMode]
    names = [mode.name.removesuffix("_EXACT") for mode in transforms.InterpolationMode]
    assert numbers == [Image.Resampling[name] for name in names]
    assert transforms.functional.InterpolationMode is transforms.InterpolationMode
    resize = transforms.Resize((2, 2), transforms.InterpolationMode.NEAREST_EXACT)
    assert resize.interpolation is transforms.InterpolationMode.NEAREST
    for number in (-1, 9, True):
        with pytest.raises(OptionError, match="an interpolation out of nearest, lanczos"):
            transforms.Resize(2, number)


def test_resize_keeps_a_portrait_upright():
    assert transforms.Resize(6)(pixels(9, 3)).shape == (18, 6, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": (1, 2, 3)},
        {"size": 2.5},
        {"size": ()},
        {"size": 4, "max_size": 4},
        {"size": (4, 4), "max_size": 9},
        {"size": 4, "interpolation": "best"},
        {"size": 4, "interpolation": 6},
    ],
)
def test_resize_refuses(options):
    with pytest.raises(OptionError):
        transforms.Resize(**options)


def test_resize_of_numbers_asks_to_come_before_to_tensor():
    with pytest.raises(DTypeError, match=r"resize: .*; put it before ToTensor\(\)"):
        transforms.Resize(3)(Tensor(np.zeros((1, 5, 5), np.float32)))
    with pytest.raises(ShapeError, match="1 or 3 channels"):
        transforms.Resize(3)(np.zeros((5, 5, 2), np.uint8))
    with pytest.raises(ShapeError):
        transforms.Resize(3)(Tensor(np.zeros((2, 3, 5, 5), np.uint8)))


@pytest.mark.parametrize(
    ("padding", "margins"),
    [(2, (2, 2, 2, 2)), ((1, 3), (1, 3, 1, 3)), ([1, 2, 3, 4], (1, 2, 3, 4)), (0, (0,) * 4)],
)
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pad(padding, margins, mode, channels):
    array = pixels(channels=channels)
    left, top, right, bottom = margins
    widths = ((top, bottom), (left, right), (0, 0))[: array.ndim]
    options = {"constant_values": 9} if mode == "constant" else {}
    assert np.array_equal(
        agreed(transforms.Pad(padding, 9, mode), array), np.pad(array, widths, mode, **options)
    )


def test_pad_with_a_colour():
    padded = agreed(transforms.Pad(1, (1, 2, 3)), pixels())
    assert padded[0, 0].tolist() == padded[-1, -1].tolist() == [1, 2, 3]


def test_pad_keeps_a_palette():
    image = Image.fromarray(pixels()).convert("P")
    padded = transforms.Pad(1)(image)
    assert padded.mode == "P"
    assert np.array_equal(np.asarray(padded.convert("RGB"))[1:-1, 1:-1], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("padding", [-1, (1, 2, 3), 1.5, ()])
def test_pad_refuses_margins_that_are_none(padding):
    with pytest.raises(OptionError, match="padding of 1, 2 or 4 numbers"):
        transforms.Pad(padding)


def test_pad_refuses_other_modes_and_colours():
    with pytest.raises(OptionError, match="padding_mode"):
        transforms.Pad(1, padding_mode="wrap")
    for fill in (256, -1, (1, 2)):
        with pytest.raises(OptionError, match="a fill that fits uint8 pixels"):
            transforms.Pad(1, fill)(pixels())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "top", "left"), [(3, 1, 2), ((5, 7), 0, 0), ((2, 4), 2, 2), (1, 2, 3)])
def test_center_crop_cuts_out_the_middle(channels, size, top, left):
    array = pixels(channels=channels)
    height, width = (size, size) if isinstance(size, int) else size
    cut = agreed(transforms.CenterCrop(size), array)
    assert np.array_equal(cut, array[top : top + height, left : left + width])


def test_center_crop_puts_a_margin_around_what_is_too_small():
    array = pixels()
    cut = agreed(transforms.CenterCrop((8, 4)), array)
    assert np.array_equal(cut[1:6], array[:, 2:6])
    assert cut[0].sum() == cut[6:].sum() == 0


def test_batches_of_tensors_are_cut_alike():
    batch = Tensor(np.random.default_rng(0).random((2, 3, 5, 7)))
    assert np.array_equal(transforms.CenterCrop(3)(batch).array, batch.array[:, :, 1:4, 2:5])


@pytest.mark.parametrize("image", [np.zeros(3), np.zeros((1, 2, 3, 4)), Tensor(np.zeros(3))])
def test_what_has_no_height_and_width_is_refused(image):
    with pytest.raises(ShapeError, match="H, W"):
        transforms.CenterCrop(1)(image)


def test_what_is_no_image_is_refused():
    with pytest.raises(DTypeError, match="a PIL image, an array or a tensor, got str"):
        transforms.CenterCrop(1)("image")


def picture(mode):
    """One of a mode, with bytes of its own in every band."""
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 8, 3), np.uint8))
    if mode == "PA":
        return colours.convert("LA").convert(mode)
    if mode == "I;16":
        return colours.convert("L").convert(mode)
    return colours.convert(mode)


@pytest.mark.parametrize("mode", ["P", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "F"])
def test_a_picture_keeps_its_mode(mode):
    image = picture(mode)
    bands = len(image.getbands())
    fill = 3 if bands == 1 else tuple(range(3, 3 + bands))
    margin = transforms.Pad(1, fill)(image)
    assert margin.mode == mode
    assert margin.getpixel((0, 4)) == fill
    inside = margin.crop((1, 1, 9, 8))
    assert inside.tobytes() == image.tobytes()
    assert inside.convert("RGB").tobytes() == image.convert("RGB").tobytes()
    crop = transforms.RandomCrop((7, 8), padding=1, fill=fill)(image)
    assert (crop.mode, crop.size) == (mode, (8, 7))
    edges = transforms.Pad(1, padding_mode="edge")
    for change in (transforms.RandomHorizontalFlip(1), transforms.RandomErasing(1), edges):
        assert change(image).mode == mode


def test_a_colour_is_never_spread_along_a_row_of_a_grey_image():
    """As wide as the colour has numbers, which NumPy would take for a row."""
    for change in (transforms.Pad(1, (1, 2, 3)), transforms.RandomCrop(3, 1, fill=(1, 2, 3))):
        with pytest.raises(OptionError, match="a fill that fits"):
            change(np.zeros((4, 1), np.uint8))
    with pytest.raises(OptionError, match="a fill that fits"):
        transforms.RandomCrop(3, 1, fill=(1, 2, 3)).on_batch(np.zeros((2, 4, 1), np.uint8))
    assert transforms.Pad(1, (7,))(np.zeros((1, 1), np.uint8)).sum() == 56
