"""The sums of a micro-kernel stay in registers: its loop neither stores to the stack nor loads from it.
Nor does any other innermost loop with multiply-adds store to it, but for a few that are named here.

One index that is not unrolled, or one register too many, and the compiler keeps sums in memory: results
stay the same, and half of the speed is gone. Only the object code shows it.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from minicnn.backends import native

ROOT = Path(__file__).parents[2]
FLAGS = [
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-std=c++17",
    "-fno-exceptions",
    "-fno-rtti",
]
LEVELS = {
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"],
    "avx2": ["-mavx2", "-mfma"],
}
LEAST = 8  # multiply-adds that make a loop a micro-kernel's

FMA = re.compile(r"vf(n?)m(add|sub)\d+ps$")
# Other arithmetic between vectors: loops with it transform numbers, and may load what they do not change.
OTHER = re.compile(r"v(add|sub|mul|div|max|min|sqrt|perm|shuf|unpck|insert|extract|blend|cmp|round)")


# By level: functions whose loops need more vectors than there are registers, and why. First micro-kernels.
DEPTHWISE_5X5 = "25 taps, the rows under them and the sums are more than 32 vectors"
FEW_REGISTERS = "9 or 25 taps, the rows under them and the sums are more than 16 vectors"
ONCE_A_LINE = "the path of long lines jumps back, and so a line looks like a loop: the stores are once a line"
TRANSFORM = "Winograd's transforms hold the 36 vectors of a patch"
SPILLING_MICRO_KERNELS = {
    "avx512": {r"spread<5": DEPTHWISE_5X5},
    "avx2": {r"(gradient|spread)<[35]": FEW_REGISTERS, r"add_taps<9>": FEW_REGISTERS},
}
STORING_LOOPS = {
    "avx512": {
        r"(gradient|spread|correlate)<5": DEPTHWISE_5X5,
        r"Block::(transform|finish)|winograd_weight_gradient": TRANSFORM,
        r"moments_of_pieces": "the eight sums of a block pass through memory, once a block",
        r"cross_entropy_forward": ONCE_A_LINE,
    },
    "avx2": {
        r"(gradient|spread|correlate)<[35]": FEW_REGISTERS,
        r"Block::(transform|finish)|winograd_weight_gradient": TRANSFORM,
        r"moments_of_pieces": "the eight sums of a block pass through memory, once a block",
        r"cross_entropy_forward": ONCE_A_LINE,
        r"add_lanes<4, 3>": "12 sums, 4 and 3 vectors are more than 16",
        r"softplus|log_softmax": "their polynomials and what they wait for are more than 16 vectors",
    },
}


@dataclass
class Instruction:
    address: int
    name: str
    operands: str

    @property
    def is_vector(self):
        return bool(re.search(r"%[yz]mm\d", self.operands))


def functions_of(path):
    """Name and instructions of every function in an object file."""
    text = subprocess.run(
        ["objdump", "-d", "-C", "--no-show-raw-insn", str(path)], capture_output=True, text=True, check=True
    ).stdout
    for part in re.split(r"\n(?=[0-9a-f]+ <.+>:\n)", text):
        head = re.match(r"[0-9a-f]+ <(.+)>:\n", part)
        lines = re.findall(r"^\s*([0-9a-f]+):\s+(\S+)[ \t]*(.*)$", part, re.MULTILINE)
        if head:
            yield head[1], [Instruction(int(a, 16), name, operands) for a, name, operands in lines]


def loops_of(instructions):
    """The instructions of each innermost loop: from the target of a jump back to the jump."""
    place = {instruction.address: i for i, instruction in enumerate(instructions)}
    spans = []
    for i, instruction in enumerate(instructions):
        target = re.match(r"([0-9a-f]+)", instruction.operands) if instruction.name[0] == "j" else None
        start = place.get(int(target[1], 16)) if target else None
        if start is not None and start <= i:
            spans.append((start, i))
    inner = [s for s in spans if not any(s != t and s[0] <= t[0] and t[1] <= s[1] for t in spans)]
    return [instructions[start : end + 1] for start, end in inner]


def multiply_adds(loop):
    return sum(bool(FMA.match(instruction.name)) for instruction in loop if instruction.is_vector)


def is_micro_kernel(loop):
    return not any(OTHER.match(instruction.name) for instruction in loop if instruction.is_vector)


def level_of(loop):
    return "avx512" if any("%zmm" in instruction.operands for instruction in loop) else "avx2"


def spills(instructions, loop):
    """The vector instructions of a loop that touch the stack; but for micro-kernels, those that store."""
    framed = any(
        i.name == "mov" and i.operands == "%rsp,%rbp" for i in instructions
    )  # else rbp is any pointer
    stack = r"\(%r(sp|bp)" if framed else r"\(%rsp"
    touched = re.compile(stack if is_micro_kernel(loop) else stack + r"[^()]*\)$")
    return [f"{i.name} {i.operands}" for i in loop if i.is_vector and touched.search(i.operands)]


@dataclass
class Loop:
    function: str
    level: str
    micro_kernel: bool
    spills: list

    def may_spill(self):
        known = (SPILLING_MICRO_KERNELS if self.micro_kernel else STORING_LOOPS)[self.level]
        return any(re.search(pattern, self.function) for pattern in known)


def loops_with_multiply_adds(path):
    """The innermost loops of all functions, those too that have no name of their own, with enough of them."""
    return [
        Loop(name, level_of(loop), is_micro_kernel(loop), spills(instructions, loop))
        for name, instructions in functions_of(path)
        for loop in loops_of(instructions)
        if multiply_adds(loop) >= LEAST
    ]


@pytest.fixture(scope="module")
def _objdump():
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed")


@pytest.fixture(scope="module")
def extension(_objdump):
    if native.unavailable():
        pytest.skip(native.unavailable())
    from minicnn import _native

    return loops_with_multiply_adds(_native.__file__)


@pytest.fixture(params=LEVELS)
def loops(request, extension):
    found = [loop for loop in extension if loop.level == request.param]
    if not found:
        pytest.skip(f"the extension has no loops for {request.param}, or no names of functions")
    return found


FAMILIES = {
    "winograd": r"Block::multiply\(",
    "winograd, weights": "winograd_weight_gradient",
    "dense products": "Block::multiply_tile|multiply_by",
    "dense layers": "multiply_panel",
    "direct": "Work::multiply|multiply_panel<",
    "direct, weights": "add_(by_numbers|lanes|taps)",
    "depthwise": "each_plane|gradient<",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_micro_kernels_are_found(loops, family):
    names = [loop.function for loop in loops if loop.micro_kernel]
    assert any(re.search(FAMILIES[family], name) for name in names)


def test_sums_stay_in_registers(loops):
    found = [loop for loop in loops if loop.spills and not loop.may_spill()]
    assert found == []


def compiled(rows, level, tmp_path):
    """The object file of a micro-kernel with so many rows of two vectors."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    source = tmp_path / "planted.cpp"
    source.write_text(
        f"""#include "tile.h"
extern "C" void planted(float *c, const float *a, const float *b, ptrdiff_t K)
{{
    vec sums[{rows}][2] = {{}};
    accumulate(sums, EvenColumns{{a, {rows}, 1}}, EvenRows{{b, 2 * VL}}, VL, K);
    #pragma GCC unroll 64
    for (int i = 0; i < {rows}; i++) {{
        store(c + 2 * i * VL, sums[i][0]);
        store(c + (2 * i + 1) * VL, sums[i][1]);
    }}
}}
"""
    )
    made = tmp_path / "planted.o"
    include = f"-I{ROOT / 'kernels/include'}"
    done = subprocess.run(
        [compiler, *FLAGS, *LEVELS[level], include, "-c", str(source), "-o", str(made)],
        capture_output=True,
        text=True,
    )
    if "unrecognized" in done.stderr:  # the options of another machine
        pytest.skip(f"the compiler does not make code for {level}: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return made


# 16 rows of two vectors need 32 registers for their sums alone, 10 rows 20; there are 32 and 16.
@pytest.mark.parametrize(
    ("level_name", "fits", "spilling"), [("avx512", 12, 16), ("avx2", 6, 10)], ids=["avx512", "avx2"]
)
def test_a_tile_with_too_many_rows_is_caught(_objdump, tmp_path, level_name, fits, spilling):
    assert [loop.spills for loop in loops_with_multiply_adds(compiled(fits, level_name, tmp_path))] == [[]]
    found = loops_with_multiply_adds(compiled(spilling, level_name, tmp_path))
    assert any(loop.spills for loop in found)
