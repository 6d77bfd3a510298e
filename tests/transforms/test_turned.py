"""Images turned as a batch: what Pillow makes of each, to the pixel."""

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.random import SampleKeys, use_keys
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.transforms.functional.warp import rotate_batch

Image = pytest.importorskip("PIL.Image")


def by_pillow(turn, image):
    """With Pillow's own method, at the transform's angle."""
    colour = tuple(int(number) for number in np.broadcast_to(turn.fill or 0, 3))
    fill = colour if image.ndim == 3 else colour[0]
    angle = turn.get_params(turn.degrees)
    return np.asarray(Image.fromarray(image).rotate(angle, center=turn.center, fillcolor=fill))


def assert_turned_as_by_pillow(turn, images):
    keys = SampleKeys((5, 0), list(range(len(images))))
    with use_keys((5, 0, 0, 1), keys):
        together = turn.on_batch(images)
    assert together.dtype == np.uint8
    for key, image, turned in zip(keys, images, together, strict=True):
        with use_keys(key):
            assert np.array_equal(turned, by_pillow(turn, image))


@pytest.mark.parametrize("rest", [(), (3,)])
@pytest.mark.parametrize(
    "options",
    [{}, {"fill": 7}, {"fill": None}, {"center": (3.5, -2.25)}, {"fill": (9.9,)}, {"center": (900, 4e3)}],
)
def test_at_random_angles(rng, rest, options):
    for size in ((28, 28), (7, 12), (1, 5), (33, 20)):
        images = rng.integers(0, 256, (40, *size, *rest), np.uint8)
        assert_turned_as_by_pillow(transforms.RandomRotation((-200, 190), **options), images)


def test_a_colour_for_each_channel(rng):
    images = rng.integers(0, 256, (9, 8, 6, 3), np.uint8)
    assert_turned_as_by_pillow(transforms.RandomRotation(80, fill=(1, 2, 3)), images)


@pytest.mark.parametrize("angle", [-90, 0, 1e-9, 30, 45, 60, 90, 180, 270, 360, 1e6])
@pytest.mark.parametrize("center", [None, (3, 2), (2.2499999, 2)])
def test_at_angles_that_pillow_treats_by_themselves(rng, angle, center):
    for size in ((28, 28), (7, 28)):
        images = rng.integers(0, 256, (2, *size), np.uint8)
        assert_turned_as_by_pillow(transforms.RandomRotation((angle, angle), center=center), images)


@pytest.mark.parametrize("size, center", [((2, 40000), None), ((5, 6), (1e18, 0)), ((5, 6), (-4e4, 4e4))])
def test_far_from_the_center(rng, size, center):
    images = rng.integers(1, 256, (2, *size), np.uint8)
    assert_turned_as_by_pillow(transforms.RandomRotation((0.002, 0.002), center=center), images)


def test_no_image_at_all():
    assert transforms.RandomRotation(9).on_batch(np.zeros((0, 4, 4), np.uint8)).shape == (0, 4, 4)


@pytest.mark.parametrize(
    "images, angles, options, error",
    [
        (np.zeros((0, 4, 4)), np.zeros(0), {}, DTypeError),
        (np.zeros((2, 4, 4, 2), np.uint8), np.zeros(2), {}, ShapeError),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(3), {}, OptionError),
        (np.zeros((2, 4, 4), np.uint8), np.array([1, np.nan]), {}, OptionError),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2), {"fill": 300}, OptionError),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2), {"center": (1, np.inf)}, OptionError),
    ],
)
def test_what_cannot_be_turned_is_refused(images, angles, options, error):
    with pytest.raises(error, match="rotate"):
        rotate_batch(images, angles, **options)


def test_only_where_pixels_stay_pixels():
    assert transforms.RandomRotation(9, "bilinear").on_batch is None
    assert transforms.RandomRotation(9, expand=True).on_batch is None


def test_a_span_that_is_not_finite_is_refused():
    with pytest.raises(OptionError, match="at a finite distance"):
        transforms.RandomRotation(1e308)
