"""What operations share: NumPy's scalars, dtypes that meet, dimensions and sizes that are integers."""

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from minicnn import tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.ops import activation
from minicnn.ops.rules import common_dtype

X = tensor([1.0, -2.0, 3.0])

# -- numbers ---------------------------------------------------------------------------------

WITH_A_NUMBER = {
    "add": lambda n: X + n,
    "rsub": lambda n: n - X,
    "mul": lambda n: X * n,
    "div": lambda n: X / n,
    "pow": lambda n: X**n,
    "rpow": lambda n: n**X,
    "clamp": lambda n: X.clamp(n, n),
    "clamp_max": lambda n: X.clamp(max=n),
    "maximum": lambda n: minicnn.maximum(X, n),
    "minimum": lambda n: minicnn.minimum(n, X),
    "where": lambda n: minicnn.where(X > 0, n, X),
    "where_of_numbers": lambda n: minicnn.where(X > 0, n, n),
    "comparison": lambda n: n < X,
    "masked_fill": lambda n: X.masked_fill(X > 0, n),
    "full_like": lambda n: minicnn.full_like(X, n),
    "full": lambda n: minicnn.full((2,), n),
    "pad": lambda n: F.pad(X, (1, 1), value=n),
    "alpha": lambda n: X.add(X, alpha=n),
    "addcmul": lambda n: X.addcmul(X, X, value=n),
    "setitem": lambda n: minicnn.ops.functions.setitem(X, 0, n),
    "var": lambda n: X.var(correction=n),
    "norm": lambda n: X.norm(n),
    "normalize": lambda n: F.normalize(X, dim=0, eps=n),
    "leaky_relu": lambda n: F.leaky_relu(X, n),
    "leaky_relu_op": lambda n: activation.leaky_relu(X, negative_slope=n),
    "hardtanh_op": lambda n: activation.hardtanh(X, min_val=-n, max_val=n),
    "elu_op": lambda n: activation.elu(X, alpha=n),
    "softplus_op": lambda n: activation.softplus(X, beta=n),
    "smooth_l1_loss": lambda n: F.smooth_l1_loss(X, X + 1, beta=n),
    "huber_op": lambda n: minicnn.ops.loss.huber_loss(X, X + 1, delta=n),
    "label_smoothing": lambda n: F.cross_entropy(X[None], tensor([1]), label_smoothing=n),
    "layer_norm": lambda n: minicnn.ops.normalization.layer_norm(X, normalized_shape=(3,), eps=n),
}


@pytest.mark.filterwarnings("ignore:invalid value encountered in")
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", WITH_A_NUMBER)
def test_numpys_scalars_count_as_pythons_numbers(name, kind):
    call = WITH_A_NUMBER[name]
    expected, y = call(0.5), call(kind(0.5))
    assert y.dtype == expected.dtype and y.dtype in (np.float32, np.bool_)
    np.testing.assert_array_equal(y.numpy(), expected.numpy())


def test_numpys_integers_and_bools_count_as_pythons_too():
    half = tensor([1.5], dtype=np.float16)
    assert [(half * n).dtype for n in (np.int64(2), np.uint8(2), np.True_)] == [np.float16] * 3
    small = tensor([1], dtype=np.int8)
    assert [(small + n).dtype for n in (np.int64(2), np.uint8(2))] == [np.int8] * 2
    assert (tensor([1]) * np.float64(0.5)).dtype == np.float32


@pytest.mark.parametrize("other", [np.longdouble(2), np.complex64(1), np.array([1j]), np.array([None, None])])
def test_operands_of_numpy_are_numbers_of_a_tensors_types(other):
    with pytest.raises(DTypeError, match="expected numbers"):
        tensor([1.0, 2.0]) * other


def test_arrays_in_foreign_byte_order_are_turned():
    foreign = np.array([1.0, 2.0], ">f4")
    for y in (tensor([1.0, 2.0]) + foreign, minicnn.where(tensor([True, False]), foreign, 0.0)):
        assert y.dtype.isnative and y.dtype == np.float32
    assert tensor([1.0, 2.0])[np.array([1, 0], ">i8")].tolist() == [2.0, 1.0]


