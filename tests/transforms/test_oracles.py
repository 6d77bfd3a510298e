"""The functions against literal loops and against Pillow asked in another way."""

import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.core.tensor import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.transforms import functional as F

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")
kinds = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("kinds.py"))))
pixels, tensor, agreed, ARRAYS = kinds.pixels, kinds.tensor, kinds.agreed, kinds.ARRAYS


def moved(a, source, fill=0):
    """Each pixel's centre is looked up where it comes from; and which lie too near to an edge to tell."""
    out, doubtful = np.full_like(a, fill), np.zeros(a.shape[:2], bool)
    for y in range(a.shape[0]):
        for x in range(a.shape[1]):
            u, v = source(x + 0.5, y + 0.5)
            doubtful[y, x] = min(abs(u - round(u)), abs(v - round(v))) < 1e-3
            if 0 <= u < a.shape[1] and 0 <= v < a.shape[0]:
                out[y, x] = a[int(v), int(u)]
    return out, doubtful


def affine_map(angle, move, scale, shear, center):
    """The matrix of p -> c + t + s·R·Y·X·(p - c), from its parts."""
    a, sx, sy = (math.radians(degrees) for degrees in (angle, *shear))
    turn = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    along_y = np.array([[1, 0, 0], [-math.tan(sy), 1, 0], [0, 0, 1]])
    along_x = np.array([[1, -math.tan(sx), 0], [0, 1, 0], [0, 0, 1]])
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = np.add(center, move), np.negative(center)
    return there @ turn @ np.diag([scale, scale, 1]) @ along_y @ along_x @ back


DEGREES = st.floats(-80, 80)


@settings(max_examples=60, deadline=None)
@given(
    ARRAYS,
    DEGREES,
    st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
    st.floats(0.4, 3),
    st.tuples(DEGREES, DEGREES),
    st.sampled_from([None, (0, 0), (2.5, 1)]),
)
def test_affine_moves_pixels_as_its_formula_says(array, angle, move, scale, shear, center):
    made = agreed(lambda image: F.affine(image, angle, move, scale, shear, fill=7, center=center), array)
    middle = center or (array.shape[1] / 2, array.shape[0] / 2)
    inverse = np.linalg.inv(affine_map(angle, move, scale, shear, middle))
    expected, doubtful = moved(array, lambda x, y: (inverse @ (x, y, 1))[:2], fill=7)
    assert np.array_equal(made[~doubtful], expected[~doubtful])


def test_one_shear_is_along_x_and_a_list_of_one_along_both():
    a = pixels()
    one, both = F.affine(a, 0, (0, 0), 1, 20), F.affine(a, 0, (0, 0), 1, [20])
    assert np.array_equal(one, F.affine(a, 0, (0, 0), 1, (20, 0)))
    assert np.array_equal(both, F.affine(a, 0, (0, 0), 1, (20, 20)))
    assert not np.array_equal(one, both)


def test_a_turn_is_counter_clockwise_and_an_affine_one_clockwise():
    a = pixels(8, 8)
    assert np.array_equal(F.rotate(a, 90), np.rot90(a))
    assert np.array_equal(F.affine(a, 90, (0, 0), 1, 0), np.rot90(a, -1))


def test_perspective_takes_corners_to_corners():
    a = pixels(20, 24)
    start = [(0, 0), (23, 0), (23, 19), (0, 19)]
    end = [(3, 2), (20, 1), (22, 17), (1, 18)]
    made = agreed(lambda image: F.perspective(image, start, end, "nearest"), a)
    # The eight numbers from the end points by Cramer's rule, in exact rational arithmetic.
    system, right = [], []
    for (x, y), (u, v) in zip(end, start, strict=True):
        system += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    h = solved(system, right)

    def source(x, y):
        below = h[6] * x + h[7] * y + 1
        return (h[0] * x + h[1] * y + h[2]) / below, (h[3] * x + h[4] * y + h[5]) / below

    for there, here in zip(end, start, strict=True):
        assert np.allclose(source(*there), here)
    expected, doubtful = moved(a, source)
    assert doubtful.sum() < 10
    assert np.array_equal(made[~doubtful], expected[~doubtful])


