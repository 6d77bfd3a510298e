"""Parts, picks and what is put in their place: views and copies, ranks, dtypes, dispatch."""

import copy

import numpy as np
import pytest

import minicnn
from minicnn import backends, tensor
from minicnn.core import dispatch
from minicnn.core.dispatch import Backend
from minicnn.core.op import ops
from minicnn.errors import BackendError, DTypeError, GradError, ShapeError

ALL = slice(None)
VIEWS = [0, slice(1, 3), (ALL, 1), None, ..., (ALL, slice(None, None, -1)), np.int64(1), tensor(1)]
VIEWS += [(1, 2), (..., 1, 2), (np.int64(-1), tensor(0))]
COPIES = [[0, 2], tensor([0, 2]), (ALL, np.array([1, 0])), tensor([True, False, True]), (tensor([1]), 0)]

# -- views and copies ------------------------------------------------------------------------


@pytest.mark.parametrize("index", VIEWS, ids=repr)
def test_integers_and_slices_make_a_view(index):
    x = minicnn.zeros(3, 4)
    part = x[index]
    assert np.shares_memory(part.array, x.array) and not part.requires_grad
    part.add_(1)
    assert x.sum().item() == part.numel()
    with pytest.raises(GradError, match="a view of other memory"):
        part.add_(minicnn.ones(*part.shape, requires_grad=True))


@pytest.mark.parametrize("index", COPIES, ids=repr)
def test_arrays_make_a_copy(index):
    x = minicnn.zeros(3, 4)
    picked = x[index]
    assert not np.shares_memory(picked.array, x.array)
    picked.add_(1)
    w = minicnn.ones(*picked.shape, requires_grad=True)
    picked += w  # its memory is its own, so it can take a recorded result
    picked.sum().backward()
    assert w.grad.sum().item() == picked.numel() and x.sum().item() == 0


def test_a_single_element_is_written_through():
    b, lin = minicnn.zeros(3), minicnn.nn.Linear(2, 2)
    b[0].fill_(5.0)
    assert b.tolist() == [5.0, 0.0, 0.0]
    for element in b:
        element.add_(1)
    assert b.tolist() == [6.0, 1.0, 1.0]
    with minicnn.no_grad():
        lin.bias[0].fill_(7.0)
    assert lin.bias[0].item() == 7.0
    with pytest.raises(GradError, match="a view of other memory"):
        b[1].add_(tensor(1.0, requires_grad=True))


@pytest.mark.parametrize(
    ("index", "shape"),
    [
        ((0, ALL, [0, 1]), (3, 2, 5)),
        ((ALL, 0, ALL, [0, 1]), (2, 4, 2)),
        (([0, 1], ALL, ALL, 2), (2, 3, 4)),
        ((..., 0, [0, 1]), (2, 3, 2)),
        (([0, 1], None, 1, [2, 3]), (2, 1, 5)),
        (([0, 1], 1, [2, 3]), (2, 5)),
        ((1, np.ones((3, 4), bool), 2), (12,)),
    ],
    ids=repr,
)
def test_an_integer_is_taken_before_index_arrays(index, shape, rng):
    x = tensor(rng.standard_normal((2, 3, 4, 5)), requires_grad=True)
    places = minicnn.arange(120).reshape(2, 3, 4, 5)
    assert x[index].shape == x.to("meta")[index].shape == places[index].shape == shape
    assert x[index].tolist() == x.detach().numpy().ravel()[places[index].numpy()].tolist()
    value = rng.standard_normal(shape)
    written = x.detach().clone()
    written[index] = tensor(value)  # in place, and recorded
    x_copy = x * 1
    x_copy[index] = tensor(value)
    assert written[index].tolist() == value.tolist() and written.tolist() == x_copy.tolist()
    (x[index] * tensor(value)).sum().backward()
    gradient = np.zeros(120)
    gradient[places[index].numpy()] = value
    assert x.grad.numpy().ravel().tolist() == gradient.tolist()


def test_what_a_step_computed_is_no_view_although_numpy_reshaped_it():
    w = tensor([1.0, 2.0], requires_grad=True)
    for own in (minicnn.zeros(3, 2).amax(0), minicnn.zeros(2, 2).T.reshape(4)[:2].clone(), minicnn.zeros(2)):
        own += w
        assert own.requires_grad
    copied = minicnn.zeros(1, 2).expand(2, 2).reshape(4)  # cannot be a view
    copied += minicnn.cat([w, w])
    assert copied.tolist() == [1.0, 2.0, 1.0, 2.0]


def test_a_detached_view_is_still_one():
    with pytest.raises(GradError, match="a view of other memory"):
        minicnn.zeros(2, 2)[0].detach().add_(tensor([1.0, 1.0], requires_grad=True))


