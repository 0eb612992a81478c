"""Outputs larger than the caches, which have stores, panels and prefetches of their own."""

from __future__ import annotations

import numpy as np
import pytest
from support import Array

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

pytestmark = pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available()))

C, K = 3, 14
#: With so many pixels the output is over half of a last-level cache of up to 32 MiB.
ROWS, COLUMNS = 640, 648


def shifted(shape: tuple[int, ...], elements: int) -> Array:
    """An array of NaN that begins `elements` past a 64-byte boundary."""
    size = int(np.prod(shape))
    raw = np.full(size + 32, np.nan, np.float32)
    start = -(raw.ctypes.data // 4) % 16 + elements
    return raw[start : start + size].reshape(shape)


INPUTS = {
    "planar": lambda x: x,
    "backwards": lambda x: x[:, ::-1, ::-1].copy()[:, ::-1, ::-1],
    "strided": lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
    "interleaved": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "cropped": lambda x: np.pad(x, ((0, 0), (2, 1), (3, 2)))[:, 2:-1, 3:-2],
}


@pytest.mark.parametrize("offset", [0, 1, 4, 15])
@pytest.mark.parametrize("layout", INPUTS)
@pytest.mark.parametrize("threads", [1, 3])
def test_large_output(layout: str, offset: int, threads: int, rng: np.random.Generator) -> None:
    """Bits are those of small pieces, and nothing is written beside the output."""
    x = rng.standard_normal((C, ROWS, COLUMNS), np.float32)
    w = rng.standard_normal((K, C), np.float32)
    around = shifted((K * ROWS * COLUMNS + 32,), offset)
    out = around[16:-16].reshape(K, ROWS, COLUMNS)
    layer = pf.Conv1x1(w, np.arange(K), activation="relu", backend="c")
    layer(INPUTS[layout](x), out=out, threads=threads)
    for row in range(0, ROWS, 5):
        assert np.array_equal(out[:, row : row + 5], layer(x[:, row : row + 5].copy()))
    assert np.isnan(around[:16]).all()
    assert np.isnan(around[-16:]).all()


@pytest.mark.parametrize("added", ["nothing", "another array", "the output"])
@pytest.mark.parametrize("layout", ["planar", "interleaved", "cropped"])
def test_many_planes(layout: str, added: str, rng: np.random.Generator) -> None:
    """So many planes are fetched in long runs; `out` may be the residual, or lie beside it."""
    planes, shape = 45, (K, ROWS, COLUMNS)
    x = rng.standard_normal((planes, ROWS, COLUMNS), np.float32)
    layer = pf.Conv1x1(rng.standard_normal((K, planes)), np.arange(K), backend="c")
    residual = None if added == "nothing" else rng.standard_normal(shape, np.float32)
    for threads in (1, 3):
        for interleaved in (False, True):
            out = shifted((ROWS, COLUMNS, K), 4)
            out = np.moveaxis(out, -1, 0) if interleaved else out.reshape(shape)
            if residual is not None and added == "the output":
                out[...] = residual
            r = out if added == "the output" else residual
            layer(INPUTS[layout](x), residual=r, out=out, threads=threads)
            for row in range(0, ROWS, 40):
                part = np.s_[:, row : row + 2]
                rest = None if residual is None else residual[part].copy()
                assert np.array_equal(out[part], layer(x[part].copy(), residual=rest))


@pytest.mark.skipif(
    c_simd.available() is None and not c_simd.has_fma(), reason="takes long without FMA"
)
@pytest.mark.parametrize(("K", "C"), [(4, 180), (1, 400)])
def test_sums_in_several_passes(K: int, C: int) -> None:
    """Output is unaligned; infinite weights and sums of -0 show if a pass touches other sums."""
    P = (18 << 20) // K // 64 * 16
    out = shifted((K * P,), 4).reshape(K, P)
    x = np.broadcast_to(np.ones(P, np.float32), (C, P))
    w = np.ones((K, C), np.float32)
    w[:, C // 2] = np.inf
    pf.conv1x1(x, w, out=out, channel_axis=-2, backend="c")
    assert np.isposinf(out).all()
    negative_zero = np.broadcast_to(np.full(P, -0.0, np.float32), (C, P))
    bias = np.full(K, -0.0, np.float32)
    layer = pf.Conv1x1(np.ones((K, C)), bias, channel_axis=-2, backend="c")
    layer(negative_zero, out=out)
    assert np.signbit(out).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 20])
def test_large_rows(channels: int, rng: np.random.Generator) -> None:
    """Rows of channels-last x and y are fetched ahead."""
    x = rng.standard_normal((200_001, channels), np.float32)
    layer = pf.Conv1x1(rng.standard_normal((channels, channels)), channel_axis=-1, backend="c")
    y = layer(x, threads=3)
    for start in range(0, len(x), 50_000):
        assert np.array_equal(y[start : start + 50_000], layer(x[start : start + 50_000].copy()))