def solved(system, right):
    """Gauss's elimination in fractions."""
    from fractions import Fraction

    rows = [[Fraction(n) for n in (*row, b)] for row, b in zip(system, right, strict=True)]
    for i in range(len(rows)):
        pivot = next(k for k in range(i, len(rows)) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [n / rows[i][i] for n in rows[i]]
        for k in range(len(rows)):
            if k != i:
                rows[k] = [n - rows[k][i] * m for n, m in zip(rows[k], rows[i], strict=True)]
    return [float(row[-1]) for row in rows]


def grey_of(a):
    return np.asarray(Image.fromarray(a).convert("L"))


def blended(base, a, factor):
    """base + f·(a - base), cut off towards 0 and to a byte."""
    mixed = np.float32(base) + np.float32(factor) * (a.astype(np.float32) - np.float32(base))
    return np.clip(np.trunc(mixed), 0, 255).astype(np.uint8)


FACTORS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.25])


@settings(max_examples=40, deadline=None)
@given(ARRAYS, FACTORS)
def test_brightness_contrast_and_saturation(array, factor):
    assert np.array_equal(agreed(lambda i: F.adjust_brightness(i, factor), array), blended(0, array, factor))
    mean = int(grey_of(array).mean() + 0.5)
    assert np.array_equal(agreed(lambda i: F.adjust_contrast(i, factor), array), blended(mean, array, factor))
    grey = grey_of(array)[..., None] if array.ndim == 3 else array
    assert np.array_equal(
        agreed(lambda i: F.adjust_saturation(i, factor), array), blended(grey, array, factor)
    )


@pytest.mark.parametrize("part", [-0.5, -0.2, 0.004, 0.1, 0.25, 0.5])
def test_hue_turns_the_byte_of_hue(part):
    a = pixels()
    bands = [np.asarray(band) for band in Image.fromarray(a).convert("HSV").split()]
    bands[0] = ((bands[0].astype(int) + int(part * 255)) % 256).astype(np.uint8)
    turned = Image.merge("HSV", [Image.fromarray(band) for band in bands]).convert("RGB")
    assert np.array_equal(agreed(lambda image: F.adjust_hue(image, part), a), np.asarray(turned))
    grey = pixels(channels=1)
    assert np.array_equal(agreed(lambda image: F.adjust_hue(image, part), grey), grey)


def test_half_a_turn_of_hue_makes_complements():
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    turned = F.adjust_hue(pure, 0.5).astype(int)
    # 127 of 256 steps instead of 127.5, and the rounding of a step; a step is 6 levels.
    assert np.abs(turned - (255 - pure.astype(int))).max() <= 9


@settings(max_examples=30, deadline=None)
@given(ARRAYS, st.integers(1, 8), st.integers(0, 256))
def test_negatives_bits_and_thresholds(array, bits, threshold):
    assert np.array_equal(agreed(F.invert, array), 255 - array)
    assert np.array_equal(agreed(lambda i: F.posterize(i, bits), array), array >> (8 - bits) << (8 - bits))
    expected = np.where(array < threshold, array, 255 - array)
    assert np.array_equal(agreed(lambda i: F.solarize(i, threshold), array), expected)


@settings(max_examples=30, deadline=None)
@given(ARRAYS)
def test_contrast_and_histograms_channel_by_channel(array):
    bands = array[..., None] if array.ndim == 2 else array
    for function, by_pillow in ((F.autocontrast, ImageOps.autocontrast), (F.equalize, ImageOps.equalize)):
        expected = [np.asarray(by_pillow(Image.fromarray(band.copy()))) for band in np.moveaxis(bands, -1, 0)]
        made = agreed(function, array).reshape(bands.shape)
        assert np.array_equal(made, np.stack(expected, -1))


def test_autocontrast_stretches_to_the_ends():
    a = pixels() // 4 + 50
    made = F.autocontrast(a)
    assert made.min((0, 1)).tolist() == [0, 0, 0]
    assert made.max((0, 1)).tolist() == [255, 255, 255]


