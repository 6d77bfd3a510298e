"""What holds for every random change: kinds, shapes, identity, refusals, signatures, workers."""

import inspect
import pickle
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL.Image")

from minicnn import transforms
from minicnn.data import DataLoader, default_collate
from minicnn.data.vision import ImageArrays
from minicnn.errors import OptionError
from minicnn.transforms import functional as F

kinds = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("kinds.py"))))
ARRAYS, agreed, pixels, tensor, under = kinds.ARRAYS, kinds.agreed, kinds.pixels, kinds.tensor, kinds.under

CHANGES = {
    "crop": transforms.RandomCrop(3, padding=2, pad_if_needed=True, fill=7),
    "affine": transforms.RandomAffine(30, (0.3, 0.3), (0.5, 2), (-20, 20, -10, 10), "bilinear", 9),
    "nearest affine": transforms.RandomAffine((0, 180), center=(0, 0)),
    "perspective": transforms.RandomPerspective(1, p=1, fill=3),
    "turn": transforms.RandomRotation(90, "bicubic", center=(1, 2)),
    "jitter": transforms.ColorJitter(0.5, 0.5, 0.5, 0.5),
    "grey": transforms.RandomGrayscale(p=0.5),
    "invert": transforms.RandomInvert(),
    "posterize": transforms.RandomPosterize(3),
    "solarize": transforms.RandomSolarize(100),
    "sharpness": transforms.RandomAdjustSharpness(2.5),
    "autocontrast": transforms.RandomAutocontrast(),
    "equalize": transforms.RandomEqualize(),
    "blur": transforms.GaussianBlur((3, 5)),
    "erase": transforms.RandomErasing(p=0.8, value=50),
    "noise": transforms.RandomErasing(p=1, scale=(0.2, 0.5), value="random"),
    "cutout": transforms.Cutout(3, fill=8),
    "trivial": transforms.TrivialAugmentWide(),
    "trivial with a colour": transforms.TrivialAugmentWide(4, "bilinear", fill=77),
    "one of them": transforms.RandomChoice([transforms.RandomInvert(1), transforms.RandomVerticalFlip(1)]),
    "perhaps": transforms.RandomApply([transforms.RandomInvert(1), transforms.RandomVerticalFlip(1)]),
    "in any order": transforms.RandomOrder([transforms.RandomSolarize(9), transforms.RandomPosterize(1)]),
}


@pytest.mark.parametrize("name", CHANGES)
@settings(max_examples=40, deadline=None)
@given(array=ARRAYS, seed=st.integers(0, 1000))
def test_every_kind_of_image_is_changed_alike(name, array, seed):
    before = array.copy()
    made = agreed(CHANGES[name], array, seed)
    assert made.dtype == np.uint8
    assert made.shape[2:] == array.shape[2:]
    assert made.shape == array.shape or name == "crop"
    assert np.array_equal(array, before)
    assert CHANGES[name].keeps_arrays


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_changes_something(name):
    array = pixels(33, 35) // 2 + 20  # a stretched contrast changes it too
    made = {under(CHANGES[name], array, seed).tobytes() for seed in range(30)}
    assert made - {array.tobytes()}


@pytest.mark.parametrize("name", CHANGES)
def test_other_processes_get_the_same_change(name):
    other = pickle.loads(pickle.dumps(CHANGES[name]))
    assert repr(other) == repr(CHANGES[name])
    assert np.array_equal(under(other, pixels(), 5), under(CHANGES[name], pixels(), 5))


