"""Builds the C kernels; without a compiler the package installs all the same and says so."""

import sys

from setuptools import setup
from setuptools.command.build_ext import build_ext


class OptionalBuildExt(build_ext):
    """The extension if it can be built; else a message, and Numba or NumPy serve."""

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
