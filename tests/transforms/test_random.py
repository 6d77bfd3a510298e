"""What the random changes draw: ranges, frequencies, order; TrivialAugment, holes, choices."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("PIL.Image")

from minicnn import transforms
from minicnn.core.tensor import Tensor
from minicnn.transforms import functional as F
from minicnn.transforms.trivial import _SPACE

kinds = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("kinds.py"))))
pixels, under = kinds.pixels, kinds.under


def drawn(draw, times=400):
    return [under(lambda _: draw(), None, seed) for seed in range(times)]


def spans(values, low, high):
    """All within, and the ends nearly reached."""
    near = (high - low) / 20
    return low <= min(values) <= low + near and high - near <= max(values) <= high


def test_affine_draws_from_its_ranges():
    many = drawn(
        lambda: transforms.RandomAffine.get_params((-5, 9), (0.2, 0.5), (0.5, 2), (-3, 4, 1, 6), (100, 50))
    )
    angles, moves, scales, shears = zip(*many, strict=True)
    assert spans(angles, -5, 9)
    assert spans([x for x, _ in moves], -20, 20)
    assert spans([y for _, y in moves], -25, 25)
    assert all(isinstance(x, int) for x, _ in moves)
    assert spans(scales, 0.5, 2)
    assert spans([x for x, _ in shears], -3, 4)
    assert spans([y for _, y in shears], 1, 6)


def test_affine_draws_nothing_it_was_not_asked_for():
    assert transforms.RandomAffine.get_params((3, 3), None, None, None, (9, 9)) == (
        3,
        (0, 0),
        1.0,
        (0.0, 0.0),
    )
    angle, move, scale, (along_x, along_y) = transforms.RandomAffine.get_params(
        (0, 0), None, None, (5, 5), (9, 9)
    )
    assert (along_x, along_y) == (5, 0)


def test_the_fixed_point_of_a_turn():
    a = pixels(6, 6)
    turn = transforms.RandomAffine((180, 180), center=(2, 3))
    assert np.array_equal(turn(a), F.affine(a, 180, (0, 0), 1, 0, center=(2, 3)))
    assert np.array_equal(turn(a)[:, :4], a[::-1, 3::-1])
    assert np.array_equal(transforms.RandomRotation((180, 180), center=(2, 3))(a), turn(a))


def test_perspective_moves_corners_inwards():
    many = drawn(lambda: transforms.RandomPerspective.get_params(40, 20, 0.5))
    starts, ends = zip(*many, strict=True)
    assert starts[0] == [[0, 0], [39, 0], [39, 19], [0, 19]]
    reach = np.abs(np.array(ends) - np.array(starts))
    assert reach.max((0, 1)).tolist() == [10, 5]
    assert reach.min((0, 1)).tolist() == [0, 0]
    assert np.array(ends).min() >= 0
    assert np.array(ends)[..., 0].max() <= 39


def test_jitter_draws_factors_and_an_order():
    jitter = transforms.ColorJitter(0.3, (0.5, 3), 2, 0.1)
    ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    assert ranges == ((0.7, 1.3), (0.5, 3), (0, 3), (-0.1, 0.1))
    orders, *factors = zip(*drawn(lambda: jitter.get_params(*ranges)), strict=True)
    assert all(spans(values, *span) for values, span in zip(factors, ranges, strict=True))
    assert len({tuple(order) for order in orders}) == 24


def test_jitter_applies_its_functions_in_the_order_drawn():
    jitter, a = transforms.ColorJitter(0.5, 0.5, 0.5, 0.3), pixels()
    functions = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for seed in range(10):
        order, *amounts = under(
            lambda _: jitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue),
            None,
            seed,
        )
        expected = a
        for which in order:
            expected = functions[which](expected, amounts[which])
        assert np.array_equal(under(jitter, a, seed), expected)


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda p: transforms.RandomInvert(p), F.invert),
        (lambda p: transforms.RandomPosterize(2, p), lambda a: F.posterize(a, 2)),
        (lambda p: transforms.RandomSolarize(99, p), lambda a: F.solarize(a, 99)),
        (lambda p: transforms.RandomAdjustSharpness(3, p), lambda a: F.adjust_sharpness(a, 3)),
        (lambda p: transforms.RandomAutocontrast(p), F.autocontrast),
        (lambda p: transforms.RandomEqualize(p), F.equalize),
        (lambda p: transforms.RandomGrayscale(p), lambda a: F.to_grayscale(a, 3)),
        (lambda p: transforms.RandomApply([transforms.RandomInvert(1)], p), F.invert),
    ],
)
def test_changes_come_with_their_probability(make, change):
    a = pixels(30, 30) // 2 + 30
    expected, transform = change(a), make(0.3)
    made = [under(transform, a, seed) for seed in range(600)]
    changed = sum(np.array_equal(image, expected) for image in made)
    assert 140 < changed < 220
    assert changed + sum(image is a for image in made) == 600


def test_grey_stays_grey():
    for shape in ((4, 5), (4, 5, 1)):
        a = np.arange(20, dtype=np.uint8).reshape(shape)
        assert transforms.RandomGrayscale(p=1)(a) is a


def test_blur_draws_its_width():
    assert spans(drawn(lambda: transforms.GaussianBlur.get_params(0.5, 2.5)), 0.5, 2.5)
    assert transforms.GaussianBlur(3, 0.7).sigma == (0.7, 0.7)


def test_erasing_draws_area_and_ratio():
    image = np.zeros((60, 80), np.uint8)
    many = drawn(lambda: transforms.RandomErasing.get_params(image, (0.1, 0.3), (0.5, 2), (7,)), 300)
    for top, left, height, width, new in many:
        assert 0 <= top <= 60 - height
        assert 0 <= left <= 80 - width
        assert 0.09 < height * width / 4800 < 0.31
        assert 0.45 < height / width < 2.2
        assert new.tolist() == [[[7]]]
    assert len({place[:2] for place in many}) > 200


def test_erasing_writes_colours_and_noise():
    x = Tensor(np.full((3, 20, 20), 9.0, np.float32))
    made = under(transforms.RandomErasing(1, (0.2, 0.3), value=(1, 2, 3)), x).numpy()
    hole = made[0] == 1
    assert 60 < hole.sum() < 140
    assert [set(plane[hole]) for plane in made] == [{1}, {2}, {3}]
    assert (made[:, ~hole] == 9).all()
    noise = under(transforms.RandomErasing(1, (0.9, 0.9), (1, 1), "random"), x).numpy()
    new = noise[noise != 9]
    assert len(np.unique(new)) > 900
    assert abs(new.mean()) < 0.15
    assert abs(new.std() - 1) < 0.15
    of_bytes = under(transforms.RandomErasing(1, (0.9, 0.9), (1, 1), "random"), np.zeros((40, 40), np.uint8))
    assert len(np.unique(of_bytes)) > 250


def test_erasing_leaves_what_no_rectangle_fits_in():
    x = Tensor(np.ones((1, 8, 8)))
    transform = transforms.RandomErasing(1, (1, 1), (1, 1))
    assert under(transform, x) is x
    in_place = transforms.RandomErasing(1, (0.5, 0.5), (1, 1), inplace=True)
    assert under(in_place, x) is x
    assert x.numpy().min() == 0


def test_cutout_is_a_square_cut_off_at_the_border():
    counts = {}
    for seed in range(400):
        made = under(transforms.Cutout(3), np.ones((5, 6)), seed)
        rows, columns = np.nonzero(made == 0)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width
        assert (height == 3 or rows.min() == 0 or rows.max() == 4) and (
            width == 3 or columns.min() == 0 or columns.max() == 5
        )
        middle = (
            rows.min() + 1 if rows.min() else height - 2,
            columns.min() + 1 if columns.min() else width - 2,
        )
        counts[middle] = counts.get(middle, 0) + 1
    assert sorted(counts) == [(y, x) for y in range(5) for x in range(6)]


def test_cutout_of_an_even_side():
    top, left, height, width = zip(
        *drawn(lambda: transforms.Cutout.get_params(np.zeros((9, 9)), 4)), strict=True
    )
    assert all(y >= 0 and y + h <= 9 for y, h in zip(top, height, strict=True))
    assert (min(top), max(top), min(height), max(height)) == (0, 6, 2, 4)
    assert (min(left), max(left), min(width), max(width)) == (0, 6, 2, 4)


def test_trivial_augment_draws_each_change_and_each_strength_alike():
    many = drawn(lambda: transforms.TrivialAugmentWide.get_params(31), 6000)
    names = [name for name, _ in many]
    counts = [names.count(name) for name in _SPACE]
    assert len(counts) == 14
    assert min(counts) > 340
    assert max(counts) < 520
    strengths = {name: sorted({abs(amount) for n, amount in many if n == name}) for name in _SPACE}
    constant = {"Identity", "AutoContrast", "Equalize"}
    assert {name for name, values in strengths.items() if values == [0]} == constant
    assert all(len(values) == 31 for name, values in strengths.items() if name not in constant)
    ends = {name: (values[0], values[-1]) for name, values in strengths.items()}
    assert ends["ShearX"] == ends["ShearY"] == ends["Brightness"] == ends["Sharpness"] == (0, 0.99)
    assert ends["TranslateX"] == ends["TranslateY"] == (0, 32)
    assert (ends["Rotate"], ends["Posterize"], ends["Solarize"]) == ((0, 135), (2, 8), (0, 255))
    signed = {name for name, amount in many if amount < 0}
    assert signed == set(_SPACE) - constant - {"Posterize", "Solarize"}


@pytest.mark.parametrize(
    ("name", "amount", "expected"),
    [
        ("ShearX", 0.5, lambda a: sheared(a, 0.5)),
        ("ShearY", -0.25, lambda a: sheared(a.swapaxes(0, 1), -0.25).swapaxes(0, 1)),
        ("TranslateX", 2.9, lambda a: F.crop(a, 0, -2, *a.shape[:2])),
        ("TranslateY", -2.9, lambda a: F.crop(a, 2, 0, *a.shape[:2])),
        ("Rotate", 30, lambda a: F.rotate(a, 30)),
        ("Brightness", -0.5, lambda a: F.adjust_brightness(a, 0.5)),
        ("Color", 0.5, lambda a: F.adjust_saturation(a, 1.5)),
        ("Contrast", 0.9, lambda a: F.adjust_contrast(a, 1.9)),
        ("Sharpness", 0.3, lambda a: F.adjust_sharpness(a, 1.3)),
        ("Posterize", 4.2, lambda a: F.posterize(a, 4)),
        ("Solarize", 127.5, lambda a: F.solarize(a, 127.5)),
        ("AutoContrast", 0, F.autocontrast),
        ("Equalize", 0, F.equalize),
        ("Identity", 0, lambda a: a),
    ],
)
def test_trivial_augment_does_what_it_drew(monkeypatch, name, amount, expected):
    a = pixels(20, 24)
    monkeypatch.setattr(
        transforms.TrivialAugmentWide, "get_params", staticmethod(lambda bins: (name, amount))
    )
    assert np.array_equal(transforms.TrivialAugmentWide()(a), expected(a))


def sheared(a, slope):
    """Row y moves to the left by slope·y: the result's x comes from x + slope·y."""
    out = np.zeros_like(a)
    for y in range(a.shape[0]):
        for x in range(a.shape[1]):
            source = int(np.floor(x + 0.5 + slope * (y + 0.5)))
            if 0 <= source < a.shape[1]:
                out[y, x] = a[y, source]
    return out


def test_choices_follow_their_weights():
    choose = transforms.RandomChoice([lambda x: "a", lambda x: "b", lambda x: "c"], p=[1, 3, 0])
    made = [under(choose, 0, seed) for seed in range(400)]
    assert 70 < made.count("a") < 130
    assert made.count("a") + made.count("b") == 400
    alike = transforms.RandomChoice([lambda x: "a", lambda x: "b"])
    assert 160 < [under(alike, 0, seed) for seed in range(400)].count("a") < 240


def test_orders_are_all_reached():
    chain = transforms.RandomOrder([lambda x, c=letter: x + c for letter in "abc"])
    made = [under(chain, "", seed) for seed in range(200)]
    assert sorted(set(made)) == ["abc", "acb", "bac", "bca", "cab", "cba"]
    assert repr(transforms.RandomApply([transforms.RandomInvert()], 0.2)) == (
        "RandomApply(transforms=[RandomInvert(p=0.5)], p=0.2)"
    )