IDENTITIES = {
    "affine": transforms.RandomAffine(0),
    "affine, smooth": transforms.RandomAffine((0, 0), (0, 0), (1, 1), (0, 0, 0, 0), "bilinear"),
    "perspective": transforms.RandomPerspective(0, p=1),
    "jitter": transforms.ColorJitter(),
    "jitter by factors of 1": transforms.ColorJitter((1, 1), (1, 1), (1, 1), (0, 0)),
    "sharpness": transforms.RandomAdjustSharpness(1, p=1),
    "posterize": transforms.RandomPosterize(8, p=1),
    "solarize": transforms.RandomSolarize(256, p=1),
    "blur": transforms.GaussianBlur(1),
    "turn": transforms.RandomRotation(0),
    "apply": transforms.RandomApply([transforms.RandomInvert(1)], p=0),
    "order": transforms.RandomOrder([]),
    "factor": lambda image: F.adjust_brightness(image, 1),
    "gamma": lambda image: F.adjust_gamma(image, 1),
    "hue": lambda image: F.adjust_hue(image, 0),
    "full turn": lambda image: F.adjust_hue(F.adjust_hue(image, 0.003), -0.003),
    **{
        name: kind(**options, p=0)
        for name, kind, options in [
            ("never perspective", transforms.RandomPerspective, {}),
            ("never grey", transforms.RandomGrayscale, {}),
            ("never inverted", transforms.RandomInvert, {}),
            ("never posterized", transforms.RandomPosterize, {"bits": 1}),
            ("never solarized", transforms.RandomSolarize, {"threshold": 1}),
            ("never sharper", transforms.RandomAdjustSharpness, {"sharpness_factor": 9}),
            ("never stretched", transforms.RandomAutocontrast, {}),
            ("never equalized", transforms.RandomEqualize, {}),
            ("never erased", transforms.RandomErasing, {}),
        ]
    },
}


@pytest.mark.parametrize("name", IDENTITIES)
@settings(max_examples=15, deadline=None)
@given(array=ARRAYS)
def test_what_changes_nothing_leaves_every_bit(name, array):
    assert np.array_equal(agreed(IDENTITIES[name], array), array)


