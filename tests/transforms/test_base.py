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
from minicnn.data import DataLoader
from minicnn.data.vision import ImageArrays
from minicnn.errors import DTypeError, OptionError, ShapeError
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


def test_a_batch_is_taken_only_by_what_can_and_never_by_own_functions():
    tensor, normalize = transforms.ToTensor(), transforms.Normalize([0], [1])
    assert transforms.Compose([tensor, normalize]).on_batch is not None
    assert transforms.Compose([transforms.RandomHorizontalFlip(), tensor]).on_batch is not None
    for chain in (
        [tensor, transforms.RandomHorizontalFlip()],
        [tensor, normalize, transforms.RandomCrop(4, padding=1)],
        [transforms.RandomRotation(5, "bilinear"), tensor],
        [transforms.RandomCrop(4, padding=1, padding_mode="reflect"), tensor],
        [tensor, transforms.Lambda(abs)],
        [normalize],
        [],
    ):
        assert transforms.Compose(chain).on_batch is None


class OneByOne:
    """A data set without the way for whole batches."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]


RANDOM = {
    "crop": [transforms.RandomCrop((5, 7), padding=2, fill=9)],
    "crop of what is too small": [transforms.RandomCrop((12, 8), padding=(1, 0), pad_if_needed=True)],
    "flips": [transforms.RandomHorizontalFlip(0.3), transforms.RandomVerticalFlip(0.6)],
    "turn": [transforms.RandomRotation(40, fill=5)],
    "all": [
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation((-90, 200), center=(2.5, 3)),
        transforms.RandomCrop(6),
        transforms.RandomVerticalFlip(),
    ],
}


@pytest.mark.parametrize("changes", RANDOM.values(), ids=RANDOM)
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3)], ids=["grey", "colour"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_changed_at_random_as_its_samples_are(changes, shape, workers):
    pixels = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    chain = transforms.Compose([*changes, transforms.ToTensor()])
    images = ImageArrays(pixels, np.zeros(20, np.int64), ["a"], chain)
    assert images.__getitems__([0]) is not None
    sampler = [*range(20), 3, 3, 7]  # some again, changed anew
    together, alone = (
        [
            batch[0].array
            for _ in range(2)
            for batch in DataLoader(data, 8, sampler=sampler, seed=3, num_workers=n)
        ]
        for data, n in ((images, workers), (OneByOne(images), 0))
    )
    assert len(together) == 6
    for batch, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(batch, expected)


def test_a_crop_in_a_batch_refuses_what_a_single_one_refuses():
    crop = transforms.RandomCrop(9)
    for run in (
        lambda: crop(np.zeros((8, 8), np.uint8)),
        lambda: crop.on_batch(np.zeros((2, 8, 8), np.uint8)),
    ):
        with pytest.raises(ShapeError, match=r"at least \(9, 9\), got \(8, 8\)"):
            run()
    painted = transforms.RandomCrop(9, padding=4, fill=300)
    for run in (painted, lambda image: painted.on_batch(image[None])):
        with pytest.raises(OptionError, match="a fill that fits uint8"):
            run(np.zeros((8, 8), np.uint8))
    nowhere = transforms.RandomCrop(8, fill=300)  # without a margin nobody looks at it
    assert not nowhere(np.zeros((8, 8), np.uint8)).any()
    assert not nowhere.on_batch(np.zeros((2, 8, 8), np.uint8)).any()


@pytest.mark.parametrize(
    "turn, image, error",
    [
        (transforms.RandomRotation(9), np.zeros((4, 4)), DTypeError),
        (transforms.RandomRotation(9), np.zeros((4, 4, 2), np.uint8), ShapeError),
        (transforms.RandomRotation(9, fill=(1, 2)), np.zeros((4, 4, 3), np.uint8), OptionError),
    ],
)
def test_a_turn_in_a_batch_refuses_what_a_single_one_refuses(turn, image, error):
    said = []
    for run in (turn, lambda image: turn.on_batch(image[None])):
        with pytest.raises(error) as caught:
            run(image)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_subclass_promises_nothing_it_does_not_say():
    class Own(transforms.ToTensor):
        def __call__(self, image):
            return image

    class Named(transforms.ToTensor):
        pass

    class Says(Own):
        takes_arrays = True

    for transform, promise in ((Own(), False), (Named(), True), (Says(), True)):
        assert transforms.Compose([transform]).takes_arrays is promise
    assert transforms.Compose([Own()]).on_batch is transforms.Compose([Says()]).on_batch is None


class MiddleCrop(transforms.RandomCrop):
    """torchvision's way to change where a crop lies."""

    @staticmethod
    def get_params(img, output_size):
        height, width = transforms.functional.get_dimensions(img)[1:]
        return (height - output_size[0]) // 2, (width - output_size[1]) // 2, *output_size