def test_a_deep_copy_of_a_view_is_none():
    twin = copy.deepcopy(minicnn.zeros(2, 2)[0])
    twin += tensor([1.0, 2.0], requires_grad=True)
    assert twin.requires_grad and twin.tolist() == [1.0, 2.0]


@pytest.fixture
def bare(monkeypatch):
    """A backend without kernels, in strict mode: it serves nothing but views."""
    monkeypatch.setattr(dispatch, "_registry", dict(dispatch._registry))
    monkeypatch.setattr(dispatch, "serving", dict(dispatch.serving))
    dispatch.register_backend(Backend("bare", np, np.ndarray))
    with dispatch.use_backend("bare"), dispatch.use_strict():
        yield
    for kernel in dispatch.kernels.values():
        kernel.served.pop("bare", None)


def test_only_views_need_no_kernel(bare):
    x = minicnn.zeros(3, 4)
    assert x[1:, 0].reshape(2, 1).T.shape == (1, 2)
    with pytest.raises(BackendError, match="bare backend does not serve pick"):
        x[[0, 1]]


def test_the_report_tells_views_from_work(bare):
    with dispatch.use_strict(False):
        x = minicnn.zeros(3, 4, requires_grad=True)
        x[0].reshape(2, 2)[[0]].expand(2, 2).backward(minicnn.ones(2, 2))
    counted = {name for name, facts in backends.report().items() if "bare" in facts}
    assert counted & {"getitem", "reshape", "reshape.backward", "broadcast_to"} == set()
    assert {"pick", "pick.backward", "getitem.backward", "broadcast_to.backward"} <= counted
    assert ops["getitem"].view and not ops["pick"].view


# -- putting values in -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_integers_do_not_take_a_recorded_number(dtype):
    x, w = minicnn.zeros(2, dtype=dtype), tensor([1.5], requires_grad=True)
    for device in ("cpu", "meta"):
        with pytest.raises(
            DTypeError, match=f"setitem: expected a value that fits {np.dtype(dtype)}, got float32"
        ):
            x.to(device)[0] = w[0].to(device)
    with pytest.raises(DTypeError, match="setitem"):
        x.scatter(0, tensor([0]), w)
    assert x.tolist() == [0, 0] and not x.requires_grad


