"""`nodata` and `fill`: which values they may have, in every dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from images import LAYOUTS, arranged, supported, with_gaps
from support import WITHOUT_NUMBA, Backend, without_numba

import pointwise_fast as pf


@pytest.mark.parametrize("fill", [-(2**31), 2**31 - 1, 2**22, 2**22 + 1])
def test_labels_keep_any_fill(fill: int, backend: Backend) -> None:
    settings: dict[str, Any] = {"channel_axis": 0, "head": "argmax", "dtype": "int32"}
    x = np.zeros((3, 1), np.float32)
    y = pf.conv1x1(x, np.eye(3), nodata=0, fill=fill, backend=backend, **settings)
    assert y.tolist() == [fill]


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("i8", -(2**63)),
        ("i8", 2**63 - 1),
        ("i8", np.int64(2**53 + 1)),
        ("u8", 2**64 - 1),
        ("u8", np.uint64(2**63 + 1)),
        ("i8", -(2.0**63)),
        ("u8", np.array(2**60 + 3)),
    ],
)
def test_integers_of_64_bits_are_told_apart(
    dtype: str, nodata: Any, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    limits, value = np.iinfo(dtype), int(nodata)
    plain = rng.integers(0, 100, (3, 4, 61)).astype(dtype)
    # Neighbours, which float64 cannot tell from the value.
    beside = [v for v in (value - 1, value + 1, value + 2) if limits.min <= v <= limits.max]
    plain[0] = np.resize(np.array([*beside, value], dtype), (4, 61))
    x, axis = arranged(plain, layout)
    missing = plain[0] == np.dtype(dtype).type(value)
    assert 0.2 < missing.mean() < 0.6
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    for given in (nodata, [nodata, None, nodata], [value, -1 if dtype == "i8" else 999, value]):
        y = pf.Conv1x1(np.ones((2, 3)), nodata=given, **settings)(x)
        assert np.array_equal(np.isnan(np.moveaxis(y, axis, 0)[1]), missing)
    swapped = x.astype(x.dtype.newbyteorder("S"))
    y = pf.conv1x1(swapped, np.ones((2, 3)), nodata=nodata, **settings)
    assert np.array_equal(np.isnan(np.moveaxis(y, axis, 0)[0]), missing)


@without_numba
@pytest.mark.parametrize("fill", [-(2**63), 2**63 - 1, 2**53 + 2])
def test_results_of_64_bits_keep_their_fill(fill: int, backend: Backend) -> None:
    x = np.array([[1.0, 2.0]])
    y = pf.conv1x1(x, [[3.0]], channel_axis=0, dtype="i8", nodata=1, fill=fill, backend=backend)
    assert y.tolist() == [[fill, 6]]


def test_a_fill_that_sums_do_not_hold() -> None:
    """float64 does not hold 2**53 + 1: such a fill falls back to the NumPy backend."""
    settings: dict[str, Any] = {"channel_axis": 0, "dtype": "i8", "nodata": 1, "fill": 2**53 + 1}
    assert pf.conv1x1(np.ones((1, 1)), [[3.0]], **settings).tolist() == [[2**53 + 1]]
    if "c" in WITHOUT_NUMBA:
        with pytest.raises(ValueError, match="fill=9007199254740993, which sums of float64"):
            pf.conv1x1(np.ones((1, 1)), [[3.0]], backend="c", **settings)


@pytest.mark.parametrize("valid", ["all", "any"])
@pytest.mark.parametrize(("dtype", "nodata"), [("f4", 0.0), ("u1", 7), ("f8", np.nan)])
def test_a_channel_without_nodata(
    dtype: str, nodata: float, valid: str, backend: Backend, rng: np.random.Generator
) -> None:
    x = with_gaps(rng, (4, 9, 30), dtype, nodata)
    weight = rng.integers(1, 5, (2, 4))
    if not supported(backend, x, weight, valid=valid):
        return
    given = (nodata, None, nodata, None)
    mask = np.isnan(x) if np.isnan(nodata) else x == nodata
    mask[1::2] = False
    settings: dict[str, Any] = {"valid": valid, "min_valid": 0, "backend": backend}
    expected = pf.conv1x1(x, weight, mask=mask, **settings)
    assert valid == "any" or np.isnan(expected).any()
    for nodatavals in (given, list(given), np.array(given, object)):
        y = pf.conv1x1(x, weight, nodata=nodatavals, **settings)
        assert np.array_equal(y, expected, equal_nan=True)
        layer = pf.Conv1x1(weight, nodata=nodatavals, **settings)
        assert np.array_equal(layer(x), expected, equal_nan=True)
    plain = pf.conv1x1(x, weight, backend=backend)
    none = pf.conv1x1(x, weight, nodata=[None] * 4, backend=backend)
    assert np.array_equal(none, plain, equal_nan=True)


def test_nodata_of_floats_as_files_name_it(backend: Backend) -> None:
    """The value may be given with the digits that float32 needs, or as the exact float64."""
    least = np.finfo(np.float32).min
    x = np.array([[least, 1.0, np.nextafter(least, np.float32(0))]], np.float32)
    given: Any
    for given in (-3.4028235e38, float(least), np.float32(least)):
        y = pf.conv1x1(x, [[0.0]], channel_axis=-2, nodata=given, backend=backend)
        assert np.isnan(y).tolist() == [[True, False, False]]


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"nodata": [1, 2]}, ValueError, "nodata has 2 values; a single number, or 3, fit the 3"),
    ({"nodata": [[1], [2, 3], 0]}, ValueError, "nodata must be a number, or one for each"),
    ({"nodata": 1e40}, ValueError, "nodata=1e+40 does not fit x, which has dtype float32"),
    ({"nodata": 1j}, TypeError, "nodata must be a number; got 1j"),
    ({"nodata": np.ma.masked}, ValueError, "nodata must be a number"),
    (
        {"x": np.ones((3, 5, 6), np.uint64), "nodata": 2**64, "dtype": "f4"},
        ValueError,
        "nodata=18446744073709551616 does not fit x, which has dtype uint64: whole numbers from 0 "
        "to 18446744073709551615 do",
    ),
    (
        {"x": np.ones((3, 5, 6), np.int64), "nodata": 2.0**63, "dtype": "f4"},
        ValueError,
        "pass 9223372036854775807 as an int, which is not rounded",
    ),
    (
        {"x": np.ones((3, 5, 6), np.int64), "nodata": -(2**63) - 1, "dtype": "f4"},
        ValueError,
        "nodata=-9223372036854775809 does not fit x",
    ),
    ({"x": np.ones((3, 5, 6), np.uint8), "nodata": 0.5}, ValueError, "nodata=0.5 does not fit x"),
    ({"x": np.ones((3, 5, 6), bool), "nodata": 2}, ValueError, "whole numbers from 0 to 1 do"),
    ({"nodata": 10**400}, ValueError, "does not fit x, which has dtype float32"),
    ({"nodata": [None, None]}, ValueError, "nodata has 2 values; a single number, or 3"),
    ({"nodata": [None, "a", 1]}, TypeError, "nodata must be a number; got 'a'"),
    ({"nodata": [[1, 2, 3]]}, ValueError, "nodata must be a number, or one for each channel"),
    ({"nodata": "none"}, ValueError, "nodata must be a number"),
    ({"nodata": [1, 2, "a"]}, TypeError, "nodata must be a number; got 'a'"),
    ({"x": np.ones((3, 5, 6), np.uint8), "nodata": -1}, ValueError, "nodata=-1 does not fit x"),
    ({"x": np.ones((3, 5, 6), np.uint8), "nodata": np.nan}, ValueError, "does not fit x"),
    ({"mask": np.zeros((5, 7), bool)}, ValueError, "mask has shape (5, 7); (5, 6), as the pixels"),
    ({"mask": np.zeros((5, 6))}, TypeError, "mask has dtype float64; bool is expected"),
    ({"fill": "x"}, TypeError, "fill must be a number"),
    ({"nodata": 0, "dtype": "u1", "fill": 256}, ValueError, "fill=256 does not fit the result"),
    ({"nodata": 0, "dtype": "u1", "fill": np.nan}, ValueError, "fill=nan does not fit"),
    ({"valid": "most"}, ValueError, "valid must be 'all' or 'any'; got 'most'"),
    ({"min_valid": 1.5}, ValueError, "min_valid must be a fraction between 0 and 1"),
    ({"min_valid": None}, TypeError, "min_valid must be a number"),
    ({"scale": "a"}, TypeError, "scale has dtype"),
    ({"scale": [1, 2]}, ValueError, "scale has shape (2,); (3,) fits the 3 input channels"),
    ({"scale": [1, 2, np.inf]}, ValueError, "scale must be finite"),
    ({"offset": [[1.0]]}, ValueError, "offset has shape (1, 1); (3,) fits"),
    ({"offset": "a"}, TypeError, "offset has dtype"),
]


@pytest.mark.parametrize(("wrong", "error", "says"), WRONG, ids=[w[2][:30] for w in WRONG])
@pytest.mark.parametrize("way", ["conv1x1", "Conv1x1"])
def test_wrong_argument(way: str, wrong: dict[str, Any], error: type[Exception], says: str) -> None:
    good = {"x": np.ones((3, 5, 6), np.float32), "weight": np.ones((4, 3))}
    out = None if "dtype" in wrong else np.full((4, 5, 6), 17, np.float32)
    arguments = {**good, "out": out, **wrong}
    call = {n: v for n, v in arguments.items() if n in ("x", "out", "mask")}
    settings = {n: v for n, v in arguments.items() if n not in call}
    with pytest.raises(error) as caught:
        pf.conv1x1(**arguments) if way == "conv1x1" else pf.Conv1x1(**settings)(**call)
    assert says in str(caught.value)
    assert out is None or np.all(out == 17)
