"""The rules of all optimisers over one table of rows: against literal loops and against PyTorch."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import backends, optim
from minicnn.core.tensor import Tensor
from minicnn.oracles import optim as oracles

HERE = Path(__file__).parent
ROWS = SimpleNamespace(**runpy.run_path(str(HERE / "rows.py")))
RECORDED = json.loads((HERE / "reference.json").read_text(encoding="utf-8"))["parameters"]

# What PyTorch does not have.
OWN_ROWS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "l1": 0.5, "l2": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2, "l1": 3.0, "l2": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.2, "l1": 0.5, "l2": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2, "l1": 0.5, "l2": 0.1}),
    ("RMSprop", {"lr": 0.1, "weight_decay": 0.2, "l1": 0.5, "l2": 0.1, "centered": True}),
    ("Adagrad", {"lr": 0.1, "weight_decay": 0.2, "l1": 0.5, "l2": 0.1, "lr_decay": 0.1}),
]
ALL_ROWS = ROWS.OPTIMISERS + OWN_ROWS
EVERY = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]


def parameter(values, dtype=np.float64) -> Tensor:
    return Tensor(np.array(values, dtype=dtype), requires_grad=True)


def set_gradient(tensor: Tensor, gradient) -> None:
    tensor.grad = Tensor(np.array(gradient, dtype=tensor.dtype))


def in_time(row) -> np.ndarray:
    return np.array(ROWS.parameters_in_time(optim, row, parameter(ROWS.START), set_gradient))


@pytest.mark.parametrize("row", ALL_ROWS, ids=str)
def test_rule_agrees_with_its_literal_loop(row):
    name, options = row
    oracle = getattr(oracles, name.lower())
    columns = np.array(ROWS.GRADIENTS).T.tolist()
    expected = [oracle(p, g, **options) for p, g in zip(ROWS.START, columns, strict=True)]
    np.testing.assert_allclose(in_time(row), np.array(expected).T, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("i", range(len(ROWS.OPTIMISERS)), ids=lambda i: str(ROWS.OPTIMISERS[i]))
def test_rule_agrees_with_pytorch(i):
    np.testing.assert_allclose(in_time(ROWS.OPTIMISERS[i]), RECORDED[i], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("row", ALL_ROWS, ids=str)
def test_float32_stays_float32_and_stays_close(row):
    tensor = parameter(ROWS.START, np.float32)
    optimizer = getattr(optim, row[0])([tensor], **row[1])
    for gradient in ROWS.GRADIENTS:
        set_gradient(tensor, gradient)
        optimizer.step()
    kept = [v for v in optimizer.state[tensor].values() if isinstance(v, Tensor)]
    assert {tensor.dtype, *(v.dtype for v in kept)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(tensor.array, in_time(row)[-1], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", [name for name in backends.names() if name not in ("numpy", "cuda")])
def test_kernels_update_as_the_references_do(backend, dtype):
    if backends.unavailable(backend):
        pytest.skip(backends.unavailable(backend))
    for row in ALL_ROWS:
        arrays = []
        for name in ("numpy", backend):
            with backends.use_backend(name):
                arrays.append(ROWS.parameters_in_time(optim, row, parameter(ROWS.START, dtype), set_gradient))
        tolerance = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(arrays[1], arrays[0], rtol=tolerance, atol=tolerance, err_msg=str(row))


@pytest.mark.parametrize("name", EVERY)
def test_l1_gives_exact_zeros_and_l2_does_not(name):
    def train(**regularisation):
        tensor = parameter([0.3, -0.2])
        optimizer = getattr(optim, name)([tensor], lr=0.05, **regularisation)
        for _ in range(100):
            tensor.grad = Tensor(tensor.array - [0.1, -0.1])  # the loss alone has its minimum there
            optimizer.step()
        return tensor.array

    assert train(l1=2.0).tolist() == [0.0, 0.0] and not np.signbit(train(l1=2.0)).any()
    assert (train(l2=2.0) != 0).all()


def test_the_three_forms_of_l2_agree_or_differ_as_documented():
    def train(name, in_loss=0.0, **options):
        tensor = parameter([1.0, -2.0, 0.5])
        optimizer = getattr(optim, name)([tensor], lr=0.01, **options)
        for t in range(50):
            gradient = np.array([1.0, 10.0, 0.1]) * math.sin(t + 1)
            tensor.grad = Tensor(gradient + in_loss * tensor.array)
            optimizer.step()
        return tensor.array

    momentum = {"momentum": 0.9}
    in_loss = train("SGD", in_loss=0.1, **momentum)
    for option in ("weight_decay", "l2"):
        np.testing.assert_allclose(train("SGD", **momentum, **{option: 0.1}), in_loss, rtol=1e-12)
    adam = train("Adam", in_loss=0.1)
    np.testing.assert_allclose(train("Adam", l2=0.1), adam, rtol=1e-12)
    np.testing.assert_allclose(train("AdamW", weight_decay=0.0, l2=0.1), adam, rtol=1e-12)
    assert np.abs(train("AdamW", weight_decay=0.1) - adam).min() > 1e-3
