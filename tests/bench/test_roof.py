"""Roofs: arithmetic on rates set by hand, and that rates are found at all."""

import numpy as np
import pytest

from minicnn.bench import judge, roof


@pytest.fixture
def flat():
    """10 operations a second; copies 4, reads 2, fills 1 byte a second."""
    made = roof.Roof(0)
    for name, rate in made.rates.items():
        rate.best = {"fma": 10.0, "copy": 4.0, "read": 2.0, "fill": 1.0}[name.split()[0]]
    return made


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        ((100, 0, 0), 10.0),  # arithmetic alone
        ((0, 8, 8), 4.0),  # a copy
        ((0, 12, 8), 4.0 + 2.0),  # a copy, and 4 bytes more to read
        ((0, 8, 12), 4.0 + 4.0),  # a copy, and 4 bytes more to write
        ((30, 8, 8), 4.0),  # the slower of the two counts
    ],
)
def test_nothing_is_faster_than_the_roof(flat, work, seconds):
    assert flat.seconds(*work) == pytest.approx(seconds)


def test_rates_are_found_and_only_rise():
    made = roof.Roof(2**16)
    made.sample()
    first = made.peak, made.copy
    made.sample(2)
    assert made.peak >= first[0] > 1e8
    assert made.copy >= first[1] > 1e7


def test_a_sample_is_taken_of_warm_memory_and_long_enough():
    """What ran before may have driven the memory out of the caches: the first pass is not timed."""
    asked = []
    rate = roof.Rate(lambda repetitions: asked.append(repetitions) or sum(range(repetitions)), work=1.0)
    rate.sample()
    calibrated = rate.repetitions
    asked.clear()
    rate.sample()
    assert asked == [1, calibrated]
    assert calibrated > 100


def test_without_the_extension_numpy_is_measured_and_says_so(monkeypatch):
    monkeypatch.setattr(roof, "_native", None)
    made = roof.Roof(2**16)
    made.sample()
    assert not made.hard
    assert made.peak > 0 and made.seconds(1, 1, 1) > 0
    assert made.describe() == (
        "roof: NumPy's measured matmul and copyto, no more: the native extension is missing"
    )


def test_levels_of_the_memory_are_measured():
    found = roof.levels()
    assert list(found) == [*roof.caches(), "memory"]
    assert min(found.values()) > 0


def test_native_roofs_compute_what_they_say():
    if roof._native is None:
        pytest.skip("the extension is missing")
    array = roof._aligned(256)
    x, y = array[:128], array[128:]
    x[:] = np.arange(128)
    lanes = {"avx512": 16, "avx2": 8}
    for level in roof._native.levels():
        for streaming in (False, True):
            y[:] = -1
            roof._native.roof_copy(y, x, 2, streaming, level)
            assert y.tolist() == x.tolist()
            roof._native.roof_fill(y, 1, streaming, level)
            assert not y.any()
        roof._native.roof_read(x, 3, level)
        chains = 24 if level == "avx512" else 12
        each = 2 * lanes.get(level, 4) * chains * roof._native.threads()
        assert roof._native.roof_fma(10, level) == 10 * each
    with pytest.raises(ValueError, match="a multiple of 64 numbers, aligned to 64 bytes"):
        roof._native.roof_read(array[1:65], 1, level)
    with pytest.raises(ValueError, match="expected 128 numbers, got 64"):
        roof._native.roof_copy(y, x[:64], 1, False, level)
    with pytest.raises(ValueError, match="expected a CPU level out of .*, got 'mmx'"):
        roof._native.roof_fma(1, "mmx")


def test_a_roof_is_that_of_its_level(monkeypatch):
    if roof._native is None:
        pytest.skip("the extension is missing")
    asked = []
    monkeypatch.setattr(roof._native, "roof_fma", lambda steps, level: asked.append(level) or 1, raising=True)
    for level in (None, "baseline"):
        asked.clear()
        made = roof.Roof(0, level=level)
        made.rates["fma"].run(1)
        assert set(asked) == {made.level} == {level or roof._native.levels()[0]}


def test_numbers_are_at_home_in_the_first_memory_that_has_room(monkeypatch):
    monkeypatch.setattr(roof, "caches", lambda: {"L1": 100, "L2": 1000, "L3": 5000})
    monkeypatch.setattr(roof, "get_num_threads", lambda: 2)
    monkeypatch.setattr(roof.os, "cpu_count", lambda: 2)
    homes = {size: roof.home(size) for size in (200, 201, 2000, 2001, 5000, 5001)}
    assert list(homes.values()) == ["L1", "L2", "L2", "L3", "L3", "memory"]


def test_what_is_refused():
    assert judge.above_roof(1.05) is None
    assert judge.above_roof(1.06) == "above the roof: 106 % of what this machine gives"
    assert judge.busy(0.15) is None and judge.busy(None) is None
    assert judge.busy(0.16) == "the machine is busy: others used 0.16 CPU"
