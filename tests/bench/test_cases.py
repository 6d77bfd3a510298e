"""What is measured: work counted by hand, and the shapes of the five networks."""

import math

import numpy as np
import pytest

import minicnn
from minicnn import models
from minicnn.bench import cases, ladder
from minicnn.bench.cases import Case
from minicnn.bench.steps import networks
from minicnn.core.device import MetaArray
from minicnn.core.op import observe


def passes(case):
    return {made.name: made for made in ladder.passes(case)}


def test_work_of_a_convolution():
    # y: 2 images, 4 channels, 3 x 3; each of its 72 numbers needs 2 channels x 2 x 2 = 8 multiply-adds.
    found = passes(Case("conv2d", (2, 2, 4, 4), (4, 2, 2, 2)))
    x, w, b, y = 4 * 64, 4 * 32, 4 * 4, 4 * 72
    assert {name: made.work for name, made in found.items()} == {
        "forward": cases.Work(2 * 72 * 8, x + w + b, y),
        "backward-data": cases.Work(2 * 72 * 8, y + w, x),
        "backward-weights": cases.Work(2 * 72 * 8, y + x, w + b),
    }
    assert found["forward"].work.intensity == 1152 / (x + w + b + y)


def test_work_of_a_strided_grouped_convolution():
    # Depthwise: 3 channels of 5 x 5, stride 2, padding 1 give 3 x 3; 9 multiply-adds a number.
    attrs = {"stride": (2, 2), "padding": ((1, 1), (1, 1)), "groups": 3}
    made = next(ladder.passes(Case("conv2d", (1, 3, 5, 5), (3, 1, 3, 3), attrs)))
    assert made.work == cases.Work(2 * 27 * 9, 4 * (75 + 27 + 3), 4 * 27)


def test_work_of_dense_products():
    found = passes(Case("linear", (5, 7), (3, 7)))
    assert found["forward"].work == cases.Work(2 * 5 * 7 * 3, 4 * (35 + 21 + 3), 4 * 15)
    assert found["backward-data"].work == cases.Work(2 * 5 * 7 * 3, 4 * (15 + 21), 4 * 35)
    assert found["backward-weights"].work == cases.Work(2 * 5 * 7 * 3, 4 * (15 + 35), 4 * (21 + 3))
    assert passes(Case("matmul", (5, 7), (7, 3)))["forward"].work.operations == 2 * 5 * 7 * 3


def test_work_of_what_only_moves_numbers():
    relu = passes(Case("relu", (3, 4)))
    assert relu["forward"].work == cases.Work(0, 48, 48)
    assert relu["backward"].work == cases.Work(0, 96, 48)
    pool = passes(Case("max_pool2d", (1, 1, 4, 4)))  # and one byte for each winner's place
    assert pool["forward"].work == cases.Work(0, 64, 16 + 4)
    assert pool["backward"].work == cases.Work(0, 16 + 4, 64)
    assert passes(Case("adam_update", (10,)))["update"].work == cases.Work(0, 4 * 40, 4 * 30)
    assert passes(Case("sgd_update", (10,)))["update"].work == cases.Work(0, 4 * 30, 4 * 20)


@pytest.mark.parametrize("op", cases.OPERATIONS)
def test_every_operation_has_standard_cases_with_all_their_passes(op):
    smallest = min(cases.standard(op), key=lambda case: math.prod(case.shape))
    if math.prod(smallest.shape) > 1e5:
        smallest = (
            Case(op, (8, 8), (8, 8)) if op == "matmul" else Case(op, (2, 4, 8, 8), None, smallest.attrs)
        )
    for made in ladder.passes(smallest):
        reference = next(c for name, c in made.candidates.items() if "reference" in name)
        rms = ladder.errors(reference, made.truth)["error_rms"]
        assert rms < 1e-6


LAYERS = ("conv2d", "linear", "max_pool2d", "batch_norm", "relu")


@pytest.mark.parametrize("model", networks.LAYERS)
def test_networks_are_those_of_minicnn(model):
    """Their parameters are as many, and their products have the shapes of the standard cases."""
    built = models.build(model)
    assert networks.parameters(networks.LAYERS[model]) == sum(p.numel() for p in built.parameters())
    assert models.default_shape(model) == networks.INPUT[model]
    seen = set()

    def look(op, arrays, attrs, result):
        name = op.name.removesuffix("_inference")
        if name in LAYERS:
            weight = arrays[1].shape if name in cases.PRODUCTS else None
            seen.add((name, tuple(arrays[0].shape), weight, tuple(result.shape)))

    batch = networks.BATCH[model]
    with minicnn.no_grad(), observe(look):
        _without_numbers(built).eval()(
            minicnn.Tensor.wrap(MetaArray((batch, *networks.INPUT[model]), np.float32))
        )
    mine = {
        (case.op, case.shape, case.weight, y)
        for case in cases._of_layers(networks.LAYERS[model], (batch, *networks.INPUT[model]))
        if case.op in LAYERS
        for y in [_output(case)]
    }
    assert seen == mine


def _without_numbers(model):
    from minicnn.nn.summary import _without_numbers

    return _without_numbers(model)


def _output(case):
    from minicnn.core.op import ops

    shapes = [MetaArray(operand.shape, operand.dtype) for operand in case.operands()]
    return tuple(ops[case.op].output_shape(*shapes, **case.full_attrs()))


def test_labels_tell_cases_apart_and_name_what_is_unusual():
    labels = [case.label() for case in cases.standard()]
    assert len(labels) == len(set(labels)) > 60
    assert "conv2d 64x64x32x32 * 64x1x3x3 stride 2 padding 1 groups 64" in labels
    assert "max_pool2d 64x6x28x28 kernel-size 2 stride 2 padding 0" in labels
    assert "adaptive_avg_pool2d 64x256x8x8 output-size 1" in labels
    odd = {"kernel_size": (3, 3), "stride": (2, 1), "padding": ((1, 1), (0, 0)), "dilation": (2, 2)}
    wanted = "max_pool2d 1x1x9x9 kernel-size 3 stride (2,1) padding (1,0) dilation 2"
    assert Case("max_pool2d", (1, 1, 9, 9), None, odd).label() == wanted
