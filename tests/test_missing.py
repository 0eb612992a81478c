"""Missing data: which pixels are missing, and what the others become; masks, scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import convolved
from images import LAYOUTS, arranged, supported, with_gaps
from support import Backend, assert_within, in_panels, needs_c, numbers, without_numba

import pointwise_fast as pf


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("f4", np.nan), ("f4", -9999.0), ("f8", 0.1), ("u1", 255), ("u2", 0), ("i2", -32768),
     ("f2", np.nan), ("i4", -(2**31)), ("f4", 3.4028234663852886e38)],
)  # fmt: skip
def test_all_channels_are_needed(
    dtype: str, nodata: float, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    plain = with_gaps(rng, (7, 9, 41), dtype, nodata, backend)
    x, axis = arranged(plain, layout)
    if dtype == "f4" and nodata == nodata and abs(nodata) < 1e30:
        assert np.float32(nodata) == nodata
    weight, bias = numbers(rng, backend, 5, 7), numbers(rng, backend, 5)
    if not supported(backend, x, weight, channel_axis=axis):
        return
    gaps = np.isnan(x) if np.isnan(nodata) else x == np.dtype(dtype).type(nodata)
    missing = gaps.any(axis=axis, keepdims=True)
    assert 0 < missing.sum() < missing.size
    settings: dict[str, Any] = {"channel_axis": axis, "activation": "relu", "backend": backend}
    clean = np.where(gaps, np.dtype(dtype).type(0), x)
    expected = np.where(missing, np.float32(np.nan), pf.conv1x1(clean, weight, bias, **settings))
    y = pf.conv1x1(x, weight, bias, nodata=nodata, **settings)
    assert np.array_equal(y, expected, equal_nan=True)
    assert y.dtype == pf.conv1x1(x, weight, **settings).dtype
    filled = pf.Conv1x1(weight, bias, nodata=nodata, fill=-7, **settings)(x)
    assert np.array_equal(filled, np.where(missing, -7, expected))
    if not supported(backend, x, weight, dtype="u1", channel_axis=axis):
        return
    integers = pf.conv1x1(x, weight, bias, nodata=nodata, dtype="u1", fill=200, **settings)
    assert np.all(np.where(missing, integers == 200, True))
    assert np.all(pf.conv1x1(x, weight, nodata=nodata, dtype="u1", **settings)[
        np.broadcast_to(missing, y.shape)] == 0)  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of", ["pixels", "x"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_masks(
    batch: tuple[int, ...], of: str, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    plain = numbers(rng, backend, 7, 9, 41).astype(np.float32)
    x, axis = arranged(plain, layout)
    if batch:
        x = np.stack([x, x + 1, x - 1])
    pixels = tuple(np.delete(x.shape, axis % x.ndim))
    mask = rng.random(pixels if of == "pixels" else x.shape) < (0.2 if of == "pixels" else 0.03)
    missing = np.expand_dims(mask, axis) if of == "pixels" else mask.any(axis=axis, keepdims=True)
    weight = numbers(rng, backend, 5, 7)
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    expected = np.where(missing, np.float32(np.nan), pf.conv1x1(x, weight, **settings))
    for given in (mask, np.asfortranarray(mask), np.repeat(mask, 2, axis=-1)[..., ::2]):
        y = pf.conv1x1(x, weight, mask=given, **settings)
        assert np.array_equal(y, expected, equal_nan=True)
    layer = pf.Conv1x1(weight, **settings)
    for _ in range(3):
        assert np.array_equal(layer(x, mask=mask), expected, equal_nan=True)
        assert not np.isnan(layer(x)).any()


@without_numba
def test_a_value_for_each_band_and_a_mask(backend: Backend, rng: np.random.Generator) -> None:
    x = rng.integers(0, 6, (3, 20, 33)).astype(np.int16)
    mask = rng.random((20, 33)) < 0.1
    weight = rng.standard_normal((4, 3))
    missing = (x == np.array([1, 2, 3], np.int16)[:, None, None]).any(axis=0) | mask
    y = pf.conv1x1(x, weight, nodata=[1, 2, 3], mask=mask, stride=2, backend=backend)
    assert np.array_equal(np.isnan(y[0]), missing[::2, ::2])
    labels = pf.conv1x1(
        x, weight, nodata=[1, 2, 3], mask=mask, head="argmax", fill=99, backend=backend
    )
    best = pf.conv1x1(x, weight, backend=backend).argmax(axis=0)
    assert np.array_equal(labels, np.where(missing, 99, best))


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("min_valid", [0, 0.5, 0.75, 1])
@pytest.mark.parametrize("share", [0, 0.02, 0.3])
def test_some_channels_are_enough(
    share: float, min_valid: float, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    plain = rng.standard_normal((8, 5, 21))
    plain[rng.random(plain.shape) < share] = np.nan
    if share:
        plain[:, 0, :4] = np.nan
    x, axis = arranged(plain, layout)
    weight, bias = rng.standard_normal((4, 8)), rng.standard_normal(4)
    weight[1, :6] = weight[2] = 0
    settings: dict[str, Any] = {"channel_axis": axis, "valid": "any", "min_valid": min_valid}
    exact = convolved(x, weight, bias, gaps=np.isnan(x), dtype=x.dtype, **settings)
    y = pf.conv1x1(x, weight, bias, nodata=np.nan, backend=backend, **settings)
    assert_within(y, *exact)
    clean = np.nan_to_num(x)
    again = pf.conv1x1(clean, weight, bias, mask=np.isnan(x), backend=backend, **settings)
    assert_within(again, *exact)


@needs_c
@pytest.mark.parametrize("out", ["new", "x", "residual"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "gelu"},
        {"activation": ("prelu", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])},
        {"head": "softmax", "fill": -1},
        {"scale": 0.5, "offset": 3.0},
    ],
    ids=["gelu", "prelu", "softmax", "offset"],
)
def test_some_channels_with_all_else(
    options: dict[str, Any], layout: str, out: str, rng: np.random.Generator
) -> None:
    """The C backend agrees with NumPy's, where `out` is new, x or the residual."""
    plain = rng.standard_normal((6, 40, 101))
    plain[rng.random(plain.shape) < 0.05] = np.nan
    plain[:, 7] = np.nan
    plain[2, 20:] = np.nan
    x, axis = arranged(plain, layout)
    weight, bias = rng.standard_normal((6, 6)), rng.standard_normal(6)
    weight[1, 3:] = weight[4] = 0
    residual = np.asarray(rng.standard_normal(x.shape)) if out == "residual" else None
    settings: dict[str, Any] = {"nodata": np.nan, "valid": "any", "channel_axis": axis, **options}
    wanted = pf.conv1x1(x, weight, bias, residual=residual, backend="numpy", **settings)
    y = {"new": None, "x": x, "residual": residual}[out]
    y = pf.conv1x1(x, weight, bias, residual=residual, out=y, backend="c", **settings)
    assert np.allclose(y, wanted, rtol=1e-9, atol=1e-12, equal_nan=True)
    lost = -1.0 if "fill" in options else np.nan
    is_lost = np.moveaxis(y, axis, 0)[:, 7]
    assert np.array_equal(is_lost, np.full_like(is_lost, lost), equal_nan=True)


