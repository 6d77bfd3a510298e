"""From pictures to tensors and back."""

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def colour(rng):
    return rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)


def test_bytes_become_numbers_from_0_to_1_with_channels_first(colour):
    expected = colour.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    for image in (colour, Image.fromarray(colour), np.asfortranarray(colour)):
        tensor = transforms.ToTensor()(image)
        assert tensor.dtype == np.float32
        assert tensor.array.flags.c_contiguous
        assert np.array_equal(tensor.array, expected)


@pytest.mark.parametrize(
    ("image", "dtype", "value"),
    [
        (Image.new("L", (2, 3), 51), np.float32, np.float32(0.2)),
        (Image.new("1", (2, 3), 1), np.float32, 1),
        (Image.new("I", (2, 3), 70000), np.int32, 70000),
        (Image.new("F", (2, 3), 0.5), np.float32, 0.5),
        (np.full((3, 2), 0.5), np.float64, 0.5),
        (np.full((3, 2, 1), -7, np.int16), np.int16, -7),
    ],
)
def test_other_numbers_keep_their_type(image, dtype, value):
    tensor = transforms.ToTensor()(image)
    assert (tensor.shape, tensor.dtype) == ((1, 3, 2), dtype)
    assert (tensor.array == value).all()


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (120, 90), (150, 80, 3)], ids=str)
def test_to_tensor_of_small_and_large_images(rng, shape):
    pixels = rng.integers(0, 256, shape, np.uint8)
    expected = pixels.astype(np.float32) / np.float32(255)
    planes = expected[None] if len(shape) == 2 else expected.transpose(2, 0, 1)
    for image in (pixels, pixels[::-1][::-1], Image.fromarray(pixels)):
        tensor = transforms.ToTensor()(image).array
        assert tensor.flags.c_contiguous and np.array_equal(tensor, planes)


def test_to_tensor_copies():
    array = np.zeros((2, 2))
    transforms.ToTensor()(array).array[...] = 1
    assert array.sum() == 0


def test_to_tensor_refuses_what_is_no_picture():
    with pytest.raises(DTypeError, match="got Tensor"):
        transforms.ToTensor()(Tensor(np.zeros((1, 2, 2))))
    with pytest.raises(ShapeError, match=r"\(H, W, C\), got \(1, 2, 3, 4\)"):
        transforms.ToTensor()(np.zeros((1, 2, 3, 4)))


def test_normalize_works_channel_by_channel(rng):
    x = rng.random((2, 3, 4, 5)).astype(np.float32)
    mean, std = [0.1, 0.2, 0.3], [0.5, 2.0, 4.0]
    expected = (x - np.float32(mean).reshape(3, 1, 1)) / np.float32(std).reshape(3, 1, 1)
    normalize = transforms.Normalize(mean, std)
    assert np.array_equal(normalize(Tensor(x)).array, expected)
    assert np.array_equal(normalize(Tensor(x[0])).array, expected[0])
    assert np.array_equal(normalize(x[0].transpose(1, 2, 0)), expected[0].transpose(1, 2, 0))
    assert normalize(Tensor(x.astype(np.float64))).dtype == np.float64


def test_one_mean_serves_all_channels_and_grey_arrays():
    half = transforms.Normalize([0.5], [0.5])
    assert half(Tensor(np.ones((3, 1, 1), np.float32))).array.ravel().tolist() == [1, 1, 1]
    assert half(np.ones((2, 2), np.float32)).tolist() == [[1, 1], [1, 1]]


def test_normalize_changes_its_input_only_if_told():
    x = Tensor(np.ones((1, 2, 2), np.float32))
    transforms.Normalize([1], [1])(x)
    assert x.array.sum() == 4
    transforms.Normalize([1], [1], inplace=True)(x)
    assert x.array.sum() == 0


@pytest.mark.parametrize(
    ("mean", "std"), [([0], [0]), ([0], [-1]), ([0, 1], [1]), ([], []), ([np.nan], [1]), ([0], [np.inf])]
)
def test_normalize_refuses_impossible_numbers(mean, std):
    with pytest.raises(OptionError, match="Normalize"):
        transforms.Normalize(mean, std)


