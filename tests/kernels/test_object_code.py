"""The sums of a micro-kernel stay in registers: its loop neither stores to the stack nor loads from it.

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
# Other arithmetic between vectors: loops with it transform numbers and may keep arrays on the stack.
OTHER = re.compile(r"v(add|sub|mul|div|max|min|sqrt|perm|shuf|unpck|insert|extract|blend|cmp|round)")


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
        ["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True, check=True
    ).stdout
    for part in re.split(r"\n(?=[0-9a-f]+ <[^>]+>:)", text):
        head = re.match(r"[0-9a-f]+ <([^>]+)>:", part)
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


def is_micro_kernel(loop):
    vectors = [instruction for instruction in loop if instruction.is_vector]
    multiply_adds = sum(bool(FMA.match(instruction.name)) for instruction in vectors)
    return multiply_adds >= LEAST and not any(OTHER.match(instruction.name) for instruction in vectors)


def spills(instructions, loop):
    """The vector instructions of a loop that touch the stack."""
    framed = any(
        i.name == "mov" and i.operands == "%rsp,%rbp" for i in instructions
    )  # else rbp is any pointer
    stack = re.compile(r"\(%r(sp|bp)" if framed else r"\(%rsp")
    return [f"{i.name} {i.operands}" for i in loop if i.is_vector and stack.search(i.operands)]


def micro_kernels(path, keep=lambda name: True):
    """By function: what the loops of its micro-kernels do on the stack, one list a loop."""
    found = {}
    for name, instructions in functions_of(path):
        loops = [loop for loop in loops_of(instructions) if is_micro_kernel(loop)] if keep(name) else []
        if loops:
            found[name] = [spills(instructions, loop) for loop in loops]
    return found


@pytest.fixture(scope="module")
def _objdump():
    if shutil.which("objdump") is None:
        pytest.skip("objdump is not installed")


@pytest.fixture(scope="module", params=LEVELS)
def level(request, _objdump):
    if native.unavailable():
        pytest.skip(native.unavailable())
    from minicnn import _native

    path = Path(_native.__file__)
    if not any(f"_{request.param}" in name for name, _ in functions_of(path)):
        pytest.skip(f"the extension has no functions for {request.param}, or no names of functions")
    return micro_kernels(path, lambda name: request.param in name)


def test_micro_kernels_are_found(level):
    assert any("winograd" in name or "conv" in name or "gemm" in name for name in level)


def test_micro_kernels_keep_their_sums_in_registers(level):
    assert {name: loops for name, loops in level.items() if any(loops)} == {}


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
    (loops,) = micro_kernels(compiled(fits, level_name, tmp_path)).values()
    assert loops == [[]]
    found = micro_kernels(compiled(spilling, level_name, tmp_path))
    assert any(loop for loop in found["planted"])
