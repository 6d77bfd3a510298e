"""Splits: stratified, always the same, and equal images on one side."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.data import stratified_split
from minicnn.data.duplicates import image_hashes
from minicnn.data.sources import Source
from minicnn.data.vision import ImageArrays
from minicnn.errors import FormatError
from minicnn.train.recorded import read_learned, write_learned
from minicnn.train.splits import split_test, split_validation


def source_of(pixels, labels, **parts):
    def images(pixels, labels):
        return ImageArrays(pixels, labels, ["a", "b", "c"])

    others = {name: images(*part) for name, part in parts.items()}
    return Source("s", images(pixels, labels), others.pop("test", None), ["a", "b", "c"], (1, 4, 4), **others)


def different(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4), np.uint8)


LABELS = np.arange(300) % 3


def test_images_that_all_differ_are_split_as_ever():
    source = source_of(different(300), LABELS)
    kept, held_out = stratified_split(LABELS, 0.1, seed=0)
    assert np.array_equal(split_test(source)[0], kept) and np.array_equal(split_test(source)[1], held_out)
    learned, checked = split_validation(source, 0.2, 5)
    expected = stratified_split(LABELS[kept], 0.2, seed=5)
    assert np.array_equal(learned, kept[expected[0]]) and np.array_equal(checked, kept[expected[1]])


@pytest.mark.parametrize("copies", [2, 3])
def test_equal_images_stay_together(copies):
    pixels = different(300 // copies)
    order = np.random.default_rng(1).permutation(300)
    source = source_of(
        np.concatenate([pixels] * copies)[order], np.tile(LABELS[: 300 // copies], copies)[order]
    )
    hashes = image_hashes(source.train)
    tested = split_test(source)[1]
    learned, checked = split_validation(source, 0.1, 0)
    assert sorted([*learned, *checked, *tested]) == list(range(300))
    for one, other in ((learned, checked), (learned, tested), (checked, tested)):
        assert not np.isin(hashes[one].view("u8"), hashes[other].view("u8")).any()
    assert 25 <= len(tested) <= 35 and 22 <= len(checked) <= 32
    assert np.ptp(np.bincount(source.train.targets[tested])) <= copies
    again = split_validation(source, 0.1, 0)
    assert np.array_equal(again[0], learned) and np.array_equal(again[1], checked)
    assert not np.array_equal(split_validation(source, 0.1, 1)[1], checked)


def test_what_the_data_bring_is_not_split_off():
    part = (different(30, 1), LABELS[:30])
    source = source_of(different(300), LABELS, test=part, validation=part)
    assert split_test(source)[0].tolist() == split_validation(source, 0.1, 0)[0].tolist() == list(range(300))
    assert len(split_test(source)[1]) == len(split_validation(source, 0.1, 0)[1]) == 0


def test_what_was_learned_from_is_read_as_it_was_written(tmp_path):
    hashes = image_hashes(source_of(different(9), LABELS[:9]).train)
    assert read_learned(tmp_path) is None
    write_learned(tmp_path, hashes)
    assert np.array_equal(read_learned(tmp_path), hashes)
    for content in (b"", (tmp_path / "learned.npy").read_bytes()[:-3], b"text"):
        (tmp_path / "learned.npy").write_bytes(content)
        with pytest.raises(FormatError, match="learned.npy: damaged"):
            read_learned(tmp_path)
    np.save(tmp_path / "learned.npy", np.zeros(3))
    with pytest.raises(FormatError, match="not the hashes of images"):
        read_learned(tmp_path)
