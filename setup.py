"""Builds the C kernels; without a compiler the package installs all the same and says so."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

#: Files without a stack protector: no caller decides on the length of a buffer on their stack.
KERNELS = "c_src/isa/"

#: Skylake to Cascade Lake leave their fast decoders at a jump that touches a 32-byte boundary:
#: kernels were up to 40% slower or not, as the linker placed them. These options, of gcc's
#: assembler and of clang, keep jumps off such boundaries.
BRANCHES = "-Wa,-mbranches-within-32B-boundaries", "-mbranches-within-32B-boundaries"

#: Python's own flags that name the build machine's libraries; the extension does not need them.
RUN_PATH = re.compile(r"-Wl,--?(rpath|R)[,=]")


class BuildPy(build_py):
    """Leaves out the module that builds the extension."""

    def find_package_modules(self, package, package_dir):
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if module[1] != "build_c"]


class OptionalBuildExt(build_ext):
    """Builds the extension if possible; else prints a message, and Numba or NumPy does the work."""

    def build_extensions(self):
        """Compiles source files in parallel, first those of AVX-512: one takes a third of all."""
        compile_all = self.compiler.compile
        is_unix = self.compiler.compiler_type == "unix"
        branches = self._first_that_compiles(BRANCHES) if is_unix else []

        def compile_at_once(sources, *args, extra_postargs=None, **kwargs):
            def compile_one(source):
                flags = list(extra_postargs or ())
                if is_unix and source.startswith(KERNELS):
                    flags += branches
                elif is_unix:
                    flags.append("-fstack-protector-strong")
                return source, compile_all([source], *args, extra_postargs=flags, **kwargs)

            longest_first = sorted(
                sources, key=lambda s: ("avx512" not in s, not s.startswith(KERNELS))
            )
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = dict(pool.map(compile_one, longest_first))
            # Linked in the given order all the same.
            return [name for source in sources for name in objects[source]]

        self.compiler.compile = compile_at_once
        # The C tests link these objects, so the Makefile says where they are to be.
        self.build_temp = os.environ.get("POINTWISE_FAST_OBJECTS", self.build_temp)
        if is_unix:
            linker = self.compiler.linker_so
            self.compiler.linker_so = [flag for flag in linker if not RUN_PATH.match(flag)]
        super().build_extensions()

    def _first_that_compiles(self, flags):
        """The first of these flags that the compiler knows, in a list; or none."""
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "empty.c")
            with open(source, "w", encoding="ascii") as file:
                file.write("typedef int empty;\n")
            for flag in flags:
                command = [*self.compiler.compiler_so, "-Werror", flag, "-c", source]
                command += ["-o", os.path.join(folder, "empty.o")]
                try:
                    if subprocess.run(command, capture_output=True).returncode == 0:
                        return [flag]
                except OSError:  # no such compiler, as build_extension will say
                    return []
        return []

    def build_extension(self, extension):
        extension.optional = True  # an extension that was not built is not copied either
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
    include_package_data=False,
    cmdclass={"build_ext": OptionalBuildExt, "build_py": BuildPy},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
