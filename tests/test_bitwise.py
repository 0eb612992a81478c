"""Bits do not depend on threads, chunks, batches, layouts, alignment or instruction set.

`test_checkasm` tests the sums of every small shape. Here are activations, and large arrays, which
are cut into chunks and stored past the caches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact import fma_chain
from support import DTYPES, ISAS, UNIFORM, Array, Memory, assert_conv, problem_of

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

pytestmark = pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available()))

SPECS = [None, *(("clip", -0.5, 0.75) if name == "clip" else name for name in UNIFORM)]


def compute(
    isa: str, weight: Array, x: Array, out: Array, bias: Array | None = None, **options: Any
) -> Array:
    """`out` as ``(*outer, K, P)``, computed with `isa`."""
    residual, threads = options.pop("residual", None), options.pop("threads", 1)
    problem = problem_of(x, weight, bias, residual, out, in_place=x is out, **options)
    c_simd.CPlan(problem, isa).conv(weight, bias, x, residual, out, threads)
    return out


def same_bits(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def empty(K: int, x: Array) -> Array:
    return np.full((*x.shape[:-2], K, x.shape[-1]), np.nan, x.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_activations(dtype: Any, spec: Any, rng: np.random.Generator) -> None:
    """An activation has one result on every ISA, in vectors and tails, planar and interleaved."""
    # Sums from tiny to huge, so that every branch of an activation is taken.
    x = rng.standard_normal((3, 1111)) * 10.0 ** rng.uniform(-6, 2.5, 1111)
    x = x.astype(dtype)
    weight = rng.standard_normal((21, 3)).astype(dtype)
    expected = compute("scalar", weight, x, empty(21, x), activation=spec)
    for isa in ISAS:
        for n in (1, 5, 37, 1111):
            part = x[:, :n]
            out = compute(isa, weight, part, empty(21, part), activation=spec)
            assert same_bits(out, expected[:, :n].copy()), (isa, n)
            channels_last = np.ascontiguousarray(part.T).T
            out = np.empty((n, 21), dtype).T
            compute(isa, weight, channels_last, out, activation=spec)
            assert same_bits(out.copy(), expected[:, :n].copy()), (isa, n)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_special_sums_through_activations(isa: str, dtype: Any) -> None:
    """Zeros of both signs, infinities, NaN, subnormals and the ends of the range."""
    info = np.finfo(dtype)
    values = [0, -0.0, np.inf, -np.inf, np.nan, info.max, info.min, info.tiny, -info.tiny]
    values += [info.smallest_subnormal, -info.smallest_subnormal, 1, -1, 3, -3, 6, 88.8, -104, 710]
    x = np.array([values], dtype)
    one = np.ones((1, 1), dtype)
    for spec in SPECS:
        with np.errstate(all="ignore"):
            expected = compute("scalar", one, x, empty(1, x), activation=spec)
            out = compute(isa, one, x, empty(1, x), activation=spec)
        # No sign or payload of NaN is promised.
        assert np.array_equal(np.isnan(out), np.isnan(expected)), spec
        found = ~np.isnan(out)
        assert same_bits(out[found], expected[found]), spec


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(50, 20, 9001), (300, 70, 1201), (2000, 1030, 7), (3, 3, 50021)])
def test_threads(isa: str, threads: int, shape: Any, rng: np.random.Generator) -> None:
    """Any number of threads gives the same bits in both layouts; some pixels are checked."""
    C, K, P = shape
    if isa == "scalar":
        C, K, P = C // 2, K // 2, P // 5 + 1
    dtype = np.float32 if threads % 2 else np.float64
    x, weight = rng.standard_normal((C, P)).astype(dtype), rng.standard_normal((K, C)).astype(dtype)
    bias = rng.standard_normal(K).astype(dtype)
    out = compute(isa, weight, x, empty(K, x), bias, threads=threads)
    last = compute(
        isa, weight, np.ascontiguousarray(x.T).T, np.empty((P, K), dtype).T, bias, threads=threads
    )
    assert same_bits(out, np.ascontiguousarray(last))
    pixels = np.unique([0, P - 1, *rng.integers(0, P, 4)])
    rows = np.unique([0, K - 1, *rng.integers(0, K, 30)])
    expected = fma_chain(weight[rows], x[:, pixels], bias[rows])
    assert same_bits(out[np.ix_(rows, pixels)], expected)


#: C, K, P: an output larger than half of any likely cache, planes a multiple of 4 KiB apart, and
#: both. The number of pixels of the first is a multiple of nothing.
LARGE = [(3, 5, 2_000_003), (4, 8, 1 << 20), (40, 7, 1 << 18), (64, 3, 1 << 17)]


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "scalar"] or ["none"])
@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize("offset", [0, 4])
def test_large(isa: str, shape: Any, offset: int, rng: np.random.Generator) -> None:
    """Streaming stores and aliased planes, aligned or not, leave all neighbours intact."""
    if isa == "none":
        pytest.fail("no vector instruction set")
    C, K, P = shape
    x = rng.standard_normal((C, P), np.float32)
    weight = rng.standard_normal((K, C), np.float32)
    out = Memory((K, P), (4 * P, 4), np.float32, offset)
    compute(isa, weight, x, out.array, threads=2)
    pixels = np.unique([*range(40), *range(P - 40, P), *rng.integers(0, P, 4000)])
    assert same_bits(out.array[:, pixels], fma_chain(weight, x[:, pixels]))
    assert_conv(out.array, x, weight, channel_axis=0)
    out.assert_holds(out.array, "beside the output")
    last = Memory((P, K), (4 * K, 4), np.float32, offset)
    compute(isa, weight, np.ascontiguousarray(x.T).T, last.array.T, threads=2)
    assert np.array_equal(last.array.T, out.array)
    last.assert_holds(last.array, "beside the output")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", ["planar", "interleaved", "strided"])
def test_in_place(isa: str, layout: str, rng: np.random.Generator) -> None:
    for n, P in ((1, 1), (3, 1001), (13, 333), (40, 65), (300, 37), (700, 5)):
        values = rng.standard_normal((n, P), np.float32)
        weight = rng.standard_normal((n, n), np.float32)
        bias = rng.standard_normal(n).astype(np.float32)
        strides = {
            "planar": (4 * P + 12, 4),
            "interleaved": (4, 4 * n + 12),
            "strided": (12 * P, 12),
        }[layout]
        expected = fma_chain(weight, values, bias)
        for threads in (1, 3):
            memory = Memory.holding(values, strides, 4)
            compute(isa, weight, memory.array, memory.array, bias, threads=threads)
            memory.assert_holds(expected, f"{isa} {layout} {n} {P}")


@pytest.mark.parametrize("dtype", DTYPES)
def test_batches_and_axes(dtype: Any, rng: np.random.Generator) -> None:
    """Bits are the same one image at a time or all at once, packed or not, cropped or copied."""
    x = rng.standard_normal((3, 50, 41, 43)).astype(dtype)
    weight = rng.standard_normal((20, 50)).astype(dtype)
    layer = pf.Conv1x1(weight, backend="c")
    whole = pf.conv1x1(x, weight, backend="c")
    assert same_bits(layer(x), whole)
    for n, image in enumerate(x):
        assert same_bits(layer(image), whole[n])
    for r in range(41):
        assert same_bits(layer(x[:, :, r : r + 1]), whole[:, :, r : r + 1].copy())
    assert same_bits(layer(x[:, :, 3:, 5:30]), whole[:, :, 3:, 5:30].copy())
    assert same_bits(layer(x[..., ::-1]), whole[..., ::-1].copy())
    assert same_bits(layer(np.asfortranarray(x)), whole)
    channels_last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    last = pf.conv1x1(channels_last, weight, channel_axis=-1, backend="c")
    assert same_bits(np.ascontiguousarray(np.moveaxis(last, -1, 1)), whole)


@pytest.mark.parametrize("isa", ISAS)
def test_groups(isa: str, rng: np.random.Generator) -> None:
    """Each group is a convolution of its own."""
    for groups, C, K in ((2, 3, 5), (3, 13, 1), (5, 1, 4), (16, 1, 1), (2, 260, 20)):
        x = rng.standard_normal((groups * C, 67), np.float32)
        weight = rng.standard_normal((groups * K, C), np.float32)
        bias = rng.standard_normal(groups * K).astype(np.float32)
        expected = np.concatenate(
            [
                fma_chain(w, xg, b)
                for w, xg, b in zip(
                    np.split(weight, groups),
                    np.split(x, groups),
                    np.split(bias, groups),
                    strict=True,
                )
            ]
        )
        order: Any
        for order in "CF":
            xo, out = np.array(x, order=order), np.empty((groups * K, 67), np.float32, order)
            compute(isa, weight, xo, out, bias, groups=groups, threads=2)
            assert same_bits(np.ascontiguousarray(out), expected), (groups, C, K, order)


@pytest.mark.parametrize("isa", ISAS)
def test_converted_input(isa: str, rng: np.random.Generator) -> None:
    """An input of the other dtype is rounded once; then the convolution is the same."""
    for x_dtype, dtype in ((np.float32, np.float64), (np.float64, np.float32)):
        for n, P in ((5, 300), (257, 33)):
            x = rng.standard_normal((n, P)).astype(x_dtype)
            weight = rng.standard_normal((11, n)).astype(dtype)
            expected = fma_chain(weight, x.astype(dtype))
            order: Any
            for order in "CF":
                out = np.empty((11, P), dtype, order)
                compute(isa, weight, np.array(x, order=order), out, threads=2)
                assert same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.parametrize("isa", ISAS)
def test_outer_axes(isa: str, rng: np.random.Generator) -> None:
    """Outer axes may have steps of both signs, and of 0: one image is then read again and again."""
    base = rng.standard_normal((4, 3, 6, 29), np.float32)
    weight = rng.standard_normal((9, 6), np.float32)
    for x in (
        base,
        base[::-1, ::2],
        np.broadcast_to(base[:1], base.shape),
        base.transpose(1, 0, 2, 3)[:, ::-1, :, ::-2],
    ):
        out = compute(isa, weight, x, empty(9, x), threads=2)
        for index in np.ndindex(x.shape[:2]):
            assert same_bits(out[index], fma_chain(weight, x[index]))


#: Views whose rows are not contiguous, as (rows, columns) of a larger image.
ROWS = {
    "crop": np.s_[2:-1, 3:-2],
    "every second": np.s_[::2, ::2],
    "every second row": np.s_[1::2, :-5],
    "rows backwards": np.s_[::-1, :-1],
    "both backwards": np.s_[::-1, ::-3],
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("x_last", [False, True])
@pytest.mark.parametrize("out_last", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (5, 20), (50, 33), (300, 40)])
def test_rows(
    isa: str, rows: str, x_last: bool, out_last: bool, shape: Any, rng: np.random.Generator
) -> None:
    """Rows with gaps go into an output with gaps or without, channels first or last."""
    C, K = shape
    for height, width in ((5, 7), (9, 22), (24, 40)) if isa != "scalar" else ((5, 9),):
        image = rng.standard_normal((C, height, width), np.float32)
        weight = rng.standard_normal((K, C), np.float32)
        bias = rng.standard_normal(K).astype(np.float32)
        view = image[:, *ROWS[rows]]
        H, W = view.shape[1:]
        residual = rng.standard_normal((K, H, W), np.float32)
        expected = fma_chain(weight, view.reshape(C, -1), bias).reshape(K, H, W)
        last = np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)
        x = (last if x_last else image)[:, *ROWS[rows]].transpose(1, 0, 2)
        for gap, with_residual, threads in ((0, False, 2), (0, True, 1), (3, True, 3)):
            room = np.full((H, W + gap, K) if out_last else (K, H, W + gap), np.nan, np.float32)
            out = (room.transpose(0, 2, 1) if out_last else room.transpose(1, 0, 2))[..., :W]
            r = None
            if with_residual:
                r = np.empty_like(room)
                r = (r.transpose(0, 2, 1) if out_last else r.transpose(1, 0, 2))[..., :W]
                r[...] = residual.transpose(1, 0, 2)
            compute(isa, weight, x, out, bias, residual=r, threads=threads)
            wanted = (expected + residual if with_residual else expected).transpose(1, 0, 2)
            assert np.array_equal(out, wanted), (height, width, gap, with_residual)
            assert np.isnan(room).sum() == gap * H * K


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_layer_in_all_layouts(dtype: Any, rng: np.random.Generator) -> None:
    """Kernels want weights in different orders; none gets what was packed for another."""
    for C, K in ((1, 1), (3, 3), (3, 4), (4, 1), (7, 20), (40, 70)):
        image = rng.standard_normal((C, 6, 7)).astype(dtype)
        weight = rng.standard_normal((K, C)).astype(dtype)
        expected = fma_chain(weight, image.reshape(C, -1)).reshape(K, 6, 7)
        layer = pf.Conv1x1(weight, backend="c")
        first = np.empty((K, 6, 7), dtype)
        last = np.empty((6, 7, K), dtype).transpose(2, 0, 1)
        gaps = np.empty((6, 7, 2 * K), dtype).transpose(2, 0, 1)[::2]
        sources = [image, np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)]
        sources += [np.repeat(image, 2, axis=a).astype(dtype)[index] for a, index in STEPS]
        for x in [*sources, *sources[::-1]]:
            for out in (first, last, gaps):
                out[...] = np.nan
                layer(x, out=out)
                assert np.array_equal(out, expected), (C, K, x.strides, out.strides)


#: An axis, and the index that undoes the doubling of its elements.
STEPS: list[tuple[int, Any]] = [(0, np.s_[::2]), (1, np.s_[:, ::2]), (2, np.s_[:, :, ::2])]
