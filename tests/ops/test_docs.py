"""Every operation's docstring says what its formula is, what it keeps, and who vouches for it."""

import importlib
import re

import pytest

import minicnn.nn.functional  # noqa: F401 - so that every operation is registered
from minicnn.core.op import ops

OPERATIONS = {name: op for name, op in ops.items() if op.__module__.startswith("minicnn.")}


@pytest.mark.parametrize("name", OPERATIONS)
def test_docstring_is_complete(name):
    text = OPERATIONS[name].__doc__ or ""
    summary = text.partition("Parameters\n")[0]
    assert re.search(r"[=≈≤]|->|→", summary), "no formula above the parameters"
    for heading in ("Parameters", "Returns", "Notes", "Examples"):
        assert re.search(rf"^ *{heading}\n *-+$", text, re.MULTILINE), f"no section {heading}"
    assert re.search(r"^ *>>> ", text, re.MULTILINE), "no example"
    assert re.search(r"\bSaved: ", text), "does not say what it saves"


@pytest.mark.parametrize("name", OPERATIONS)
def test_oracle_exists(name):
    path = re.search(r"Oracle: (minicnn\.oracles\.\w+)\.(\w+)", OPERATIONS[name].__doc__ or "")
    assert path, "does not name its oracle"
    assert callable(getattr(importlib.import_module(path[1]), path[2]))


@pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if op.backward_kernel is not None])
def test_backward_states_the_gradient(name):
    text = OPERATIONS[name].backward_kernel.reference.__doc__ or ""
    assert re.search(r"dL/d\w+|∂", text), "no formula of the gradient"
