"""The Numba backend: machine code, threads, forks, imports and cache."""

from __future__ import annotations

import math
import os
import platform
import re
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import assert_conv, run_python

import pointwise_fast as pf
from pointwise_fast.activation import Activation, parse_activation
from pointwise_fast.kernels import numba_parallel, numba_plan, numpy_blas
from pointwise_fast.problem import Problem

numba = pytest.importorskip("numba")

F4, F8 = np.dtype(np.float32), np.dtype(np.float64)


def problem(
    C: int, K: int, P: int, layout: str, dtype: np.dtype[Any] = F4, act: Activation | None = None
) -> Problem:
    n = dtype.itemsize
    x, out = ((P * n, n), (P * n, n)) if layout == "planar" else ((n, C * n), (n, K * n))
    return Problem(
        dtype=dtype, x_dtype=dtype, out_dtype=dtype, outer=(), C=C, K=K, P=P, groups=1, x_strides=x,
        out_strides=out, residual_strides=None, bias=False, activation=act,
    )  # fmt: skip


def data(C: int, K: int, pixels: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((C, pixels), np.float32)
    return x, rng.standard_normal((K, C), np.float32), rng.standard_normal(K, np.float32)


# Machine code


def innermost_loops(assembly: str) -> list[str]:
    """Basic blocks that end in a jump back to their own label."""
    blocks = re.split(r"^(\.LBB\w+):.*$", assembly, flags=re.M)[1:]
    pairs = zip(blocks[::2], blocks[1::2], strict=True)
    return [
        body.split(jump.group())[0]
        for label, body in pairs
        if (jump := re.search(rf"^\s+j\w+\s+{re.escape(label)}$", body, re.M))
    ]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 mnemonics")
@pytest.mark.parametrize("layout", ["planar", "interleaved"])
@pytest.mark.parametrize("dtype", [F4, F8])
def test_inner_loop_is_packed_fused_and_does_not_spill(
    layout: str, dtype: np.dtype[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vector, _ = numba_plan.machine()
    if vector < 32:
        pytest.skip("this CPU has no AVX")
    from pointwise_fast.kernels import numba_loops, numba_tile

    # Functions from the cache have no assembly.
    monkeypatch.setattr(
        numba_loops,
        "compile_cached",
        lambda decorator, signature, f: decorator(signature, **numba_loops.OPTIONS)(f),
    )
    tile = numba_plan.choose_tile(problem(50, 20, 5000, layout, dtype), *numba_plan.machine())
    assembly = numba_loops.compile_worker(*tile)._library.get_asm_str()
    kind = "ps" if dtype == F4 else "pd"
    register = "zmm" if vector == 64 else "ymm"
    loops = [body for body in innermost_loops(assembly) if "vfmadd" in body]
    assert loops
    sums = tile.R * len(numba_tile.widths(tile.N, tile.lanes))
    # Parts of vectors are loaded under a mask.
    whole = [body for body in loops if "{z}" not in body and "maskmov" not in body]
    assert whole
    for body in whole:
        fused = re.findall(rf"vfmadd\d+{kind}\b", body)
        assert len(fused) >= sums
        assert len(fused) % sums == 0
        assert register in body
        assert not re.search(r"vfmadd\d+s[sd]|vmul[ps]|vadd[ps]|\bcall", body)
        assert not re.search(r"vmov\w+\s+.*%[xyz]mm\d+, -?\d*\(%r[sb]p\)", body), "spills"


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "gelu", "softplus", "mish", "elu"])
@pytest.mark.parametrize("dtype", [F4, F8])
def test_activations_are_vectors_without_calls(
    name: str, dtype: np.dtype[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pointwise_fast.kernels import numba_activations, numba_loops

    monkeypatch.setattr(
        numba_activations,
        "compile_cached",
        lambda decorator, signature, f: decorator(signature, **numba_loops.OPTIONS)(f),
    )
    compiled = numba_activations.compile_activation(name, dtype.type, 480)
    llvm = compiled._library.get_llvm_str()
    kind = "float" if dtype == F4 else "double"
    assert re.search(rf"<\d+ x {kind}>", llvm)
    for function in ("exp", "log", "tanh", "erf", "expm1", "log1p", "pow"):
        assert not re.search(rf"call .*@(llvm\.)?{function}f?\b", llvm)


def exact_activation(x: np.ndarray, act: Activation) -> np.ndarray:
    """The specification in extended precision."""
    wide = x.astype(np.longdouble)
    if act.name != "gelu":
        return numpy_blas.activate(wide, act)
    # `math.erfc` of the nearest double, and the slope times what was rounded away.
    z = -wide / np.sqrt(np.longdouble(2))
    near = z.astype(np.float64)
    erfc = np.array([math.erfc(v) for v in near.ravel()]).reshape(z.shape)
    slope = -2 / np.sqrt(np.longdouble(math.pi)) * np.exp(-(z**2))
    return wide * (erfc + (z - near) * slope) / 2


@pytest.mark.parametrize("dtype", [F4, F8])
@pytest.mark.parametrize(
    ("name", "units"),
    [("sigmoid", 4), ("tanh", 4), ("silu", 4), ("gelu", 8), ("softplus", 4), ("mish", 6),
     ("gelu_tanh", None), ("elu", 3)],
)  # fmt: skip
def test_activations_are_exact_to_a_few_units(
    name: str, units: int | None, dtype: np.dtype[Any]
) -> None:
    """Activations are exact to a few units where results are normal numbers."""
    x = np.concatenate([np.linspace(-9, 9, 20_001), np.geomspace(1e-30, 80, 500)])
    x = np.concatenate([x, -x])[np.newaxis].astype(dtype)
    given: Any = (name, 1.0) if name == "elu" else name
    y = pf.conv1x1(x, [[1]], activation=given, channel_axis=-2, backend="numba")
    activation = parse_activation(given)
    assert activation is not None
    exact = exact_activation(x, activation)
    # The argument of gelu_tanh's exponential is rounded, so its error grows with its size.
    allowed = units or 4 + 2 * np.abs(1.6 * (x + 0.045 * x**3))
    normal = np.abs(exact) > 100 * np.finfo(dtype).tiny
    error = np.abs(y - exact) - allowed * np.finfo(dtype).eps * np.abs(exact)
    assert error[normal].max() <= 0


# Threads


@pytest.mark.parametrize("layout", ["planar", "interleaved"])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_parallel_equals_serial_bit_for_bit(layout: str, activation: Any) -> None:
    x, w, b = data(50, 20, 30_011)
    axis = -2
    if layout == "interleaved":
        x, axis = np.ascontiguousarray(x.T), -1
    layer = pf.Conv1x1(w, b, activation=activation, channel_axis=axis, backend="numba")
    one = layer(x, threads=1)
    for threads in (2, 3, 64, 4096):
        np.testing.assert_array_equal(layer(x, threads=threads), one)


def test_layouts_are_equal_bit_for_bit() -> None:
    x, w, b = data(50, 20, 5_003)
    planar = pf.conv1x1(x, w, b, channel_axis=-2, backend="numba")
    interleaved = pf.conv1x1(np.ascontiguousarray(x.T), w, b, channel_axis=-1, backend="numba")
    np.testing.assert_array_equal(planar.T, interleaved)


def test_the_caller_keeps_its_number_of_threads() -> None:
    x, w, _ = data(50, 20, 30_000)
    numba.set_num_threads(1)
    try:
        pf.conv1x1(x, w, channel_axis=-2, backend="numba", threads=4)
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


CONCURRENT = """
import threading
import numpy as np, pointwise_fast as pf
from pointwise_fast.kernels import numba_threads
rng = np.random.default_rng(1)
x = rng.standard_normal((50, 40_000), np.float32)
layer = pf.Conv1x1(rng.standard_normal((20, 50), np.float32), channel_axis=-2, backend="numba")
gate, wrong = threading.Barrier(16), []
def work():
    gate.wait()
    results = [layer(x, threads=4) for _ in range(10)]
    wrong.extend(r for r in results if not np.array_equal(r, results[0]))
    firsts.append(results[0])
firsts = []
threads = [threading.Thread(target=work) for _ in range(16)]
[t.start() for t in threads]; [t.join() for t in threads]
one = layer(x, threads=1)
assert not wrong and len(firsts) == 16 and all(np.array_equal(f, one) for f in firsts)
print(numba_threads._launcher()[1].threading_layer())
"""


@pytest.mark.parametrize("layer", ["workqueue", "default"])
def test_many_python_threads_at_once(layer: str) -> None:
    done = run_python(CONCURRENT, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="4")
    ran = done.stdout.strip()
    assert ran == layer or layer == "default"


# Forks

FORK = """
import os, sys
import numpy as np, pointwise_fast as pf
from pointwise_fast.kernels import numba_threads
rng = np.random.default_rng(1)
x = rng.standard_normal((50, 40_000), np.float32)
layer = pf.Conv1x1(rng.standard_normal((20, 50), np.float32), channel_axis=-2, backend="numba")
one = layer(x, threads=1)
if {parallel_first}:
    layer(x, threads=2)
def child(depth):
    pid = os.fork()
    if pid == 0:
        right = np.array_equal(layer(x, threads=2), one)
        # A kernel that the parent has not compiled.
        xt = x.T[:, :, np.newaxis]
        y = pf.conv1x1(xt, np.ones((3, 50)), channel_axis=1, backend="numba", threads=2)[:, 0, 0]
        bound = 54 * np.finfo(np.float32).eps * abs(x).sum(0)
        right &= bool(np.all(abs(y - x.sum(0, dtype=np.float64)) <= bound))
        if depth:
            right &= child(depth - 1) == 0
        os._exit(0 if right else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert child(1) == 0
assert np.array_equal(layer(x, threads=2), one)
assert numba_threads._threads_work
print("ok")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("parallel_first", [True, False])
@pytest.mark.parametrize("layer", ["workqueue", "default"])
def test_fork(parallel_first: bool, layer: str) -> None:
    code = FORK.format(parallel_first=parallel_first)
    done = run_python(code, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert done.stdout.strip() == "ok"


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc here")
@pytest.mark.parametrize("layer", ["workqueue", "default"])
def test_child_of_a_parent_that_used_numba_without_us(layer: str) -> None:
    code = """
        import os
        import numba, numpy as np
        @numba.njit(parallel=True)
        def fill(a):
            for i in numba.prange(len(a)):
                a[i] = 1
        fill(np.zeros(4))
        pid = os.fork()
        if pid == 0:
            import pointwise_fast as pf
            y = pf.conv1x1(np.ones((50, 40_000)), np.ones((20, 50)), channel_axis=-2,
                           backend="numba", threads=2)
            os._exit(0 if (y == 50).all() else 1)
        assert os.waitpid(pid, 0)[1] == 0
    """
    run_python(code, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


# Imports and the cache


def test_import_loads_no_numba() -> None:
    code = (
        "import sys, pointwise_fast as pf; pf.backends(); "
        "pf.conv1x1([[1.0]], [[1.0]], channel_axis=-1, backend='numpy'); "
        "print([m for m in sys.modules if m.split('.')[0] in ('numba', 'llvmlite')])"
    )
    assert run_python(code).stdout.strip() == "[]"


def test_unavailable_without_jit() -> None:
    code = (
        "import pointwise_fast as pf; assert 'numba' not in pf.backends()\n"
        "try: pf.conv1x1([[1.0]], [[1.0]], channel_axis=-1, backend='numba')\n"
        "except ValueError as e: print(e)"
    )
    assert "NUMBA_DISABLE_JIT" in run_python(code, NUMBA_DISABLE_JIT="1").stdout


def test_without_any_cache() -> None:
    """Numba works where it can write neither to the package's folder nor to the user's."""
    run_python("""
        import numpy as np, pointwise_fast as pf
        from numba.core import caching
        caching.CacheImpl._locator_classes = []
        x = np.ones((3, 400_000))
        y = pf.conv1x1(x, np.ones((2, 3)), activation="relu", channel_axis=-2, backend="numba",
                       threads=2)
        assert (y == 3).all()
        # Plain calls load nothing of what heads and missing data need.
        import sys
        assert "pointwise_fast.kernels.numba_loops" in sys.modules
        assert "pointwise_fast.kernels.numba_panels" not in sys.modules
    """)


def test_the_next_process_finds_the_cache(tmp_path: Path) -> None:
    code = """
        import gc
        import numpy as np, pointwise_fast as pf
        from numba.core.ccallback import CFunc
        from pointwise_fast.kernels import numba_loops, numba_threads
        if change:
            numba_loops._revision = lambda: 1
        x = np.ones((3, 400_000))
        pf.conv1x1(x, np.ones((2, 3)), activation="relu", channel_axis=-2, backend="numba",
                   threads=2)
        launch = numba_threads._launcher()[0]
        functions = [f for f in gc.get_objects() if isinstance(f, CFunc)]
        hits = sorted(f.cache_hits for f in functions)
        print(sum(launch.stats.cache_hits.values()), *hits)
    """
    # A change of numba_tile.py makes the loops stale, but no activation.
    for change, hits in ((0, "0 0 0"), (0, "1 1 1"), (1, "0 0 1")):
        lines = textwrap.dedent(code)
        done = run_python(f"change = {change}{lines}", NUMBA_CACHE_DIR=str(tmp_path))
        assert done.stdout.strip() == hits


# Problems


def test_in_place_where_one_block_holds_all_filters() -> None:
    small = replace(problem(4, 4, 100, "planar"), in_place=True)
    assert numba_parallel.unsupported(small) is None
    large = replace(problem(64, 64, 100, "planar"), in_place=True)
    assert "64 channels" in str(numba_parallel.unsupported(large))


@pytest.mark.parametrize("layout", ["planar", "interleaved"])
@pytest.mark.parametrize("C", [3, 20, 64])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_out_may_be_x(layout: str, C: int, activation: Any) -> None:
    x, w, b = data(C, C, 5_003)
    axis = -2
    if layout == "interleaved":
        x, axis = np.ascontiguousarray(x.T), -1
    layer = pf.Conv1x1(w, b, activation=activation, channel_axis=axis, backend="numba")
    beside = layer(x)
    np.testing.assert_array_equal(layer(x, out=x, threads=2), beside)


def test_first_plans_of_many_threads() -> None:
    """Sixteen threads need the same new kernel at once."""
    x, w, _ = data(7, 5, 1000)
    gate, results = threading.Barrier(16), []

    def work() -> None:
        gate.wait()
        results.append(pf.conv1x1(x[:, ::3], w, channel_axis=-2, backend="numba"))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    for result in results:
        assert_conv(result, x[:, ::3], w, channel_axis=-2)


def test_no_threading_layer() -> None:
    """Without a threading layer the calling thread does the work."""
    run_python(
        """
        import numpy as np, pointwise_fast as pf
        from pointwise_fast.kernels import numba_threads
        def refuse():
            raise ValueError("no threading layer could be loaded")
        numba_threads._launcher = refuse
        layer = pf.Conv1x1(np.ones((20, 50)), channel_axis=-2, backend="numba")
        for _ in range(2):
            assert (layer(np.ones((50, 40_000)), threads=4) == 50).all()
            assert not numba_threads._threads_work
        """
    )
