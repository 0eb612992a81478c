"""Chains give the bits of their layers one after another, in one pass."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from bounds import in_series
from scenes import LAYOUTS, assert_only_wrote, assert_same_bits, image, isa, layers, room
from support import DTYPES, Array, Backend, assert_within, needs_c, run_python

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

__all__ = ["isa"]  # a fixture


def in_turn(found: list[pf.Conv1x1], x: Array, residual: Array | None = None) -> Array:
    """The layers one after another; the last adds `residual`."""
    for layer in found[:-1]:
        x = layer(x)
    return found[-1](x, residual=residual)


def described(chain: pf.Chain, x: Array) -> str:
    """The plan for `x`, in words."""
    call = chain._find(x, None, None)
    assert isinstance(call.plan, c_simd.CPlan)
    return call.plan.describe()


#: Channels, few and many; some are a whole number of vectors.
SHAPES = [
    *((3, 16, 3), (8, 24, 8), (50, 20, 50), (1, 1, 1), (5, 70, 33), (4, 4, 2)),
    (20, 7, 40, 3),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", SHAPES, ids=str)
def test_bits(isa: str, dtype: Any, channels: tuple[int, ...], rng: np.random.Generator) -> None:
    """Bits are right in every layout, for many pixels and few, with any number of threads."""
    found = layers(channels, rng)
    chain = pf.Chain(*found)
    ways = []
    sizes = [(1, 60, 61), (2, 5, 14)] if isa == "scalar" else [(2, 61, 67), (1, 48, 96), (2, 5, 7)]
    for n, h, w in sizes:
        for x_layout in LAYOUTS:
            x = image(x_layout, (n, channels[0], h, w), dtype, rng)
            expected = in_turn(found, x)
            y_layout = str(rng.choice(LAYOUTS))
            for layout in (x_layout, y_layout):
                out = room(layout, expected.shape, dtype)
                assert chain(x, out=out, threads=int(rng.integers(1, 5))) is out
                assert_same_bits(out.copy("C"), expected)
                assert_only_wrote(out)
            assert_same_bits(chain(x), expected)
            ways.append(described(chain, x))
    assert not any("layer by layer" in way for way in ways)
    small = len(channels) == 3 and channels[0] <= 8 and channels[2] <= 8
    narrow = isa == "avx512" and channels == (50, 20, 50)
    assert any("in registers" in way for way in ways) == (small or narrow)


@needs_c
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("channels", [(3, 8, 1), (5, 8, 1), (8, 16, 4), (1, 8, 8)], ids=str)
def test_hidden_channels_stay_in_registers(
    isa: str, channels: tuple[int, int, int], axis: int, rng: np.random.Generator
) -> None:
    """Whatever each layer alone would do: pixels of one channel are planes and rows at once."""
    first, last = (
        pf.Conv1x1(rng.standard_normal((b, a)).astype("f4"), channel_axis=axis)
        for a, b in pairwise(channels)
    )
    shape = (channels[0], 64, 80) if axis == 0 else (64, 80, channels[0])
    x = rng.random(shape, np.float32)
    has_kernel = isa != "scalar" or axis == 0
    assert ("in registers" in described(pf.Chain(first, last), x)) == has_kernel


@needs_c
@pytest.mark.parametrize("groups", [2, 5])
def test_groups(isa: str, groups: int, rng: np.random.Generator) -> None:
    found = layers((10, 20, 30, 10), rng, groups=groups)
    for h, w in ((70, 41), (5, 3)):
        for layout in LAYOUTS[:2]:
            x = image(layout, (2, 10, h, w), np.float32, rng)
            expected = in_turn(found, x)
            out = room(layout, expected.shape, np.float32)
            pf.Chain(*found)(x, out=out, threads=3)
            assert_same_bits(out.copy("C"), expected)


@needs_c
@pytest.mark.parametrize("layout", LAYOUTS)
def test_residual(isa: str, layout: str, rng: np.random.Generator) -> None:
    """The residual may be the input, another array or the output; the activation follows."""
    found = [*layers((12, 30), rng), *layers((30, 12), rng, activation="relu")]
    chain = pf.Chain(*found)
    for h, w in ((53, 59), (4, 6)):
        x = image(layout, (2, 12, h, w), np.float32, rng)
        expected = in_turn(found, x, x)
        assert_same_bits(chain(x, residual=x, threads=2), expected)
        assert_same_bits(pf.Chain(*found, residual=True)(x), expected)
        out = room(layout, x.shape, np.float32)
        chain(x, residual=x, out=out)
        assert_same_bits(out.copy("C"), expected)
        assert_only_wrote(out)
        other = image("planar", x.shape, np.float32, rng)
        expected = in_turn(found, x, other)
        assert_same_bits(chain(x, residual=other), expected)
        assert chain(x, residual=other, out=other, threads=3) is other
        assert_same_bits(other, expected)


@needs_c
@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_place(isa: str, layout: str, rng: np.random.Generator) -> None:
    for channels, h, w in (((9, 33, 9), 50, 55), ((9, 33, 9), 6, 5), ((40, 8, 40), 50, 51)):
        found = layers(channels, rng)
        chain = pf.Chain(*found)
        for add in (False, True):
            x = image(layout, (2, channels[0], h, w), np.float32, rng)
            expected = in_turn(found, x, x if add else None)
            assert chain(x, out=x, residual=x if add else None, threads=3) is x
            assert_same_bits(x.copy("C"), expected)
            assert_only_wrote(x)


@needs_c
def test_out_overlaps_x(rng: np.random.Generator) -> None:
    """`out` is x shifted by some pixels or by a channel, or has other channels."""
    for h, w in ((60, 70), (3, 5)):
        memory = image("planar", (1, 8, h, w), np.float32, rng)[0]
        for source, target in (
            (np.s_[:6, 1:], np.s_[:6, :-1]),
            (np.s_[1:7], np.s_[:6]),
            (np.s_[:6, ::-1], np.s_[:6]),
            (np.s_[:6], np.s_[:4]),
        ):
            inside = memory.copy()
            x, out = inside[source], inside[target]
            found = layers((6, 11, len(out)), rng)
            expected = in_turn(found, x.copy())
            assert pf.Chain(*found)(x, out=out) is out
            assert_same_bits(out.copy("C"), expected)


@needs_c
def test_stride_and_channels_last(isa: str, rng: np.random.Generator) -> None:
    """Only the first layer may have a stride; x may be an image, a signal or a table."""
    for shape, axis, stride in (
        ((6, 121, 90), -3, 2),
        ((2, 6, 101, 80), -3, (1, 3)),
        ((120, 101, 6), -1, 2),
        ((3, 6, 5001), -2, 1),
        ((4000, 6), -1, 1),
        ((6,), -1, 1),
    ):
        x = rng.standard_normal(shape).astype(np.float32)
        found = [
            *layers((6, 19), rng, channel_axis=axis, stride=stride),
            *layers((19, 5), rng, channel_axis=axis),
        ]
        assert_same_bits(pf.Chain(*found)(x, threads=2), in_turn(found, x))


@needs_c
def test_input_of_another_dtype(isa: str, rng: np.random.Generator) -> None:
    for x_dtype, dtype in ((np.float64, np.float32), (np.float32, np.float64)):
        x = rng.standard_normal((7, 60, 50)).astype(x_dtype)
        first, last = layers((7, 20, 6), rng)
        first = pf.Conv1x1(first.weight, first.bias, dtype=dtype, backend="c")
        result = pf.Chain(first, last)(x)
        assert result.dtype == dtype
        assert_same_bits(result, last(first(x)))


@needs_c
@pytest.mark.parametrize("layout", LAYOUTS)
def test_few_pixels(isa: str, layout: str, rng: np.random.Generator) -> None:
    """Few pixels, of one or more images, are one batch: layers share out their channels."""
    found = layers((40, 90, 33, 7), rng)
    chain = pf.Chain(*found)
    for n, h, w in ((1, 11, 13), (5, 7, 7), (2, 20, 3)):
        x = image(layout, (n, 40, h, w), np.float32, rng)
        assert "layer by layer" in described(chain, x)
        out = room(layout, (n, 7, h, w), np.float32)
        chain(x, out=out, threads=3)
        assert_same_bits(out.copy("C"), in_turn(found, x))
        assert_only_wrote(out)


@needs_c
def test_batches(isa: str, rng: np.random.Generator) -> None:
    """Layers too large to fuse take batches of pixels or images, of which the last is smaller."""
    # Weights larger than the L2 cache, and no more than that where kernels are slow.
    k = 1024 if isa == "scalar" and pf.config()["caches"][1] <= 1 << 20 else 2048
    shapes = ((1, 25, 60), (9, 10, 14), (3, 7, 150))
    for i, (n, h, w) in enumerate(shapes):
        for layout in LAYOUTS[:3] if isa != "scalar" else LAYOUTS[i : i + 1]:
            found = layers((9, k, 200, 9), rng)
            x = image(layout, (n, 9, h, w), np.float32, rng)
            chain = pf.Chain(*found)
            assert "layer by layer" in described(chain, x)
            assert_same_bits(chain(x, threads=2), in_turn(found, x))
            expected = in_turn(found, x, x)
            assert_same_bits(chain(x, residual=x, out=x).copy("C"), expected)


@needs_c
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_large(isa: str, layout: str, rng: np.random.Generator) -> None:
    """Streaming stores, aligned or not; bits do not depend on the number of threads."""
    if isa == "scalar":
        pytest.skip("stores nothing past the caches")
    found = layers((4, 12, 16), rng)
    chain = pf.Chain(*found)
    x = image(layout, (1, 4, 700, 1024), np.float32, rng)
    whole = np.empty(16 * 700 * 1024 + 16, np.float32)
    for offset in (0, 1, 5):
        part = whole[offset : offset + 16 * 700 * 1024]
        planar = part.reshape(1, 16, 700, 1024)
        out = planar if layout == "planar" else part.reshape(1, 700, 1024, 16).transpose(0, 3, 1, 2)
        call = chain._find(x, None, out)
        plan: Any = call.plan
        is_large = out.nbytes > (pf.config()["caches"][2] or 16 << 20) / 2
        assert ("streaming" in plan.describe()) == (is_large and layout == "planar")
        expected = in_turn(found, x)
        for threads in (1, 2, 3, 7):
            whole[...] = np.nan
            chain(x, out=out, threads=threads)
            assert_same_bits(out.copy("C"), expected)
            assert np.isnan(whole).sum() == 16


@needs_c
def test_chunks(rng: np.random.Generator) -> None:
    """Bits are the same an image at a time, a row at a time or all at once."""
    found = layers((10, 40, 12), rng)
    chain = pf.Chain(*found)
    x = rng.standard_normal((3, 10, 64, 65)).astype(np.float32)
    whole = chain(x)
    assert_same_bits(np.stack([chain(single) for single in x]), whole)
    for r in range(0, 64, 7):
        assert_same_bits(chain(x[:, :, r : r + 1]), whole[:, :, r : r + 1].copy())


def test_against_numpy(backend: Backend, rng: np.random.Generator) -> None:
    """Every backend that takes chains computes the same, and `auto` finds one."""
    x = rng.standard_normal((2, 6, 40, 41))
    found = layers((6, 30, 30, 6), rng, backend=backend)
    exact = in_series(x, found, x)
    chain = pf.Chain(*found)
    if backend == "numba":
        with pytest.raises(ValueError, match="'numba' does not support chains of layers"):
            chain(x)
        chain = pf.Chain(*layers_of(found, "auto"))
    assert_within(chain(x, residual=x), *exact)
    assert_within(chain(x, residual=x, out=x), *exact)


def layers_of(found: list[pf.Conv1x1], backend: pf.typing.Backend) -> list[pf.Conv1x1]:
    return [
        pf.Conv1x1(layer.weight, layer.bias, activation=layer.activation, backend=backend)
        for layer in found
    ]


def test_auto_passes_numba_over() -> None:
    """Without the C backend, NumPy runs chains even if Numba is installed."""
    code = """
        import sys
        sys.modules["pointwise_fast.kernels._c"] = None
        import numpy as np
        import pointwise_fast as pf
        assert "c" not in pf.backends()
        first, last = (pf.Conv1x1(np.ones((k, c))) for c, k in ((3, 4), (4, 2)))
        chain = pf.Chain(first, last)
        assert (chain(np.ones((3, 2, 2))) == 12).all()
        print(chain._find(np.ones((3, 2, 2))).backend.NAME)
    """
    assert run_python(code).stdout == "numpy\n"


def test_empty(backend: Backend) -> None:
    if backend == "numba":
        pytest.skip("takes no chains")
    chain = pf.Chain(*(pf.Conv1x1(np.ones((k, c)), backend=backend) for c, k in ((3, 4), (4, 0))))
    assert chain(np.ones((3, 2, 2))).shape == (0, 2, 2)
    chain = pf.Chain(*(pf.Conv1x1(np.ones((k, c)), backend=backend) for c, k in ((0, 4), (4, 2))))
    assert (chain(np.ones((0, 2, 2))) == 0).all()
    assert chain(np.ones((0, 2, 0))).shape == (2, 2, 0)
