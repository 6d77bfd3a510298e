"""Times, and what others did meanwhile."""

import gc

import pytest

from minicnn.bench.steps import clock


def stat(tmp_path, monkeypatch, ticks):
    path = tmp_path / "stat"
    path.write_text("cpu  " + " ".join(map(str, ticks)) + " 0 0\n")
    monkeypatch.setattr(clock, "_STAT", str(path))
    return clock.snapshot()


def test_others_are_what_was_busy_and_not_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(clock.os, "sysconf", lambda name: 100)
    # user nice system idle iowait irq softirq stolen, in hundredths of a second
    before = stat(tmp_path, monkeypatch, [100, 0, 100, 900, 50, 0, 0, 0])
    after = stat(tmp_path, monkeypatch, [300, 0, 150, 999, 99, 0, 0, 50])
    assert (after.busy - before.busy, after.stolen - before.stolen) == (3.0, 0.5)
    two_seconds = [
        clock.Snapshot(w, o, s.busy, s.stolen, f) for w, o, s, f in ((0, 0, before, 5), (2, 1.5, after, 9))
    ]
    used = clock.usage(*two_seconds)
    assert (used.seconds, used.own_cpus, used.other_cpus, used.stolen_cpus) == (2, 0.75, 0.75, 0.25)
    assert used.page_faults == 4


def test_where_nobody_tells_others_are_unknown(monkeypatch):
    monkeypatch.setattr(clock, "_STAT", "/does/not/exist")
    used = clock.usage(clock.snapshot(), clock.snapshot())
    assert used.other_cpus is None and used.stolen_cpus is None


def test_measure_counts_steps_and_leaves_the_collector_as_it_was():
    seen = []
    times, used, first = clock.measure(lambda: seen.append(gc.isenabled()), 0.0, least=7, warm_up=3)
    assert (len(seen), times.count) == (10, 7)
    assert not any(seen) and gc.isenabled()
    assert 0 <= times.minimum <= times.q1 <= times.median <= times.q3
    assert first >= 0 and used.seconds > 0


def test_spread_of_one_time():
    assert clock.spread([2.0]) == clock.Spread(1, 2.0, 2.0, 2.0, 2.0, 2.0)


def test_the_steps_import_nothing_of_minicnn(tmp_path):
    """They run in environments that do not have it."""
    import subprocess
    import sys
    from pathlib import Path

    code = (
        "import sys; sys.path.append(sys.argv[1]); import steps.job, steps.networks; "
        "print([n for n in sys.modules if n.partition('.')[0] in ('minicnn', 'numpy')])"
    )
    command = [sys.executable, "-I", "-c", code, str(Path(clock.__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("framework", ["torch", "jax", "onnxruntime"])
def test_a_framework_that_is_missing_is_named(framework, monkeypatch, capsys):
    import json
    import sys

    from minicnn.bench.steps import job

    for name in ("torch", "jax", "onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(job, "_limit_threads", lambda job: None)
    job.main(
        json.dumps(
            {"framework": framework, "model": "mlp", "mode": "infer", "batch": 1, "threads": 1, "budget": 0.1}
        )
    )
    assert json.loads(capsys.readouterr().out)["missing"] == framework
