"""What importing loads, what works without the C extension, and what the extension exports."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import WITHOUT_C
from support import ROOT, run_python

from pointwise_fast.kernels import c_simd


def test_import_loads_no_extra() -> None:
    heavy = ("numba", "llvmlite", "scipy", "matplotlib", "dask", "xarray", "torch", "setuptools")
    code = f"import sys, pointwise_fast; print([m for m in {heavy} if m in sys.modules])"
    assert run_python(code).stdout == "[]\n"


def test_import_loads_few_modules_beyond_numpy() -> None:
    """The number of modules stands for the time, which is not asserted."""
    code = """
        import sys, numpy
        before = set(sys.modules)
        import pointwise_fast
        print(*sorted(set(sys.modules) - before))
    """
    loaded = run_python(code).stdout.split()
    others = [m for m in loaded if not m.startswith("pointwise_fast")]
    assert len(others) < 15, others


def test_calls_while_numpy_imports_its_masked_arrays() -> None:
    """Calls work as from a signal handler, though `numpy.ma` recurses until its import is done."""
    code = """
        import sys, numpy as np, pointwise_fast as pf
        x, weight, seen = np.ones((3, 4, 5), "f4"), np.ones((2, 3), "f4"), []
        layer = pf.Conv1x1(weight)
        out, both = np.empty((2, 4, 5), "f4"), np.empty((4, 4, 5), "f4")

        def call():
            for y in (
                layer(x), layer(x.tolist()), layer(x, out=out), pf.conv1x1(x, weight),
                pf.conv1x1(x, weight, nodata=7.0), pf.Branches(layer, layer)(x, out=both)[:2],
                pf.Branches(layer, layer)(x, out=(out, out.copy()))[0],
            ):
                assert (np.asarray(y) == 3).all()
            seen.append("numpy.ma" in sys.modules)

        class Call:
            def find_spec(self, name, path=None, target=None):
                if name == "numpy.ma.core":
                    call()

        sys.modules.pop("numpy.ma", None), sys.modules.pop("numpy.ma.core", None)
        vars(np).pop("ma", None)
        call()
        sys.meta_path.insert(0, Call())
        import numpy.ma
        call()
        print(*seen)
    """
    assert run_python(code).stdout == "False True True\n"


def imports_of(name: str, files: dict[str, Path]) -> set[str]:
    """Which of `files` a module imports, wherever in it: for types, in functions."""
    path, found = files[name], set()
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            named = {f"{module}.{alias.name}" for alias in node.names}
            found |= {full if full in files else module for full in named}
    return (found & set(files)) - {name}


def test_imports_go_in_no_circle() -> None:
    files = {}
    for package, folder in {"pointwise_fast": "", "pointwise_fast.kernels": "kernels"}.items():
        for path in (ROOT / (folder or package)).glob("*.py"):
            files[package if path.stem == "__init__" else f"{package}.{path.stem}"] = path
    imports = {name: imports_of(name, files) for name in files}
    assert sum(map(len, imports.values())) > 100
    assert [*graphlib.TopologicalSorter(imports).static_order()]


def test_public_names() -> None:
    """The names are the same after modules of the package were imported by name."""
    code = """
        import pointwise_fast as pf, pointwise_fast.problem, pointwise_fast.kernels.numpy_blas
        print(*dir(pf))
        assert pf.typing.Head and pf.__version__ and dir(pf) == sorted(pf.__all__)
        from pointwise_fast import *
        assert conv1x1 is pf.conv1x1
    """
    names = run_python(code).stdout.split()
    assert not [name for name in names if name.startswith("_") and name != "__version__"]
    assert {"conv1x1", "typing", "num_threads"} < set(names)
    assert not {"call", "kernels", "numpy_blas", "problem", "settings"} & set(names)


def test_without_the_extension() -> None:
    code = (
        WITHOUT_C
        + """
