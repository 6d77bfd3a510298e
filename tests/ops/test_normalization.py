"""What the operation table cannot say of normalization: precision, running statistics, PyTorch's numbers."""

import numpy as np
import pytest

import minicnn
from minicnn import Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.nn import functional as F
from minicnn.ops.normalization import batch_norm, batch_norm_inference

# torch 2.13, float64, rounded to 15 places; x = (0, 1, ..., 11)² / 10 as (2, 3, 2), momentum 0.3,
# running_mean = 1, 2, 3 and running_var = 1, ½, 2 before.
X = (np.arange(12.0).reshape(2, 3, 2)) ** 2 / 10
WEIGHT, BIAS = np.array([1.0, 2.0, 0.5]), np.array([0.0, 1.0, -1.0])
BATCH = [
    [[-0.99999891833599, -0.953487340738967], [-1.113759074967795, -0.816046529197683]]
    + [[-1.541347310319528, -1.442920526625068]],
    [[0.67441787515683, 1.279068383918126], [2.458791474273549, 3.471014129891929]]
    + [[-0.622697329171238, -0.393034833884165]],
]
BATCH_RUNNING = [1.345, 2.585, 4.065], [2.549, 4.863, 9.761]
EVALUATION = [  # with the statistics after that step
    [[-0.842435218927285, -0.779800630159457], [-0.981658687999662, -0.528189880677085]]
    + [[-1.394493225030435, -1.250459187493968]],
    [[1.412409976714518, 2.22665963069628], [4.459966999871264, 6.001760944768026]]
    + [[-0.050175541356741, 0.285903879561683]],
]
INSTANCE = [
    [[-0.998005980069749, 0.998005980069749], [-0.999840019197441, 2.99984001919744]]
    + [[-1.499987654778216, -0.500012345221783]],
    [[-0.999988165890546, 0.999988165890546], [-0.999986159313226, 2.999986159313225]]
    + [[-1.49999773244173, -0.500002267558271]],
]
INSTANCE_RUNNING = [1.345, 2.585, 4.065], [0.8275, 0.5855, 1.7915]
GROUP = [  # of (0, ..., 15)² / 10 as (2, 4, 2), 2 groups, weight 1, 2, 3, 4
    [[-0.999959186172258, -0.714256561551613], [0.285702624620645, 3.142728870827097]]
    + [[-3.768537801769856, -1.580354562032521], [1.458788826491557, 5.673067658578279]],
    [[-1.293132199409658, -0.493741385229142], [0.799390814180517, 2.774356355097086]]
    + [[-3.923387249004816, -1.440230762292908], [1.655437657807943, 5.496053023922362]],
]
LAYER = [  # normalized_shape (3, 2), weight 0, 1, ..., 5
    [[0, -0.918009364801617], [-1.161562869748985, -0.056204654987854]]
    + [[3.072521139336024, 8.8990703730769]],
    [[0, -0.89796369991555], [-0.766414877634928, 0.6005489712811]]
    + [[3.408830351271769, 7.864331766776312]],
]


def running(dtype=np.float64):
    return Tensor(np.array([1.0, 2.0, 3.0], dtype)), Tensor(np.array([1.0, 0.5, 2.0], dtype))


def close(actual, expected):
    np.testing.assert_allclose(actual.array, expected, rtol=0, atol=2e-14)


# -- PyTorch's numbers -----------------------------------------------------------------------


def test_batch_norm_is_that_of_pytorch():
    mean, var = running()
    y = F.batch_norm(Tensor(X), mean, var, Tensor(WEIGHT), Tensor(BIAS), True, 0.3)
    close(y, BATCH)
    close(mean, BATCH_RUNNING[0])
    close(var, BATCH_RUNNING[1])


def test_batch_norm_evaluates_with_running_statistics_and_leaves_them():
    mean, var = (Tensor(np.array(numbers)) for numbers in BATCH_RUNNING)
    for evaluate in (F.batch_norm, lambda *operands: F.instance_norm(*operands, use_input_stats=False)):
        close(evaluate(Tensor(X), mean, var, Tensor(WEIGHT), Tensor(BIAS)), EVALUATION)
    assert (mean.tolist(), var.tolist()) == BATCH_RUNNING


