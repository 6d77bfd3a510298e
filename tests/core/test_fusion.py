"""Results that wait for a partner: the same numbers, whatever happens to them in between."""

import copy
import pickle

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, backends, nn
from minicnn.core.fusion import Pending, fusing
from minicnn.core.op import observe
from minicnn.errors import ShapeError
from minicnn.nn import functional as F


@pytest.fixture(autouse=True)
def _native():
    reason = backends.unavailable("native")
    if reason:
        pytest.skip(reason)
    with backends.use_backend("native"):
        yield


def operands(rng):
    return [
        Tensor(rng.standard_normal(s).astype(np.float32), requires_grad=True) for s in ((3, 4), (5, 4), (5,))
    ]


def fused_calls():
    names = ("conv2d_relu", "linear_relu", "batch_norm_relu", "batch_norm_add", "batch_norm_add_relu")
    return sum(calls(name) for name in names)


def calls(name):
    return backends.report().get(name, {}).get("native", {}).get("kernel", 0)


def convolution(rng):
    shapes = (2, 3, 6, 6), (4, 3, 3, 3), (4,)
    return [Tensor(rng.standard_normal(s).astype(np.float32), requires_grad=True) for s in shapes]


def results(function, tensors, fuse):
    for tensor in tensors:
        tensor.grad = None
    with fusing() if fuse else minicnn.enable_grad():
        y = function(*tensors)
    y.sum().backward()
    return [y.detach().numpy(), *(None if t.grad is None else t.grad.numpy() for t in tensors)]


def several_uses(x, w, b):
    y = F.conv2d(x, w, b)
    return F.relu(y).sum() + (y * y).sum()


