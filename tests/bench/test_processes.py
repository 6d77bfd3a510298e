"""Networks and peers in processes of their own: turns, ratios, refusals."""

import sys

import pytest

from minicnn.bench import processes, report, roof
from minicnn.bench.steps.job import FRAMEWORKS, Job
from minicnn.errors import MiniCNNError, OptionError

JOB = Job("minicnn", "lenet5", "train", 64, 1, 0.1)


@pytest.fixture
def answers(monkeypatch):
    """``answers(minicnn=[...], torch=[...])``: median seconds, or (seconds, other CPUs), of each process."""
    asked = []

    def prepare(**found):
        queues = {name: list(values) for name, values in found.items()}

        def measure(job, python=None):
            asked.append(job.framework)
            value = queues[job.framework].pop(0)
            if isinstance(value, str):
                return {"missing": value}
            seconds, others = value if isinstance(value, tuple) else (value, 0.0)
            return {"median_s": seconds, "min_s": seconds / 2, "other_cpus": others}

        monkeypatch.setattr(processes, "measure", measure)
        return asked

    return prepare


def test_peers_take_turns_and_ratios_are_made_pair_by_pair(answers):
    asked = answers(minicnn=[1.0, 2.0, 3.0], torch=[2.0, 6.0, 3.0])
    found = processes.compare(JOB, ["torch"], pairs=3, force=False)
    assert asked == ["minicnn", "torch"] * 3
    assert found["torch"]["ratio"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert (found["minicnn"]["median_s"], found["minicnn"]["min_s"]) == (2.0, 0.5)
    assert found["minicnn"]["processes"] == 3 and not found["minicnn"]["busy"]


def test_a_pair_on_a_busy_machine_is_measured_again(answers):
    answers(minicnn=[1.0, 1.0, 1.0], torch=[(9.0, 0.5), 2.0, 2.0])
    found = processes.compare(JOB, ["torch"], pairs=2, force=False)
    assert found["torch"]["ratio"]["max"] == 2.0


def test_a_machine_that_stays_busy_is_refused_and_force_marks(answers):
    answers(minicnn=[(1.0, 0.4)] * 3)
    found = processes.compare(JOB, [], pairs=1, force=False)
    assert found["minicnn"]["refused"] == "the machine is busy: others used 0.40 CPU"
    assert "median_s" not in found["minicnn"]
    answers(minicnn=[(1.0, 0.4)])
    found = processes.compare(JOB, [], pairs=1, force=True)
    assert found["minicnn"]["busy"] and found["minicnn"]["median_s"] == 1.0


def test_a_peer_that_is_missing_is_named_and_not_asked_again(answers):
    asked = answers(minicnn=[1.0, 1.0], torch=["torch"])
    found = processes.compare(JOB, ["torch"], pairs=2, force=False)
    assert asked == ["minicnn", "torch", "minicnn"]
    assert found["torch"]["missing"] == "torch is not installed"
    row = report.step_rows([found["torch"]])[0]
    assert row[4] == "torch is not installed" and len(row) == len(report.STEP_HEAD)


def test_variants_are_known_frameworks():
    assert processes.variants(["torch", "jax"], "infer") == ["torch", "torch-channels-last", "jax"]
    assert processes.variants(["onnxruntime"], "train") == []
    assert {name for names in processes._PEERS.values() for name in names} | {"minicnn"} == set(FRAMEWORKS)
    with pytest.raises(OptionError, match="--compare out of torch"):
        processes.variants(["tensorflow"], "train")


def test_peers_get_their_tuning_and_nobody_what_slows_blas(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    ours, peers = processes._environment(True, None), processes._environment(False, "/other/python")
    assert "OPENBLAS_CORETYPE" not in ours and "OPENBLAS_CORETYPE" not in peers
    assert "MALLOC_TOP_PAD_" in peers and "MALLOC_TOP_PAD_" not in ours
    assert ours["PYTHONPATH"].endswith(":/ours") and "PYTHONPATH" not in peers


def test_a_process_that_fails_is_an_error_with_its_last_line():
    with pytest.raises(
        MiniCNNError, match="minicnn failed on lenet5: .*'fly'|minicnn failed on nothing: .*nothing"
    ):
        processes.measure(Job("minicnn", "nothing", "train", 1, 1, 0.01))


def test_operations_of_a_step():
    # LeNet-5: 117,600 + 240,000 multiply-adds of convolutions and 400x120 + 120x84 + 84x10 of dense layers.
    first, others = 28 * 28 * 6 * 25, 100 * 16 * 150 + 48_000 + 10_080 + 840
    assert processes.operations(Job("minicnn", "lenet5", "infer", 2, 1, 1.0)) == 2 * 2 * (first + others)
    assert processes.operations(Job("minicnn", "lenet5", "train", 1, 1, 1.0)) == 2 * (2 * first + 3 * others)


def test_a_network_above_its_roof_is_refused():
    peak = roof.Roof(0)
    for rate in peak.rates.values():
        rate.best = 1e9
    peak.hard = True
    row = {"framework": "minicnn", "model": "lenet5", "mode": "train", "batch": 64, "threads": 1}
    seconds = processes.operations(JOB) / 1e9
    assert processes.add_rates({**row, "median_s": seconds}, JOB, peak)["peak_fraction"] == pytest.approx(1.0)
    refused = processes.add_rates({**row, "median_s": seconds / 5}, JOB, peak)
    assert refused == {**row, "refused": "above the roof: 125 % of what this machine gives"}


def test_minicnn_is_measured_in_its_own_process():
    found = processes.measure(Job("minicnn", "mlp", "infer", 1, 1, 0.01), python=sys.executable)
    assert found["parameters"] == 235_146
    assert found["steps"] >= 10 and found["median_s"] >= found["min_s"] > 0
    assert {
        "page_faults_per_step",
        "own_cpus",
        "other_cpus",
        "peak_rss_bytes",
        "first_step_s",
    } <= found.keys()
    assert (found["compiled"], found["malloc"]) == (True, "default")
