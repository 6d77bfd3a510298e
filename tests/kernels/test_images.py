"""Bytes of images to numbers: the reference's bits from every layout; batches of data go this way."""

import numpy as np
import pytest

from minicnn import backends
from minicnn.core.dispatch import Declined
from minicnn.data import DataLoader
from minicnn.data.vision import ImageArrays
from minicnn.errors import ShapeError
from minicnn.ops.images import standardize_bytes
from minicnn.testing.guard import available, guarded
from minicnn.transforms import Compose, Normalize, ToTensor

SHAPES = [
    (0, 3, 4, 4),
    (1, 1, 1, 1),
    (2, 3, 1, 1),
    (3, 1, 5, 7),
    (2, 2, 3, 17),
    (2, 5, 9, 31),
    (30, 3, 33, 35),
]
LAYOUTS = {
    "planes": lambda x: x,
    "pictures": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "every second": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "mirrored": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
}


def overlay():
    return standardize_bytes.overlays[backends.active().name]


def numbers(rng, channels):
    """Means and standard deviations as Normalize has them."""
    return (rng.uniform(0.1, 1, (channels, 1, 1)).astype(np.float32) for _ in range(2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_references_bits(shape, layout, level, rng, steady):
    x = LAYOUTS[layout](rng.integers(0, 256, shape, np.uint8))
    for channels in (shape[1], 1, None):
        mean, std = (None, None) if channels is None else numbers(rng, channels)
        (y,) = steady(lambda: [overlay()(np, x, mean, std)])  # noqa: B023
        right = standardize_bytes.reference(np, x, mean, std)
        assert y.dtype == np.float32 and y.flags.c_contiguous
        assert y.shape == right.shape and y.tobytes() == right.tobytes()


@pytest.mark.skipif(not available(), reason="guards pages by Linux's mprotect")
@pytest.mark.parametrize("planar", [True, False])
def test_nothing_outside_is_read_or_written(planar, native, level, rng):
    for n, c, p in [(1, 1, 1), (2, 3, 5), (3, 4, 33)]:
        shape = (n, c, 1, p) if planar else (n, 1, p, c)
        table = rng.standard_normal((c, 256)).astype(np.float32)
        x = rng.integers(0, 256, shape, np.uint8)
        right = table[np.arange(c)[:, None], x[:, :, 0] if planar else x[:, 0].transpose(0, 2, 1)]
        for end in ("start", "end"):
            y = guarded(np.zeros((n, c, 1, p), np.float32), end)
            native.look_up(y, guarded(x, end), guarded(table, end), planar)
            np.testing.assert_array_equal(y[:, :, 0], right)


def test_other_numbers_are_declined(native):
    assert isinstance(overlay()(np, np.zeros((1, 1, 2, 2), np.int16), None, None), Declined)


@pytest.mark.parametrize("bad", ["bytes", "result", "table", "strided"])
def test_arrays_that_do_not_fit_are_refused(bad, native):
    x, y, table = (
        np.zeros((2, 3, 4, 5), np.uint8),
        np.zeros((2, 3, 4, 5), np.float32),
        np.zeros((3, 256), np.float32),
    )
    x = {"bytes": x.view(np.int8), "strided": np.repeat(x, 2, 3)[..., ::2]}.get(bad, x)
    with pytest.raises(ValueError):
        native.look_up(y[1:] if bad == "result" else y, x, table[1:] if bad == "table" else table, True)


@pytest.mark.parametrize("shape", [(9, 6, 5), (9, 6, 5, 3)], ids=["grey", "colour"])
def test_batches_of_data_go_through_it(shape, native, rng):
    channels = 1 if len(shape) == 3 else 3
    chain = Compose([ToTensor(), Normalize([0.1, 0.2, 0.3][:channels], [0.3, 0.4, 0.7][:channels])])
    images = ImageArrays(rng.integers(0, 256, shape, np.uint8), np.zeros(9, np.int64), ["a"], chain)
    before = standardize_bytes.served["native"].kernel if "native" in standardize_bytes.served else 0
    with backends.use_strict():
        batches = [batch for batch, _ in DataLoader(images, batch_size=4)]
    assert standardize_bytes.served["native"].kernel == before + 3
    one_by_one = np.stack([chain(pixels).array for pixels in images.pixels])
    assert np.concatenate([batch.array for batch in batches]).tobytes() == one_by_one.tobytes()


def test_a_batch_of_other_channels_is_refused_as_one_image_is():
    chain = Compose([ToTensor(), Normalize([0.1] * 3, [0.2] * 3)])
    for run, images in ((chain, np.zeros((4, 4), np.uint8)), (chain.on_batch, np.zeros((2, 4, 4), np.uint8))):
        with pytest.raises(ShapeError, match="3 channels, one for each mean"):
            run(images)


def test_a_transform_of_ones_own_is_not_passed_over(rng):
    class Twice(Normalize):
        def on_batch(self, images):
            return super().on_batch(images) * 2

    pixels = rng.integers(0, 256, (2, 3, 4), np.uint8)
    once, twice = (Compose([ToTensor(), kind([0.5], [0.5])]).on_batch(pixels) for kind in (Normalize, Twice))
    np.testing.assert_array_equal(twice.array, once.array * 2)
