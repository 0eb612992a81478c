"""All quantised C kernels of this CPU against the specification: bits and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peaks import MALLOC, MEASURE
from quantised import any_bytes, expected, problem_of, random_case
from support import Backend, Memory, python_environment, run_python

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd
from pointwise_fast.kernels.c_problem import integer
from pointwise_fast.kernels.c_quantised import CQuantised, kernels_of
from pointwise_fast.kernels.numpy_quantised import NumpyQuantised

pytestmark = pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available()))

KERNELS = [name for isa in c_simd.isas() for name in kernels_of(isa)] or ["none"]


def planar(n: int, P: int, pad: int) -> tuple[int, int]:
    return P + pad, 1


def interleaved(n: int, P: int, pad: int) -> tuple[int, int]:
    return 1, n + pad


def strided(n: int, P: int, pad: int) -> tuple[int, int]:
    return 3 * P + pad, 3


def backwards(n: int, P: int, pad: int) -> tuple[int, int]:
    return -(P + pad), -1


LAYOUTS = (planar, interleaved, strided, backwards)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("x_layout", LAYOUTS)
@pytest.mark.parametrize("out_layout", LAYOUTS)
def test_every_tail(kernels: str, x_layout: Any, out_layout: Any, rng: np.random.Generator) -> None:
    """Every tail of pixels and channels is right, and every byte of the output's buffer."""
    for P in range(1, 71):
        K, C = int(rng.integers(1, 81)), int(rng.choice([1, 2, 3, 4, 7, 8, 30, 64, 130, 256]))
        case = random_case(rng, (C, P), K, axis=0, weight_zero=[True, False, None][P % 3])
        pad, offset = (int(rng.choice([0, 1, 5, 64])) for _ in range(2))
        x = Memory.holding(case.x, x_layout(C, P, pad), offset)
        out = Memory((K, P), out_layout(K, P, pad), case.out_zero_point.dtype, offset)
        lo, hi = sorted(any_bytes(rng, 2, out.array.dtype).tolist()) if P % 2 else (-128, 255)
        limits = np.iinfo(out.array.dtype)
        lo, hi = max(lo, limits.min), min(hi, limits.max)
        problem = problem_of(case._replace(x=x.array), out.array, lo=lo, hi=hi)
        CQuantised(problem, kernels).conv(case.weight, case.bias, x.array, None, out.array, 1)
        names = f"{x_layout.__name__} -> {out_layout.__name__}"
        out.assert_holds(np.clip(expected(case, 0), lo, hi), f"{kernels} {C=} {K=} {P=} {names}")


@pytest.mark.parametrize("kernels", KERNELS)
def test_against_the_specification(kernels: str, rng: np.random.Generator) -> None:
    """Batches and larger images are right for any number of threads."""
    for x_shape, K, axis in (
        ((3, 40, 700), 50, 0), ((2, 700, 40), 50, 1), ((1, 960, 49), 160, 0),
        ((1, 512, 196), 90, 0), ((2, 5000, 20), 30, 0), ((400, 1, 300), 8, 0),
    ):  # fmt: skip
        x = any_bytes(rng, x_shape, np.uint8)
        case = random_case(rng, (x_shape[1 + axis], 1), K, axis=0)
        x = (x if axis == 0 else np.moveaxis(x, -1, 1)).astype(case.x.dtype)
        case = case._replace(x=x)
        outs = [np.zeros((x.shape[0], K, x.shape[2]), case.out_zero_point.dtype) for _ in "abcd"]
        NumpyQuantised(problem_of(case, outs[0])).conv(case.weight, case.bias, x, None, outs[0], 1)
        for threads, out in enumerate(outs[1:], 1):
            plan = CQuantised(problem_of(case, out), kernels)
            plan.conv(case.weight, case.bias, x, None, out, threads * threads)
            assert np.array_equal(out, outs[0]), (x_shape, threads)
            weight = case.weight.copy()
            packed = plan.pack(weight, case.bias)
            weight[:] = 7
            for _ in range(2):
                out[:] = 0
                plan.run(packed, x, None, out, threads * threads)
                assert np.array_equal(out, outs[0]), (x_shape, threads)


