"""Images that occur twice are all found."""

import numpy as np

from minicnn.data.duplicates import equal_images, image_hashes, overlaps, repeated
from minicnn.data.vision import ImageArrays


def images(pixels):
    return ImageArrays(pixels, np.zeros(len(pixels), np.int64), ["a"])


def test_planted_duplicates_are_all_found():
    rng = np.random.default_rng(0)
    parts = {
        name: rng.integers(0, 256, (300, 6, 6, 3), np.uint8) for name in ("training", "validation", "test")
    }
    parts["test"][[0, 99]] = parts["training"][[0, 200]]
    parts["validation"][1] = parts["training"][3]
    parts["test"][42] = parts["validation"][17]
    parts["training"][11] = parts["training"][10]
    hashes = {name: image_hashes(images(pixels)) for name, pixels in parts.items()}
    found = {one.parts: (one.images.tolist(), one.twins.tolist()) for one in overlaps(hashes)}
    assert found == {
        ("training", "test"): ([0, 99], [0, 200]),
        ("training", "validation"): ([1], [3]),
        ("validation", "test"): ([42], [17]),
    }
    assert [repeated(part) for part in hashes.values()] == [1, 0, 0]
    assert sorted(equal_images({"none": hashes["test"][:0], **hashes})) == [
        [("training", 0), ("test", 0)],
        [("training", 3), ("validation", 1)],
        [("training", 10), ("training", 11)],
        [("training", 200), ("test", 99)],
        [("validation", 17), ("test", 42)],
    ]
    assert equal_images({}) == equal_images({"training": hashes["training"][:10]}) == []


def test_one_other_pixel_is_another_image():
    pixels = np.zeros((2, 4, 4), np.uint8)
    pixels[1, 3, 3] = 1
    hashes = image_hashes(images(pixels))
    assert overlaps({"a": hashes[:1], "b": hashes[1:]}) == []
