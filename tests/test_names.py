"""channels=[names]: columns, coordinates and fields are found by name, whatever their order."""

from __future__ import annotations

import itertools
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from support import WITHOUT_NUMBA, Array, Backend, assert_conv, run_python

import pointwise_fast as pf
from pointwise_fast.keys import MOST_CALLS

NAMES = ("blue", "green", "red", "nir", "swir")
SHUFFLED = ("nir", "blue", "swir", "red", "green")


def cube(rng: np.random.Generator) -> Array:
    return rng.standard_normal((5, 6, 7), np.float32)


def weights(rng: np.random.Generator, K: int = 4) -> Array:
    return rng.standard_normal((K, 5)).astype(np.float32)


def records(x: Array, names: Any, dtype: Any = None, **more: str) -> Array:
    """Channels of `x` as fields, in the order of `names`."""
    fields = [(name, dtype or x.dtype) for name in names]
    found = np.zeros(x.shape[1:], [*fields, *more.items()])
    for name, values in zip(NAMES, x, strict=True):
        if name in names:
            found[name] = values
    return found


def order_of(names: Any) -> list[int]:
    return [NAMES.index(name) for name in names]


@pytest.fixture(params=["conv1x1", "layer", "chain", "branches"])
def call(request: pytest.FixtureRequest) -> Any:
    """A 1x1 convolution by channel names: of x, weights and settings."""

    def run(x: Any, W: Array, **settings: Any) -> Any:
        if request.param == "conv1x1":
            return pf.conv1x1(x, W, **settings)
        layer = pf.Conv1x1(W, **settings)
        if request.param == "layer":
            return layer(x)
        axis = settings.get("channel_axis", -3)
        backend = settings.get("backend", "auto")
        if request.param == "branches":
            twice = pf.Branches(layer, pf.Conv1x1(2 * W, **settings))(x)
            assert np.array_equal(np.ma.getdata(twice[1]), 2 * np.ma.getdata(twice[0]))
            return twice[0]
        same = pf.Conv1x1(np.eye(len(W)), channel_axis=axis, backend=backend)
        return pf.Chain(layer, same)(x)

    return run


FEATURED = WITHOUT_NUMBA


@pytest.mark.parametrize("backend", FEATURED)
@pytest.mark.parametrize("names", [NAMES, SHUFFLED, NAMES[::-1]], ids=["same", "mixed", "reverse"])
def test_fields(names: Any, backend: Backend, call: Any, rng: np.random.Generator) -> None:
    x, W = cube(rng), weights(rng)
    y = call(records(x, names), W, channels=NAMES, backend=backend)
    assert_conv(y, x, W)
    last = call(records(x, names), W, channels=list(NAMES), channel_axis=-1, backend=backend)
    assert_conv(last, np.moveaxis(x, 0, -1), W, channel_axis=-1)
    # Some of the fields; others, of another dtype, follow.
    three = call(records(x, names, flag="u1"), W[:, :5], channels=NAMES, backend=backend)
    assert np.array_equal(three, y)
    assert_conv(call(records(x, names), W[:, :2], channels=names[1:3], backend=backend),
                x[order_of(names[1:3])], W[:, :2])  # fmt: skip


def test_fields_are_not_copied(rng: np.random.Generator) -> None:
    from pointwise_fast.names import find_channels

    x = records(cube(rng), SHUFFLED)
    found, order = find_channels(x, NAMES, -3)
    assert np.shares_memory(found, x)
    assert found.shape == (5, 6, 7)
    assert order is not None
    found, order = find_channels(x, SHUFFLED, 1)
    assert found.strides[1] == 4
    assert order is None


def test_masked_fields(rng: np.random.Generator) -> None:
    x, W = cube(rng), weights(rng)
    given = np.ma.MaskedArray(records(x, SHUFFLED, flag="u1"))
    given["red"][2, 3] = np.ma.masked
    given[4, 5] = np.ma.masked
    mask = np.zeros((6, 7), bool)
    mask[2, 3] = mask[4, 5] = True
    y = pf.conv1x1(given, W, channels=NAMES)
    assert np.array_equal(y.mask, np.broadcast_to(mask, y.shape))  # type: ignore[attr-defined]
    assert_conv(np.where(mask, 0, y.data), np.where(mask, 0, x), W)
    some = pf.conv1x1(given, W[:, :1], channels=["red"])
    assert np.argwhere(some.mask[0]).tolist() == [[2, 3], [4, 5]]  # type: ignore[attr-defined]
    bare = np.ma.MaskedArray(records(x, NAMES))
    assert not np.ma.is_masked(pf.conv1x1(bare, W, channels=NAMES))


