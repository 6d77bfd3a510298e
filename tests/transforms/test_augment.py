"""Random changes: which values they draw, that every kind of image gets the same, and how often."""

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.random import new_generator, use_generator
from minicnn.core.tensor import Tensor
from minicnn.errors import OptionError, ShapeError

Image = pytest.importorskip("PIL.Image")

CHAINS = {
    "crop": transforms.RandomCrop((4, 5)),
    "padded crop": transforms.RandomCrop(6, padding=2),
    "reflected crop": transforms.RandomCrop(6, padding=(1, 2), padding_mode="reflect"),
    "coloured crop": transforms.RandomCrop(9, pad_if_needed=True, fill=7),
    "mirror": transforms.RandomHorizontalFlip(),
    "upside down": transforms.RandomVerticalFlip(),
    "turn": transforms.RandomRotation(40),
    "smooth turn": transforms.RandomRotation((10, 80), "bilinear", fill=(10,)),
    "whole turn": transforms.RandomRotation(90, expand=True, center=(1, 2)),
    "resized crop": transforms.RandomResizedCrop((4, 6)),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_is_changed_alike(name, channels):
    transform = CHAINS[name]
    if name == "smooth turn" and channels == 3:
        transform = transforms.RandomRotation((10, 80), "bilinear", fill=(10, 20, 30))
    shape = (7, 8) if channels == 1 else (7, 8, 3)
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    tensor = Tensor(array[None] if channels == 1 else array.transpose(2, 0, 1))

    def run(image, seed):
        with use_generator(new_generator(seed)):
            return transform(image)

    results = []
    for seed in range(8):
        made = run(array, seed)
        assert np.array_equal(np.asarray(run(Image.fromarray(array), seed)), made)
        moved = run(tensor, seed).array
        assert np.array_equal(moved[0] if channels == 1 else moved.transpose(1, 2, 0), made)
        assert np.array_equal(run(array, seed), made)
        results.append(made.tobytes())
    assert len(set(results)) > 1


def test_crops_reach_every_place_equally_often():
    array = np.arange(20).reshape(4, 5)
    corners = [int(transforms.RandomCrop(3)(array)[0, 0]) for _ in range(1200)]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 2, 5, 6, 7]
    assert counts.min() > 150


def test_a_crop_has_a_margin_where_needed():
    made = transforms.RandomCrop(6, padding=1)(np.full((4, 4), 9))
    assert made.sum() == 9 * 16
    wide = transforms.RandomCrop((2, 6), pad_if_needed=True, fill=1)(np.full((4, 4), 9))
    assert wide.shape == (2, 6)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("margins", [(3, 0, 1, 2), (2, 1), 2, 0, None])
def test_a_padded_crop_is_a_crop_of_the_padded_image(mode, margins):
    image = np.random.default_rng(0).integers(1, 256, (5, 6, 3), dtype=np.uint8)
    crop = transforms.RandomCrop((4, 5), margins, fill=(7, 8, 9), padding_mode=mode)
    padded = transforms.Pad(margins or 0, (7, 8, 9), mode)(image)
    for seed in range(20):
        with use_generator(new_generator(seed)):
            made = crop(image)
        with use_generator(new_generator(seed)):
            top, left, height, width = crop.get_params(padded, (4, 5))
        assert np.array_equal(made, padded[top : top + height, left : left + width])


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(ShapeError, match=r"at least \(5, 5\), got \(4, 4\); use padding"):
        transforms.RandomCrop(5)(np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("transform", "axis"), [(transforms.RandomHorizontalFlip, 1), (transforms.RandomVerticalFlip, 0)]
)
def test_mirrors_come_with_their_probability(transform, axis):
    array = np.arange(6).reshape(2, 3)
    flip = transform(p=0.3)
    changed = [np.array_equal(flip(array), np.flip(array, axis)) for _ in range(1000)]
    assert 0.25 < np.mean(changed) < 0.35
    assert transform(p=0)(array) is array


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(OptionError):
        transforms.RandomHorizontalFlip(p)


def test_angles_are_drawn_evenly_and_turn_counter_clockwise():
    angles = [transforms.RandomRotation.get_params([-30, 60]) for _ in range(500)]
    assert (min(angles) < -27, max(angles) > 57) == (True, True)
    assert min(angles) >= -30
    assert max(angles) <= 60
    array = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert np.array_equal(transforms.RandomRotation([90, 90])(array), np.rot90(array))


def test_corners_of_a_turned_picture_get_the_colour():
    made = transforms.RandomRotation((45, 45), fill=200)(np.zeros((9, 9, 3), np.uint8))
    assert made[0, 0].tolist() == [200, 200, 200]
    assert transforms.RandomRotation((45, 45))(Image.new("RGB", (9, 9), "white")).getpixel((0, 0)) == (
        0,
        0,
        0,
    )


@pytest.mark.parametrize("degrees", [-1, (3, 2), (1, 2, 3), float("nan"), float("inf")])
def test_degrees_out_of_order_are_refused(degrees):
    with pytest.raises(OptionError, match="RandomRotation"):
        transforms.RandomRotation(degrees)


def test_resized_crops_keep_to_area_and_ratio():
    for _ in range(200):
        top, left, height, width = transforms.RandomResizedCrop.get_params(
            np.zeros((40, 60)), (0.2, 0.5), (0.5, 2)
        )
        assert 0 <= top <= 40 - height
        assert 0 <= left <= 60 - width
        assert 0.18 < height * width / 2400 < 0.53
        assert 0.45 < width / height < 2.2


def test_resized_crops_fall_back_to_the_middle():
    crop = transforms.RandomResizedCrop.get_params
    assert crop(np.zeros((10, 1000)), (1, 1), (1, 1)) == (0, 495, 10, 10)
    assert crop(np.zeros((1000, 10)), (1, 1), (1, 1)) == (495, 0, 10, 10)


@pytest.mark.parametrize("options", [{"scale": (0.5, 0.2)}, {"ratio": (0, 1)}, {"scale": (-1, 1)}])
def test_resized_crops_refuse_ranges_out_of_order(options):
    with pytest.raises(OptionError, match="RandomResizedCrop"):
        transforms.RandomResizedCrop(4, **options)


def test_a_crop_is_padded_first_and_then_where_needed_as_in_torchvision():
    row = np.arange(1, 6, dtype=np.uint8)[None]
    crop = transforms.RandomCrop((1, 9), padding=(1, 0), pad_if_needed=True, padding_mode="reflect")
    padded = [2, 1, 2, 1, 2, 3, 4, 5, 4, 5, 4]  # in one step it would be 4, 3, 2, 1, 2, ...
    for _ in range(20):
        assert crop(row).tolist()[0] in [padded[begin : begin + 9] for begin in range(3)]