import numpy as np, pointwise_fast as pf
assert "c" not in pf.backends() and pf.backends()[-1] == "numpy"
reason = pf.config()["missing"]["c"]
assert "hidden by a test" in reason and "compiler" in reason
assert pf.config()["isa"] == "" and pf.config()["isas"] == () and pf.config()["caches"] == ()
assert np.all(pf.conv1x1(np.ones((3, 4, 5)), [[1, 2, 3]]) == 6)
try:
    pf.conv1x1(np.ones((3, 4, 5)), [[1, 2, 3]], backend="c")
except ValueError as error:
    assert "backend 'c' does not work here" in str(error) and "'numpy'" in str(error)
else:
    raise AssertionError("backend='c' was accepted")
"""
    )
    run_python(code)


def test_without_the_extension_an_isa_is_refused() -> None:
    done = run_python(WITHOUT_C + "import pointwise_fast", check=False, POINTWISE_FAST_ISA="avx2")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError")
    assert "POINTWISE_FAST_ISA" in last
    assert "not built" in last


@pytest.mark.slow
def test_without_numba() -> None:
    code = """
        import importlib.util

        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *_: None if name == "numba" else found(name, *_)
        import pointwise_fast as pf
        assert "numba" not in pf.backends()
        print(pf.config()["missing"]["numba"])
    """
    said = run_python(code).stdout
    assert said == "numba is not installed; run pip install 'pointwise_fast[numba]'\n"


@pytest.mark.parametrize("compiler", ["/bin/false", "/no/such/compiler"])
def test_installing_without_a_compiler(compiler: str, tmp_path: Path) -> None:
    for needed in ("setuptools", "wheel", "cffi"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(
            ".git", ".venv*", "build", "*.so", "_c.c", "results", "tests"
        ),
    )
    install = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "-v"]
    done = subprocess.run(
        [*install, "--target", str(tmp_path / "there"), str(source)],
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "the C kernels were not built" in done.stdout + done.stderr
    assert "C compiler" in done.stdout + done.stderr
    installed = {path.name for path in (tmp_path / "there/pointwise_fast/kernels").iterdir()}
    assert {"c_simd.py", "py.typed"} <= installed
    assert not {"build_c.py", "repeat.c", "repeat.h"} & installed
    code = """
        import sys
        sys.path.insert(0, sys.argv[1])
        # An editable installation would lend its extension.
        sys.meta_path = [f for f in sys.meta_path if "Editable" not in getattr(f, "__name__", "")]
        import pointwise_fast as pf
        assert pf.__file__.startswith(sys.argv[1]), pf.__file__
        print(*pf.backends())
    """
    found = run_python(code, tmp_path / "there").stdout.split()
    assert "c" not in found
    assert "numpy" in found


def about_extension(*command: str) -> str:
    """The output of a tool of binutils for the extension's file."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    if c_simd.available() is not None:
        pytest.skip("the C kernels are not built")
    spec = importlib.util.find_spec("pointwise_fast.kernels._c")
    assert spec is not None
    assert spec.origin is not None
    done = subprocess.run([*command, spec.origin], capture_output=True, text=True, check=True)
    return done.stdout


def test_exported_symbols() -> None:
    symbols = about_extension("nm", "-D", "--defined-only")
    assert {line.split()[-1] for line in symbols.splitlines()} == {"PyInit__c", "PyInit__repeat"}


@pytest.mark.skipif(sys.platform != "linux", reason="of ELF files")
def test_how_the_extension_was_linked() -> None:
    """Addresses are read-only before anything runs; no run path names the build machine."""
    dynamic = about_extension("readelf", "--dynamic", "--wide")
    assert "BIND_NOW" in dynamic
    assert "RPATH" not in dynamic
    assert "RUNPATH" not in dynamic
    assert "GNU_RELRO" in about_extension("readelf", "--program-headers", "--wide")


@pytest.mark.skipif(sys.platform != "linux", reason="of ELF files")
def test_stack_protector() -> None:
    """The protector is in all code but the kernels of `isa`, where every tile would pay for it."""
    assert "__stack_chk_fail" in about_extension("nm", "-D", "--undefined-only")