@pytest.mark.parametrize(
    ("shape", "index", "value_shape"),
    [((3,), ALL, (1, 3)), ((3,), 1, (1, 1)), ((2, 3), [0, 1], (1, 1, 1, 3)), ((2, 3), ([0], [1]), (1, 1))],
)
def test_a_value_may_have_more_dimensions_of_size_1(shape, index, value_shape, rng):
    numbers = rng.standard_normal(value_shape)
    x, v = tensor(np.zeros(shape)), tensor(numbers, requires_grad=True)
    x[index] = v
    expected, plain = np.zeros(shape), tensor(np.zeros(shape))
    expected[index] = numbers.reshape(numbers.shape[numbers.ndim - np.ndim(expected[index]) :])
    plain[index] = numbers
    assert x.tolist() == plain.tolist() == expected.tolist()
    scale = tensor(rng.standard_normal(shape))
    (x * scale).sum().backward()
    taken = np.asarray(scale.numpy()[index])  # summed where the value was repeated
    taken = taken.sum(0) if taken.size > numbers.size else taken
    np.testing.assert_allclose(v.grad.numpy(), taken.reshape(value_shape), rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_value_that_does_not_fit_is_refused_before_anything_changes(device):
    x = minicnn.zeros(3).to(device)
    for value in (minicnn.zeros(2), minicnn.zeros(2, 3), minicnn.zeros(3, 1)):
        with pytest.raises(ShapeError, match="setitem: expected a value that broadcasts to the part"):
            x[:] = value.to(device).requires_grad_()


@pytest.mark.parametrize("value", [None, "2", 1j, [None], np.array(["a"])], ids=repr)
def test_what_is_no_number_cannot_be_put_in(value):
    x = minicnn.zeros(1)
    with pytest.raises(DTypeError, match=r"setitem: expected numbers"):
        x[0] = value
    assert x.tolist() == [0.0]


@pytest.mark.parametrize("value", [300, -1, float("inf"), float("nan")])
def test_a_number_outside_an_integer_type_is_refused(value):
    x = minicnn.zeros(1, dtype=np.uint8)
    with pytest.raises(DTypeError, match="setitem: "):
        x[0] = value
    with pytest.raises(DTypeError, match="fill_: "):
        x.fill_(value)
    assert x.tolist() == [0]


def test_nothing_can_be_put_into_a_meta_tensor():
    with pytest.raises(BackendError, match="no numbers"):
        minicnn.zeros(2).to("meta")[0] = 1.0


def test_lists_are_put_in_with_all_their_digits():
    x = minicnn.zeros(2, dtype=np.float64)
    x[:] = [0.1, tensor(0.5)]
    assert x.tolist() == [0.1, 0.5]


# -- gather, scatter, masks ------------------------------------------------------------------


@pytest.mark.parametrize(
    "index", [tensor([0]), tensor([[[0]]]), tensor(0), tensor([[0], [0], [0]])], ids=repr
)
def test_gather_and_scatter_take_an_index_that_fits(index):
    x = minicnn.zeros(2, 3)
    for name, call in (("gather", lambda: x.gather(1, index)), ("scatter", lambda: x.scatter(1, index, 1.0))):
        with pytest.raises(
            ShapeError, match=rf"{name}: expected an index of 2 dimensions, no larger than \(2, 3\)"
        ):
            call()


def test_the_index_may_be_longer_along_its_own_dimension():
    x = tensor([[1.0, 2.0]])
    assert x.gather(1, tensor([[0, 1, 1]])).tolist() == [[1.0, 2.0, 2.0]]
    assert tensor(7.0).gather(0, tensor(0)).item() == 7.0


def test_scatter_takes_a_source_of_at_least_the_indexs_shape():
    x, index = minicnn.zeros(2, 3), tensor([[0, 1]])
    assert x.scatter(1, index, minicnn.ones(2, 3)).tolist() == [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    for source in (minicnn.ones(1, 1), minicnn.ones(2)):
        with pytest.raises(ShapeError, match=r"scatter: expected a source of at least .*\(1, 2\)"):
            x.scatter(1, index, source)


@pytest.mark.parametrize("index", [tensor([[0.0]]), tensor([[True]])], ids=repr)
def test_an_index_is_of_integers(index):
    x = minicnn.zeros(1, 1)
    for call in (x.gather, lambda dim, i: x.scatter(dim, i, 1.0), lambda dim, i: x.index_select(dim, i[0])):
        with pytest.raises(DTypeError, match=r"\w+: expected an index of integers"):
            call(0, index)


def test_picking_knows_no_negative_places():
    x, index = minicnn.zeros(2, 3), tensor([[0, -1]])
    for name, call in (
        ("gather", lambda: x.gather(1, index)),
        ("scatter", lambda: x.scatter(1, index, 1.0)),
        ("index_select", lambda: x.index_select(1, index[0])),
    ):
        with pytest.raises(IndexError, match=f"{name}: expected an index of at least 0, got -1"):
            call()


def test_index_select_takes_one_dimension():
    x = minicnn.arange(3)
    assert x.index_select(0, tensor(2)).tolist() == [2]
    with pytest.raises(ShapeError, match="index_select: expected an index of 1 dimension"):
        x.index_select(0, tensor([[0]]))


def test_masks_are_of_bools_and_broadcast():
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.masked_select(tensor([False, True])).tolist() == [2.0, 4.0]
    ones = tensor([1, 0])
    for call in (x.masked_select, lambda m: x.masked_fill(m, 0.0), lambda m: minicnn.where(m, x, 0.0)):
        with pytest.raises(DTypeError, match=r"\w+: expected a .*of bools"):
            call(ones)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (np.float16, 1e5),
        (np.float16, -1e9),
        (np.int64, 0.5),
        (np.int64, tensor(0.0)),
        (np.uint8, -1),
        (np.int64, float("inf")),
        (np.bool_, 2),
        (np.bool_, tensor(1)),
    ],
    ids=repr,
)
def test_a_mask_takes_no_value_that_does_not_fit(dtype, value):
    x = minicnn.zeros(2).to(dtype)
    with pytest.raises(DTypeError, match=f"masked_fill: expected a value that fits {np.dtype(dtype)}"):
        x.masked_fill(tensor([True, False]), value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("value", [1, 1.0, True, np.float64(1), np.int64(1)], ids=repr)
def test_a_mask_keeps_the_dtype(dtype, value):
    y = minicnn.zeros(2).to(dtype).masked_fill(tensor([True, False]), value)
    assert y.dtype == dtype and y.tolist() == [1, 0]


def test_a_mask_takes_a_recorded_number():
    w = tensor(2.0, dtype=np.float64, requires_grad=True)
    y = minicnn.zeros(3).masked_fill(tensor([True, False, True]), w)
    y.sum().backward()
    assert y.dtype == np.float32 and w.grad.item() == 2.0
    assert minicnn.zeros(1).masked_fill(tensor([True]), float("-inf")).item() == -np.inf
