"""``precision=`` allows products of rounded numbers or asks for float64 sums, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from images import LAYOUTS, arranged, values, whole
from support import Array, Backend, Memory, assert_within, reference, without_numba

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

#: bfloat16 has 8 bits: rounding changes a number by up to 2**-8 of it, a product by twice that.
ROUNDED = 2.01 * 2.0**-8


def uses_bf16(layer: Any) -> bool:
    call = next(iter(layer._prepared.values()))
    return "bfloat16" in getattr(call.plan, "describe", str)()


def assert_rounded(
    y: Array, x: Array, weight: Array, bias: Array | None = None, axis: int = -3
) -> None:
    """Compare with exact sums: the bound is float32's, plus the bfloat16 error of each product."""
    expected, bound = reference(x, weight, bias, channel_axis=axis, dtype="f4")
    size, _ = reference(abs(x.astype("f4")), abs(weight), channel_axis=axis)
    assert_within(y, expected, bound + ROUNDED * size)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("x_dtype", ["f4", "u1", "i2", "f2"])
@pytest.mark.parametrize(("C", "K", "P"), [(1, 48, 40), (7, 50, 333), (50, 5, 70), (600, 65, 100)])
def test_the_error(
    C: int, K: int, P: int, x_dtype: str, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    if backend == "numba" and x_dtype != "f4":
        pytest.skip("numba takes floats only")
    x, axis = arranged(values(rng, x_dtype, C, 2, P), layout)
    weight, bias = rng.standard_normal((K, C)), rng.standard_normal(K)
    layer = pf.Conv1x1(weight, bias, channel_axis=axis, precision="bf16", backend=backend)
    y = layer(x)
    assert_rounded(y, x, weight, bias, axis)
    for threads in (1, 2, 5):
        assert np.array_equal(layer(x, threads=threads), y)
    assert np.array_equal(
        pf.conv1x1(x, weight, bias, channel_axis=axis, precision="bf16", backend=backend), y
    )


def test_where_the_cpu_has_it(rng: np.random.Generator) -> None:
    """Numbers that bfloat16 holds are multiplied exactly; others show the rounding."""
    with open("/proc/cpuinfo") as file:
        has = "avx512_bf16" in file.read()
    if not has or c_simd.isa() != "avx512":
        pytest.skip("no AVX-512 BF16")
    x = rng.integers(-100, 100, (8, 9, 41)).astype(np.float32)
    weight = rng.integers(-50, 50, (60, 8))
    layer = pf.Conv1x1(weight, precision="bf16", backend="c")
    assert np.array_equal(layer(x), pf.conv1x1(x, weight))
    assert uses_bf16(layer)
    x += 1 / 512
    assert not np.array_equal(layer(x), pf.conv1x1(x, weight))


@pytest.mark.parametrize("C", [1, 4, 5])
def test_nothing_is_written_beside_the_output(C: int, rng: np.random.Generator) -> None:
    x = values(rng, "f4", C, 4, 37)
    weight = rng.standard_normal((53, C))
    expected = pf.conv1x1(x, weight, precision="bf16")
    for strides in [(4 * 37 * 4, 37 * 4, 4), (5000, -1200, 31)]:
        memory = Memory((53, 4, 37), strides, "f4", offset=4)
        source = Memory.holding(x, strides)
        pf.conv1x1(source.array, weight, precision="bf16", out=memory.array)
        if strides[2] == 4:
            memory.assert_holds(expected, str(strides))
        assert_rounded(memory.array, x, weight)


def test_heads_and_masks(rng: np.random.Generator) -> None:
    x = rng.integers(-100, 100, (8, 9, 41)).astype(np.float32)
    weight = rng.integers(-50, 50, (60, 8))
    plain = pf.conv1x1(x, weight, head="argmax", nodata=0, fill=99)
    assert np.array_equal(
        pf.conv1x1(x, weight, head="argmax", nodata=0, fill=99, precision="bf16"), plain
    )


def test_wrong_argument() -> None:
    says = "precision must be None, 'bf16' or 'float64'; got "
    with pytest.raises(ValueError, match=says + "'half'"):
        pf.conv1x1(np.ones((3, 5, 6)), np.ones((4, 3)), precision="half")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=says + "type"):
        pf.conv1x1(np.ones((3, 5, 6)), np.ones((4, 3)), precision=np.float64)  # type: ignore[arg-type]


WIDE_INPUTS = ["u1", "i2", "u2", "f2", "f4", "i8", "f8", "c8", "c16"]


