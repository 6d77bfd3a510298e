"""minicnn bench: what it prints, what it refuses, and its JSON."""

import pytest

from minicnn import backends
from minicnn.bench.steps import clock
from minicnn.core import dispatch
from minicnn.core.dispatch import Declined
from minicnn.errors import BackendError

CONV = ("--op", "conv2d", "--shape", "2,3,8,8", "--weight", "4,3,3,3", "--padding", "1")
POOL = ("--op", "avg_pool2d", "--shape", "1,1,4,4")
FAST = ("--threads", "1", "--budget", "0.002")


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch):
    """As if this process were alone."""
    monkeypatch.setattr("minicnn.bench.judge.BUSY", 99.0)
    monkeypatch.setattr("minicnn.bench.judge.busy", lambda others: None)
    monkeypatch.setattr("minicnn.bench.quiet._LOOK", 0.001)
    monkeypatch.setattr("minicnn.bench.roof._LARGEST", 2**22)  # bytes; a table of levels, quickly


def test_kernels_of_one_shape(command):
    done = command("bench", "kernels", *CONV, *FAST, "--json")
    assert done.code == 0, done.out
    assert {"date", "cpu", "threads", "numpy", "minicnn", "python"} <= done.json["machine"].keys()
    assert done.json["machine"]["threads"] == 1
    roofs = {"level", "peak_gflops", "best_level", "best_peak_gflops", "copy_gbytes_per_s", "measured_by"}
    assert roofs == done.json["roof"].keys()
    passes = {found["pass"]: found for found in done.json["passes"]}
    assert list(passes) == ["forward", "backward-data", "backward-weights"]
    names = [candidate["name"] for candidate in passes["forward"]["candidates"]]
    assert names[:3] == ["loops (oracle)", "einsum over windows", "im2col + GEMM (reference)"]
    loops, einsum, figures = passes["forward"]["candidates"][:3]
    assert loops["extrapolated"] is True and einsum["extrapolated"] is figures["extrapolated"] is False
    assert "~ estimated: timed on a small part of the work and scaled up" in done.out
    lines = [line for line in done.out.splitlines() if "~" in line]
    assert len(lines) == 4 and all("loops (oracle)" in line and line.count("~") == 3 for line in lines[:3])
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


@pytest.fixture
def pictures(monkeypatch):
    """The figures that are drawn."""
    figure = pytest.importorskip("matplotlib.figure").Figure
    drawn = []
    save = figure.savefig
    monkeypatch.setattr(figure, "savefig", lambda self, *p, **o: drawn.append(self) or save(self, *p, **o))
    return drawn


def test_products_are_drawn_as_points_under_roofs(command, tmp_path, pictures):
    path = tmp_path / "roof.png"
    done = command("bench", "kernels", *CONV, "--pass", "forward", *FAST, "--plot", path, "--json")
    assert done.code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    (axes,) = pictures[0].axes
    (made,) = done.json["passes"]
    points = {tuple(map(float, line.get_xydata()[0])) for line in axes.lines if line.get_marker() == "o"}
    timed = [c for c in made["candidates"] if "median_s" in c and not c["extrapolated"]]
    assert points == {(made["intensity"], c["gflops"]) for c in timed}
    (mark,) = (line for line in axes.lines if line.get_marker() == "_")
    assert mark.get_ydata()[0] == pytest.approx(made["operations"] / made["roof"]["seconds"] / 1e9)
    assert {text.get_text().split(",")[0] for text in axes.texts} >= {"memory", made["data_in"]}
    low, high = axes.get_ylim()
    assert all(low < y < high for _, y in points) and low < done.json["roof"]["peak_gflops"] < high


def test_what_moves_numbers_is_drawn_as_bytes_a_second_beside_copies(command, tmp_path, pictures):
    words = ("--op", "max_pool2d", "--shape", "2,3,8,8", *FAST, "--plot", tmp_path / "bars.png", "--json")
    done = command("bench", "kernels", *words)
    assert done.code == 0
    (axes,) = pictures[0].axes
    timed = [c for made in done.json["passes"] for c in made["candidates"] if "median_s" in c]
    assert [bar.get_width() for bar in axes.patches] == [c["gbytes_per_s"] for c in timed]
    assert axes.get_xlim()[0] == 0 and axes.get_xscale() == "linear"
    copies = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"}
    assert copies == set(done.json["roof"]["copy_gbytes_per_s"].values())
    label = axes.get_yticklabels()[0].get_text()
    assert label.startswith("max_pool2d 2x3x8x8 kernel-size 2 stride 2 padding 0\nforward, ")