T = transforms
REFUSED = {
    "RandomAffine": [
        lambda: T.RandomAffine(-1),
        lambda: T.RandomAffine((2, 1)),
        lambda: T.RandomAffine("10"),
        lambda: T.RandomAffine(float("nan")),
        lambda: T.RandomAffine(0, translate=(0.5,)),
        lambda: T.RandomAffine(0, translate=(0, 1.5)),
        lambda: T.RandomAffine(0, scale=(0, 1)),
        lambda: T.RandomAffine(0, scale=(2, 1)),
        lambda: T.RandomAffine(0, shear=(1, 2, 3)),
        lambda: T.RandomAffine(0, shear=(1, 2, 4, 3)),
        lambda: T.RandomAffine(0, shear=-1),
        lambda: T.RandomAffine(0, fill=256),
        lambda: T.RandomAffine(0, fill=()),
        lambda: T.RandomAffine(0, center=(1, 2, 3)),
        lambda: T.RandomAffine(0, interpolation="best"),
    ],
    "RandomRotation": [lambda: T.RandomRotation(9, fill=-1), lambda: T.RandomRotation(9, center=1)],
    "RandomPerspective": [
        lambda: T.RandomPerspective(1.1),
        lambda: T.RandomPerspective(-0.1),
        lambda: T.RandomPerspective(p=2),
        lambda: T.RandomPerspective(fill="red"),
    ],
    "ColorJitter": [
        lambda: T.ColorJitter(-0.1),
        lambda: T.ColorJitter((1, 0.5)),
        lambda: T.ColorJitter((-0.5, 1)),
        lambda: T.ColorJitter(contrast=(1, 2, 3)),
        lambda: T.ColorJitter(saturation=float("inf")),
        lambda: T.ColorJitter(hue=0.6),
        lambda: T.ColorJitter(hue=-0.1),
        lambda: T.ColorJitter(hue=(-0.6, 0)),
    ],
    "RandomGrayscale": [lambda: T.RandomGrayscale(-0.1)],
    "RandomInvert": [lambda: T.RandomInvert(1.1)],
    "RandomPosterize": [
        lambda: T.RandomPosterize(9),
        lambda: T.RandomPosterize(0),
        lambda: T.RandomPosterize(2.5),
    ],
    "RandomSolarize": [lambda: T.RandomSolarize(float("nan")), lambda: T.RandomSolarize("1")],
    "RandomAdjustSharpness": [lambda: T.RandomAdjustSharpness(-1)],
    "RandomAutocontrast": [lambda: T.RandomAutocontrast("often")],
    "RandomEqualize": [lambda: T.RandomEqualize(float("nan"))],
    "GaussianBlur": [
        lambda: T.GaussianBlur(2),
        lambda: T.GaussianBlur(-3),
        lambda: T.GaussianBlur((3, 3, 3)),
        lambda: T.GaussianBlur(3, 0),
        lambda: T.GaussianBlur(3, (2, 1)),
    ],
    "RandomErasing": [
        lambda: T.RandomErasing(p=-1),
        lambda: T.RandomErasing(scale=(0, 1.5)),
        lambda: T.RandomErasing(scale=(0.3, 0.2)),
        lambda: T.RandomErasing(ratio=(0, 1)),
        lambda: T.RandomErasing(value="noise"),
        lambda: T.RandomErasing(value=()),
        lambda: T.RandomErasing(p=1, value=(1, 2))(pixels()),
    ],
    "Cutout": [lambda: T.Cutout(0), lambda: T.Cutout(1.5), lambda: T.Cutout(3, fill=None)],
    "TrivialAugmentWide": [
        lambda: T.TrivialAugmentWide(1),
        lambda: T.TrivialAugmentWide(2.5),
        lambda: T.TrivialAugmentWide(interpolation=9),
        lambda: T.TrivialAugmentWide(fill=300),
    ],
    "RandomApply": [lambda: T.RandomApply([3]), lambda: T.RandomApply([abs], p=2)],
    "RandomChoice": [
        lambda: T.RandomChoice([]),
        lambda: T.RandomChoice([abs], p=[1, 2]),
        lambda: T.RandomChoice([abs, abs], p=[-1, 2]),
        lambda: T.RandomChoice([abs, abs], p=[0, 0]),
    ],
    "RandomOrder": [lambda: T.RandomOrder([abs, None])],
    "MixUp": [lambda: T.MixUp(alpha=0), lambda: T.MixUp(num_classes=0), lambda: T.MixUp(alpha="1")],
    "CutMix": [lambda: T.CutMix(alpha=-1), lambda: T.CutMix(num_classes=2.0)],
    "FiveCrop": [lambda: T.FiveCrop(0)],
    "TenCrop": [lambda: T.TenCrop((1, 2, 3))],
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_options_are_refused_by_name(name):
    for make in REFUSED[name]:
        with pytest.raises(OptionError, match=f"^{name}: "):
            make()


SIGNATURES = """
CenterCrop(size)
ColorJitter(brightness=0, contrast=0, saturation=0, hue=0)
ConvertImageDtype(dtype)
CutMix(*, alpha=1.0, num_classes=None)
FiveCrop(size)
GaussianBlur(kernel_size, sigma=(0.1, 2.0))
Grayscale(num_output_channels=1)
MixUp(*, alpha=1.0, num_classes=None)
Normalize(mean, std, inplace=False)
PILToTensor()
RandomAdjustSharpness(sharpness_factor, p=0.5)
RandomAffine(degrees, translate=None, scale=None, shear=None, interpolation=nearest, fill=0, center=None)
RandomApply(transforms, p=0.5)
RandomAutocontrast(p=0.5)
RandomChoice(transforms, p=None)
RandomEqualize(p=0.5)
RandomErasing(p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False)
RandomGrayscale(p=0.1)
RandomInvert(p=0.5)
RandomOrder(transforms)
RandomPerspective(distortion_scale=0.5, p=0.5, interpolation=bilinear, fill=0)
RandomPosterize(bits, p=0.5)
RandomRotation(degrees, interpolation=nearest, expand=False, center=None, fill=0)
RandomSolarize(threshold, p=0.5)
TenCrop(size, vertical_flip=False)
TrivialAugmentWide(num_magnitude_bins=31, interpolation=nearest, fill=None)
functional.adjust_brightness(img, brightness_factor)
functional.adjust_contrast(img, contrast_factor)
functional.adjust_gamma(img, gamma, gain=1)
functional.adjust_hue(img, hue_factor)
functional.adjust_saturation(img, saturation_factor)
functional.adjust_sharpness(img, sharpness_factor)
functional.affine(img, angle, translate, scale, shear, interpolation=nearest, fill=None, center=None)
functional.autocontrast(img)
functional.center_crop(img, output_size)
functional.crop(img, top, left, height, width)
functional.equalize(img)
functional.erase(img, i, j, h, w, v, inplace=False)
functional.five_crop(img, size)
functional.gaussian_blur(img, kernel_size, sigma=None)
functional.get_dimensions(img)
functional.get_image_num_channels(img)
functional.get_image_size(img)
functional.hflip(img)
functional.invert(img)
functional.normalize(tensor, mean, std, inplace=False)
functional.pad(img, padding, fill=0, padding_mode='constant')
functional.perspective(img, startpoints, endpoints, interpolation=bilinear, fill=None)
functional.pil_to_tensor(pic)
functional.posterize(img, bits)
functional.resize(img, size, interpolation=bilinear, max_size=None, antialias=True)
functional.resized_crop(img, top, left, height, width, size, interpolation=bilinear, antialias=True)
functional.rgb_to_grayscale(img, num_output_channels=1)
functional.rotate(img, angle, interpolation=nearest, expand=False, center=None, fill=None)
functional.solarize(img, threshold)
functional.ten_crop(img, size, vertical_flip=False)
functional.to_grayscale(img, num_output_channels=1)
functional.to_pil_image(pic, mode=None)
functional.to_tensor(pic)
functional.vflip(img)
"""


@pytest.mark.parametrize("line", SIGNATURES.split("\n")[1:-1])
def test_signatures_are_those_of_torchvision(line):
    path, _, expected = line.partition("(")
    found = transforms
    for name in path.split("."):
        found = getattr(found, name)
    parameters = inspect.signature(found).parameters.values()
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    assert str(inspect.Signature(bare)) == f"({expected}"


def test_all_functions_have_their_signature_checked():
    listed = {line.partition("(")[0] for line in SIGNATURES.split()}
    functions = {f"functional.{name}" for name in F.__all__ if inspect.isfunction(getattr(F, name))}
    assert functions - listed == {"functional.convert_image_dtype"}
    assert inspect.signature(F.convert_image_dtype).parameters["dtype"].default is np.float32


CHAIN = transforms.Compose(
    [
        *(CHANGES[name] for name in ("affine", "jitter", "perspective", "trivial", "blur")),
        transforms.RandomCrop(8, padding=2),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        transforms.RandomErasing(value="random"),
        transforms.Cutout(3),
    ]
)


def test_any_number_of_workers_gives_the_same_bytes():
    images = ImageArrays(
        np.stack([pixels(8, 8, seed=seed) for seed in range(23)]), np.arange(23) % 5, list("abcde"), CHAIN
    )
    mix = transforms.RandomChoice([transforms.MixUp(num_classes=5), transforms.CutMix(num_classes=5)])
    runs = []
    for workers in (0, 1, 4):
        loader = DataLoader(
            images,
            4,
            shuffle=True,
            seed=3,
            num_workers=workers,
            collate_fn=lambda samples: mix(*default_collate(samples)),
        )
        runs.append([[part.numpy().tobytes() for part in batch] for _ in range(2) for batch in loader])
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][:6] != runs[0][6:]