FUNCTIONS = {
    "fused": lambda x, w, b: F.relu(F.conv2d(x, w, b, padding=1)),
    "without bias": lambda x, w, b: F.relu(F.conv2d(x, w)) + b.sum(),
    "nothing to fuse with": lambda x, w, b: F.conv2d(x, w, b).exp(),
    "returned as it is": lambda x, w, b: F.conv2d(x, w, b),
    "looked at": lambda x, w, b: F.relu(F.conv2d(x, w, b) if F.conv2d(x, w, b).sum().item() else x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_fused_and_plain_give_the_same_bits(name, rng):
    tensors = convolution(rng)
    plain, fused = (results(FUNCTIONS[name], tensors, fuse) for fuse in (False, True))
    for a, b in zip(plain, fused, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("needs", [(True, True, True), (False, True, False), (True, False, True)])
def test_a_dense_layer_with_its_relu_gives_the_same_bits(needs, rng):
    tensors, before = operands(rng), calls("linear_relu")
    for tensor, need in zip(tensors, needs, strict=True):
        tensor.requires_grad = need
    for function in (lambda x, w, b: F.relu(F.linear(x, w, b)), lambda x, w, b: F.relu(F.linear(x, w))):
        plain, fused = (results(function, tensors, fuse) for fuse in (False, True))
        for a, b in zip(plain, fused, strict=True):
            assert a is b is None or np.array_equal(a, b)
    assert calls("linear_relu") == before + 2


def test_a_result_that_is_used_twice_is_right(rng):
    """It is computed once more for the second use, so gradients are summed in another order."""
    tensors = convolution(rng)
    plain, fused = (results(several_uses, tensors, fuse) for fuse in (False, True))
    for a, b in zip(plain, fused, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * abs(a).max())


def test_partners_are_computed_at_once(rng):
    tensors, before = convolution(rng), fused_calls()
    results(FUNCTIONS["fused"], tensors, True)
    assert fused_calls() == before + 1
    results(FUNCTIONS["fused"], tensors, False)
    assert fused_calls() == before + 1


def test_errors_come_from_the_call_and_not_from_the_first_look(rng):
    x, w, _ = convolution(rng)
    with fusing(), pytest.raises(ShapeError, match="conv2d"):
        F.conv2d(x, w[:, :2])


def test_a_pending_result_is_a_plain_tensor_once_touched(rng):
    x, w, b = convolution(rng)
    with fusing():
        y = F.conv2d(x, w, b)
        assert type(y) is Pending
        assert y.shape == (2, 4, 4, 4) and y.ndim == 4 and y.dtype == np.float32 and type(y) is Pending
        assert y.numel() == 128 and type(y) is Tensor and y.shape == (2, 4, 4, 4)
        z = F.conv2d(x, w, b)
    assert type(z) is Tensor and z.requires_grad


def test_a_batch_of_one_value_per_channel_is_refused_by_the_call(rng):
    with fusing(), pytest.raises(ShapeError, match="more than 1 value per channel"):
        F.batch_norm(Tensor(np.ones((1, 3), np.float32)), None, None, training=True)


def test_the_reference_backend_fuses_nothing(rng):
    x, w, b = convolution(rng)
    with backends.use_backend("numpy"), fusing():
        assert type(F.conv2d(x, w, b)) is Tensor


def test_a_case_without_a_kernel_is_computed_by_the_composition(rng):
    x, w, b = (Tensor(t.detach().numpy().astype(np.float64)) for t in convolution(rng))
    with fusing():
        y = F.relu(F.conv2d(x, w, b))
    assert y.dtype == np.float64 and np.array_equal(y.numpy(), np.maximum(F.conv2d(x, w, b).numpy(), 0))


def test_recording_is_decided_where_the_call_stands(rng):
    x, w, b = convolution(rng)
    with fusing():
        with minicnn.no_grad():
            y = F.conv2d(x, w, b)
        z = F.relu(y)
        assert not z.requires_grad
        y = F.conv2d(x, w, b)
        with minicnn.no_grad():
            assert not F.relu(y).requires_grad
        assert y.requires_grad


@pytest.mark.parametrize("change", ["itself", "detached", "part", "data"])
def test_what_changes_in_place_later_is_not_what_was_computed_with(rng, change):
    x, w, b = convolution(rng)
    expected = F.conv2d(x, w, b).sum().item()
    with fusing():
        y = F.conv2d(x, w, b)
        with minicnn.no_grad():
            {"itself": w, "detached": w.detach(), "part": w[0], "data": w.data}[change].mul_(2)
        assert y.sum().item() == expected


def test_an_error_in_the_block_loses_no_running_statistics(rng):
    norm = nn.BatchNorm2d(3)
    with pytest.raises(ShapeError), fusing():
        norm(convolution(rng)[0])
        F.linear(minicnn.ones(2, 3), minicnn.ones(2, 2))
    assert norm.num_batches_tracked.item() == 1 and not np.array_equal(norm.running_mean.numpy(), [0, 0, 0])


def test_a_chain_of_sums_is_no_deeper_than_one(rng):
    x, w, _ = convolution(rng)
    w, y = w[:3].detach(), minicnn.zeros(*x.shape)
    with fusing(), minicnn.no_grad():
        for _ in range(2000):
            y = F.conv2d(x, w, padding=1) + y
    assert type(y) is Tensor


def test_hooks_see_every_layer(rng):
    model = minicnn.compile(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.detach().numpy()))
    x = convolution(rng)[0].detach()
    y = model(x)
    assert np.array_equal(np.maximum(seen[0], 0), y.detach().numpy())


def test_a_compiled_model_is_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    keys = list(model.state_dict())
    assert minicnn.compile(model) is model and list(model.state_dict()) == keys
    with pytest.raises(minicnn.OptionError, match="compile: expected a module, got int"):
        minicnn.compile(3)


# -- shortcuts -------------------------------------------------------------------------------

SHORTCUTS = {  # and how often conv2d_add, conv2d_add_relu and conv2d run
    "add": (lambda x, w, b, z: F.conv2d(x, w, b) + z, (1, 0, 0)),
    "added to": (lambda x, w, b, z: (z + F.conv2d(x, w)).exp(), (1, 0, 0)),
    "add and relu": (lambda x, w, b, z: F.relu(F.conv2d(x, w, b) + z) * z, (0, 1, 0)),
    "two convolutions": (lambda x, w, b, z: F.relu(F.conv2d(x, w, b) + F.conv2d(x, w)), (0, 1, 1)),
    "broadcast": (lambda x, w, b, z: F.relu(F.conv2d(x, w, b) + z[:1]), (0, 0, 1)),
}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_shortcuts_fused_and_plain_give_the_same_bits(name, rng):
    function, expected = SHORTCUTS[name]
    tensors = [
        *convolution(rng),
        Tensor(rng.standard_normal((2, 4, 4, 4)).astype(np.float32), requires_grad=True),
    ]
    plain = results(function, tensors, False)
    before = [calls(op) for op in ("conv2d_add", "conv2d_add_relu", "conv2d")]
    fused = results(function, tensors, True)
    after = [calls(op) for op in ("conv2d_add", "conv2d_add_relu", "conv2d")]
    assert tuple(a - b for a, b in zip(after, before, strict=True)) == expected
    for a, b in zip(plain, fused, strict=True):
        assert a is b is None or np.array_equal(a, b)


# -- pooling ---------------------------------------------------------------------------------


POOLED = {  # and how often relu_max_pool2d, conv2d, conv2d_relu and relu run
    "pooled": (lambda x, w, b: F.max_pool2d(F.relu(F.conv2d(x, w, b, padding=1)), 2), (1, 1, 0, 0)),
    "one image": (lambda x, w, b: F.max_pool2d(F.relu(F.conv2d(x, w, b))[0], 2), (0, 0, 1, 0)),
    "overlapping": (lambda x, w, b: F.max_pool2d(F.relu(F.conv2d(x, w, b)), 3, 1, 1), (1, 1, 0, 0)),
    "with indices": (
        lambda x, w, b: F.max_pool2d(F.relu(F.conv2d(x, w)), 2, return_indices=True)[0],
        (0, 0, 1, 0),
    ),
    "another pooling": (lambda x, w, b: F.avg_pool2d(F.relu(F.conv2d(x, w, b)), 2), (0, 0, 1, 0)),
    "without relu": (lambda x, w, b: F.max_pool2d(F.conv2d(x, w, b), 2), (0, 1, 0, 0)),
    "used once more": (
        lambda x, w, b: (lambda y: F.max_pool2d(y, 2).sum() + y.sum())(F.relu(F.conv2d(x, w, b))),
        (1, 1, 0, 1),
    ),
}


@pytest.mark.parametrize("name", POOLED)
def test_pooled_fused_and_plain_give_the_same_bits(name, rng):
    function, expected = POOLED[name]
    tensors = convolution(rng)
    plain = results(function, tensors, False)
    before = [calls(op) for op in ("relu_max_pool2d", "conv2d", "conv2d_relu", "relu")]
    fused = results(function, tensors, True)
    after = [calls(op) for op in ("relu_max_pool2d", "conv2d", "conv2d_relu", "relu")]
    assert tuple(a - b for a, b in zip(after, before, strict=True)) == expected
    for a, b in zip(plain, fused, strict=True):
        assert a is b is None or np.array_equal(a, b)


def test_a_window_that_does_not_fit_is_refused_by_the_pooling(rng):
    with fusing(), pytest.raises(ShapeError, match="max_pool2d") as fused:
        F.max_pool2d(F.relu(F.conv2d(*convolution(rng))), 9)
    with pytest.raises(ShapeError, match="max_pool2d") as plain:
        F.max_pool2d(F.relu(F.conv2d(*convolution(rng))), 9)
    assert str(fused.value) == str(plain.value)


# -- batch normalization ---------------------------------------------------------------------


def normalization(rng):
    shapes = (4, 3, 5, 7), (4, 3, 5, 7), (3,), (3,)
    return [Tensor(rng.standard_normal(s).astype(np.float32), requires_grad=True) for s in shapes]


def norm(x, w, b):
    return F.batch_norm(x, None, None, w, b, training=True)


NORMALIZED = {  # and how many fused kernels run
    "relu": (lambda x, z, w, b: F.relu(norm(x, w, b)) * z, 1),
    "add": (lambda x, z, w, b: norm(x, w, b) + z, 1),
    "added to": (lambda x, z, w, b: (z + norm(x, w, b)).exp(), 1),
    "add and relu": (lambda x, z, w, b: F.relu(norm(x, w, b) + z) * z, 1),
    "two normalizations": (lambda x, z, w, b: F.relu(norm(x, w, b) + norm(z, w, b)), 1),
    "a number is added": (lambda x, z, w, b: F.relu(norm(x, w, b) + 1) * z, 0),
    "broadcast": (lambda x, z, w, b: F.relu(norm(x, w, b) + z[:1]), 0),
    "to itself": (lambda x, z, w, b: (lambda y: y + y)(norm(x, w, b)) * z, 0),
    "float64": (lambda x, z, w, b: (norm(x, w, b) + z.to(minicnn.float64)).to(minicnn.float32), 0),
}


@pytest.mark.parametrize("name", NORMALIZED)
def test_normalization_fused_and_plain_give_the_same_bits(name, rng):
    function, count = NORMALIZED[name]
    tensors, before = normalization(rng), fused_calls()
    plain, fused = (results(function, tensors, fuse) for fuse in (False, True))
    assert fused_calls() == before + count
    for a, b in zip(plain, fused, strict=True):
        assert np.array_equal(a, b)


def statistics_of(forward, x, fuse):
    """The running statistics after a call of ``forward(norm, x)``."""
    layer = nn.BatchNorm2d(3, momentum=0.3)
    with fusing() if fuse else minicnn.enable_grad():
        forward(layer, x)
    return [layer.running_mean.numpy(), layer.running_var.numpy(), layer.num_batches_tracked.numpy()]


@pytest.mark.parametrize(
    "forward",
    [
        lambda layer, x: F.relu(layer(x)),
        lambda layer, x: F.relu(layer(x) + x),
        lambda layer, x: layer(x) + x,
        lambda layer, x: bool(layer(x) is x),  # used by nobody
        lambda layer, x: (lambda first, second: F.relu(second) + F.relu(first))(layer(x), layer(2 * x)),
        lambda layer, x: (lambda y: F.relu(y).sum() + y.sum())(layer(x)),
    ],
)
def test_running_statistics_are_those_of_the_calls_in_their_order(forward, rng):
    x = normalization(rng)[0]
    for a, b in zip(statistics_of(forward, x, False), statistics_of(forward, x, True), strict=True):
        assert np.array_equal(a, b)


def test_a_residual_block_runs_two_fused_kernels(rng):
    block = minicnn.compile(minicnn.models.resnet.BasicBlock(3, 3))
    before = calls("batch_norm_relu"), calls("batch_norm_add_relu"), calls("relu"), calls("batch_norm")
    block(normalization(rng)[0]).sum().backward()
    after = calls("batch_norm_relu"), calls("batch_norm_add_relu"), calls("relu"), calls("batch_norm")
    assert after == (before[0] + 1, before[1] + 1, *before[2:])


def test_what_is_observed_is_not_fused(rng):
    tensors, seen = convolution(rng), []
    with observe(lambda op, *_: seen.append(op.name)), fusing():
        FUNCTIONS["fused"](*tensors)
    assert seen == ["conv2d", "relu"]


def test_a_deep_chain_does_not_wait_as_a_whole(rng):
    x, w, _ = convolution(rng)
    w = w[:3].detach()
    with fusing(), minicnn.no_grad():
        for _ in range(2000):
            x = F.relu(F.conv2d(x, w, padding=1))
    assert type(x) is Tensor


def test_blocks_within_blocks_fuse_across_their_ends(rng):
    inner = minicnn.compile(nn.Conv2d(3, 4, 3))
    x, before = convolution(rng)[0], calls("conv2d_relu")
    with fusing():
        y = F.relu(inner(x))
        with fusing(False):
            z = F.relu(F.conv2d(x, inner.weight))
    assert type(y) is type(z) is Tensor and calls("conv2d_relu") == before + 2
    with fusing(False):
        assert type(F.conv2d(x, inner.weight)) is Tensor


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda y: pickle.loads(pickle.dumps(y))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_what_waits_can_be_copied(copied):
    with fusing():
        y = F.relu(F.linear(minicnn.ones(1, 2), minicnn.ones(3, 2)))
        z = F.linear(y, minicnn.ones(2, 3))
        same = copied(z)
    assert type(same) is Tensor
    assert same.tolist() == z.tolist() == [[6.0, 6.0]]