def plan_for(x_dtype: Any, shape: tuple[int, int], rng: np.random.Generator) -> CQuantised:
    """Of 12 channels and 20 out, pixels of `shape`: channels first or last, by strides."""
    case = random_case(rng, (12, 35), 20, (x_dtype, np.int8, np.uint8), axis=0)
    x = np.lib.stride_tricks.as_strided(case.x, (12, 35), shape)
    out = np.empty((20, 35), np.uint8)
    if shape[0] == 1:
        out = np.empty((35, 20), np.uint8).T
    return CQuantised(problem_of(case._replace(x=x, x_zero_point=3), out))


def test_plans_that_share_packed_weights(rng: np.random.Generator) -> None:
    """x of either dtype, and either layout, has weights of its own; strides are no matter."""
    plans = [plan_for(d, s, rng) for d in (np.uint8, np.int8) for s in ((35, 1), (1, 12))]
    assert len({plan.pack_key for plan in plans}) == 4
    assert plan_for(np.uint8, (34, 1), rng).pack_key == plans[0].pack_key


def test_packed_weights_are_aligned(rng: np.random.Generator) -> None:
    for _ in range(20):
        packed = plan_for(np.uint8, (35, 1), rng).pack(np.ones((20, 12), np.int8), None)
        assert integer(packed) % 64 == 0


def test_describe(rng: np.random.Generator) -> None:
    name = next(iter(kernels_of(c_simd.isa())))
    for shape, way in ((35, 1), "planar"), ((1, 12), "interleaved"):
        text = plan_for(np.uint8, shape, rng).describe()
        assert text.startswith(f"{name} {way}: ")
        assert "passes of 12 channels, tiles of" in text


@pytest.mark.parametrize("kernels", KERNELS)
def test_arrays_between_guard_pages(kernels: str, seed: int) -> None:
    program = Path(__file__).parent / "guarded_quantised.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), kernels, str(seed)],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stdout.splitlines() or ["nothing"]
    assert done.returncode == 0, f"exit {done.returncode} in: {lines[-1]}\n{done.stderr}"
    assert int(lines[-1].removeprefix("cases: ")) > 1000


def test_the_isa_that_is_forced() -> None:
    for isa in c_simd.isas():
        code = """
            import pointwise_fast as pf
            from pointwise_fast.kernels import c_quantised, c_simd
            print(*c_quantised.kernels_of(c_simd.isa()))
        """
        names = run_python(code, POINTWISE_FAST_ISA=isa).stdout.split()
        assert names == list(kernels_of(isa))
        assert all(name.partition("-")[0] == isa for name in names)


ARRAYS = """
x, y = np.ones((2, 60, rows, 600), np.uint8)
def call(x, K, y, axis=0):
    weight = np.ones((K, x.shape[axis]), np.int8)
    pf.qconv1x1(x, 1, 3, weight, 1, 0, 9, np.uint8(1), None, "relu", axis,
                out=y, backend=backend, threads=2)
"""

MEMORY = {
    "planar": "lambda: call(x, 60, y)",
    "interleaved": """lambda x=x.reshape(rows, 600, 60), y=y.reshape(rows, 600, 60):
        call(x, 60, y, -1)""",
    "planar to interleaved": """lambda y=np.moveaxis(y.reshape(rows, 600, 60), -1, 0):
        call(x, 60, y)""",
    "strided": "lambda x=x[:, ::2, ::2], y=y[:, ::2, ::2]: call(x, 60, y)",
    "backwards": "lambda x=x[:, ::-1, ::-1]: call(x, 60, y)",
    "in place": "lambda: call(y, 60, y)",
    "deep": """lambda x=x.reshape(6000, 6, 600), y=y[:9, :6].copy(): call(x, 9, y)""",
}


#: Threads of NumPy's BLAS would only disturb each other.
ENVIRONMENT = {**MALLOC, "OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.parametrize("case", MEMORY)
@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_peak_of_a_call(backend: Backend, case: str) -> None:
    """A call needs under 4 MiB, for arrays of 43 MB."""
    code = MEASURE + ARRAYS + f"print(peak({' '.join(MEMORY[case].split())}))"
    assert int(run_python(code, backend, case, **ENVIRONMENT).stdout) < 4 << 10


def test_auto_takes_c() -> None:
    """`auto` takes the C kernels where they work, so that tests of `qconv1x1` test them."""
    if not c_simd.has_fma():
        pytest.skip("NumPy comes first without FMA")
    from pointwise_fast.dispatch import select_quantised

    assert select_quantised("auto").NAME == c_simd.NAME
    assert pf.backends()[0] == "c"