@pytest.mark.parametrize("valid", ["all", "any"])
def test_what_belongs_to_a_channel_follows_it(valid: str, rng: np.random.Generator) -> None:
    x = rng.integers(1, 9, (5, 6, 7)).astype(np.int16)
    x[:, 2, 3] = 1, 2, 3, 4, 5
    settings: dict[str, Any] = {"nodata": [1, 2, 3, 4, 5], "valid": valid}
    if valid == "all":
        settings |= {"scale": [0.5, 1, 2, 3, 4], "offset": [1.0, 2, 3, 4, 5]}
    W = weights(rng)
    expected = pf.conv1x1(x, W, **settings)
    assert np.isnan(expected).any()
    layer = pf.Conv1x1(W, channels=NAMES, **settings)
    again = pickle.loads(pickle.dumps(layer))
    for given in (layer, again):
        for names in (NAMES, SHUFFLED):
            y = given(records(x, names))
            assert np.allclose(y, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    assert np.array_equal(layer(x), expected, equal_nan=True)  # without names: in their order


def test_orders_that_cannot_be_followed(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 6, 7)).astype(np.float32)
    names = NAMES[:4]
    mixed = np.zeros((6, 7), [(name, "f4") for name in names[::-1]])
    grouped = pf.Conv1x1(np.ones((2, 2)), groups=2, channels=names)
    skip = pf.Chain(pf.Conv1x1(np.ones((3, 4)), channels=names), pf.Conv1x1(np.ones((4, 3))),
                    residual=True)  # fmt: skip
    for layer in (grouped, skip):
        assert layer(np.zeros((6, 7), mixed.dtype.descr[::-1])).shape[1:] == (6, 7)
        with pytest.raises(ValueError, match="channels in another order"):
            layer(mixed)
    assert skip(x).shape == (4, 6, 7)


def test_errors_of_fields(rng: np.random.Generator) -> None:
    x, W = cube(rng), weights(rng)
    good = records(x, NAMES, flag="u1")
    out = np.full((4, 6, 7), 17, np.float32)
    for wrong, names, error, says in (
        (good, [*NAMES[:4], "tir"], ValueError, "x has no channel named 'tir'; its fields are"),
        (good, [*NAMES[:4], "flag"], TypeError, "x has fields of dtypes float32, uint8"),
        (good[["red"]], NAMES, ValueError, "x has no channel named 'blue'"),
        (good, None, TypeError, "pass channels=['blue', 'green', 'red', 'nir', 'swir', 'flag']"),
    ):
        with pytest.raises(error) as caught:
            pf.conv1x1(wrong, W, channels=names, out=out)
        assert says in str(caught.value)
    with pytest.raises(ValueError, match="not equally far apart"):
        pf.conv1x1(good, W[:, :3], channels=["blue", "green", "nir"])
    with pytest.raises(ValueError, match="channel_axis=-4 does not exist: x has 3 axes"):
        pf.conv1x1(good, W, channels=NAMES, channel_axis=-4)
    assert np.all(out == 17)


def test_layers_that_name_other_channels() -> None:
    W = np.ones((2, 2))
    with pytest.raises(ValueError, match="layer 2 has channels=; they are for the first"):
        pf.Chain(pf.Conv1x1(W), pf.Conv1x1(W, channels=["a", "b"]))
    with pytest.raises(ValueError, match="layer 2 has channels=None, layer 1 has"):
        pf.Branches(pf.Conv1x1(W, channels=["a", "b"]), pf.Conv1x1(W))


# DataFrames.


def frame(x: Array, names: Any, pandas: Any) -> Any:
    rows = x.reshape(5, -1).T
    return pandas.DataFrame({name: rows[:, NAMES.index(name)] for name in names})


