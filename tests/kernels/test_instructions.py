"""What programs have instructions for: layers and idioms of common networks, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import BackendError
from minicnn.nn import functional as F
from minicnn.testing.guard import available, guarded

SHAPE = (8, 12, 10)
PAGE = Path(__file__).parents[2] / "docs/serving.md"


def random(rng, *shape):
    return minicnn.tensor(rng.standard_normal(shape).astype(np.float32))


class Call(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class SqueezeExcite(nn.Module):
    """Channels times a number each, of convolutions or of dense layers; spread by hand or not."""

    def __init__(self, convolutions, expands=False):
        super().__init__()
        self.convolutions, self.expands = convolutions, expands
        layer = (lambda i, o: nn.Conv2d(i, o, 1)) if convolutions else nn.Linear
        self.squeeze, self.excite = layer(8, 2), layer(2, 8)

    def forward(self, x):
        mean = F.adaptive_avg_pool2d(x, 1) if self.convolutions else x.mean((2, 3))
        factors = F.sigmoid(self.excite(F.silu(self.squeeze(mean))))
        factors = factors.view(len(x), 8, 1, 1)
        return x * (factors.expand_as(x) if self.expands else factors)


class DenseBlock(nn.Module):
    """As in DenseNet, with its transition."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        return F.avg_pool2d(minicnn.cat([x, self.conv(F.relu(self.norm(x)))], 1), 2)


class ConvNeXtBlock(nn.Module):
    """Channels last in the middle."""

    def __init__(self):
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.LayerNorm(8)
        self.wide, self.narrow = nn.Linear(8, 32), nn.Linear(32, 8)
        self.scale = nn.Parameter(minicnn.linspace(0.5, 2, 8))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.narrow(F.gelu(self.wide(y)))).permute(0, 3, 1, 2)