def is_refused(backend: Backend, x: Any, weight: Any, **settings: Any) -> bool:
    """Whether `backend` is Numba, which refuses `precision` by name."""
    if backend != "numba":
        return False
    with pytest.raises(ValueError, match="backend 'numba' does not support"):
        pf.conv1x1(x, weight, backend=backend, **settings)
    return True


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", WIDE_INPUTS)
def test_float64_sums(dtype: str, layout: str, backend: Backend, rng: np.random.Generator) -> None:
    """float64 sums are rounded once, to the default dtype, float32 or integers."""
    x, axis = arranged(whole(values(rng, dtype, 40, 3, 37), backend), layout)
    kind = "c16" if dtype.startswith("c") else "f8"
    weight, bias = (whole(values(rng, kind, *shape), backend) for shape in ((6, 40), (6,)))
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    default = pf.conv1x1(x, weight, bias, channel_axis=axis).dtype
    if dtype != "f8" and is_refused(backend, x, weight, channel_axis=axis, precision="float64"):
        return
    exact = pf.conv1x1(x, weight, bias, dtype=kind, **settings)
    y = pf.conv1x1(x, weight, bias, precision="float64", **settings)
    assert y.dtype == default
    assert np.array_equal(y, exact.astype(default))
    layer = pf.Conv1x1(weight, bias, precision="float64", **settings)
    for _ in range(3):
        assert np.array_equal(layer(x), y)
    assert "precision='float64'" in repr(layer)
    if kind == "c16" or backend == "numba":
        return
    for out in ("f2", "f4", "i4", "u1"):
        y = pf.conv1x1(x, weight, bias, dtype=out, precision="float64", **settings)
        limits = np.iinfo(out) if out in ("i4", "u1") else None
        clipped = exact if limits is None else np.clip(np.rint(exact), limits.min, limits.max)
        with np.errstate(over="ignore"):
            assert np.array_equal(y, clipped.astype(out))


@without_numba
def test_integers_in_integers_out(backend: Backend, rng: np.random.Generator) -> None:
    """Differences of large sums are off in float32 and exact in float64."""
    x = rng.integers(50000, 65536, (2000, 4, 9)).astype(np.uint16)
    weight = np.tile([1, -1], (1, 1000))
    expected = np.einsum("kc,chw->khw", weight, x.astype(np.int64))
    assert abs(expected).max() < 2**31
    y = pf.conv1x1(x, weight, dtype="int32", precision="float64", backend=backend)
    assert np.array_equal(y, expected)
    weight = np.repeat([[1, -1]], 1000, axis=1)
    expected = np.einsum("kc,chw->khw", weight, x.astype(np.int64))
    settings: dict[str, Any] = {"dtype": "float32", "backend": backend}
    assert np.array_equal(pf.conv1x1(x, weight, precision="float64", **settings), expected)
    if backend == "c":  # a BLAS may add in an order that keeps sums small
        assert not np.array_equal(pf.conv1x1(x, weight, **settings), expected)


@without_numba
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_rounded_once(dtype: str, backend: Backend) -> None:
    """Values just past a tie are not rounded to float32 first, which would make them ties."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = 10 if dtype == "float16" else 7
    kind = np.dtype(dtype if dtype == "float16" else ml_dtypes.bfloat16)
    tie, some = 2.0 ** -(bits + 1), 2.0**-45
    numbers = [1 + tie + some, 1 + tie, 1 + tie - some, -1 - tie - some, 1e300, np.nan]
    x = np.resize(numbers, (1, 9 * len(numbers)))
    settings: dict[str, Any] = {"precision": "float64", "channel_axis": -2, "backend": backend}
    y = pf.conv1x1(x, [[1.0]], dtype=kind, **settings)
    up = 1 + 2 * tie
    expected = np.resize([up, 1, 1, -up, np.inf, np.nan], x.shape)
    assert np.array_equal(y.astype(float), expected, equal_nan=True)


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chains_and_branches_of_float64_sums(
    layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    x, axis = arranged(values(rng, "u2", 20, 5, 67), layout)
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    wide = {"precision": "float64", **settings}
    W, V = rng.standard_normal((7, 20)), rng.standard_normal((3, 7))
    chain = pf.Chain(pf.Conv1x1(W, activation="relu", **wide), pf.Conv1x1(V, **wide))
    # Hidden channels are float64 too.
    hidden = pf.conv1x1(x, W, activation="relu", dtype="f8", **settings)
    exact = pf.conv1x1(hidden, V, dtype="f8", **settings)
    y = chain(x)
    assert y.dtype == np.float32
    bound = 27 * 2.0**-52 * np.abs(V).sum() * np.abs(W).sum() * 65536
    assert np.all(abs(y - exact) <= bound + 2.0**-24 * abs(exact))
    layers = [pf.Conv1x1(w, **wide) for w in (W, rng.standard_normal((4, 20)))]
    out = np.empty_like(np.concatenate([layer(x) for layer in layers], axis=axis))
    assert out.dtype == np.float32
    pf.Branches(*layers)(x, out=out)
    for y, layer in zip(np.split(out, [7], axis=axis), layers, strict=True):
        assert np.array_equal(y, layer(x))
    for y, layer in zip(pf.Branches(*layers)(x), layers, strict=True):
        assert np.array_equal(y, layer(x))


@pytest.mark.parametrize("other", [None, "bf16"])
def test_a_chain_has_one_precision(other: pf.typing.Precision | None) -> None:
    first, last = pf.Conv1x1(np.eye(2), precision="float64"), pf.Conv1x1(np.eye(2), precision=other)
    for layers, says in (((first, last), "'float64'"), ((last, first), repr(other))):
        with pytest.raises(ValueError, match=f"layer 1 has {says}; a chain has one dtype of sums"):
            pf.Chain(*layers)
