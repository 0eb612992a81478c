"""No label equals the value of missing pixels, unless `fill` asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from images import weights
from support import Backend, without_numba

import pointwise_fast as pf


@without_numba
@pytest.mark.parametrize("wanted", [None, "u1", "u2", "i4", "i8"])
@pytest.mark.parametrize("by", ["nodata", "mask", "masked"])
def test_labels_of_what_is_missing(by: str, wanted: Any, backend: Backend) -> None:
    x = np.array([[[0, 5, 1]], [[0, 7, 2]]], np.uint16)
    settings: dict[str, Any] = {"head": "argmax", "dtype": wanted}
    settings["nodata"] = 0 if by == "nodata" else None
    given = np.ma.masked_equal(x, 0) if by == "masked" else x
    mask = {"mask": (x == 0).any(axis=0)} if by == "mask" else {}
    y = pf.conv1x1(given, [[1.0, 0], [0, -1.0]], **mask, **settings)
    largest = np.iinfo(wanted or "u1").max
    assert y.dtype == np.dtype(wanted or "u1")
    assert np.ma.getdata(y).tolist() == [[largest, 0, 0]]
    layer = pf.Conv1x1([[1.0, 0], [0, -1.0]], fill=1, **settings)
    assert np.ma.getdata(layer(given, **mask)).tolist() == [[1, 0, 0]]  # what the user asked for


@pytest.mark.parametrize(
    ("K", "dtype"), [(255, "u1"), (256, "u2"), (257, "u2"), (65535, "u2"), (65536, "i8")]
)
def test_labels_and_their_fill_do_not_meet(K: int, dtype: str) -> None:
    W = np.zeros((K, 2), np.float32)
    W[-1] = 1
    x = np.array([[1.0, np.nan], [1.0, 2.0]], np.float32)
    y = pf.conv1x1(x, W, nodata=np.nan, head="argmax", channel_axis=0)
    assert y.dtype == dtype
    assert y.tolist() == [K - 1, np.iinfo(dtype).max]
    # The dtype does not depend on whether this tile has holes.
    for mask in (False, np.zeros((2, 2), bool)):
        given = pf.conv1x1(np.nan_to_num(x), W, mask=mask, head="argmax", channel_axis=0)
        assert given.dtype == dtype
    bare = np.ma.MaskedArray(np.nan_to_num(x))
    assert pf.conv1x1(bare, W, head="argmax", channel_axis=0).dtype == dtype


def test_labels_without_room_for_a_fill() -> None:
    x, W = np.ones((2, 3), np.float32), np.ones((256, 2))
    settings: dict[str, Any] = {"head": "argmax", "channel_axis": 0, "nodata": 0}
    with pytest.raises(TypeError, match=r"holds the labels 0 to 255 .*, but no fill besides"):
        pf.conv1x1(x, W, dtype="u1", **settings)
    assert pf.conv1x1(x, W, dtype="u1", fill=0, **settings).dtype == np.uint8
    del settings["nodata"]
    assert pf.conv1x1(x, W, **settings).dtype == np.uint8
    with pytest.raises(ValueError, match="fill=300 does not fit the result, which has dtype uint8"):
        pf.conv1x1(x, W, dtype="u1", fill=300, nodata=0, **settings)


@pytest.mark.parametrize(("fill", "dtype"), [(-1, "i8"), (256, "u2"), (254, "u1"), (70000, "i8")])
def test_the_dtype_of_labels_holds_the_fill(fill: int, dtype: str) -> None:
    y = pf.conv1x1(np.zeros((2, 3)), np.ones((4, 2)), nodata=0, head="argmax", fill=fill,
                   channel_axis=0)  # fmt: skip
    assert y.dtype == dtype
    assert np.all(y == fill)


def test_labels_of_chains_and_branches(rng: np.random.Generator) -> None:
    x = rng.integers(1, 9, (3, 8, 9)).astype(np.int16)
    x[1, 2, 3:6] = 0
    lost = (x == 0).any(axis=0)
    first = pf.Conv1x1(weights(rng, 4, 3), nodata=0)
    last = pf.Conv1x1(weights(rng, 5, 4), head="argmax")
    y = pf.Chain(first, last)(x)
    assert np.array_equal(y == 255, lost)
    assert np.array_equal(y[~lost], last(first(x))[~lost])
    wide = pf.Chain(first, pf.Conv1x1(weights(rng, 256, 4), head="argmax"))(x)
    assert wide.dtype == np.uint16
    assert np.array_equal(wide == 65535, lost)
    named = pf.Chain(pf.Conv1x1(first.weight, nodata=0, fill=9), last)(x)
    assert np.array_equal(named == 9, lost)
    some = pf.Conv1x1([[1.0, 0, 0], [0, 1.0, 0]], nodata=0, valid="any", min_valid=0)
    y = pf.Chain(some, pf.Conv1x1(np.eye(2), head="argmax"))(x)
    assert np.array_equal(y == 255, x[1] == 0)
    _, labels = pf.Branches(first, pf.Conv1x1(weights(rng, 5, 3), nodata=0, head="argmax"))(x)
    assert np.array_equal(labels == 255, lost)