class Inverts(transforms.RandomHorizontalFlip):
    """torchvision's way to change what a transform does."""

    def forward(self, img):
        return transforms.functional.invert(super().forward(img))


class Middle:
    """The same to be mixed in."""

    get_params = staticmethod(MiddleCrop.get_params)


class MixedIn(Middle, transforms.RandomCrop):
    pass


class Same:
    def forward(self, img):
        return img


class MixedInForward(Same, transforms.RandomInvert):
    pass


class Dispatches(transforms.RandomHorizontalFlip):
    """Both, as of ``torch.nn.Module``."""

    def __call__(self, img):
        return self.forward(img)

    def forward(self, img):
        return transforms.functional.invert(img)


class HalfTurn(transforms.RandomRotation):
    @staticmethod
    def get_params(degrees):
        return 180.0


OF_ONE = transforms.RandomCrop(4, padding=1)
OF_ONE.get_params = MiddleCrop.get_params

OVERRIDDEN = {
    "get_params, mixed in": (MixedIn(4, padding=1), transforms.CenterCrop(4)),
    "get_params, of one transform": (OF_ONE, transforms.CenterCrop(4)),
    "forward, mixed in": (MixedInForward(p=1), transforms.RandomInvert(p=0)),
    "forward, called by an own call": (Dispatches(), transforms.RandomInvert(p=1)),
    "get_params": (MiddleCrop(4, padding=1), transforms.CenterCrop(4)),
    "get_params, turn": (HalfTurn(9), transforms.RandomRotation((180, 180))),
    "get_params, edges": (MiddleCrop(4, padding=1, padding_mode="edge"), transforms.CenterCrop(4)),
    "forward": (Inverts(p=0), transforms.RandomInvert(p=1)),
}


@pytest.mark.parametrize("changed, expected", OVERRIDDEN.values(), ids=OVERRIDDEN)
def test_what_a_subclass_overrides_is_heeded(changed, expected):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 6, 3), dtype=np.uint8)

    def batches(transform):
        chain = transforms.Compose([transform, transforms.ToTensor()])
        images = ImageArrays(pixels, np.zeros(9, np.int64), ["a"], chain)
        return [batch.array.tobytes() for batch, _ in DataLoader(images, 4, seed=1)]

    assert np.array_equal(changed(pixels[0]), expected(pixels[0]))
    assert batches(changed) == batches(expected)


def test_forward_is_another_name_of_the_call():
    flip = transforms.RandomHorizontalFlip(p=1)
    assert flip.forward(np.array([[1, 2]])).tolist() == flip(np.array([[1, 2]])).tolist() == [[2, 1]]
    assert transforms.Compose([flip, flip]).forward(np.array([[1, 2]])).tolist() == [[1, 2]]


def test_pillow_that_another_thread_is_just_loading_is_no_obstacle(monkeypatch):
    """The module stands in ``sys.modules`` before it has anything in it."""
    monkeypatch.setitem(sys.modules, "PIL.Image", types.ModuleType("PIL.Image"))
    assert not is_pil(np.zeros((2, 2), np.uint8))


def test_workers_may_be_the_first_to_load_pillow():
    code = (
        "import sys, numpy as np\n"
        "from minicnn import datasets, transforms\n"
        "from minicnn.data import DataLoader\n"
        "chain = transforms.Compose([transforms.RandomRotation(10, 'bilinear'), transforms.ToTensor()])\n"
        "assert 'PIL.Image' not in sys.modules\n"
        "loader = DataLoader(datasets.Digits(transform=chain), batch_size=8, num_workers=4)\n"
        "print(len(list(loader)), 'PIL.Image' in sys.modules)"
    )
    root = Path(minicnn.__file__).parents[1]
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert done.stdout.strip() == "180 True", done.stderr
