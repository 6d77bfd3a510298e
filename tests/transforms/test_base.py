"""Chains of transforms."""

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import transforms
from minicnn.errors import OptionError
from minicnn.transforms.functional.kinds import is_pil


def test_compose_runs_in_order_and_prints_its_options():
    chain = transforms.Compose([transforms.Pad(1), transforms.CenterCrop(2), transforms.ToTensor()])
    assert chain(np.full((2, 2), 255, np.uint8)).tolist() == [[[1, 1], [1, 1]]]
    assert repr(chain) == (
        "Compose(\n"
        "    Pad(padding=1, fill=0, padding_mode='constant')\n"
        "    CenterCrop(size=(2, 2))\n"
        "    ToTensor()\n"
        ")"
    )


@pytest.mark.parametrize(
    ("transform", "text"),
    [
        (transforms.Resize(8), "Resize(size=8, interpolation=bilinear, max_size=None, antialias=True)"),
        (transforms.Normalize((0.5,), (0.25,)), "Normalize(mean=(0.5,), std=(0.25,))"),
        (transforms.RandomHorizontalFlip(), "RandomHorizontalFlip(p=0.5)"),
        (transforms.Lambda(abs), "Lambda()"),
    ],
)
def test_a_transform_prints_its_options(transform, text):
    assert repr(transform) == text


def test_what_cannot_be_called_is_refused():
    with pytest.raises(OptionError, match="got 3"):
        transforms.Compose([3])
    with pytest.raises(OptionError, match="a function"):
        transforms.Lambda(3)
    with pytest.raises(NotImplementedError, match="Transform has to define __call__"):
        transforms.Transform()(None)


def test_arrays_are_taken_only_where_they_end_in_a_tensor():
    flip, tensor = transforms.RandomHorizontalFlip(), transforms.ToTensor()
    assert transforms.Compose([flip, tensor]).takes_arrays
    assert not transforms.Compose([flip]).takes_arrays
    assert not transforms.Compose([]).takes_arrays
    assert not transforms.Compose([transforms.Lambda(abs), tensor]).takes_arrays
    assert not transforms.Compose([lambda image: image, tensor]).takes_arrays


def test_a_batch_is_taken_only_without_chance_and_own_functions():
    tensor, normalize = transforms.ToTensor(), transforms.Normalize([0], [1])
    assert transforms.Compose([tensor, normalize]).on_batch is not None
    for chain in (
        [transforms.RandomHorizontalFlip(), tensor],
        [tensor, transforms.Lambda(abs)],
        [normalize],
        [],
    ):
        assert transforms.Compose(chain).on_batch is None


def test_a_subclass_promises_nothing_it_does_not_say():
    class Own(transforms.ToTensor):
        def __call__(self, image):
            return image

    class Named(transforms.ToTensor):
        pass

    assert (Own.takes_arrays, Own.on_batch, Own.keeps_arrays) == (False, None, False)
    assert Named.takes_arrays


def test_pillow_that_another_thread_is_just_loading_is_no_obstacle(monkeypatch):
    """The module stands in ``sys.modules`` before it has anything in it."""
    monkeypatch.setitem(sys.modules, "PIL.Image", types.ModuleType("PIL.Image"))
    assert not is_pil(np.zeros((2, 2), np.uint8))


def test_workers_may_be_the_first_to_load_pillow():
    code = (
        "import sys, numpy as np\n"
        "from minicnn import datasets, transforms\n"
        "from minicnn.data import DataLoader\n"
        "chain = transforms.Compose([transforms.RandomRotation(10), transforms.ToTensor()])\n"
        "assert 'PIL.Image' not in sys.modules\n"
        "loader = DataLoader(datasets.Digits(transform=chain), batch_size=8, num_workers=4)\n"
        "print(len(list(loader)))"
    )
    root = Path(minicnn.__file__).parents[1]
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert done.stdout.strip() == "180", done.stderr
