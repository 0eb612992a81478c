"""``scale=`` and ``offset=``: subtracting a number from x costs no digits, however large it is.

Terms are ``fma(scale, x, offset)`` (exact.py); their sums have the bound of sums of x.
"""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from exact import fma
from images import LAYOUTS, arranged, supported
from support import BACKENDS, Array, Backend, assert_conv, needs_c, problem_of

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd
from pointwise_fast.kernels.numpy_affine import scaled
from pointwise_fast.prepare import _prepared

INPUTS = ["f4", "f8", "f2", "u1", "i1", "u2", "i2", "u4", "i4", "i8"]


def raster(rng: np.random.Generator, dtype: Any, C: int, *pixels: int) -> Array:
    """Bands whose mean is thousands of times their spread, as far as the dtype permits."""
    kind = np.dtype(dtype)
    mean = rng.uniform(20, 100, C) if kind.itemsize == 1 else rng.uniform(500, 9000, C)
    mean *= {"u4": 2e5, "i4": 1e5, "i8": 1e7}.get(dtype, 1)
    x = mean.reshape(C, *(1,) * len(pixels)) + rng.standard_normal((C, *pixels)) * 2
    return np.rint(x).astype(kind) if kind.kind in "ui" else x.astype(kind)


def settings_for(x: Array, axis: int, scale: bool, rng: np.random.Generator) -> dict[str, Any]:
    """A scale, or none, and offsets that remove the mean."""
    C = x.shape[axis]
    factor = rng.uniform(-2, 2, C) if scale else np.ones(C)
    mean = np.moveaxis(x, axis, 0).reshape(C, -1).mean(axis=1, dtype=np.float64)
    return {"offset": -factor * mean, **({"scale": factor} if scale else {})}


def terms(x: Array, dtype: Any, offset: Any, scale: Any = 1.0, axis: int = -3) -> Array:
    """``scale * x + offset``, rounded once in `dtype`, or in float64 where x has more bits."""
    wide = x.dtype.itemsize > (2 if x.dtype.kind in "iu" else 4)
    kind = np.dtype(np.float64) if wide else np.dtype(dtype)
    shape = [1] * x.ndim
    shape[axis] = -1
    s, o = (np.broadcast_to(v, x.shape[axis]).astype(kind).reshape(shape) for v in (scale, offset))
    return fma(s, x.astype(kind), np.broadcast_to(o, x.shape)).astype(dtype)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", INPUTS)
def test_every_input(
    dtype: str, layout: str, scale: bool, backend: Backend, rng: np.random.Generator
) -> None:
    for C, K, H, W in ((9, 5, 6, 11), (50, 20, 2, 67)):
        x, axis = arranged(raster(rng, dtype, C, H, W), layout)
        weight, bias = rng.standard_normal((K, C)), rng.standard_normal(K)
        affine = settings_for(x, axis, scale, rng)
        settings: dict[str, Any] = {"channel_axis": axis, **affine}
        if not supported(backend, x, weight, **settings):
            return
        settings["backend"] = backend
        y = pf.conv1x1(x, weight, bias, **settings)
        assert_conv(y, terms(x, y.dtype, **affine, axis=axis), weight, bias, channel_axis=axis)
        layer = pf.Conv1x1(weight, bias, **settings)
        out = np.empty_like(y)
        for _ in range(3):
            assert np.array_equal(layer(x), y)
            assert np.array_equal(layer(x, out=out, threads=2), y)


