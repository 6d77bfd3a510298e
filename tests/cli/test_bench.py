"""minicnn bench: what it prints, what it refuses, and its JSON."""

import pytest

from minicnn.bench.steps import clock

CONV = ("--op", "conv2d", "--shape", "2,3,8,8", "--weight", "4,3,3,3", "--padding", "1")
FAST = ("--threads", "1", "--budget", "0.002")


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch):
    """As if this process were alone."""
    monkeypatch.setattr("minicnn.bench.judge.BUSY", 99.0)
    monkeypatch.setattr("minicnn.bench.judge.busy", lambda others: None)
    monkeypatch.setattr("minicnn.bench.roof._LARGEST", 2**22)  # bytes; a table of levels, quickly


def test_kernels_of_one_shape(command):
    done = command("bench", "kernels", *CONV, *FAST, "--json")
    assert done.code == 0, done.out
    assert {"date", "cpu", "threads", "numpy", "minicnn", "python"} <= done.json["machine"].keys()
    assert done.json["machine"]["threads"] == 1
    assert {"peak_gflops", "copy_gbytes_per_s", "measured_by"} == done.json["roof"].keys()
    passes = {found["pass"]: found for found in done.json["passes"]}
    assert list(passes) == ["forward", "backward-data", "backward-weights"]
    names = [candidate["name"] for candidate in passes["forward"]["candidates"]]
    assert names[:3] == ["loops (oracle), extrapolated", "einsum over windows", "im2col + GEMM (reference)"]
    figures = passes["forward"]["candidates"][2]
    wanted = {
        "median_s",
        "q1_s",
        "q3_s",
        "gflops",
        "gbytes_per_s",
        "roof_fraction",
        "scratch_bytes",
        "error_rms",
    }
    assert wanted <= figures.keys()
    assert passes["forward"]["operations"] == 2 * (2 * 4 * 64) * 27
    assert "conv2d 2x3x8x8 * 4x3x3x3 padding 1, backward-data" in done.out


def test_markdown_and_one_pass(command):
    done = command(
        "bench", "kernels", "--op", "relu", "--shape", "4,4", "--pass", "backward", "--markdown", *FAST
    )
    lines = done.out.splitlines()
    assert done.code == 0
    assert "| computed by | median | quartiles | GFLOP/s | GB/s | of roof | scratch | error rms |" in lines
    assert any(line.startswith("| reference | ") for line in lines)
    assert "forward" not in done.out


def test_plot_is_drawn(command, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "roof.png"
    done = command("bench", "kernels", *CONV, "--pass", "forward", *FAST, "--plot", path)
    assert done.code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_busy_machine_is_refused_with_exit_code_1(command, monkeypatch):
    from minicnn.bench import judge

    monkeypatch.setattr(judge, "busy", lambda others: "the machine is busy: others used 0.50 CPU")
    words = ("bench", "kernels", "--op", "relu", "--shape", "4,4", *FAST)
    done = command(*words)
    assert (done.code, "the machine is busy: others used 0.50 CPU" in done.out) == (1, True)
    done = command(*words, "--force")
    assert done.code == 0
    assert "not to be compared" in done.out and " *" in done.out


def test_train_of_one_network(command):
    done = command("bench", "train", "--model", "mlp", "--batch", "4", "--quick", *FAST, "--json")
    assert done.code == 0, done.out
    (row,) = done.json["rows"]
    wanted = {"median_s", "min_s", "p10_s", "steps", "images_per_s", "peak_rss_bytes", "page_faults_per_step"}
    assert wanted | {"own_cpus", "other_cpus", "gflops", "peak_fraction"} <= row.keys()
    assert (row["framework"], row["model"], row["batch"], row["threads"]) == ("minicnn", "mlp", 4, 1)


def test_a_peer_that_is_not_installed_is_named(command, monkeypatch):
    quiet = {
        "median_s": 1.0,
        "min_s": 1.0,
        "p10_s": 1.0,
        "images_per_s": 1.0,
        "peak_rss_bytes": 1,
        "own_cpus": 1.0,
    }
    quiet |= {"page_faults_per_step": 0.0, "other_cpus": 0.0}
    monkeypatch.setattr(
        "minicnn.bench.processes.measure",
        lambda job, python: {"missing": "jax"} if job.framework == "jax" else dict(quiet),
    )
    done = command("bench", "infer", "--model", "mlp", "--batch", "1", "--compare", "jax", *FAST)
    assert done.code == 0
    assert "jax is not installed" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("kernels", "--op", "conv3d"), "did you mean 'conv2d'"),
        (("kernels", "--shape", "1,2"), "--shape needs --op"),
        (("kernels", "--op", "conv2d", "--shape", "2,3,8,8"), "add --weight"),
        (("kernels", "--op", "conv2d", "--shape", "2,3,8"), "add --weight"),
        (("kernels", "--op", "relu", "--shape", "2,x"), "--shape as whole numbers of at least 1"),
        (("kernels", "--op", "relu", "--shape", "2,0"), "--shape as whole numbers of at least 1"),
        (("kernels", "--op", "relu", "--shape", "2,2", "--stride", "2"), "relu has no stride"),
        (("kernels", *CONV, "--groups", "2"), "w.shape[1] = C / groups"),
        (("kernels", "--op", "relu", "--shape", "2", "--pass", "update", *FAST), "has no pass 'update'"),
        (("train", "--model", "alexnet"), "there is no benchmark 'alexnet'"),
        (("train", "--compare", "caffe"), "--compare out of torch"),
        (("train", "--budget", "0"), "--budget and --pairs must be more than 0"),
        (("train", "--python", "/no/such/python"), "--python to be an interpreter"),
        (("fly",), "invalid choice: 'fly'"),
    ],
)
def test_what_has_no_meaning_is_refused(command, words, message):
    done = command("bench", *words)
    assert done.code == 2
    assert message in done.err


def test_the_number_of_threads_is_put_back(command):
    from minicnn.core.threads import get_num_threads

    before = get_num_threads()
    command("bench", "kernels", "--op", "relu", "--shape", "4,4", "--threads", "2", "--budget", "0.001")
    assert get_num_threads() == before


def test_clock_is_that_of_the_steps():
    assert clock.snapshot().wall > 0