class SpatialAttention(nn.Module):
    """Pixels times a number each."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 7, padding=3)

    def forward(self, x):
        return x * F.sigmoid(self.conv(x.mean(1, keepdim=True)))


class Normalized(nn.Module):
    """Images to a mean of 0 and a deviation of 1 of each channel."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", minicnn.linspace(-1, 1, 8).view(8, 1, 1))
        self.register_buffer("std", minicnn.linspace(0.5, 2, 8).view(1, 8, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


def shuffled(x):
    n, c, h, w = x.shape
    left, right = x.chunk(2, 1)
    x = minicnn.cat([left, F.relu(right)], 1)
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def last(x):
    """Channels last, as a view."""
    return x.permute(0, 2, 3, 1)


def views_of_a_copied_view(x):
    x = last(x)
    return F.relu(x).permute(0, 3, 1, 2)[:, 2:5] + x[:, :, :, ::3].permute(0, 3, 1, 2)


ROW = minicnn.linspace(1, 2, 10)
MATRIX = minicnn.linspace(-1, 1, 24).view(8, 3)
MODELS = {
    "squeeze and excitation, convolutions": SqueezeExcite(True),
    "squeeze and excitation, dense layers": SqueezeExcite(False),
    "squeeze and excitation, expanded": SqueezeExcite(False, expands=True),
    "DenseNet": DenseBlock(),
    "ConvNeXt": ConvNeXtBlock(),
    "spatial attention": SpatialAttention(),
    "normalized images": Normalized(),
    "GroupNorm": nn.GroupNorm(4, 8),
    "InstanceNorm2d": nn.InstanceNorm2d(8, affine=True),
    "LayerNorm of all": nn.LayerNorm(SHAPE),
    "LayerNorm of rows": nn.LayerNorm(SHAPE[2:]),
    "GELU": nn.GELU(),
    "GELU tanh": nn.GELU("tanh"),
    "ELU": nn.ELU(0.5),
    "Sigmoid": nn.Sigmoid(),
    "Tanh": nn.Tanh(),
    "SiLU": nn.SiLU(),
    "LeakyReLU": nn.LeakyReLU(0.2),
    "ReLU6": nn.ReLU6(),
    "Hardtanh": nn.Hardtanh(-0.5, 0.25),
    "Softplus": nn.Softplus(2.0),
    "Dropout": nn.Sequential(nn.Dropout(0.5), nn.Dropout2d(0.5), nn.ReLU()),
    "AdaptiveMaxPool2d": nn.AdaptiveMaxPool2d((3, 4)),
    "softmax at the end": nn.Sequential(nn.Flatten(), nn.Softmax(-1)),
    **{
        name: Call(function)
        for name, function in {
            "hardswish": lambda x: x * F.relu6(x + 3) / 6,
            "global mean": lambda x: x.mean((2, 3)),
            "global mean, kept": lambda x: x.mean((2, 3), keepdim=True),
            "mean over rows": lambda x: x.mean(2),
            "mean over columns": lambda x: x.mean(-1),
            "mean over channels": lambda x: x.mean(1),
            "mean of an image": lambda x: x.mean((1, 2, 3)),
            "minus its mean": lambda x: x - x.mean((1, 2, 3), keepdim=True),
            "clamp": lambda x: x.clamp(-0.5, 1),
            "clamp from below": lambda x: x.clamp(min=0.5),
            "numbers": lambda x: 1 - (-x) / 3 + (x - 2) * 4,
            "of two": lambda x: x * x - F.relu(x) + x.exp(),
            "a tensor of one number": lambda x: x * minicnn.tensor(2.0),
            "constant arrays": lambda x: ROW - (x + minicnn.ones(SHAPE)) * minicnn.ones(1),
            "matrix product": lambda x: x.mean((2, 3)) @ MATRIX,
            "joined rows": lambda x: minicnn.cat([x, x[:, :, ::2]], -2),
            "joined vectors": lambda x: minicnn.cat([x.flatten(1), x.mean((2, 3))], 1),
            "stack": lambda x: minicnn.stack([x, F.relu(x)], 1),
            "contiguous": lambda x: x.permute(0, 2, 3, 1).contiguous(),
            "channel shuffle": shuffled,
            "views of a copied view": views_of_a_copied_view,
            "views of what NumPy lays out otherwise": lambda x: last(x).clamp(0, 1).permute(0, 3, 1, 2),
            "pad": lambda x: F.pad(x, (1, 0, 2, 3)),
        }.items()
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_a_program_computes_what_the_model_computes(level, name, rng):
    model = MODELS[name].train()
    model(random(rng, 4, *SHAPE))  # batch normalization gets statistics
    model.eval()
    frozen = minicnn.freeze(model, random(rng, 2, *SHAPE))
    assert frozen.reason is None
    for n in (0, 1, 3, 70):
        x = random(rng, n, *SHAPE)
        with minicnn.no_grad():
            expected = model(x).numpy()
        got = frozen(x).numpy()
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * abs(expected).max(initial=1))


@pytest.mark.parametrize("name", MODELS)
def test_results_are_the_same_for_any_number_of_threads(steady, name, rng):
    x = random(rng, 9, *SHAPE)
    frozen = minicnn.freeze(MODELS[name], x)
    steady(lambda: [frozen(x).numpy(), frozen(x[:1]).numpy()])


@pytest.mark.skipif(not available(), reason="no guard pages")
@pytest.mark.parametrize("end", ["start", "end"])
@pytest.mark.parametrize("name", MODELS)
def test_nothing_around_the_images_is_read(level, name, end, rng):
    frozen = minicnn.freeze(MODELS[name], random(rng, 1, *SHAPE))
    for n in (1, 3):
        x = random(rng, n, *SHAPE)
        alone = guarded(x.numpy(), end)
        assert np.array_equal(frozen(alone).numpy(), frozen(x).numpy())
        assert np.array_equal(alone, x.numpy())


def test_what_moves_numbers_is_exact(level, rng):
    """Integers: so a number that is taken from a wrong place shows."""
    x = minicnn.tensor(rng.integers(-99, 99, (5, *SHAPE)).astype(np.float32))
    for name in ("joined rows", "stack", "contiguous", "channel shuffle", "pad"):
        assert np.array_equal(minicnn.freeze(MODELS[name], x)(x).numpy(), MODELS[name](x).numpy()), name


REFUSED = {
    "no instruction for pow": lambda x: x**2,
    "across images, or not neighbours": lambda x: x.mean((1, 3)),
    "a concatenation across images": lambda x: minicnn.cat([x, x], 0)[: len(x)],
    "a division by a result": lambda x: 1 / x,
    "a number without a reciprocal": lambda x: F.relu(x) / 1e39,
    "a number that float32 does not hold": lambda x: x * 1e39,
    "bounds that are no numbers": lambda x: x.clamp(min=x.mean((1, 2, 3), keepdim=True)),
    "broadcasts a result to a constant's shape": lambda x: x.mean(1, keepdim=True) * minicnn.ones(8, 1, 1),
    "dimensions that are no neighbours": lambda x: x * minicnn.ones(8, 1, 10),
    "a matrix that is not a constant": lambda x: x @ x.transpose(2, 3),
    "other than zeros": lambda x: F.pad(x, (1, 1), value=1.0),
    "a softmax across images": lambda x: F.softmax(x, 0),
    "different numbers of dimensions": lambda x: x + x.mean(1),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_instruction_is_refused_in_words(reason, rng):
    shape = (2, 2, 2, 2) if "different" in reason else (2, *SHAPE)
    with np.errstate(all="ignore"):
        frozen = minicnn.freeze(Call(REFUSED[reason]), random(rng, *shape))
    assert reason in frozen.reason


def test_strict_mode_asks_for_a_program_not_for_kernels_of_each_operation(rng):
    x = random(rng, 2, *SHAPE)
    with minicnn.backends.use_strict():
        with pytest.raises(BackendError, match="does not serve mean"):
            x.mean((2, 3))
        frozen = minicnn.freeze(MODELS["global mean"], x)
        assert frozen(x).shape == (2, 8)


def test_a_constant_that_is_changed_later(rng):
    """It belongs to no module, so the model's copy does not hold it."""
    factors = minicnn.ones(8, 1, 1)
    frozen = minicnn.freeze(Call(lambda x: x * factors), random(rng, 2, *SHAPE))
    x = random(rng, 2, *SHAPE)
    factors.zero_()
    assert np.array_equal(frozen(x).numpy(), x.numpy())


def test_weights_are_packed_once(monkeypatch, rng):
    """Though there is a program for one image and one for many, whose chunks have to be found."""
    from minicnn import _native

    packed = []

    def noting(pack, weights_at):
        def call(*args, **kwargs):
            algorithm = args[0] if weights_at else "dense"
            packed.append((algorithm, args[weights_at].ctypes.data))
            return pack(*args, **kwargs)

        return call

    monkeypatch.setattr(_native, "conv_packed", noting(_native.conv_packed, 3))
    monkeypatch.setattr(_native, "dense_packed", noting(_native.dense_packed, 0))
    minicnn.freeze(minicnn.models.build("resnet20"), random(rng, 1, 3, 32, 32))
    assert len(packed) == len(set(packed)) > 20
    assert len({weights for _, weights in packed}) == 20


def table():
    """The table of docs/serving.md, from the code."""
    from minicnn.backends.native.instructions import INSTRUCTIONS

    names = {}
    for name, function in INSTRUCTIONS.items():
        names.setdefault(function, []).append(f"`{name}`")
    return [
        f"| {', '.join(of_function)} | {function.__doc__.splitlines()[0].rstrip('.')} |"
        for function, of_function in names.items()
    ]


def test_the_page_lists_what_programs_take():
    text = PAGE.read_text(encoding="utf-8")
    listed = text.partition("| operation | taken |\n|---|---|\n")[2].partition("\n\n")[0]
    assert listed.splitlines() == table()


def test_views_are_those_of_the_page():
    from minicnn.core.op import ops

    text = PAGE.read_text(encoding="utf-8")
    views = {name for name, op in ops.items() if op.view} - {"to_device"}
    assert all(f"`{name}`" in text.partition("Views (")[2].partition(")")[0] for name in views)