def test_instance_norm_is_that_of_pytorch():
    mean, var = running()
    y = F.instance_norm(Tensor(X), mean, var, Tensor(WEIGHT), Tensor(BIAS), True, 0.3)
    close(y, INSTANCE)
    close(mean, INSTANCE_RUNNING[0])
    close(var, INSTANCE_RUNNING[1])


def test_group_norm_and_layer_norm_are_those_of_pytorch():
    x = np.arange(16.0).reshape(2, 4, 2) ** 2 / 10
    close(F.group_norm(Tensor(x), 2, Tensor(np.array([1.0, 2.0, 3.0, 4.0]))), GROUP)
    close(F.layer_norm(Tensor(X), [3, 2], Tensor(np.arange(6.0).reshape(3, 2))), LAYER)


# -- how they relate -------------------------------------------------------------------------


def test_instance_norm_is_group_norm_with_one_channel_a_group(rng):
    x = Tensor(rng.standard_normal((2, 4, 3, 3)))
    np.testing.assert_array_equal(F.instance_norm(x).array, F.group_norm(x, 4).array)


def test_group_norm_with_one_group_is_layer_norm(rng):
    x = Tensor(rng.standard_normal((2, 4, 3, 3)))
    close(F.group_norm(x, 1), F.layer_norm(x, (4, 3, 3)).array)


def test_training_output_has_mean_0_and_variance_1_per_channel(rng):
    x = Tensor(5 + 3 * rng.standard_normal((8, 3, 4, 4)))
    y = F.batch_norm(x, None, None, training=True, eps=1e-12).array
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-14)
    np.testing.assert_allclose(y.var((0, 2, 3)), 1, rtol=1e-11)


# -- precision -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(20000, 2), (8, 2, 40, 40), (1, 2, 64, 64)])
def test_variance_survives_a_large_mean_in_float32(rng, shape):
    x = (1e4 + rng.standard_normal(shape)).astype(np.float32)
    _, (_, mean, var, _) = batch_norm.call_with_saved(Tensor(x))
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(var, x.astype(np.float64).var(axes), rtol=0, atol=1e-3)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axes), rtol=1e-7)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.layer_norm(x, (3, 4)),
        lambda x: F.group_norm(x, 3),
        lambda x: F.instance_norm(x),
    ],
)
def test_constant_input_gives_0_and_finite_gradients(function):
    x = Tensor(np.full((4, 3, 4), 0.1, np.float32), requires_grad=True)
    y = function(x)
    np.testing.assert_allclose(y.array, 0, atol=1e-4)
    y.backward(np.arange(48, dtype=np.float32).reshape(4, 3, 4))
    assert np.isfinite(x.grad.array).all()


# -- running statistics ----------------------------------------------------------------------


def test_running_statistics_keep_their_dtype_and_memory():
    mean, var = running(np.float32)
    memory = mean.array
    F.batch_norm(Tensor(X), mean, var, training=True)
    assert mean.array is memory and mean.dtype == var.dtype == np.float32
    np.testing.assert_allclose(mean.array, 0.9 * np.array([1, 2, 3]) + 0.1 * X.mean((0, 2)), rtol=1e-6)


def test_one_running_statistic_may_be_missing():
    mean, _ = running()
    F.batch_norm(Tensor(X), mean, None, training=True, momentum=1.0)
    close(mean, X.mean((0, 2)))


def test_an_empty_batch_leaves_running_statistics_alone():
    for function in (F.batch_norm, F.instance_norm):
        mean, var = running()
        y = function(minicnn.zeros(0, 3, 4), mean, var, None, None, True)
        assert y.shape == (0, 3, 4)
        assert (mean.tolist(), var.tolist()) == ([1, 2, 3], [1, 0.5, 2])


