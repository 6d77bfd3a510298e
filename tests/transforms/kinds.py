"""One image in every kind that a transform takes."""

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from minicnn.core.random import new_generator, use_generator
from minicnn.core.tensor import Tensor


def pixels(height=7, width=9, channels=3, seed=0):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tensor(array):
    return Tensor(array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1)))


def under(transform, image, seed=0):
    """What a transform makes of an image, with a generator of its own."""
    with use_generator(new_generator(seed)):
        return transform(image)


def agreed(transform, array, seed=0):
    """What the transform makes of an array; it must make the same of a picture and of a tensor."""
    made = under(transform, array, seed)
    assert isinstance(made, np.ndarray)
    picture = under(transform, Image.fromarray(array), seed)
    assert np.array_equal(np.asarray(picture), made)
    moved = under(transform, tensor(array), seed)
    assert moved.array.flags.c_contiguous
    assert np.array_equal(moved.array[0] if array.ndim == 2 else moved.array.transpose(1, 2, 0), made)
    assert np.array_equal(under(transform, array, seed), made)
    return made


ARRAYS = st.builds(
    pixels,
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3]),
    st.integers(0, 3),
)