def test_normalize_refuses_pictures_bytes_and_other_channels():
    three = transforms.Normalize([0] * 3, [1] * 3)
    with pytest.raises(ShapeError, match="3 channels, one for each mean, got 1 channels"):
        three(Tensor(np.zeros((1, 2, 2), np.float32)))
    for image in (
        Image.new("RGB", (2, 2)),
        np.zeros((2, 2, 3), np.uint8),
        Tensor(np.zeros((3, 2, 2), np.uint8)),
    ):
        with pytest.raises(DTypeError, match=r"put ToTensor\(\) before Normalize"):
            three(image)


def test_grey_is_the_luma(colour):
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(np.asarray(transforms.Grayscale()(Image.fromarray(colour))), grey)
    assert np.array_equal(transforms.Grayscale()(colour), grey)
    three = transforms.Grayscale(3)(colour)
    assert all(np.array_equal(three[:, :, c], grey) for c in range(3))
    tensor = transforms.Grayscale()(transforms.ToTensor()(colour))
    assert tensor.shape == (1, 4, 5)
    assert np.abs(tensor.array[0] * 255 - grey).max() < 1.01


def test_grey_of_grey_is_itself():
    image = np.array([[1, 2]], np.uint8)
    assert np.array_equal(transforms.Grayscale()(image), image)
    assert transforms.Grayscale(3)(image[:, :, None]).shape == (1, 2, 3)
    assert transforms.Grayscale(3)(Tensor(np.ones((1, 2, 2), np.float32))).shape == (3, 2, 2)
    assert transforms.Grayscale(3)(Image.new("L", (2, 2))).mode == "RGB"


def test_grey_refuses():
    with pytest.raises(OptionError):
        transforms.Grayscale(2)
    with pytest.raises(ShapeError):
        transforms.Grayscale()(Tensor(np.zeros((4, 2, 2), np.float32)))
    with pytest.raises(DTypeError):
        transforms.Grayscale()(np.zeros((2, 2, 3)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_tensors_become_pictures(rng, channels, mode):
    array = rng.integers(0, 256, (4, 5, channels), dtype=np.uint8)
    for image in (array, Tensor(array.transpose(2, 0, 1)), transforms.ToTensor()(array)):
        made = transforms.ToPILImage()(image)
        assert (made.mode, made.size) == (mode, (5, 4))
        assert np.array_equal(np.asarray(made).reshape(array.shape), array)


def test_a_picture_may_have_another_mode_and_no_channel_axis():
    made = transforms.ToPILImage("YCbCr")(Tensor(np.full((3, 2, 3), 7, np.uint8)))
    assert (made.mode, made.size, made.getpixel((1, 1))) == ("YCbCr", (3, 2), (7, 7, 7))
    picture = Image.new("CMYK", (2, 2), (1, 2, 3, 4))
    assert transforms.ToPILImage("CMYK")(transforms.PILToTensor()(picture)).tobytes() == picture.tobytes()
    with pytest.raises(OptionError, match="a mode out of L, got 'RGB'"):
        transforms.ToPILImage("RGB")(Tensor(np.zeros((2, 3))))
    assert repr(transforms.ToPILImage("RGB")) == "ToPILImage(mode='RGB')"


def test_to_pil_image_refuses():
    with pytest.raises(DTypeError, match="got Image"):
        transforms.ToPILImage()(Image.new("L", (1, 1)))
    with pytest.raises(DTypeError, match="int64"):
        transforms.ToPILImage()(np.zeros((2, 2), np.int64))
    for shape in [(2, 2, 5), (0, 2, 2, 1)]:
        with pytest.raises(ShapeError):
            transforms.ToPILImage()(np.zeros(shape, np.uint8))
    with pytest.raises(ShapeError):
        transforms.ToPILImage()(Tensor(np.zeros((2, 3, 4, 4))))
