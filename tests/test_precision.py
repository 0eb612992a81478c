"""``precision="bf16"``: products of rounded numbers, and nothing else that differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Array, Memory, assert_within, reference
from test_dtypes import LAYOUTS, arranged, values

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

#: bfloat16 has 8 bits: a rounded number is off by 2**-8 of itself, a product of two by twice that.
ROUNDED = 2.01 * 2.0**-8


def uses_bf16(layer: Any) -> bool:
    call = next(iter(layer._calls.values()))[0]
    return "bfloat16" in getattr(call.plan, "describe", str)()


def assert_rounded(
    y: Array, x: Array, weight: Array, bias: Array | None = None, axis: int = -3
) -> None:
    """Compare with exact sums: the bound of float32, and what bfloat16 takes off each product."""
    expected, bound = reference(x, weight, bias, channel_axis=axis, dtype="f4")
    size, _ = reference(abs(x.astype("f4")), abs(weight), channel_axis=axis)
    assert_within(y, expected, bound + ROUNDED * size)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("x_dtype", ["f4", "u1", "i2", "f2"])
@pytest.mark.parametrize(("C", "K", "P"), [(1, 48, 40), (7, 50, 333), (50, 5, 70), (600, 65, 100)])
def test_the_error(
    C: int, K: int, P: int, x_dtype: str, layout: str, backend: str, rng: np.random.Generator
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
    """Numbers that bfloat16 holds are multiplied exactly; others show that they were rounded."""
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
    with pytest.raises(ValueError, match="precision must be None or 'bf16'; got 'half'"):
        pf.conv1x1(np.ones((3, 5, 6)), np.ones((4, 3)), precision="half")