def test_dataframes(call: Any, rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    x, W = cube(rng), weights(rng)
    rows = x.reshape(5, -1).T
    settings: dict[str, Any] = {"channels": list(NAMES), "channel_axis": -1}
    for names in (NAMES, SHUFFLED):
        y = call(frame(x, names, pandas), W, **settings)
        assert type(y) is np.ndarray
        assert_conv(y, rows, W, channel_axis=-1)
    wider = frame(x, SHUFFLED, pandas)
    wider.insert(2, "station", "a1")
    assert_conv(call(wider, W, **settings), rows, W, channel_axis=-1)
    # Without names, columns are taken by position.
    mixed = frame(x, SHUFFLED, pandas)
    assert_conv(call(mixed, W, channel_axis=-1), rows[:, order_of(SHUFFLED)], W, channel_axis=-1)


def test_a_row_of_a_dataframe(rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    x, W = cube(rng), weights(rng)
    row = frame(x, SHUFFLED, pandas).iloc[3]
    y = pf.conv1x1(row, W, channels=NAMES, channel_axis=-1)
    assert_conv(y, x.reshape(5, -1)[:, 3], W, channel_axis=-1)


def test_errors_of_dataframes(rng: np.random.Generator) -> None:
    pandas = pytest.importorskip("pandas")
    x, W = cube(rng), weights(rng)
    df = frame(x, NAMES, pandas)
    layer = pf.Conv1x1(W, channels=NAMES, channel_axis=-1)
    with pytest.raises(ValueError, match="x has no channel named 'red'; its columns are 'blue'"):
        layer(df.drop(columns="red"))
    with pytest.raises(ValueError, match="x has 2 channels named 'red'"):
        layer(pandas.concat([df, df[["red"]]], axis=1))
    with pytest.raises(ValueError, match="columns of a DataFrame are its last axis; pass channel"):
        pf.conv1x1(df, W, channels=NAMES)


@pytest.mark.parametrize("dtype", ["Float32", "float[pyarrow]"])
@pytest.mark.parametrize("names", [None, NAMES])
def test_frames_of_objects_to_numpy(dtype: str, names: Any, rng: np.random.Generator) -> None:
    """The advice for nullable and Arrow-backed columns works."""
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    x, W = cube(rng), weights(rng)
    df = frame(x, NAMES, pandas).astype(dtype)
    df.iloc[3, 2] = pandas.NA
    settings: dict[str, Any] = {"channels": names, "channel_axis": -1}
    try:
        y = pf.conv1x1(df, W, **settings)
    except TypeError as error:
        message = str(error)
        assert message.startswith("x is a DataFrame")
        recipe = message.partition("pass ")[2]
        y = pf.conv1x1(eval(recipe, {"x": df, "numpy": np}), W, nodata=np.nan, **settings)
    assert np.isnan(y[3]).all()
    assert np.isnan(y).any(axis=1).sum() == 1


# Coordinates.


def labelled(x: Array, names: Any, xarray: Any) -> Any:
    return xarray.DataArray(
        x[order_of(names)], dims=("band", "y", "x"), coords={"band": list(names)}
    )


def test_coordinates(call: Any, rng: np.random.Generator) -> None:
    xarray = pytest.importorskip("xarray")
    x, W = cube(rng), weights(rng)
    for names in (NAMES, SHUFFLED):
        y = call(labelled(x, names, xarray), W, channels=NAMES)
        assert type(y) is np.ndarray
        assert_conv(y, x, W)
    last = labelled(x, SHUFFLED, xarray).transpose("y", "x", "band")
    y = call(last, W, channels=NAMES, channel_axis=-1)
    assert_conv(y, np.moveaxis(x, 0, -1), W, channel_axis=-1)
    assert_conv(call(labelled(x, NAMES, xarray), W[:, :2], channels=["green", "nir"]),
                x[[1, 3]], W[:, :2])  # fmt: skip
    assert_conv(call(labelled(x, NAMES, xarray), W[:, :2], channels=["green", "blue"]),
                x[[1, 0]], W[:, :2])  # fmt: skip
    # A coordinate that is not the axis's own.
    numbered = labelled(x, SHUFFLED, xarray).assign_coords(
        band=range(5), name=("band", list(SHUFFLED))
    )
    assert_conv(call(numbered, W, channels=NAMES), x, W)


def test_errors_of_coordinates(rng: np.random.Generator) -> None:
    xarray = pytest.importorskip("xarray")
    x, W = cube(rng), weights(rng)
    given = labelled(x, NAMES, xarray)
    for wrong, names, says in (
        (given, [*NAMES[:4], "tir"], "x has no channel named 'tir'; its coordinates along 'band'"),
        (given.drop_vars("band"), NAMES, "x has no coordinate along 'band', axis -3"),
        (given[0], NAMES, "channel_axis=-3 does not exist: x has 2 axes ('y', 'x')"),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            pf.conv1x1(wrong, W, channels=names)
        assert says in str(caught.value)
    some = ["blue", "red", "nir"]
    with pytest.raises(ValueError, match="x has other channels between") as caught:
        pf.conv1x1(given, W[:, :3], channels=some)
    recipe = str(caught.value).partition("pass ")[2]
    assert_conv(pf.conv1x1(eval(recipe, {"x": given}), W[:, :3], channels=some),
                x[[0, 2, 3]], W[:, :3])  # fmt: skip


def test_no_library_is_imported() -> None:
    code = """
    import sys
    import numpy as np
    import pointwise_fast as pf
    pf.conv1x1(np.zeros((2, 2), [("a", "f4"), ("b", "f4")]), [[1.0, 2.0]], channels=["b", "a"])
    foreign = {"pandas", "xarray", "dask", "zarr", "torch", "cupy", "sparse", "ml_dtypes"}
    assert not foreign & set(sys.modules), foreign & set(sys.modules)
    """
    if sys.platform == "linux":
        run_python(code)


def test_records_with_a_hard_mask() -> None:
    x = np.ma.MaskedArray(np.ones((2, 3), [("a", "f4"), ("b", "f4")]), hard_mask=True)
    y: Any = pf.conv1x1(x, [[1.0, 2.0]], channels=["a", "b"])
    assert y.hardmask
    assert np.all(y == 3)


def test_no_names() -> None:
    with pytest.raises(ValueError, match="channels names no field of x"):
        pf.conv1x1(np.zeros((2, 3), [("a", "f4")]), np.ones((2, 0)), channels=[])


def test_more_orders_than_are_remembered() -> None:
    names = list("abcdef")
    weight = np.arange(12.0).reshape(2, 6)
    layer = pf.Conv1x1(weight, channels=names, channel_axis=-1)
    branches = pf.Branches(layer, layer)
    for order in itertools.islice(itertools.permutations(names), MOST_CALLS + 10):
        x = np.array([tuple(names.index(name) for name in order)], [(name, "f4") for name in order])
        for y in (layer(x), *branches(x)):
            assert y[0].tolist() == (weight @ np.arange(6)).tolist()
    assert len(layer._orders) < MOST_CALLS