# -- dtypes that meet ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "point", "expected"),
    [
        ("float16", "float32", "float16"),
        ("float32", "float64", "float32"),
        ("int32", "int64", "int32"),
        ("uint8", "int64", "uint8"),
        ("int64", "float16", "float16"),
        ("int64", "float64", "float64"),
        ("bool", "uint8", "uint8"),
        ("float32", "int64", "float32"),
        ("int64", "bool", "int64"),
    ],
)
@pytest.mark.parametrize("function", [minicnn.add, minicnn.mul, minicnn.maximum, minicnn.clamp])
def test_a_single_number_adapts_to_an_array_unless_its_kind_is_higher(function, array, point, expected):
    x, y = tensor([1], dtype=array), tensor(1, dtype=point)
    assert function(x, y).dtype == function(x.to("meta"), y.to("meta")).dtype == expected
    assert common_dtype(y.array, x.array) == expected
    assert (y + y).dtype == point


def test_the_gradient_of_a_single_number_has_its_own_dtype():
    x = tensor([1.0, 2.0], requires_grad=True)
    w = tensor(3.0, dtype=np.float64, requires_grad=True)
    y = x * w
    y.sum().backward()
    assert y.dtype == np.float32
    assert (w.grad.dtype, w.grad.item(), x.grad.tolist()) == (np.float64, 3.0, [3.0, 3.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x - x,
        lambda x: x - True,
        lambda x: -x,
        lambda x: x**x,
        lambda x: F.relu(x),
        lambda x: F.hardtanh(x),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_bools_have_no_such_operation(call, device):
    with pytest.raises(DTypeError):
        call(tensor([True, False]).to(device))


def test_integers_keep_their_type_in_relu_and_hardtanh():
    x = tensor([-5, 2, 9])
    assert (F.relu(x).dtype, F.relu(x).tolist()) == (np.int64, [0, 2, 9])
    assert (F.relu6(x).dtype, F.relu6(x).tolist()) == (np.int64, [0, 2, 6])
    assert F.hardtanh(x, -1.9, 1.9).tolist() == [-1, 1, 1]
    assert F.hardtanh(tensor([0, 9], dtype=np.uint8), -3.0, float("inf")).tolist() == [0, 9]


def test_the_sign_of_a_bool_is_itself():
    y = tensor([True, False]).sign()
    assert (y.dtype, y.tolist()) == (np.bool_, [True, False])


# -- dimensions ------------------------------------------------------------------------------

WITH_A_DIM = {
    **{name: lambda x, d, name=name: getattr(x, name)(dim=d) for name in (
        "sum", "mean", "var", "std", "norm", "amax", "amin", "max", "min", "argmax", "argmin", "all", "any",
        "softmax", "log_softmax", "sort", "argsort", "squeeze", "unsqueeze", "unbind",
    )},
    "flip": lambda x, d: x.flip((d,)),
    "sum_of_several": lambda x, d: x.sum((1, d)),
    "flatten": lambda x, d: x.flatten(d),
    "transpose": lambda x, d: x.transpose(d, 1),
    "permute": lambda x, d: x.permute(d, 1),
    "split": lambda x, d: x.split(1, d),
    "chunk": lambda x, d: x.chunk(1, d),
    "topk": lambda x, d: x.topk(1, d),
    "cat": lambda x, d: minicnn.cat([x, x], d),
    "stack": lambda x, d: minicnn.stack([x, x], d),
    "index_select": lambda x, d: x.index_select(d, tensor([0])),
    "gather": lambda x, d: x.gather(d, tensor([[0]])),
    "scatter": lambda x, d: x.scatter(d, tensor([[0]]), 1.0),
    "size": lambda x, d: x.size(d),
    "F.softmax": lambda x, d: F.softmax(x, d),
    "F.normalize": lambda x, d: F.normalize(x, dim=d),
}  # fmt: skip


@pytest.mark.parametrize("dim", [0.0, 0.5, False, "0", np.float64(0), (0.0,)], ids=repr)
@pytest.mark.parametrize("name", WITH_A_DIM)
def test_a_dimension_is_an_integer(name, dim):
    with pytest.raises(ShapeError, match=r"^\w+: expected a dimension from"):
        WITH_A_DIM[name](minicnn.ones(2, 3), dim)


@pytest.mark.parametrize("dim", [np.int64(0), np.uint8(0), tensor(0), np.array(0)], ids=repr)
@pytest.mark.parametrize("name", WITH_A_DIM)
def test_integers_of_numpy_and_of_tensors_are_dimensions(name, dim):
    if name in ("max", "min") and isinstance(dim, minicnn.Tensor):
        dim = dim.item()  # there a tensor is the second operand
    call, x = WITH_A_DIM[name], tensor([[1.0, 3.0, 2.0], [6.0, 5.0, 4.0]])
    assert repr(call(x, dim)) == repr(call(x, 0))


def test_no_dimension_named_leaves_flip_and_squeeze_alone():
    x = tensor([[1.0], [2.0]])
    for none in ((), []):
        assert x.flip(none).tolist() == [[1.0], [2.0]]
        assert x.squeeze(none).shape == (2, 1)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sum", "sort", "argsort"])
def test_a_single_number_has_dimension_0(name):
    x = tensor(2.0)
    expected = {"softmax": 1.0, "log_softmax": 0.0, "sum": 2.0, "argsort": 0}
    for dim in (0, -1):
        y = getattr(x, name)(dim=dim)
        if name == "sort":
            assert (y.values.item(), y.indices.item()) == (2.0, 0)
        else:
            assert y.shape == () and y.item() == expected[name]


@pytest.mark.parametrize("name", ["split", "chunk", "unbind"])
def test_a_single_number_cannot_be_divided(name):
    with pytest.raises(ShapeError, match=rf"{name}: expected at least 1 dimension"):
        getattr(tensor(1.0), name)(*() if name == "unbind" else (1,))


# -- sizes -----------------------------------------------------------------------------------

X4, W4 = minicnn.ones(1, 2, 4, 4), minicnn.ones(2, 2, 1, 1)
WITH_A_SIZE = {
    "reshape": lambda n: X4.reshape(n, 32),
    "expand": lambda n: X4.expand(n, 2, 4, 4),
    "broadcast_to": lambda n: minicnn.broadcast_to(X4, (n, 2, 4, 4)),
    "repeat": lambda n: X4.repeat(n, n, n, n),
    "tile": lambda n: minicnn.tile(X4, (n,)),
    "split": lambda n: X4.split(n),
    "split_sizes": lambda n: X4.split([n]),
    "chunk": lambda n: X4.chunk(n),
    "topk": lambda n: X4.topk(n),
    "pad": lambda n: F.pad(X4, (n, 0)),
    "one_hot": lambda n: F.one_hot(tensor([0]), n),
    "stride": lambda n: F.conv2d(X4, W4, stride=n),
    "padding": lambda n: F.conv2d(X4, W4, padding=(0, n)),
    "sides": lambda n: F.conv2d(X4, W4, padding=((0, n), (0, 0))),
    "dilation": lambda n: F.conv2d(X4, W4, dilation=n),
    "groups": lambda n: F.conv2d(X4, W4, groups=n),
    "conv_transpose2d": lambda n: F.conv_transpose2d(X4, W4, stride=n),
    "max_pool2d": lambda n: F.max_pool2d(X4, n),
    "avg_pool2d": lambda n: F.avg_pool2d(X4, 1, n),
    "divisor": lambda n: F.avg_pool2d(X4, 1, divisor_override=n),
    "adaptive": lambda n: F.adaptive_avg_pool2d(X4, n),
    "group_norm": lambda n: F.group_norm(X4, n),
    "layer_norm": lambda n: F.layer_norm(X4[..., :1], n),
}
OF_OPERATIONS = ("groups", "divisor", "group_norm")  # they take no tensor for it


@pytest.mark.parametrize("size", [1.0, 1.5, True, "1", np.float32(1)], ids=repr)
@pytest.mark.parametrize("name", WITH_A_SIZE)
def test_a_size_is_an_integer(name, size):
    with pytest.raises((ShapeError, OptionError), match=r"^\w+: expected .*, got "):
        WITH_A_SIZE[name](size)


@pytest.mark.parametrize("size", [np.int64(1), np.uint8(1), tensor(1)], ids=repr)
@pytest.mark.parametrize(
    "name", [name for name in WITH_A_SIZE if name not in ("groups", "divisor", "group_norm")]
)
def test_integers_of_numpy_and_of_tensors_are_sizes(name, size):
    call = WITH_A_SIZE[name]
    assert repr(call(size)) == repr(call(1))


@pytest.mark.parametrize("name", OF_OPERATIONS)
def test_integers_of_numpy_are_sizes_of_operations(name):
    call = WITH_A_SIZE[name]
    assert repr(call(np.int64(1))) == repr(call(1))


def test_negative_sizes_are_refused_without_numbers_too():
    for device in ("cpu", "meta"):
        with pytest.raises(ShapeError, match="broadcast_to: expected a shape"):
            minicnn.ones(1).to(device).expand(-2)
    with pytest.raises(ShapeError, match="tile: expected numbers of copies >= 0"):
        minicnn.tile(minicnn.ones(2), (-1,))


def test_a_bool_tensor_is_no_index():
    with pytest.raises(TypeError, match="only an integer tensor"):
        tensor(True).__index__()
