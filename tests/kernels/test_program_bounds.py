"""A program is refused if an instruction leaves its buffers, or a buffer the arena."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FUZZ = Path(__file__).with_name("fuzz_programs.py")


def finish(program, floats=(4, 4), fixed=None, arena=1000, places=None, y_shape=(4,), chunk=1):
    count = len(floats)
    program.finish(places or [0] * count, list(floats), list(fixed or [0] * count), arena, chunk, y_shape)


def test_a_program_that_keeps_to_its_buffers(native):
    program = native.Program()
    program.map(1, 0, "relu", 4)
    finish(program)
    assert program(np.array([[-1, 2, -3, 4]], np.float32)).tolist() == [[0, 2, 0, 4]]


@pytest.mark.parametrize(
    ("message", "arguments", "layout"),
    [
        ("names buffer 5 of 2", (5, 0, "relu", 4), {}),
        ("names buffer -3 of 2", (1, -3, "relu", 4), {}),
        ("of buffer 1", (1, 0, "relu", 5), {}),
        ("of buffer 0", (1, 0, "relu", 4), {"floats": (3, 4)}),
        ("of buffer 1", (1, 0, "relu", -4), {}),
        ("writes the images", (0, 0, "relu", 4), {}),
        ("leaves the arena", (2, 0, "relu", 4), {"floats": (4, 4, 4), "places": [0, 0, 997]}),
        ("leaves the arena", (2, 0, "relu", 4), {"floats": (4, 4, 4), "places": [0, 0, 5]}),
        ("leaves the arena", (2, 0, "relu", 4), {"floats": (4, 4, 4), "places": [0, 0, 16], "chunk": 500}),
        ("results of another shape", (1, 0, "relu", 4), {"y_shape": (5,)}),
        ("an arena of no such size", (1, 0, "relu", 4), {"arena": 3}),
    ],
)
def test_what_leaves_its_place_is_refused(native, message, arguments, layout):
    program = native.Program()
    program.map(*arguments)
    with pytest.raises(ValueError, match=message):
        finish(program, **layout)


@pytest.mark.parametrize(
    ("size", "to", "to_step", "from_", "from_step"),
    [
        ((1, 1, 1, 5), 0, (0, 0, 0, 1), 0, (0, 0, 0, 1)),
        ((1, 1, 2, 2), 0, (0, 0, 3, 1), 0, (0, 0, 2, 1)),
        ((1, 1, 1, 2), 3, (0, 0, 0, 1), 0, (0, 0, 0, 1)),
        ((1, 1, 1, 2), 0, (0, 0, 0, 1), 0, (0, 0, 0, -1)),
        ((1, 1, 1, 2**62), 0, (0, 0, 0, 4), 0, (0, 0, 0, 1)),
        ((1, 1, 1, 0), 0, (0, 0, 0, 1), 0, (0, 0, 0, 1)),
    ],
)
def test_a_copy_that_leaves_its_buffers_is_refused(native, size, to, to_step, from_, from_step):
    program = native.Program()
    program.copy(1, 0, size, to, to_step, from_, from_step, False)
    with pytest.raises(ValueError, match="an instruction takes"):
        finish(program)


def test_working_memory_lies_apart(native):
    """A depthwise convolution keeps places there that it goes to: they must not be overwritten."""
    program = native.Program()
    x = np.zeros((2, 2, 4, 4), np.float32)
    w = np.zeros((2, 1, 3, 3), np.float32)
    options = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 2}
    program.conv(2, 0, -1, 3, "depthwise", x, x, w.shape, w, None, False, **options)
    layout = {"floats": (32, 32, 32, 0), "fixed": [0, 0, 0, 18], "y_shape": (32,)}
    with pytest.raises(ValueError, match="over its working memory"):
        finish(program, places=[0, 0, 16, 47], **layout)
    with pytest.raises(ValueError, match="18 of buffer 3"):
        finish(program, places=[0, 0, 16, 48], **layout | {"fixed": [0, 0, 0, 17]})
    finish(program, places=[0, 0, 16, 48], **layout)


@pytest.mark.parametrize("window", [(5, 1, 0), (1, 2, 0), (0, 1, 0), (2, 0, 0), (2, 1, -1)])
def test_windows_that_leave_the_image_are_refused(native, window):
    kernel, stride, padding = window
    x, y = np.zeros((2, 3, 4, 4), np.float32), np.zeros((2, 3, 3, 3), np.float32)
    options = {"kernel_size": (kernel, 1), "stride": (stride, 1), "padding": ((padding, 0), (0, 0))}
    with pytest.raises(ValueError, match=r"windows|padding"):
        native.Program().max_pool(1, 0, 2, y, x, False, **options, dilation=(1, 1))


def test_an_instruction_that_is_refused_leaves_nothing_behind(native):
    """Else the program would go on with weights that are not there."""
    program = native.Program()
    with pytest.raises(ValueError, match="expected"):
        program.batch_norm(1, 0, (1, 4, 1), np.ones(4, "f"), np.ones(3, "f"), None, None, 0.1)
    finish(program)
    program(np.ones((1, 4), np.float32))


@pytest.mark.parametrize("first", [0, 20_000])
def test_random_instructions_are_refused_or_run(first):
    done = subprocess.run(
        [sys.executable, FUZZ, str(first), "20000"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ran, refused = map(int, done.stdout.split())
    assert ran > 20, "of some instruction hardly any program ran"
    assert refused > 20


def test_an_index_lies_where_its_bytes_may_lie(native):
    x, y = np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 1, 2, 2), np.float32)
    for place, message in ((16, None), (17, "an index of 8 bytes lies between two")):
        program = native.Program()
        program.largest_pool(1, 0, 2, y, x)
        layout = {"floats": (16, 4, 8), "places": [0, 0, place], "y_shape": (1, 2, 2)}
        if message is None:
            finish(program, **layout)
            continue
        with pytest.raises(ValueError, match=message):
            finish(program, **layout)
