"""Builds the one optional extension, minicnn._native, from kernels/; the rest is in pyproject.toml.

Without a C compiler the installation goes on, and `minicnn/_native.txt` says why the extension is
missing; `minicnn info` shows it. `-ffast-math` must never be used: linked into one library, it
turns off subnormal numbers in the whole process. `-march=native` would make a wheel that runs only
where it was built.
"""

from pathlib import Path
from textwrap import shorten

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("kernels")
C_FLAGS = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]


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
        if self.compiler.compiler_type == "unix":
            ext.extra_compile_args = C_FLAGS
        note = Path(self.get_ext_fullpath(ext.name)).with_name("_native.txt")
        note.unlink(missing_ok=True)
        try:
            super().build_extension(ext)
        except Exception as error:
            self.note(error)

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
            sources=[str(KERNELS / "cython/_native.pyx"), *sorted(map(str, KERNELS.glob("*.c")))],
            include_dirs=[str(KERNELS / "include"), np.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            depends=[str(path) for path in sorted(KERNELS.glob("include/*.h"))],
            optional=True,
        )
    ],
    cmdclass={"build_ext": OptionalBuildExt},
)
