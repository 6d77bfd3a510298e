"""The bundled digits."""

import hashlib
import importlib.resources

import numpy as np

from minicnn.data.formats import read_digits


def test_digits_have_their_known_bytes():
    images, labels = read_digits()
    assert images.shape == (1797, 8, 8)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (images.min(), images.max()) == (0, 255)
    assert (
        hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        == "0b7e9c3202d7bcd255d6a19a238d3743bf5e320ba74812a6679958a017c55382"
    )


def test_levels_are_the_original_ones_scaled():
    images, _ = read_digits()
    levels = np.rint(images * (16 / 255)).astype(int)
    assert levels[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert np.array_equal(np.rint(levels * 255 / 16), images)


def test_licence_and_origin_are_beside_the_files():
    text = (importlib.resources.files("minicnn") / "data" / "files" / "README.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text
    assert "Alpaydin" in text
    assert "UCI Machine Learning Repository" in text