@needs_c
@pytest.mark.parametrize("min_valid", [0, 0.5, 1])
@pytest.mark.parametrize("view", ["window", "Fortran", "every second"])
def test_some_channels_of_views(view: str, min_valid: float, rng: np.random.Generator) -> None:
    """Rows of x lie apart, those of y are contiguous, and pixels without data surround them."""
    cube = rng.standard_normal((45, 60, 90)).astype(np.float32)
    cube[rng.random(cube.shape) < 0.02] = np.nan
    cube[:, :20] = cube[:, :, :20] = np.nan
    x = {
        "window": cube[:, 5:55, 7:80],
        "Fortran": np.asfortranarray(cube),
        "every second": cube[:, ::2, ::2],
    }[view]
    weight, bias = rng.standard_normal((9, 45)), rng.standard_normal(9)
    settings: dict[str, Any] = {"nodata": np.nan, "valid": "any", "min_valid": min_valid}
    wanted = pf.conv1x1(x, weight, bias, backend="numpy", **settings)
    assert 0.05 < np.isnan(wanted).mean() < 1
    for threads in (1, 3):
        y = pf.conv1x1(x, weight, bias, backend="c", threads=threads, **settings)
        assert np.allclose(y, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)


@without_numba
@pytest.mark.parametrize("groups", [1, 2])
def test_scale_and_offset(groups: int, backend: Backend, rng: np.random.Generator) -> None:
    x = rng.integers(0, 10000, (6, 7, 9)).astype(np.uint16)
    x[0, 0, 0] = 0
    scale, offset = rng.random(6) * 1e-4, rng.standard_normal(6)
    weight, bias = rng.standard_normal((4, 6 // groups)), rng.standard_normal(4)
    reflectance = x * scale[:, None, None] + offset[:, None, None]
    expected = pf.conv1x1(reflectance, weight, bias, groups=groups)
    for b, wanted in ((bias, expected), (None, expected - bias[:, None, None])):
        y = pf.conv1x1(
            x, weight, b, scale=scale, offset=offset, groups=groups, dtype="f8", backend=backend
        )
        assert np.allclose(y, wanted, rtol=1e-10)
        layer = pf.Conv1x1(weight, b, scale=scale, offset=offset, groups=groups, dtype="f8",
                           backend=backend)  # fmt: skip
        assert np.array_equal(layer(x), y)
    plain = pf.conv1x1(x, weight, scale=2, groups=groups, dtype="f8", backend=backend)
    assert np.allclose(plain, 2 * pf.conv1x1(x, weight, groups=groups, dtype="f8"), rtol=1e-12)
    if groups == 1:
        gone = pf.conv1x1(x, weight, scale=scale, offset=offset, nodata=0, backend=backend)
        assert np.array_equal(np.isnan(gone[0]), (x == 0).any(axis=0))


@in_panels
def test_threads_layouts_and_panels_do_not_show(backend: Backend, rng: np.random.Generator) -> None:
    plain, weight = with_gaps(rng, (30, 90, 70), "f4", np.nan), rng.standard_normal((50, 30))
    plain[:, :30] = np.nan  # whole panels of nothing
    whole = pf.conv1x1(plain, weight, nodata=np.nan, backend=backend, threads=1)
    for layout in LAYOUTS:
        x, axis = arranged(plain, layout)
        layer = pf.Conv1x1(weight, nodata=np.nan, channel_axis=axis, backend=backend)
        for threads in (1, 2, 3, 7):
            y = np.moveaxis(layer(x, threads=threads), axis, 0)
            assert np.array_equal(y, whole, equal_nan=True)


def test_output_over_input(backend: Backend, rng: np.random.Generator) -> None:
    x = with_gaps(rng, (6, 20, 30), "f4", np.nan, backend)
    mask = rng.random((20, 30)) < 0.2
    weight = numbers(rng, backend, 6, 6)
    expected = pf.conv1x1(x, weight, nodata=np.nan, mask=mask, backend=backend)
    pf.conv1x1(x, weight, nodata=np.nan, mask=mask, out=x, backend=backend)
    assert np.array_equal(x, expected, equal_nan=True)
    labels = np.zeros((20, 30), np.uint8)
    shared = labels.view(np.bool_)
    shared[...] = mask
    expected = pf.conv1x1(x, weight, mask=mask, head="argmax", fill=9, backend=backend)
    pf.conv1x1(x, weight, mask=shared, head="argmax", fill=9, out=labels, backend=backend)
    assert np.array_equal(labels, expected)


@without_numba
def test_a_fraction_is_met_exactly(backend: Backend) -> None:
    x = np.where(np.arange(100) < 55, 1.0, np.nan)
    settings: dict[str, Any] = {"nodata": np.nan, "valid": "any", "backend": backend}
    settings["channel_axis"] = 0
    assert pf.conv1x1(x, np.ones((1, 100)), min_valid=0.55, **settings)[0] == 100
    assert np.isnan(pf.conv1x1(x, np.ones((1, 100)), min_valid=0.56, **settings)[0])


def test_no_channel_is_missing_where_there_is_none(backend: Backend) -> None:
    y = pf.conv1x1(np.ones((0, 2, 3)), np.ones((2, 0)), [1, 2], mask=np.ones((2, 3), bool),
                   backend=backend)  # fmt: skip
    assert np.array_equal(y[:, 0, 0], [1, 2])


@needs_c
@pytest.mark.parametrize(
    ("groups", "dtype", "says"),
    [(2, "f4", "missing data with groups=2"), (1, "c8", "missing data of complex numbers")],
)
def test_what_c_refuses_by_name(
    groups: int, dtype: str, says: str, rng: np.random.Generator
) -> None:
    """`auto` falls back to NumPy where the C backend has no missing data."""
    x = rng.integers(1, 9, (4, 5, 6)).astype(dtype)
    x[:, 2, 3] = 7
    weight = rng.integers(1, 9, (6, 4 // groups))
    with pytest.raises(ValueError, match=f"'c' does not support {says}"):
        pf.conv1x1(x, weight, groups=groups, nodata=7, backend="c")
    y = pf.conv1x1(x, weight, groups=groups, nodata=7)
    lost = (x == 7).any(axis=0)
    assert np.array_equal(np.isnan(y), np.broadcast_to(lost, y.shape))
    assert np.allclose(y[:, ~lost], pf.conv1x1(x, weight, groups=groups)[:, ~lost])


@needs_c
def test_c_refuses_missing_data_in_chains() -> None:
    last = pf.Conv1x1(np.ones((2, 4)))
    x = np.ones((3, 2, 2))
    with pytest.raises(ValueError, match="'c' does not support missing data in chains of layers"):
        pf.Chain(pf.Conv1x1(np.ones((4, 3)), nodata=7, backend="c"), last)(x)
    assert np.all(pf.Chain(pf.Conv1x1(np.ones((4, 3)), nodata=7), last)(x) == 12)
