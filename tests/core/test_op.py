"""Operations: attributes, errors that name them, shape rules, abstract runs, observation."""

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, tensor
from minicnn.core.device import MetaArray
from minicnn.core.op import Op, describe, observe, op, ops
from minicnn.errors import BackendError, DTypeError, GradError, OptionError, ShapeError
from minicnn.ops.elementwise import add, mul
from minicnn.ops.shape import concatenate


@op
def scale_(xp, x, b=None, *, factor=2.0, unused=None):
    """y = factor · x + b."""
    y = x * factor
    return (y if b is None else y + b), (b is not None,)


@scale_.backward
def scale_backward(xp, gy, saved, needs, *, factor, unused):
    """dL/dx = factor · dL/dy."""
    return (gy * factor, gy)[: len(needs)]


@scale_.shape
def scale_shape(x, b=None, *, factor=2.0, unused=None):
    if factor == 0:
        raise OptionError(expected="a factor that is not 0", got="0")
    return x.shape


@op
def reverse(xp, x):
    """y = x backwards."""
    return x[::-1], None


def test_what_an_operation_knows_of_itself():
    assert scale_.name == "scale" and ops["scale"] is scale_
    assert scale_.operands == ("x", "b") and scale_.defaults == {"factor": 2.0, "unused": None}
    assert scale_.__doc__ == "y = factor · x + b."
    assert repr(scale_) == "<op scale(x, b=None, *, factor=2.0, unused=None)>"
    assert concatenate.operands == ("xs",)
    assert callable(scale_backward) and not isinstance(scale_backward, Op)


def test_attributes_reach_backward_with_their_defaults():
    x, b = tensor([1.0], requires_grad=True), tensor([5.0], requires_grad=True)
    y = scale_(x, b)
    y.backward()
    assert (y.item(), x.grad.item(), b.grad.item()) == (7.0, 2.0, 1.0)
    assert y.node.attrs == {"factor": 2.0, "unused": None}
    scale_(x, factor=3.0).backward()
    assert x.grad.item() == 5.0


def test_an_operation_without_backward_records_nothing():
    y = reverse(tensor([1.0, 2.0], requires_grad=True))
    assert y.tolist() == [2.0, 1.0] and y.node is None and not y.requires_grad


def test_what_was_saved_can_be_asked_for():
    y, saved = scale_.call_with_saved(tensor([1.0]), tensor([1.0]))
    assert y.item() == 3.0 and saved == (True,)


def test_results_are_arrays_also_without_dimensions():
    assert type((tensor(1.0) + tensor(2.0)).array) is np.ndarray


# -- errors ----------------------------------------------------------------------------------


def test_errors_name_the_operation():
    with pytest.raises(OptionError, match="^scale: expected a factor that is not 0, got 0$") as caught:
        scale_(tensor([1.0]), factor=0)
    assert (caught.value.op, caught.value.expected, caught.value.got) == (
        "scale",
        "a factor that is not 0",
        "0",
    )
    with pytest.raises(OptionError, match="^scale: "):
        scale_.output_shape(MetaArray((2,), np.float32), factor=0)


def test_the_array_librarys_errors_are_explained():
    with pytest.raises(
        ShapeError, match=r"^add: expected shapes that broadcast .* got \(2,\) and \(3,\)$"
    ) as caught:
        add(minicnn.zeros(2), minicnn.zeros(3))
    assert isinstance(caught.value.__cause__, ValueError)


def test_errors_that_no_shape_rule_explains_name_the_operands(temporary_operations):
    @op
    def clumsy(xp, x):
        raise ValueError("no idea")

    with pytest.raises(ShapeError, match=r"^clumsy: no idea \(operands: float32 \(2,\)\)$"):
        clumsy(minicnn.zeros(2))
    with pytest.raises(DTypeError, match="^add: .*out of bounds for uint8"):
        add(minicnn.zeros(2, dtype=np.uint8), 300)


def test_a_wrong_call_is_pythons_own_error():
    for call in (lambda: scale_(tensor([1.0]), wrong=1), lambda: scale_(tensor([1.0]), 2, 3, 4)):
        with pytest.raises(TypeError) as caught:
            call()
        assert not isinstance(caught.value, DTypeError)


def test_subclasses_of_arrays_count_as_arrays():
    matrix = np.ones((2, 2)).view(np.matrix)
    assert (minicnn.ones(2, 2) * matrix).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_at_least_one_operand_is_a_tensor():
    with pytest.raises(BackendError, match="add: expected at least one tensor or array, got int, int"):
        add(1, 2)


def test_operands_in_words():
    assert describe(np.zeros((2, 3), np.float32)) == "float32 (2, 3)"
    assert describe(1.5) == "1.5"


# -- shapes without numbers ------------------------------------------------------------------


def test_abstract_runs_know_shape_and_dtype():
    x, w = MetaArray((2, 1), np.float32), MetaArray((3,), np.float64)
    y = mul(Tensor.wrap(x), Tensor.wrap(w))
    assert (y.shape, y.dtype, str(y.device)) == ((2, 3), np.float64, "meta")
    assert mul.output_shape(x, w) == (2, 3)


def test_an_operation_without_a_rule_says_so():
    with pytest.raises(ShapeError, match="reverse: this operation has no shape rule"):
        reverse(Tensor.wrap(MetaArray((2,), np.float32)))


def test_abstract_runs_are_checked():
    with pytest.raises(ShapeError, match="add: expected shapes that broadcast"):
        add(Tensor.wrap(MetaArray((2,), np.float32)), Tensor.wrap(MetaArray((3,), np.float32)))


# -- variadic operands, observation ----------------------------------------------------------


def test_operands_can_be_any_number():
    xs = [tensor([float(i)], requires_grad=i % 2 == 0) for i in range(4)]
    concatenate(*xs).backward(minicnn.arange(4.0))
    assert [None if x.grad is None else x.grad.item() for x in xs] == [0.0, None, 2.0, None]


def test_an_observer_sees_each_forward_in_its_block():
    seen = []
    x = tensor([1.0])

    def look(op, arrays, attrs, result):
        seen.append((op.name, len(arrays), attrs, result.tolist()))

    with observe(look):
        _ = x + 1 - x
    _ = x * 2
    assert seen == [("add", 2, {}, [2.0]), ("sub", 2, {}, [1.0])]


def test_backward_needs_as_many_gradients_as_operands():
    with pytest.raises(GradError, match="scale: expected 3 gradients, got 2"):
        scale_.run_backward(np.ones(1), (True,), (True, True, True), dict(scale_.defaults))


def test_arrays_of_the_other_byte_order_become_native():
    x = np.array([[1.0, 2.0]], ">f4")
    y = ops["reshape"](x, shape=(2,))
    assert y.dtype == np.float32 and y.tolist() == [1.0, 2.0]