def test_a_refused_call_changes_no_statistics():
    mean, var = running()
    with pytest.raises(ShapeError, match="more than 1 value per channel when training"):
        F.batch_norm(minicnn.ones(1, 3), mean, var, training=True)
    with pytest.raises(ShapeError, match=r"running_var of shape \(3,\), got \(2,\)"):
        F.batch_norm(Tensor(X), mean, minicnn.ones(2), training=True)
    assert (mean.tolist(), var.tolist()) == ([1, 2, 3], [1, 0.5, 2])


def test_evaluation_without_statistics_is_refused():
    with pytest.raises(OptionError, match="batch_norm: running_mean and running_var must be given"):
        F.batch_norm(Tensor(X), None, None)
    with pytest.raises(OptionError, match="instance_norm: running_mean and running_var must be given"):
        F.instance_norm(Tensor(X), use_input_stats=False)


def test_gradient_of_evaluation_uses_the_statistics_of_its_forward():
    mean, var = running()
    weight = Tensor(np.ones(3), requires_grad=True)
    y = batch_norm_inference(Tensor(X), mean, var, weight)
    expected = ((X - [[[1.0], [2.0], [3.0]]]) / np.sqrt(np.array([[[1.0], [0.5], [2.0]]]) + 1e-5)).sum((0, 2))
    F.batch_norm(Tensor(X), mean, var, training=True)  # training goes on before backward
    y.sum().backward()
    np.testing.assert_allclose(weight.grad.array, expected, rtol=1e-12)


def test_meta_tensors_give_shapes_and_leave_statistics_alone():
    mean, var = running()
    x = Tensor(X).to("meta")
    assert F.batch_norm(x, mean, var, training=True).shape == X.shape
    assert F.instance_norm(x, mean, var).shape == X.shape
    assert mean.tolist() == [1, 2, 3]


# -- types and sizes -------------------------------------------------------------------------


def normalizations(size):
    """Each on (N, size) float32, as functions of input, weight and bias."""
    return {
        "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        "layer_norm": lambda x, w, b: F.layer_norm(x, (size,), w, b),
        "group_norm": lambda x, w, b: F.group_norm(x, 1, w, b),
    }


@pytest.mark.parametrize("name", normalizations(4))
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_parameters_of_another_type_than_the_input_are_refused(name, dtype):
    x, good = minicnn.ones(2, 4), minicnn.ones(4)
    with pytest.raises(
        DTypeError, match=f"expected weight in the dtype of the input, float32, got {dtype.__name__}"
    ):
        normalizations(4)[name](x, Tensor(np.ones(4, dtype)), good)
    with pytest.raises(
        DTypeError, match=f"expected bias in the dtype of the input, float32, got {dtype.__name__}"
    ):
        normalizations(4)[name](x, good, Tensor(np.ones(4, dtype)))


def test_evaluation_takes_statistics_of_another_type():
    y = F.batch_norm(minicnn.ones(2, 3), *running(np.float64))
    assert y.dtype == np.float32


@pytest.mark.parametrize("name", normalizations(2))
def test_gradients_of_a_large_batch_keep_float32s_digits(name, rng):
    x, gy = rng.standard_normal((10**5, 2)).astype(np.float32), rng.uniform(0.1, 1.0, (10**5, 2))
    gradients = []
    for dtype in (np.float32, np.float64):
        operands = [Tensor(a.astype(dtype), requires_grad=True) for a in (x, np.ones(2), np.zeros(2))]
        normalizations(2)[name](*operands).backward(gy.astype(dtype))
        gradients.append([operand.grad.numpy() for operand in operands])
    (gx, gw, gb), (exact_x, exact_w, exact_b) = gradients
    np.testing.assert_allclose(gb, exact_b, rtol=5e-7)
    np.testing.assert_allclose(gw, exact_w, atol=1e-6 * np.abs(exact_b).max())
    if name == "batch_norm":  # the others divide by deviations near 0
        np.testing.assert_allclose(gx, exact_x, atol=2e-6)
