"""Backends: which code serves a call, what declines, what strict mode refuses, what the report says."""

import numpy as np
import pytest

import minicnn
from minicnn.core import dispatch
from minicnn.core.dispatch import Backend, Declined, Kernel, kernel, report, reset_report
from minicnn.errors import BackendError


@pytest.fixture
def fast(monkeypatch):
    """A backend beside ``numpy`` for NumPy arrays, and a kernel of two numbers."""
    monkeypatch.setattr(dispatch, "_registry", dict(dispatch._registry))
    monkeypatch.setattr(dispatch, "serving", dict(dispatch.serving))
    monkeypatch.setattr(dispatch, "kernels", dict(dispatch.kernels))
    monkeypatch.setattr(dispatch, "_strict", False)
    dispatch.register_backend(Backend("fast", np, np.ndarray))
    return Kernel(lambda xp, x, *, by=1: ("reference", xp, x + by), "tripled")


ONE = np.ones(1)


def test_the_first_backend_of_an_array_type_serves_it(fast):
    assert dispatch.backend_of([None, 2.0, ONE]).name == dispatch.active().name != "fast"
    with pytest.raises(BackendError, match="at least one tensor or array, got float, NoneType"):
        dispatch.backend_of([1.0, None])
    with pytest.raises(BackendError, match="got nothing"):
        dispatch.backend_of([])


def test_a_backend_is_chosen_for_good_or_for_a_block(fast):
    before = dispatch.active().name
    with dispatch.use_backend("fast"):
        assert dispatch.active().name == "fast"
    assert dispatch.active().name == before
    dispatch.set_backend("fast")
    assert dispatch.active().name == "fast"
    with pytest.raises(BackendError, match=r"a backend out of numpy, .*got 'slow'; `minicnn info` says why"):
        dispatch.use_backend("slow")
    assert dispatch.active().name == "fast"


def test_an_overlay_serves_and_may_decline(fast):
    @fast.overlay("fast")
    def overlay(xp, x, *, by=1):
        return Declined("too many") if by > 5 else ("overlay", xp, x + by)

    with dispatch.use_backend("numpy"):
        assert fast(ONE)[0] == "reference"
    dispatch.set_backend("fast")
    assert fast(ONE, by=2)[0] == "overlay"
    assert fast(ONE, by=6)[0] == fast(ONE, by=7)[0] == "reference"
    counted = {"kernel": 1, "reference": 2, "reasons": {"too many": 2}, "algorithms": {}}
    assert report()["tripled"] == {"fast": counted}


def test_the_report_names_algorithms_and_begins_anew(fast):
    @fast.overlay("fast")
    def overlay(xp, x, *, by=1):
        fast.count_algorithm("fast", "odd" if by % 2 else "even")
        return x + by

    dispatch.set_backend("fast")
    for by in (1, 2, 3):
        fast(ONE, by=by)
    assert report()["tripled"]["fast"]["algorithms"] == {"odd": 2, "even": 1}
    reset_report()
    assert "tripled" not in report()
    fast(ONE, by=2)
    counted = {"kernel": 1, "reference": 0, "reasons": {}, "algorithms": {"even": 1}}
    assert report()["tripled"]["fast"] == counted


def test_a_kernel_that_is_missing_is_counted(fast):
    dispatch.set_backend("fast")
    assert fast(ONE)[0] == "reference"
    counted = {"kernel": 0, "reference": 1, "reasons": {"no kernel": 1}, "algorithms": {}}
    assert report()["tripled"]["fast"] == counted


def test_strict_mode_refuses_the_reference(fast):
    dispatch.set_backend("fast")
    with dispatch.use_strict():
        with pytest.raises(
            BackendError, match=r"fast backend does not serve tripled: no kernel; unset MINICNN_STRICT"
        ):
            fast(ONE)
        with dispatch.use_strict(False):
            assert fast(ONE)[0] == "reference"
    assert fast(ONE)[0] == "reference"


def test_a_view_needs_no_kernel(fast):
    view = Kernel(lambda xp, x: x[:0], "emptied", view=True)
    dispatch.set_backend("fast")
    with dispatch.use_strict():
        assert view(ONE).shape == (0,)
    assert "emptied" not in report()


def test_an_overlay_has_the_references_parameters(fast):
    with pytest.raises(
        TypeError, match=r"tripled on fast: parameters \['xp', 'x'\], expected \['xp', 'x', 'by'\]"
    ):

        @fast.overlay("fast")
        def overlay(xp, x):
            return x


def test_an_overlay_may_pass_attributes_on_but_has_all_operands(fast):
    @fast.overlay("fast")
    def passes_on(xp, x, **attrs):
        return x, attrs

    dispatch.set_backend("fast")
    assert fast(ONE, by=2)[1] == {"by": 2}
    with pytest.raises(TypeError, match="tripled on fast: parameters"):

        @fast.overlay("fast")
        def renamed(xp, z, **attrs):
            return z

    with pytest.raises(TypeError, match="tripled on fast: parameters"):

        @fast.overlay("fast")
        def unknown(xp, x, *, wrong, **attrs):
            return x


def test_a_kernels_name_is_unique(fast):
    with pytest.raises(ValueError, match="'tripled' is registered twice"):
        Kernel(lambda xp, x: x, "tripled")


def test_a_kernel_without_derivative_keeps_name_and_docstring(fast):
    @kernel
    def halved(xp, x):
        """y = x / 2."""
        return x / 2

    assert halved(ONE).tolist() == [0.5]
    assert (halved.name, halved.__name__, halved.__doc__) == ("halved", "halved", "y = x / 2.")


def test_the_numpy_backend_is_its_own_reference():
    with dispatch.use_backend("numpy"), dispatch.use_strict():
        assert (minicnn.ones(2) + 1).tolist() == [2.0, 2.0]
