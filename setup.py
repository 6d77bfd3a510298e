"""Builds the one optional extension, minicnn._native, from kernels/; the rest is in pyproject.toml.

Every kernel is compiled once for each CPU level; `kernels/frame/cpu.cpp` chooses among them at run time.
Without a C++ compiler the installation goes on, and `minicnn/_native.txt` says why the extension is
missing; `minicnn info` shows it. `-ffast-math` must never be used: linked into one library, it
turns off subnormal numbers in the whole process. `-march=native` would make a wheel that runs only
where it was built.
"""

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import shorten

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("kernels")
FRAME = sorted(map(str, KERNELS.glob("frame/*.cpp")))  # compiled once
HEADERS = sorted(map(str, KERNELS.glob("include/*.h")))
FAMILIES = sorted(map(str, KERNELS.glob("*.cpp")))  # compiled for each level

FLAGS = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]
CXX_FLAGS = [*FLAGS, "-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"]
X86 = platform.machine().lower() in ("x86_64", "amd64")
AVX512 = ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"]
LEVELS = {"baseline": []} | ({"avx2": ["-mavx2", "-mfma"], "avx512": AVX512} if X86 else {})


def is_newer(target, sources):
    """Whether a file is there that was made after the last change of all its sources."""
    target = Path(target)
    return target.exists() and target.stat().st_mtime > max(Path(s).stat().st_mtime for s in sources)


class OptionalBuildExt(build_ext):
    """Builds the extension if it can, and otherwise writes down why."""

    cython_c_in_temp = True

    def initialize_options(self):
        super().initialize_options()
        self.cython_c_in_temp = True  # the generated C stays in build/

    def run(self):
        try:
            super().run()
        except Exception as error:  # whatever is missing, the package works without
            self.note(error)

    def build_extension(self, ext):
        note = Path(self.get_ext_fullpath(ext.name)).with_name("_native.txt")
        note.unlink(missing_ok=True)
        try:
            ext.extra_compile_args = FLAGS
            ext.extra_objects = self.compile_kernels(ext)
            super().build_extension(ext)
        except Exception as error:
            self.note(error)

    def compile_kernels(self, ext):
        """The object files of the frame, and of the kernels for every level."""
        jobs = [(source, "frame", [("MK_X86", None)] if X86 else [], []) for source in FRAME]
        for level, flags in LEVELS.items():
            jobs += [(source, level, [("MK_LEVEL", level)], flags) for source in FAMILIES]

        def compile_one(job):
            source, folder, macros, flags = job
            folder = str(Path(self.build_temp) / folder)
            (target,) = self.compiler.object_filenames([source], output_dir=folder)
            if not self.force and is_newer(target, [source, *HEADERS, "setup.py"]):
                return target
            (made,) = self.compiler.compile(
                [source],
                output_dir=folder,
                macros=macros,
                include_dirs=ext.include_dirs,
                extra_postargs=CXX_FLAGS + flags,
                depends=ext.depends,
            )
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(compile_one, jobs))

    def note(self, error):
        reason = shorten(f"the extension could not be built at installation: {error}", 160)
        self.warn(reason)
        path = Path(self.get_ext_fullpath("minicnn._native")).with_name("_native.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reason + "\n", encoding="utf-8")


setup(
    ext_modules=[
        Extension(
            "minicnn._native",
            sources=[str(KERNELS / "cython/_native.pyx")],
            include_dirs=[str(KERNELS / "include"), np.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            depends=[*map(str, KERNELS.glob("cython/*")), *HEADERS, *FRAME, *FAMILIES],
            optional=True,
        )
    ],
    cmdclass={"build_ext": OptionalBuildExt},
)
