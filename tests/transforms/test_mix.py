"""MixUp and CutMix against literal loops, and what they refuse."""

import numpy as np
import pytest

from minicnn import transforms
from minicnn.core.random import new_generator, use_generator
from minicnn.core.tensor import Tensor
from minicnn.data import DataLoader, default_collate
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.nn import functional as F


def batch(n=5, classes=4, shape=(3, 6, 7), seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, *shape), np.float32), rng.integers(0, classes, n)


def under(transform, images, labels, seed):
    with use_generator(new_generator(seed)):
        mixed, probabilities = transform(Tensor(images), Tensor(labels))
    assert (mixed.dtype, probabilities.dtype) == (images.dtype, np.float32)
    return mixed.numpy(), probabilities.numpy()


def mixed_labels(labels, classes, share):
    expected = np.zeros((len(labels), classes))
    for n, label in enumerate(labels):
        expected[n, label] += share
        expected[n, labels[n - 1]] += 1 - share
    return expected


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_mixup_is_its_formula(alpha, n):
    images, labels = batch(n)
    before = images.copy()
    for seed in range(10):
        share = new_generator(seed).beta(alpha, alpha)
        expected = np.zeros_like(images)
        for i in range(n):
            for place in np.ndindex(images.shape[1:]):
                a, b = float(images[(i, *place)]), float(images[(i - 1, *place)])
                expected[(i, *place)] = share * a + (1 - share) * b
        made, probabilities = under(transforms.MixUp(alpha=alpha, num_classes=4), images, labels, seed)
        assert np.allclose(made, expected, atol=3e-7)
        assert np.allclose(probabilities, mixed_labels(labels, 4, share), atol=1e-6)
        assert np.array_equal(images, before)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_cutmix_is_its_formula(n):
    images, labels = batch(n)
    height, width = images.shape[2:]
    shares = []
    for seed in range(40):
        rng = new_generator(seed)
        share = rng.beta(1.0, 1.0)
        cx, cy = rng.integers(width), rng.integers(height)
        half_width = int(width * np.sqrt(1 - share) / 2)
        half_height = int(height * np.sqrt(1 - share) / 2)
        expected, cut = images.copy(), 0
        for y in range(height):
            for x in range(width):
                if cy - half_height <= y < cy + half_height and cx - half_width <= x < cx + half_width:
                    cut += 1
                    for i in range(n):
                        expected[i, :, y, x] = images[i - 1, :, y, x]
        before = images.copy()
        made, probabilities = under(transforms.CutMix(num_classes=4), images, labels, seed)
        assert np.array_equal(made, expected)
        assert np.array_equal(images, before)
        shares.append(1 - cut / (height * width))
        assert np.allclose(probabilities, mixed_labels(labels, 4, shares[-1]), atol=1e-6)
    assert max(shares) == 1
    assert min(shares) < 0.5


@pytest.mark.parametrize("mix", [transforms.MixUp, transforms.CutMix])
def test_labels_may_be_probabilities_already(mix):
    images, labels = batch()
    one_hot = np.eye(4, dtype=np.float32)[labels]
    for seed in range(5):
        first = under(mix(num_classes=4), images, labels, seed)
        for transform in (mix(), mix(num_classes=4)):
            again = under(transform, images, one_hot, seed)
            assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    twice = under(mix(), *under(mix(num_classes=4), images, labels, 1), 2)[1]
    assert np.allclose(twice.sum(1), 1)


def test_a_batch_may_come_as_one_pair():
    images, labels = batch()
    pair = [Tensor(images), Tensor(labels)]
    with use_generator(new_generator(0)):
        one = transforms.MixUp(num_classes=4)(pair)
    assert np.array_equal(one[0].numpy(), under(transforms.MixUp(num_classes=4), images, labels, 0)[0])


@pytest.mark.parametrize("mix", [transforms.MixUp(num_classes=4), transforms.CutMix(num_classes=4)])
def test_refusals(mix):
    images, labels = batch()
    name = type(mix).__name__
    for bad_images, bad_labels, error in [
        (images, Tensor(labels), DTypeError),
        (Tensor(images), labels, DTypeError),
        (Tensor((images * 255).astype(np.uint8)), Tensor(labels), DTypeError),
        (Tensor(images[0]), Tensor(labels), ShapeError),
        (Tensor(images[:4]), Tensor(labels), ShapeError),
        (Tensor(images[:0]), Tensor(labels[:0]), ShapeError),
        (Tensor(images), Tensor(np.full((5, 3), 1 / 3)), ShapeError),
        (Tensor(images), Tensor(labels + 1 - labels.min() + 3), LabelError),
        (Tensor(images), Tensor(labels - labels.min() - 1), LabelError),
        (Tensor(images), Tensor(labels.astype(np.float32)), OptionError),
    ]:
        with pytest.raises(error, match=f"^{name}: "):
            mix(bad_images, bad_labels)
    with pytest.raises(OptionError, match="num_classes and labels"):
        type(mix)()(Tensor(images), Tensor(labels))


def test_the_loss_of_a_mixture_is_the_mixture_of_losses():
    images, labels = batch()
    scores = Tensor(np.random.default_rng(1).normal(size=(5, 4)))
    share = new_generator(3).beta(1.0, 1.0)
    _, probabilities = under(transforms.MixUp(num_classes=4), images, labels, 3)
    losses = [F.cross_entropy(scores, Tensor(np.roll(labels, shift))).item() for shift in (0, 1)]
    mixed = F.cross_entropy(scores, Tensor(probabilities.astype(np.float64))).item()
    assert mixed == pytest.approx(share * losses[0] + (1 - share) * losses[1], rel=1e-6)


def test_in_a_loader_mixtures_follow_seed_epoch_and_batch():
    images, labels = batch(9)[0], np.arange(9)
    samples = [(Tensor(image), int(label)) for image, label in zip(images, labels, strict=True)]
    mix = transforms.MixUp(num_classes=9)

    def run(workers):
        loader = DataLoader(
            samples, 3, seed=5, num_workers=workers, collate_fn=lambda s: mix(*default_collate(s))
        )
        return [q.numpy() for _ in range(2) for _, q in loader]

    once = run(0)
    assert all(np.array_equal(a, b) for a, b in zip(once, run(2), strict=True))
    shares = [float(q.max()) for q in once]
    assert len(set(shares)) == 6