@pytest.mark.parametrize(
    ("outcome", "code"), [(Declined("no ReLU on Sundays"), 0), (BackendError("the driver declined"), 1)]
)
def test_what_fails_is_refused_whatever_it_says_and_what_declines_is_not(command, monkeypatch, outcome, code):
    def relu(xp, x):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    backends.load("numba" if backends.unavailable("native") else "native")
    overlays = dispatch.kernels["relu"].overlays
    monkeypatch.setattr(dispatch.kernels["relu"], "overlays", dict.fromkeys(overlays, relu))
    done = command("bench", "kernels", "--op", "relu", "--shape", "4,4", "--pass", "forward", *FAST, "--json")
    assert done.code == code
    assert (done.json["refused"] > 0) == bool(code)
    assert f"{'failed' if code else 'declined'}: {outcome.args[0] if code else outcome.reason}" in done.out


@pytest.mark.parametrize("what", [("kernels", "--op", "relu", "--shape", "4,4"), ("train", "--model", "mlp")])
def test_a_busy_machine_is_told_of_at_once_and_refused_with_exit_code_1(command, monkeypatch, what):
    reason = "the machine is busy: others used 0.50 CPU"
    monkeypatch.setattr("minicnn.bench.quiet.processes", dict)
    monkeypatch.setattr("minicnn.bench.judge.busy", lambda others: reason)
    monkeypatch.setattr("minicnn.bench.processes.measure", lambda *job: pytest.fail("measured all the same"))
    monkeypatch.setattr("minicnn.bench.kernels.race", lambda *made: pytest.fail("measured all the same"))
    done = command("bench", *what, "--wait", "0.2", *FAST, "--json")
    waiting, refused = done.err.splitlines()[0], done.err.splitlines()[-1]
    assert waiting.startswith(reason) and waiting.endswith("waiting for it, 0 of 0.2 s")
    assert refused.startswith(f"minicnn bench: {reason}") and refused.endswith("see --wait and --force")
    assert done.code == 1
    assert done.json["refused"] == 1 and done.json["busy"].startswith(reason)


def test_force_measures_on_a_busy_machine_at_once_and_marks(command, monkeypatch):
    monkeypatch.setattr(
        "minicnn.bench.judge.busy", lambda others: "the machine is busy: others used 0.50 CPU"
    )
    monkeypatch.setattr("minicnn.bench.quiet.Patience", lambda *options: pytest.fail("waited"))
    done = command("bench", "kernels", "--op", "relu", "--shape", "4,4", *FAST, "--force")
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
        (
            ("kernels", "--op", "relu", "--shape", "2,2", "--stride", "2"),
            "relu takes no --stride; beside --shape",
        ),
        (("kernels", *CONV, "--kernel-size", "3"), "conv2d takes no --kernel-size; did you mean --weight?"),
        (
            ("kernels", "--op", "avg_pool2d", "--shape", "1,1,4,4", "--weight", "2"),
            "did you mean --kernel-size?",
        ),
        (
            ("kernels", "--op", "avg_pool2d", "--shape", "1,1,4,4", "--groups", "2"),
            "it takes --stride, --padding",
        ),
        (("kernels", "--op", "conv2d", "--stride", "2"), "--stride needs --op and --shape"),
        (("kernels", "--kernelsize", "2"), "no option --kernelsize; did you mean --kernel-size?"),
        (("kernels", "--pas", "forward"), "no option --pas; did you mean --pass?"),
        (("kernels", "--wait", "-1"), "--wait must be at least 0"),
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


def test_blas_has_as_many_threads_as_asked_for_and_the_output_says_so(command, monkeypatch):
    import threadpoolctl

    seen = []

    def run(case, *rest):
        seen.extend(
            lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"
        )
        return iter(())

    monkeypatch.setattr("minicnn.bench.kernels.measure_case", run)
    done = command("bench", "kernels", "--op", "relu", "--shape", "4,4", "--threads", "1", "--json")
    assert {library["threads"] for library in done.json["machine"]["blas"]} == set(seen) == {1}
    assert " on 1 thread, Python" in done.out.splitlines()[0]


def test_a_window_alone_is_its_own_stride(command):
    words = ("--op", "max_pool2d", "--shape", "1,1,9,9", "--kernel-size", "3", "--pass", "forward")
    done = command("bench", "kernels", *words, *FAST, "--json")
    assert done.json["passes"][0]["case"] == "max_pool2d 1x1x9x9 kernel-size 3 stride 3 padding 0"


@pytest.mark.parametrize(
    "words, what",
    [
        (("kernels", "--model", "lenet5"), "bench kernels takes no --model"),
        (("train", "--op", "relu"), "bench train takes no --op"),
        (("infer", "--pass", "forward"), "bench infer takes no --pass"),
        (("kernels", "--plot", "x.txt"), "expected a picture: "),
        (("kernels", "--plot", "nowhere/x.png"), "there is no such folder"),
        (("kernels", "--threads", "0"), "expected --threads from 1 to"),
        (("kernels", "--threads", "9999"), "got 9999"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_measured(command, words, what):
    if "--plot" in words:
        pytest.importorskip("matplotlib")
    done = command("bench", *words)
    assert (done.code, what in done.err) == (2, True), done.err