def test_gamma_is_a_power():
    a = pixels()
    made = agreed(lambda image: F.adjust_gamma(image, 2.2, 0.9), a)
    assert np.array_equal(made, np.floor(255.999 * 0.9 * (a / 255) ** 2.2))
    with pytest.raises(OptionError, match="adjust_gamma"):
        F.adjust_gamma(a, -1)


@settings(max_examples=25, deadline=None)
@given(ARRAYS, st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 7]), st.floats(0.2, 3))
def test_blur_is_the_sum_under_the_bell(array, width, height, sigma):
    made = agreed(lambda image: F.gaussian_blur(image, (width, height), sigma), array)
    bells = []
    for size in (height, width):
        bell = [math.exp(-((i - size // 2) ** 2) / (2 * sigma**2)) for i in range(size)]
        bells.append([weight / sum(bell) for weight in bell])
    margins = ((height // 2,) * 2, (width // 2,) * 2, (0, 0))[: array.ndim]
    padded = np.pad(array.astype(float), margins, "reflect")
    expected = np.zeros(array.shape)
    for dy, wy in enumerate(bells[0]):
        for dx, wx in enumerate(bells[1]):
            expected += wy * wx * padded[dy : dy + array.shape[0], dx : dx + array.shape[1]]
    assert np.abs(made - expected).max() < 0.501


def test_the_default_width_of_a_blur():
    a = pixels()
    assert np.array_equal(F.gaussian_blur(a, 5), F.gaussian_blur(a, (5, 5), (1.1, 1.1)))
    assert not np.array_equal(F.gaussian_blur(a, 5), a)


def test_five_and_ten_crops():
    a = pixels(6, 8)
    top_left, top_right, bottom_left, bottom_right, middle = F.five_crop(a, (2, 4))
    assert np.array_equal(top_left, a[:2, :4])
    assert np.array_equal(top_right, a[:2, 4:])
    assert np.array_equal(bottom_left, a[4:, :4])
    assert np.array_equal(bottom_right, a[4:, 4:])
    assert np.array_equal(middle, a[2:4, 2:6])
    ten = F.ten_crop(a, (2, 4), vertical_flip=True)
    assert np.array_equal(ten[5], a[::-1][:2, :4])
    assert np.array_equal(F.ten_crop(a, 3)[6], a[:, ::-1][:3, 5:])
    with pytest.raises(OptionError, match="five_crop: expected a size within"):
        F.five_crop(a, 7)


def test_resized_crop_is_one_after_the_other():
    a = pixels()
    assert np.array_equal(F.resized_crop(a, 1, 2, 3, 4, (6, 8)), F.resize(a[1:4, 2:6], (6, 8)))


def test_sizes():
    for image in (pixels(), Image.fromarray(pixels()), tensor(pixels())):
        assert F.get_dimensions(image) == [3, 7, 9]
        assert F.get_image_size(image) == [9, 7]
        assert F.get_image_num_channels(image) == 3


@pytest.mark.parametrize("shape", [(3, 7, 9), (2, 3, 7, 9)])
def test_erase_writes_into_the_rectangle_and_nowhere_else(shape):
    x = Tensor(np.random.default_rng(0).random(shape))
    new = np.arange(3.0).reshape(3, 1, 1)
    made = F.erase(x, 1, 2, 3, 4, Tensor(new))
    inside = np.zeros(shape, bool)
    inside[..., 1:4, 2:6] = True
    assert np.array_equal(made.numpy()[inside], np.broadcast_to(new, shape)[inside])
    assert np.array_equal(made.numpy()[~inside], x.numpy()[~inside])
    assert F.erase(x, 0, 0, 7, 9, 0, inplace=True) is x
    assert not x.numpy().any()


def test_erase_in_place_copies_what_may_not_be_written_to():
    image = np.ones((3, 4), np.uint8)
    image.flags.writeable = False
    for kind in (image, Tensor.wrap(image), Image.fromarray(image)):
        made = F.erase(kind, 0, 0, 1, 4, 0, inplace=True)
        assert type(made) is type(kind)
        assert np.asarray(made).sum() == 8
        assert np.asarray(kind).sum() == 12


def test_erase_of_every_kind():
    new = np.arange(36).reshape(3, 3, 4)
    made = agreed(lambda image: F.erase(image, 1, 2, 3, 4, new), pixels())
    assert np.array_equal(made[1:4, 2:6], new.transpose(1, 2, 0))
    grey = agreed(lambda image: F.erase(image, 1, 2, 3, 4, new[:1]), pixels(channels=1))
    assert np.array_equal(grey[1:4, 2:6], new[0])
    flat = F.erase(Tensor(np.ones((5, 6))), 0, 0, 1, 2, np.zeros((1, 1, 1)))
    assert flat.numpy().sum() == 28


@pytest.mark.parametrize(
    ("given", "new", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), np.float32, np.array([0, 51, 255], np.float32) / np.float32(255)),
        (np.array([0, 128, 255], np.uint8), np.int32, np.array([0, 128 << 23, 255 << 23], np.int32)),
        (np.array([0, 300, 65535], np.uint16), np.uint8, np.array([0, 1, 255], np.uint8)),
        (np.array([0.0, 0.5, 0.999, 1.0], np.float32), np.uint8, np.array([0, 127, 255, 255], np.uint8)),
        (np.array([0.25], np.float32), np.float64, np.array([0.25])),
        (np.array([7], np.int16), np.int16, np.array([7], np.int16)),
    ],
)
def test_other_numbers_for_the_same_picture(given, new, expected):
    made = F.convert_image_dtype(Tensor(given), new).numpy()
    assert made.dtype == expected.dtype
    assert np.array_equal(made, expected)


def test_numbers_that_cannot_be_converted_are_refused():
    for image, dtype in ((pixels(), np.float32), (tensor(pixels()), np.bool_), (Tensor([0.5]), np.int32)):
        with pytest.raises(DTypeError):
            F.convert_image_dtype(image, dtype)


def test_functions_refuse_by_name():
    a = pixels()
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    for name, call in {
        "rotate": lambda: F.rotate(a, float("nan")),
        "affine": lambda: F.affine(a, 0, (0, 0), 0, 0),
        "perspective": lambda: F.perspective(a, corners[:3], corners),
        "adjust_brightness": lambda: F.adjust_brightness(a, -1),
        "adjust_hue": lambda: F.adjust_hue(a, 0.51),
        "posterize": lambda: F.posterize(a, 9),
        "solarize": lambda: F.solarize(a, None),
        "gaussian_blur": lambda: F.gaussian_blur(a, 3, -1),
        "resize": lambda: F.resize(a, (3, 3), max_size=9),
    }.items():
        with pytest.raises(OptionError, match=f"^{name}: "):
            call()
    with pytest.raises(OptionError, match="nearest, bilinear or bicubic, got lanczos"):
        F.rotate(a, 1, "lanczos")
    with pytest.raises(OptionError, match="a fill of 1 or 3 numbers"):
        F.rotate(a, 1, fill=(1, 2))


def test_numbers_and_odd_images_are_refused_where_pillow_computes():
    with pytest.raises(DTypeError, match=r"affine: .* put it before ToTensor\(\)"):
        F.affine(Tensor(np.zeros((3, 4, 4))), 0, (0, 0), 1, 0)
    with pytest.raises(ShapeError, match="1 or 3 channels"):
        F.invert(np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(DTypeError, match="Pillow cannot do this to an image of mode RGBA"):
        F.equalize(Image.new("RGBA", (4, 4)))


def test_pil_images_of_other_modes():
    colourful = Image.fromarray(pixels()).convert("RGBA")
    assert F.affine(colourful, 9, (1, 0), 1, 0, fill=(1, 2, 3, 4)).mode == "RGBA"
    numbers = Image.fromarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert np.asarray(F.rotate(numbers, 180)).tolist() == [[5, 4, 3], [2, 1, 0]]
