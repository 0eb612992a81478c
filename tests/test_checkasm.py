"""The C kernels of every instruction set that this CPU has, against arithmetic in NumPy.

Each output is one chain of fused multiply-adds, whose bits `exact` knows. The tests compare these
bits, and every byte around the outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from exact import fma, fma_chains
from support import DTYPES, ISAS, Array, Memory, assert_conv, problem_of

from pointwise_fast.kernels import c_simd

pytestmark = pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available()))


#: `KS` and `PS` reach past every vector, tile and K block, `CHANNELS` past the C block.
KS = range(1, 41)
PS = range(1, 71)
FEW_CHANNELS = (1, 2, 3, 4, 5, 7, 8, 13)
CHANNELS = (*FEW_CHANNELS, 50, 250, 257, 600, 1030)
MOST_K, MOST_P = 130, 150


class Sums:
    """Random operands, and for each C the exact sums; any part of them is an expected result."""

    def __init__(self, dtype: Any, seed: int) -> None:
        rng = np.random.default_rng([seed, np.dtype(dtype).itemsize])
        C = CHANNELS[-1]
        self.x = rng.standard_normal((C, MOST_P)).astype(dtype)
        self.weight = rng.standard_normal((MOST_K, C)).astype(dtype)
        self.bias = rng.standard_normal(MOST_K).astype(dtype)
        self.residual = rng.standard_normal((MOST_K, MOST_P)).astype(dtype)
        self.biased = dict(fma_chains(self.weight, self.x, self.bias, CHANNELS))
        self.plain = dict(fma_chains(self.weight, self.x, None, CHANNELS))

    def expected(self, K: int, C: int, P: int, bias: bool, residual: bool) -> Array:
        sums = (self.biased if bias else self.plain)[C][:K, :P]
        return sums + self.residual[:K, :P] if residual else sums


@pytest.fixture(scope="module", params=DTYPES, ids=["float32", "float64"])
def sums(request: pytest.FixtureRequest, seed: int) -> Sums:
    return Sums(request.param, seed)


def planar(n: int, P: int, item: int, pad: int) -> tuple[int, int]:
    """Strides of channels and pixels; `pad` bytes lie between the rows."""
    return P * item + pad, item


def interleaved(n: int, P: int, item: int, pad: int) -> tuple[int, int]:
    return item, n * item + pad


def strided(n: int, P: int, item: int, pad: int) -> tuple[int, int]:
    """No two elements are side by side."""
    return 3 * item * P + pad, 3 * item


def packed_records(n: int, P: int, item: int, pad: int) -> tuple[int, int]:
    """Elements are fields of records that have an odd number of bytes."""
    return item, (n * item + pad) | 1


def backwards(n: int, P: int, item: int, pad: int) -> tuple[int, int]:
    return -(P * item + pad), -item


LAYOUTS = (planar, interleaved, strided, packed_records, backwards)

#: Bytes between rows: none, a prime number of elements, a cache line, and 5, which misaligns.
PADS = (0, 4 * 7, 8 * 13, 64, 8 * 61, 5)


def check(
    sums: Sums,
    isa: str,
    K: int,
    C: int,
    P: int,
    layouts: tuple[Any, Any] = (planar, planar),
    *,
    pad: int = 0,
    offset: int = 0,
    bias: bool = True,
    residual: bool = False,
    threads: int = 1,
    packed: bool = True,
    swapped: int = 0,
) -> None:
    """Run one case, and compare every byte of the output's buffer.

    The bits of `swapped` say whether x, residual and output have the other byte order.
    """
    item = sums.x.itemsize
    x_layout, out_layout = layouts
    x_dtype, r_dtype, out_dtype = (
        sums.x.dtype.newbyteorder("S" if swapped & bit else "=") for bit in (1, 2, 4)
    )
    x = Memory.holding(sums.x[:C, :P].astype(x_dtype), x_layout(C, P, item, pad), offset)
    strides = out_layout(K, P, item, pad)
    out = Memory((K, P), strides, out_dtype, offset)
    weight = sums.weight[:K, :C]
    b = sums.bias[:K] if bias else None
    R = sums.residual[:K, :P].astype(r_dtype)
    r = Memory.holding(R, strides, offset).array if residual else None
    plan = c_simd.CPlan(problem_of(x.array, weight, b, r, out.array), isa)
    if packed:
        plan.run(plan.pack(weight, b), x.array, r, out.array, threads)
    else:
        plan.conv(weight, b, x.array, r, out.array, threads)
    names = "->".join(layout.__name__ for layout in layouts)
    out.assert_holds(
        sums.expected(K, C, P, bias, residual),
        f"{isa} {sums.x.dtype} {K=} {C=} {P=} {names} {pad=} {offset=} {bias=} {residual=} "
        f"{threads=} {packed=} {swapped=}: {plan.describe()}",
    )


def tails() -> Iterator[tuple[int, int]]:
    """Every K with every P."""
    return itertools.product(KS, PS)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "layouts",
    [(planar, planar), (interleaved, interleaved)],
    ids=["planar", "interleaved"],
)
def test_every_tail(sums: Sums, isa: str, layouts: Any, rng: np.random.Generator) -> None:
    """Every K meets every P, in the layouts that have kernels of their own."""
    share = 7 if isa == "scalar" else 1
    cases = [case for i, case in enumerate(tails()) if i % share == 0]
    for i, (K, P) in enumerate(cases):
        check(
            sums,
            isa,
            K,
            FEW_CHANNELS[i % len(FEW_CHANNELS)],
            P,
            layouts,
            pad=PADS[rng.integers(len(PADS))],
            offset=int(rng.integers(64)) if i % 3 else 0,
            bias=i % 5 != 0,
            residual=i % 4 == 0,
            packed=i % 2 == 0,
        )
    assert len(cases) >= len(KS) * len(PS) // share


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("x_layout", LAYOUTS)
@pytest.mark.parametrize("out_layout", LAYOUTS)
def test_every_pair_of_layouts(
    sums: Sums, isa: str, x_layout: Any, out_layout: Any, rng: np.random.Generator
) -> None:
    """Each way to read and to write meets each K and each P at least once."""
    for i, P in enumerate(PS):
        check(
            sums,
            isa,
            KS[i % len(KS)],
            FEW_CHANNELS[i % len(FEW_CHANNELS)],
            P,
            (x_layout, out_layout),
            pad=PADS[rng.integers(len(PADS))],
            offset=int(rng.integers(64)),
            bias=bool(rng.integers(2)),
            residual=bool(rng.integers(2)),
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("x_layout", LAYOUTS)
@pytest.mark.parametrize("out_layout", LAYOUTS)
def test_every_byte_order(
    sums: Sums, isa: str, x_layout: Any, out_layout: Any, rng: np.random.Generator
) -> None:
    """Every tail, panel and pass gives the bits that arrays of this machine's byte order give."""
    sizes = [(KS[i % len(KS)], FEW_CHANNELS[i % 8], P) for i, P in enumerate(PS)]
    sizes += [(20, C, 130 - C % 9) for C in (257, 600, 1030) if isa != "scalar"]
    for i, (K, C, P) in enumerate(sizes):
        check(
            sums,
            isa,
            K,
            C,
            P,
            (x_layout, out_layout),
            pad=PADS[rng.integers(len(PADS))],
            offset=int(rng.integers(64)),
            residual=bool(rng.integers(2)),
            swapped=1 + i % 7,
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layouts", [*itertools.product((planar, interleaved), repeat=2)])
def test_many_channels(sums: Sums, isa: str, layouts: Any, rng: np.random.Generator) -> None:
    """C goes from 1 past the block size, K and P go up to several tiles."""
    for C in CHANNELS:
        for _ in range(2 if isa == "scalar" else 8):
            K, P = (int(rng.integers(1, most + 1)) for most in (MOST_K, MOST_P))
            if isa == "scalar" and C > 50:
                K, P = min(K, 20), min(P, 40)
            check(sums, isa, K, C, P, layouts, pad=4 * 7, residual=bool(rng.integers(2)))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layouts", [(planar, planar), (interleaved, interleaved)])
def test_many_outputs(sums: Sums, isa: str, layouts: Any) -> None:
    """K and P go up to all of the data."""
    share = 9 if isa == "scalar" else 1
    for K in range(41, MOST_K + 1, share):
        check(sums, isa, K, 5, 1 + K % 37, layouts)
    for P in range(71, MOST_P + 1, share):
        check(sums, isa, 1 + P % 23, 5, P, layouts)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("offset", range(64))
def test_every_misalignment(sums: Sums, isa: str, offset: int) -> None:
    for layout in (planar, interleaved):
        check(sums, isa, 11, 7, 67, (layout, layout), offset=offset, residual=True)
        check(sums, isa, 20, 13, 50, (layout, layout), offset=offset, pad=64)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [True, False])