@pytest.mark.parametrize("dtype", ["f8", "i4", "u4", "i8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_wide_input_is_rounded_after_the_offset(
    layout: str, dtype: str, backend: Backend, rng: np.random.Generator
) -> None:
    """float32 sums are right for values that float32 does not hold."""
    x = raster(rng, dtype, 13, 5, 70)
    if dtype == "f8":
        x = x * 1e-3 + 40_000
    x, axis = arranged(x, layout)
    weight = rng.standard_normal((6, 13))
    affine = settings_for(x, axis, True, rng)
    settings: dict[str, Any] = {"channel_axis": axis, "dtype": "f4", **affine}
    if supported(backend, x, weight, **settings):
        y = pf.conv1x1(x, weight, backend=backend, **settings)
        t = terms(x, "f4", **affine, axis=axis)
        assert_conv(y, t, weight, channel_axis=axis)


def test_a_large_mean(backend: Backend, rng: np.random.Generator) -> None:
    """Principal components, for which a large mean is subtracted, keep their digits."""
    mean = np.rint(rng.uniform(1500, 15000, 120))
    x = (mean[:, None] + rng.integers(-12, 13, (120, 700)) / 8).astype("f4")
    basis = np.linalg.qr(rng.standard_normal((120, 120)))[0][:7]
    exact = basis.astype("f4").astype("f8") @ (x - mean[:, None])
    y = pf.conv1x1(x, basis, offset=-mean, channel_axis=-2, backend=backend)
    assert np.max(abs(y - exact)) < 5e-6
    w, b = pf.fold_normalization(basis, None, mean, 1)
    assert np.max(abs(pf.conv1x1(x, w, b, channel_axis=-2, backend=backend) - exact)) > 1e-3


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_shapes_and_options(dtype: str, backend: Backend, rng: np.random.Generator) -> None:
    """Offsets go with groups, strides, residuals, activations, batches, in place, many channels."""
    for C, K, groups, shape, axis in (
        (12, 8, 4, (2, 12, 5, 9), -3),
        (6, 9, 3, (4, 7, 6), -1),
        (30, 30, 1, (30, 1), -2),
        (700, 33, 1, (700, 5), -2),
        (1, 1, 1, (1, 3, 50), -3),
        (2, 70, 1, (33, 2), -1),
    ):
        x = np.moveaxis(raster(rng, dtype, C, *np.delete(shape, axis % len(shape))), 0, axis)
        x = np.ascontiguousarray(x)
        weight, bias = rng.standard_normal((K, C // groups)), rng.standard_normal(K)
        affine = settings_for(x, axis, True, rng)
        t = terms(x, dtype, **affine, axis=axis)
        settings: dict[str, Any] = {"channel_axis": axis, "groups": groups, "backend": backend}
        y = pf.conv1x1(x, weight, bias, **settings, **affine)
        assert_conv(y, t, weight, bias, channel_axis=axis, groups=groups)
        residual = rng.standard_normal(y.shape).astype(dtype)
        added = pf.conv1x1(x, weight, bias, residual=residual, **settings, **affine)
        assert_conv(added, t, weight, bias, residual, channel_axis=axis, groups=groups)
        relu = pf.conv1x1(x, weight, bias, activation="relu", **settings, **affine)
        assert np.array_equal(relu, np.maximum(y, 0))
        if C == K and groups == 1:
            again = x.copy()
            pf.conv1x1(again, weight, bias, out=again, **settings, **affine)
            assert_conv(again, t, weight, bias, channel_axis=axis)
        if x.ndim > 2:
            step = pf.conv1x1(x, weight, bias, stride=2, **settings, **affine)
            used = t[..., ::2, ::2] if axis == -3 else t[::2, ::2]
            assert_conv(step, used, weight, bias, channel_axis=axis, groups=groups)


@needs_c
@pytest.mark.parametrize("isa", c_simd.isas())
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bits(dtype: str, isa: str, rng: np.random.Generator) -> None:
    """Every kernel computes as if its input were the terms, in every layout and tail."""

    def compute(x: Array, out: Array, threads: int, **affine: Any) -> Array:
        problem = problem_of(x, weight, bias, None, out, in_place=x is out, **affine)
        c_simd.CPlan(problem, isa).conv(weight, bias, x, None, out, threads)
        return out

    for C, K, P in ((50, 20, 1003), (3, 3, 77), (4, 2, 640), (7, 70, 131), (1, 5, 19), (260, 9, 50),
                    (40, 40, 33), (64, 17, 1), (33, 14, 7)):  # fmt: skip
        plain = raster(rng, dtype, C, P)
        weight, bias = rng.standard_normal((K, C)).astype(dtype), np.ones(K, dtype)
        s, o = rng.uniform(-2, 2, C), rng.uniform(-9000, 9000, C)
        affine = {"scale": tuple(s.tolist()), "offset": tuple(o.tolist())}
        t = terms(plain, dtype, o, s, axis=-2)
        expected = compute(t, np.empty((K, P), dtype), 1)
        for x in (plain, np.ascontiguousarray(plain.T).T, np.repeat(plain, 2, axis=1)[:, ::2]):
            for out in (np.empty((K, P), dtype), np.empty((P, K), dtype).T):
                for threads in (1, 3):
                    out[...] = np.nan
                    compute(x, out, threads, **affine)
                    assert np.array_equal(out, expected), (C, K, P, x.strides, out.strides)
        if C == K:
            assert np.array_equal(compute(plain, plain, 1, **affine), expected)


def test_a_scale_of_zero_counts_as_its_offset(backend: Backend, rng: np.random.Generator) -> None:
    x, weight = raster(rng, "f4", 3, 4, 5), rng.standard_normal((2, 3))
    y = pf.conv1x1(x, weight, scale=[1, 0, -1], offset=[0, 7, 2], backend=backend)
    x[1] = 7
    assert_conv(y, terms(x, "f4", [0, 0, 2], [1, 1, -1]), weight)
    folded = pf.conv1x1(x, weight, scale=[1, 0, 1], backend=backend)
    x[1] = 0
    assert_conv(folded, x, weight.astype("f4"))
    w, b = pf.fold_scale(weight, None, [1, 0, 1], [0, 2, 0])
    assert np.array_equal(w[:, 1], [0, 0])
    assert np.allclose(b, 2 * weight[:, 1])


def test_offsets_of_zero_fold_the_scale(backend: Backend, rng: np.random.Generator) -> None:
    x, weight = raster(rng, "f4", 3, 4, 5), rng.standard_normal((2, 3))
    for offset in (None, 0, -0.0, [0, -0.0, 0]):
        y = pf.conv1x1(x, weight, scale=0.5, offset=offset, backend=backend)
        assert np.array_equal(y, pf.conv1x1(x, weight / 2, backend=backend))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_data_are_those_of_x(
    layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    """Values of x are compared with nodata, not the terms; a NaN that is missing does not leak."""
    for dtype, nodata in (("u2", 0), ("i2", -99), ("f4", np.nan), ("f4", -1e38)):
        plain = raster(rng, dtype, 11, 8, 40)
        gaps = rng.random((11, 8, 40)) < 0.02
        plain[gaps] = nodata
        x, axis = arranged(plain, layout)
        weight = rng.standard_normal((6, 11))
        affine: dict[str, Any] = {"scale": np.full(11, 0.5), "offset": rng.uniform(-2000, 0, 11)}
        settings: dict[str, Any] = {"nodata": nodata, "channel_axis": axis, **affine}
        if backend == "numba":
            with pytest.raises(ValueError, match="does not support"):
                pf.conv1x1(x, weight, backend=backend, **settings)
            return
        y = np.moveaxis(pf.conv1x1(x, weight, backend=backend, **settings), axis, 0)
        missing = gaps.any(axis=0)
        assert np.array_equal(np.isnan(y[0]), missing)
        t = terms(plain, "f4", **affine)[:, ~missing]
        assert_conv(y[:, ~missing], t, weight, channel_axis=-2)


@pytest.mark.parametrize("offset", [None, [3.0, -20, 0, 5]])
@pytest.mark.parametrize("dtype", ["f4", "u2"])
def test_some_channels_with_scale_and_offset(
    dtype: str, offset: Any, rng: np.random.Generator
) -> None:
    """Sums over the terms that are present are scaled by the weights as given."""
    x = raster(rng, dtype, 4, 60)
    gaps = rng.random(x.shape) < 0.3
    x[gaps] = 0
    weight, bias = rng.standard_normal((3, 4)), rng.standard_normal(3)
    scale = [0.5, -2, 0.25, 30]
    affine: dict[str, Any] = {"scale": scale, "offset": offset}
    y = pf.conv1x1(x, weight, bias, nodata=0, valid="any", min_valid=0.4, channel_axis=0, **affine)
    t = np.array(scale)[:, None] * x + np.reshape(0 if offset is None else offset, (-1, 1))
    there = ~gaps
    total = abs(weight).sum(axis=1)[:, None]
    factor = total / np.maximum(abs(weight) @ there, 1e-9)
    expected = (weight @ (t * there)) * factor + bias[:, None]
    expected[:, there.sum(axis=0) < 2] = np.nan  # fewer than 0.4 of four channels
    bound = 1e-6 * (abs(weight) @ abs(t * there)) * factor + 1e-6
    assert np.array_equal(np.isnan(y), np.isnan(expected))
    assert np.all((abs(y - expected) <= bound) | np.isnan(expected))


def test_complex_numbers(rng: np.random.Generator) -> None:
    """The scale multiplies both parts, the offset is added to the real one."""
    x = (raster(rng, "f8", 5, 40) + 1j * raster(rng, "f8", 5, 40)).astype("c8")
    weight = rng.standard_normal((3, 5)) + 1j * rng.standard_normal((3, 5))
    affine = settings_for(x.real, -2, True, rng)
    expected = weight @ (terms(x.real, "f4", **affine, axis=-2) + 1j * terms(
        x.imag, "f4", 0 * affine["offset"], affine["scale"], axis=-2).astype("c16"))  # fmt: skip
    for backend in set(BACKENDS) - {"numba"}:
        for given in (x, np.ascontiguousarray(x.T).T):
            y = pf.conv1x1(given, weight, **affine, channel_axis=-2, backend=backend)
            assert np.all(abs(y - expected) < 12 * 1.2e-7 * (abs(weight) @ abs(x)))
    real = terms(x.real, "f4", **affine, axis=-2)
    y = pf.conv1x1(x.real, weight.real, **affine, channel_axis=-2, dtype="c8", backend="numpy")
    assert_conv(np.ascontiguousarray(y.real), real, weight.real, channel_axis=-2)


@pytest.mark.parametrize("dtype", ["f4", "u2", "f8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chains(layout: str, dtype: str, rng: np.random.Generator) -> None:
    """Offsets may be in the first layer and in later ones; the result is that of single layers."""
    x, axis = arranged(raster(rng, dtype, 6, 30, 41), layout)
    for hidden in (5, 20, 64):
        first = pf.Conv1x1(
            rng.standard_normal((hidden, 6)),
            bias=np.full(hidden, 5e3),
            activation="relu",
            channel_axis=axis,
            **settings_for(x, axis, True, rng),
        )
        of_last: list[dict[str, Any]] = [
            {"offset": -5e3},
            {"scale": 0.5},
            {"scale": 2.0, "offset": 1.0},
        ]
        for last_scale in of_last:
            last = pf.Conv1x1(rng.standard_normal((4, hidden)), channel_axis=axis, **last_scale)
            expected = last(first(x))
            y = pf.Chain(first, last)(x)
            if pf.backends()[0] == "c":
                assert np.array_equal(y, expected)
            by_numpy = pf.Chain(
                *(
                    pf.Conv1x1(
                        one.weight,
                        one.bias,
                        activation=one.activation,
                        channel_axis=axis,
                        backend="numpy",
                        scale=one._spec.scale,
                        offset=one._spec.offset,
                    )
                    for one in (first, last)
                )
            )
            t = np.moveaxis(first(x).astype("f8"), axis, 0).reshape(hidden, -1)
            size = abs(last.weight) @ (abs(t) * abs(last_scale.get("scale", 1)) + 5e3)
            off = np.moveaxis(abs(by_numpy(x).astype("f8") - expected), axis, 0).reshape(4, -1)
            assert np.all(off <= 40 * np.finfo(y.dtype).eps * size)


def test_branches(rng: np.random.Generator) -> None:
    """Layers with different offsets are not joined into one."""
    x = raster(rng, "f4", 6, 30, 41)
    weight = rng.standard_normal((4, 6))
    layers = [pf.Conv1x1(weight, offset=offset) for offset in (-400.0, -900.0)]
    layers += [pf.Conv1x1(weight, scale=2.0), pf.Conv1x1(weight, scale=3.0)]
    for some in (layers, layers[:2], layers[2:], [layers[0], layers[0]]):
        branches = pf.Branches(*some)
        for _ in range(3):
            for y, layer in zip(branches(x), some, strict=True):
                assert np.array_equal(y, layer(x))
        out = branches(x, out=np.empty((4 * len(some), 30, 41), np.float32))
        assert np.array_equal(out, np.concatenate([layer(x) for layer in some]))


def test_calls_do_not_take_each_others_offsets(backend: Backend, rng: np.random.Generator) -> None:
    x, weight = raster(rng, "f4", 3, 4, 5), rng.standard_normal((2, 3)).astype("f4")
    settings: dict[str, Any] = {"backend": backend}
    for _ in range(2):
        for offset in (None, 5.0, [1.0, 2, 3], np.array([1.0, 2, 4]), np.array([1, 2, 3]), None):
            y = pf.conv1x1(x, weight, offset=offset, **settings)
            assert_conv(y, terms(x, "f4", 0 if offset is None else offset), weight)
    before = len(_prepared)
    pf.conv1x1(x, weight, offset=np.array([1.0, 2, 4]), **settings)
    assert len(_prepared) == before
    layer = pf.Conv1x1(weight, offset=[1.0, 2, 3], **settings)
    assert np.array_equal(pickle.loads(pickle.dumps(layer))(x), layer(x))


def test_the_offset_given_may_change_later(backend: Backend, rng: np.random.Generator) -> None:
    x, weight, offset = raster(rng, "f4", 3, 4, 5), np.eye(3), np.arange(1.0, 4)
    layer = pf.Conv1x1(weight, offset=offset, backend=backend)
    y = layer(x)
    offset += 1
    assert np.array_equal(layer(x), y)
    assert_conv(
        pf.conv1x1(x, weight, offset=offset, backend=backend), terms(x, "f4", offset), weight
    )


def test_the_scale_given_may_change_later(backend: str, rng: np.random.Generator) -> None:
    """What is known of a call does not hold the array, which the weights take anew each time."""
    x, weight, scale = raster(rng, "f4", 3, 4, 5), np.eye(3), np.arange(1.0, 4)
    given: Any = {"backend": backend}
    y, before = pf.conv1x1(x, weight, scale=scale, **given), scale.copy()
    scale *= 10
    assert np.array_equal(pf.conv1x1(x, weight, scale=before, **given), y)


def test_float64_without_fused_multiply_adds(rng: np.random.Generator) -> None:
    """NumPy's terms are off by an ulp at most, even where product and offset cancel."""
    x = rng.standard_normal((4, 300))
    s, shape = rng.standard_normal(4), (4, 300)
    o = -(s[:, None] * x)[:, 7] * (1 + np.array([0, 1e-16, 3e-14, 1e-3]))
    problem = problem_of(x, np.ones((1, 4)), None, None, np.empty((1, 300)), scale=tuple(s),
                         offset=tuple(o))  # fmt: skip
    found = scaled(problem, x)
    for c, p in np.ndindex(shape):
        exact = Fraction(float(s[c])) * Fraction(float(x[c, p])) + Fraction(float(o[c]))
        assert abs(Fraction(float(found[c, p])) - exact) <= abs(exact) * Fraction(2**-52)
    x[0, :4] = np.inf, -np.inf, np.nan, 1e308
    with np.errstate(all="ignore"):
        expected = (s[:, None] * x + o[:, None])[0, :4]
        assert np.array_equal(scaled(problem, x)[0, :4], expected, equal_nan=True)
