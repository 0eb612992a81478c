"""Builds the C kernels; without a compiler the package installs all the same and says so."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from setuptools import setup
from setuptools.command.build_ext import build_ext


class OptionalBuildExt(build_ext):
    """The extension if it can be built; else a message, and Numba or NumPy serve."""

    def build_extensions(self):
        """Source files at once: one of them takes as long as all others."""
        compile_all = self.compiler.compile

        def compile_at_once(sources, *args, **kwargs):
            def compile_one(source):
                return compile_all([source], *args, **kwargs)

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [name for names in pool.map(compile_one, sources) for name in names]

        self.compiler.compile = compile_at_once
        super().build_extensions()

    def build_extension(self, extension):
        extension.optional = True  # what was not built is not copied either
        try:
            super().build_extension(extension)
        except Exception as error:
            print(
                f"\n*** pointwise_fast: the C kernels were not built: {error}\n"
                "*** They need a C compiler (gcc or clang) and Python's headers. Without them\n"
                "*** pointwise_fast uses Numba if it is installed, else NumPy.\n",
                file=sys.stderr,
            )


setup(
    packages=["pointwise_fast", "pointwise_fast.kernels"],
    package_dir={"pointwise_fast.kernels": "kernels"},
    package_data={"pointwise_fast": ["py.typed"], "pointwise_fast.kernels": ["py.typed"]},
    cffi_modules=["kernels/build_c.py:ffibuilder"],
    cmdclass={"build_ext": OptionalBuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
