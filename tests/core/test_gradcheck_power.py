"""The power of the gradient check: it finds wrong backward passes, and calls no right one wrong."""

import numpy as np
import pytest

from minicnn.core.gradcheck import gradcheck
from minicnn.core.op import ops
from minicnn.testing import op_registry
from minicnn.testing.faults import CATALOGUE
from minicnn.testing.power import RULES, verdict

POOL = {
    "kernel_size": (2, 2),
    "stride": (2, 2),
    "padding": ((1, 1), (1, 1)),
    "dilation": (1, 1),
    "ceil_mode": False,
}
REDUCE = {"dim": (1,), "keepdim": False}


@pytest.fixture(scope="module")
def verdicts():
    return {rule: {name: verdict(name, rule) for name in CATALOGUE} for rule in RULES}


def test_at_least_95_percent_of_the_catalogue_are_caught(verdicts):
    missed = [name for name, word in verdicts["minicnn"].items() if word != "caught"]
    assert len(CATALOGUE) >= 24
    assert missed == ["abs: sign(0) = 1 (a valid choice on the kink)"]
    assert len(missed) <= 0.05 * len(CATALOGUE)


def test_weaker_rules_miss_more(verdicts):
    caught = {rule: list(words.values()).count("caught") for rule, words in verdicts.items()}
    assert all(count < caught["minicnn"] for rule, count in caught.items() if rule != "minicnn")
    assert verdicts["all elements, step 1e-6, 1e-5 + 0.1 %"]["conv2d: dL/dw wrong by 0.05 %"] == "missed"
    assert "false alarm" not in verdicts["minicnn"].values()


def configurations(seed):
    """All differentiable samples of the operation table: function, inputs, attributes, what to check."""
    for case in op_registry().values():
        for sample in case.samples(np.random.default_rng(seed)) if case.differentiable else ():
            floats = [
                i for i, x in enumerate(sample.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"
            ]
            wrt = [i for i in floats if i not in case.constant]
            if wrt:
                yield case.function, sample.inputs, sample.attrs, wrt


def test_no_false_alarm_on_a_thousand_right_configurations():
    checked, alarms, seed = 0, [], 0
    while checked < 1000:
        seed += 1
        for function, inputs, attrs, wrt in configurations(seed):
            report = gradcheck(function, inputs, attrs=attrs, wrt=wrt, seed=seed, raise_exception=False)
            checked += 1
            alarms += [] if report.ok else [f"{report.name}, seed {seed}: {report.summary()}"]
    assert alarms == []


@pytest.mark.parametrize(
    ("operation", "attrs"),
    [
        ("relu", {}),
        ("abs", {}),
        ("maximum", {}),
        ("minimum", {}),
        ("hardtanh", {}),
        ("clip", {}),
        ("amax", REDUCE),
        ("amin", REDUCE),
        ("max_pool2d", POOL),
    ],
)
def test_no_false_alarm_on_ties_and_kinks(operation, attrs):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        count = 2 if operation in ("maximum", "minimum") else 1
        inputs = [rng.integers(-2, 3, (1, 2, 4, 4)).astype(float) for _ in range(count)]
        inputs += [np.array(-1.0), np.array(1.0)] if operation == "clip" else []
        assert gradcheck(ops[operation], inputs, attrs=attrs, seed=seed)
