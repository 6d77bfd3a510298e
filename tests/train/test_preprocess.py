"""Pictures become tensors the same way in training, testing and predicting."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minicnn.core.random import new_generator, use_generator
from minicnn.errors import OptionError
from minicnn.train.preprocess import AUGMENTATIONS, augmented, plain

GREY = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3)
COLOUR = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))


def test_plain_scales_and_normalizes():
    tensor = plain([0.5], [0.25])(GREY).numpy()
    expected = (np.asarray(GREY) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(tensor[0], expected, rtol=1e-5, atol=1e-6)
    assert (tensor.shape, tensor.dtype) == ((1, 8, 8), np.float32)


@pytest.mark.parametrize("names", ["none", "standard", *AUGMENTATIONS, "flip, rotate"])
@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_augmentations_keep_the_shape_and_follow_the_generator(names, image):
    channels = len(image.getbands())
    transform = augmented(names, [0.5] * channels, [0.25] * channels, (channels, 8, 8))
    results = []
    for seed in (1, 1, *range(2, 20)):
        with use_generator(new_generator(seed)):
            results.append(transform(image).numpy())
    assert results[0].shape == (channels, 8, 8)
    np.testing.assert_array_equal(results[0], results[1])
    changes = any(not np.array_equal(results[0], other) for other in results[2:])
    nothing_to_do = names == "none" or (names == "grey" and image is GREY)
    assert changes != nothing_to_do


def test_holes_are_made_in_the_normalized_numbers():
    transform = augmented("cutout,flip,erase", [0.5], [0.25], (1, 8, 8))
    kinds = [type(part).__name__ for part in transform.transforms]
    assert kinds == ["RandomHorizontalFlip", "ToTensor", "Normalize", "Cutout", "RandomErasing"]
    with use_generator(new_generator(0)):
        made = transform(Image.new("L", (8, 8), 255)).numpy()
    assert set(np.unique(made)) == {0.0, 2.0}


def test_standard_never_mirrors_grey_images():
    transform = augmented("standard", [0.5], [0.25], (1, 8, 8))
    assert not [t for t in transform.transforms if "Flip" in type(t).__name__]


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(OptionError, match="there is no augmentation 'rotat'; did you mean 'rotate'"):
        augmented("flip,rotat", [0.5], [0.5], (1, 8, 8))