def test_weights_and_bias_anywhere(sums: Sums, isa: str, layout: Any, packed: bool) -> None:
    """Weights and bias may have any strides and alignment."""
    K, C, P, item = 19, 13, 33, sums.x.itemsize
    weight = Memory.holding(sums.weight[:K, :C], layout(K, C, item, 5), 3).array
    bias = Memory.holding(sums.bias[:K], (-3 * item - 1,), 1).array
    out = Memory((K, P), planar(K, P, item, 0), sums.x.dtype)
    plan = c_simd.CPlan(problem_of(sums.x[:C, :P], weight, bias, None, out.array), isa)
    if packed:
        plan.run(plan.pack(weight, bias), sums.x[:C, :P], None, out.array, 1)
    else:
        plan.conv(weight, bias, sums.x[:C, :P], None, out.array, 1)
    out.assert_holds(sums.expected(K, C, P, True, False), f"{isa} {layout.__name__}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("C", CHANNELS)
def test_error_bound(isa: str, dtype: Any, C: int, rng: np.random.Generator) -> None:
    """The promised componentwise bound holds against sums computed in another way."""
    x, weight, bias, residual = (
        rng.standard_normal(shape).astype(dtype) for shape in ((C, 71), (37, C), 37, (37, 71))
    )
    out = np.full((37, 71), np.nan, dtype)
    plan = c_simd.CPlan(problem_of(x, weight, bias, residual, out), isa)
    plan.conv(weight, bias, x, residual, out, 1)
    assert_conv(out, x, weight, bias, residual, channel_axis=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_oracle(dtype: Any, rng: np.random.Generator) -> None:
    """`exact.fma` gives the nearest number, ties included, even where two roundings would not."""
    n = 3000
    a, b, c = (rng.standard_normal(n).astype(dtype) for _ in range(3))
    c[::3] = -(a * b)[::3]
    a[1::3], b[1::3] = (rng.integers(1, 4096, n // 3) for _ in range(2))
    c[1::3] = rng.integers(1, 1024, n // 3) * dtype(2) ** (np.finfo(dtype).nmant - 3)
    result = fma(a, b, c)
    for i in range(n):
        exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
        error = abs(Fraction(float(result[i])) - exact)
        for way in (np.inf, -np.inf):
            neighbour = np.nextafter(result[i], dtype(way))
            other = abs(Fraction(float(neighbour)) - exact)
            assert error < other or (error == other and _is_even(result[i]))
    assert (result != a * b + c).any()


def _is_even(number: Any) -> bool:
    return number.tobytes()[0] % 2 == 0


def test_every_isa_takes_part() -> None:
    assert "scalar" in ISAS
    assert len(set(ISAS)) == len(ISAS)
