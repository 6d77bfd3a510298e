"""A sealed test set is refused until it is opened."""

import numpy as np
import pytest

from minicnn.data import DataLoader
from minicnn.data.sealed import Sealed
from minicnn.data.sources import load
from minicnn.errors import OptionError
from minicnn.transforms import ToTensor


def test_nothing_of_it_is_seen_before():
    images = load("digits").test.with_transform(ToTensor())
    test = Sealed(images)
    assert len(test) == len(images)
    for look in (
        lambda: test[0],
        lambda: test.__getitems__([0]),
        lambda: list(DataLoader(test, batch_size=8)),
    ):
        with pytest.raises(OptionError, match="sealed until the end"):
            look()
    assert test.open() is images
    assert test.is_open
    (batch, _), (expected, _) = next(iter(DataLoader(test, 8))), next(iter(DataLoader(images, 8)))
    np.testing.assert_array_equal(batch.numpy(), expected.numpy())