def test_the_same_sample_is_changed_alike_in_any_batch():
    images = ImageArrays(pixels(8, 8)[None].repeat(6, 0), np.zeros(6, np.int64), ["a"], CHAIN)
    small, large = (
        np.concatenate([images.numpy() for images, _ in DataLoader(images, size, seed=1)]) for size in (1, 6)
    )
    assert np.array_equal(small, large)
    assert len(np.unique(small, axis=0)) == 6


def test_tensors_of_numbers_are_flipped_cut_and_blurred_too():
    x = transforms.ToTensor()(pixels())
    for change in (F.hflip, F.vflip, lambda t: F.crop(t, 1, 2, 3, 4), lambda t: F.pad(t, 2)):
        made = change(x)
        expected = transforms.ToTensor()(change(pixels()))
        assert np.array_equal(made.numpy(), expected.numpy())
    blurred, of_bytes = (F.gaussian_blur(image, 3, 1).numpy() for image in (x, tensor(pixels())))
    assert np.allclose(blurred * 255, of_bytes, atol=0.51)


def test_any_callable_is_a_link_of_a_chain():
    def double(image):
        return image * 2

    class Add:
        def __call__(self, image):
            return image + 1

    assert transforms.Compose([double, Add(), abs, np.sqrt])(4) == 3
