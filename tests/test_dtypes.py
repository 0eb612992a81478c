"""Dtypes of inputs, sums and results; rounding and saturation."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from images import LAYOUTS, arranged, positive, supported, values, whole
from support import Array, Backend, Memory, assert_conv, needs_c, numbers, reference, without_numba

import pointwise_fast as pf

ml_dtypes = pytest.importorskip("ml_dtypes")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
INPUTS: list[Any] = [
    *("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"),
    BFLOAT16,
]
REAL_OUTPUTS: list[Any] = [
    *("f2", "f4", "f8", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"),
    BFLOAT16,
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", INPUTS, ids=str)
def test_every_input(dtype: Any, layout: str, backend: Backend, rng: np.random.Generator) -> None:
    plain = values(rng, dtype, 7, 9, 13)
    x, axis = arranged(plain, layout)
    weight, bias = rng.standard_normal((5, 7)), rng.standard_normal(5)
    if not supported(backend, x, weight, channel_axis=axis):
        assert backend == "numba"
        return
    y = pf.conv1x1(x, weight, bias, channel_axis=axis, backend=backend)
    small = x.dtype.itemsize <= 2 or x.dtype == np.float32
    assert y.dtype == (np.float32 if small else np.float64)
    expected, bound = reference(x, weight, bias, channel_axis=axis, dtype=y.dtype)
    assert np.all(abs(y - expected) <= bound)
    layer = pf.Conv1x1(weight, bias, channel_axis=axis, backend=backend)
    for _ in range(3):
        assert np.array_equal(layer(x), y)


@needs_c
@pytest.mark.parametrize("dtype", INPUTS, ids=str)
def test_reversed(dtype: Any, rng: np.random.Generator) -> None:
    """Flipped images are loaded by vectors too, whole and partial ones."""
    x = values(rng, dtype, 5, 21, 333)[:, ::-1, ::-1]
    layer = pf.Conv1x1(rng.standard_normal((4, 5)), backend="c")
    assert np.array_equal(layer(x, threads=2), layer(x.copy()), equal_nan=True)


@pytest.mark.parametrize("dtype", INPUTS, ids=str)
def test_inputs_are_converted_exactly(dtype: Any, backend: Backend) -> None:
    """Every value of a small dtype is converted exactly, and the limits of the others."""
    kind = np.dtype(dtype)
    if kind.itemsize <= 2 and kind.kind != "b":
        x = np.arange(1 << 8 * kind.itemsize, dtype=f"u{kind.itemsize}").view(kind)
    elif kind.kind in "ui":
        limits = np.iinfo(kind)
        x = np.array([limits.min, limits.max, 0, 1, limits.max // 3], kind)
    else:
        x = np.array([0, 1, 0.1, 1e-30, -3e5], kind)
    x = x[np.newaxis]
    if not supported(backend, x, np.ones((1, 1)), channel_axis=-2):
        return
    with np.errstate(invalid="ignore"):
        y = pf.conv1x1(x, [[1.0]], channel_axis=-2, backend=backend)
        expected = x.astype(y.dtype)
    # Signs of NaN and of zeros are not compared.
    assert np.array_equal(y, expected, equal_nan=True)


def stored(sums: Array, dtype: Any) -> Array:
    """`sums`, rounded half to even and saturated: a definition independent of the package's."""
    kind = np.dtype(dtype)
    if kind.kind not in "ui":
        with np.errstate(over="ignore"):
            return sums.astype(kind)
    limits = np.iinfo(kind)
    whole = [
        0 if np.isnan(v) else max(limits.min, min(limits.max, v)) for v in sums.ravel().tolist()
    ]
    return np.array([round(v) for v in whole]).reshape(sums.shape).astype(kind)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("x_dtype", ["f4", "u1", "f8"])
@pytest.mark.parametrize("dtype", REAL_OUTPUTS, ids=str)
def test_every_output(
    dtype: Any, x_dtype: str, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    x, axis = arranged(whole(values(rng, x_dtype, 6, 5, 19), backend), layout)
    weight = numbers(rng, backend, 4, 6) * 2.0 ** rng.integers(-3, 20, (4, 1))
    bias = np.array([0.5, -0.5, 1e6, 1.0])
    if not supported(backend, x, weight, channel_axis=axis, dtype=dtype):
        assert backend == "numba"
        return
    kind = np.dtype(dtype)
    wide = (kind.kind in "ui" and (x_dtype == "f8" or kind.itemsize >= 4)) or kind == np.float64
    sums = pf.conv1x1(
        x, weight, bias, channel_axis=axis, dtype="f8" if wide else "f4", backend=backend
    )
    y = pf.conv1x1(x, weight, bias, channel_axis=axis, dtype=dtype, backend=backend)
    assert y.dtype == kind
    assert np.array_equal(y, stored(sums, dtype))
    out = np.zeros_like(y)
    residual = stored(rng.standard_normal(y.shape) * 100, dtype)
    pf.conv1x1(
        x, weight, residual=residual, channel_axis=axis, dtype=dtype, out=out, backend=backend
    )
    wide_dtype = np.dtype("f8" if wide else "f4")
    sums = pf.conv1x1(
        x, weight, residual=residual.astype(wide_dtype), channel_axis=axis, dtype=wide_dtype,
        backend=backend,
    )  # fmt: skip
    assert np.array_equal(out, stored(sums, dtype))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("u1", [0, 2, 2, 0, 0, 254, 255, 255, 0, 0, 255, 0]),
        ("i1", [0, 2, 2, 0, -2, 127, 127, 127, -128, 0, 127, -128]),
        ("u2", [0, 2, 2, 0, 0, 254, 256, 65535, 0, 0, 65535, 0]),
        ("i4", [0, 2, 2, 0, -2, 254, 256, 2**31 - 1, -(2**31), 0, 2**31 - 1, -(2**31)]),
        ("u4", [0, 2, 2, 0, 0, 254, 256, 2**32 - 1, 0, 0, 2**32 - 1, 0]),
        ("i8", [0, 2, 2, 0, -2, 254, 256, 2**63 - 1, -(2**63), 0, 2**63 - 1, -(2**63)]),
        ("u8", [0, 2, 2, 0, 0, 254, 256, 2**64 - 1, 0, 0, 2**64 - 1, 0]),
    ],
)
def test_integers_round_and_saturate(dtype: str, expected: list[int], backend: Backend) -> None:
    numbers = [0.5, 1.5, 2.5, -0.5, -1.5, 254.5, 255.5, 1e30, -1e30, np.nan, np.inf, -np.inf]
    x = np.array(numbers, np.float32)[np.newaxis]
    if not supported(backend, x, np.ones((1, 1)), channel_axis=-2, dtype=dtype):
        assert backend == "numba"
        return
    y = pf.conv1x1(x, [[1.0]], channel_axis=-2, dtype=dtype, backend=backend)
    assert y[0].tolist() == expected


#: float64 numbers next to the limits of 64-bit integers, ties, and the first inexact integers.
BIG = [
    *(2.0**63, 2.0**63 - 1024, -(2.0**63), -(2.0**63) - 2048, 2.0**64, 2.0**64 - 2048),
    *(2.0**53 - 1, 2.0**53 + 2, -(2.0**53) + 1, 2.0**51 + 0.5, 2.0**51 + 1.5, 2.0**52 + 1, -0.0),
    *(0.49999999999999994, 0.5000000000000001, -0.5000000000000001, 4503599627370495.5, 5e-324),
]


@pytest.mark.parametrize("dtype", ["i8", "u8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_integers_of_64_bits(dtype: str, layout: str, backend: Backend) -> None:
    """Python's own rounding gives the expected values; each stands at each place of a vector."""
    limits = np.iinfo(dtype)
    x, axis = arranged(np.resize(np.array(BIG), (1, 3, 7 * len(BIG))), layout)
    if not supported(backend, x, np.ones((2, 1)), channel_axis=axis, dtype=dtype):
        return
    y = pf.conv1x1(x, [[1.0], [-1.0]], channel_axis=axis, dtype=dtype, backend=backend)
    for sign, row in zip((1, -1), np.moveaxis(y, axis, 0), strict=True):
        plain = (sign * np.moveaxis(x, axis, 0)[0]).ravel().tolist()
        assert row.ravel().tolist() == [max(limits.min, min(limits.max, round(v))) for v in plain]


def test_python_int_is_a_dtype(backend: Backend, rng: np.random.Generator) -> None:
    x = rng.integers(-(2**50), 2**50, (1, 2, 9))
    if supported(backend, x, np.ones((1, 1)), dtype=int):
        y = pf.Conv1x1([[1]], dtype=int, backend=backend)(x)
        assert y.dtype == np.int64
        assert np.array_equal(y, x)


@pytest.mark.parametrize(
    ("dtype", "wrong", "fits"),
    [
        ("bool", TypeError, "one of float16, .*uint64, int64, .*; got bool"),
        ("float128", TypeError, "one of float16, .*; got float128"),
        ("S3", TypeError, "got"),
    ],
)
def test_results_that_are_refused(dtype: str, wrong: type[Exception], fits: str) -> None:
    with pytest.raises(wrong, match=fits):
        pf.conv1x1(np.ones((3, 2, 2)), np.ones((1, 3)), dtype=dtype)


def test_labels_that_are_refused() -> None:
    x, weight = np.ones((1, 2, 2)), np.ones((300, 1))
    with pytest.raises(TypeError, match=r"does not hold the labels 0 to 299 .*; uint16 does"):
        pf.conv1x1(x, weight, head="argmax", dtype="u1")
    with pytest.raises(TypeError, match="whose labels are uint8, uint16, int32, int64"):
        pf.conv1x1(x, weight, head="argmax", dtype="u8")


#: Parameters with one number too large for float32, and what the error calls it.
TOO_LARGE: list[tuple[dict[str, Any], str]] = [
    ({"weight": [[2.0, 1.0], [1.0, -7e38]]}, "weight has -7e+38"),
    ({"weight": [[2, 10**39], [1, 1]]}, "weight"),
    ({"weight": np.full((2, 2), 4e38, ">f8")}, "weight has 4e+38"),
    ({"bias": [5.0, 5e40]}, "bias has 5e+40"),
    ({"scale": 9e38}, "scale has 9e+38"),
    ({"offset": [1.0, 6e39]}, "offset has 6e+39"),
]


@pytest.mark.parametrize(("wrong", "says"), TOO_LARGE, ids=[says for _, says in TOO_LARGE])
@pytest.mark.parametrize("way", ["conv1x1", "Conv1x1", "Chain", "Branches"])
def test_parameters_that_the_sums_do_not_hold(
    way: str, wrong: dict[str, Any], says: str, backend: Backend
) -> None:
    x = np.full((2, 3, 5), 2.0**-20, np.float32)
    settings: dict[str, Any] = {"weight": np.eye(2), **wrong, "backend": backend}
    if isinstance(settings["weight"], list) and says == "weight":
        # NumPy would make an array of objects, which is refused as such.
        settings["weight"] = np.array(settings["weight"], float)

    def call(**more: Any) -> Any:
        if way == "conv1x1":
            return pf.conv1x1(x, **settings, **more)
        layer = pf.Conv1x1(**settings, **more)
        other = pf.Conv1x1(np.eye(2), backend=backend, **more)
        if way == "Chain":
            return pf.Chain(layer, other)(x)
        return pf.Branches(layer, other)(x)[0] if way == "Branches" else layer(x)

    if way == "Chain" and backend == "numba":
        pytest.skip("numba takes no chains")
    with pytest.raises(ValueError, match="sums of float32 do not hold; those of float64 do") as e:
        call()
    assert str(e.value).removeprefix("layer 1: ").startswith(says)
    assert way not in ("Chain", "Branches") or str(e.value).startswith("layer 1: ")
    assert "dtype='float64' or precision='float64'" in str(e.value)
    assert np.isfinite(call(dtype="float64")).all()


def test_infinite_parameters_are_taken_as_given(backend: Backend) -> None:
    x = np.ones((2, 3, 4), np.float32)
    weight = np.array([[np.inf, 1], [1, np.nan]])
    y = pf.conv1x1(x, weight, bias=[-1, -np.inf], backend=backend)
    assert np.isposinf(y[0]).all()
    assert np.isnan(y[1]).all()
    with pytest.raises(ValueError, match="weight has 1e"):
        pf.conv1x1(x, np.array([[np.inf, 1e39]]), backend=backend)


def test_gradients_name_the_weight(backend: Backend) -> None:
    x = np.ones((1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=r"weight has 8e.38, .*; those of float64 do: pass x of"):
        pf.conv1x1_backward(x, x, [[8e38]], needs=["x"], backend=backend)


@pytest.mark.skipif(
    bool(np.finfo(np.longdouble).max <= np.finfo(float).max), reason="no wider float"
)
def test_nothing_is_wider_than_float64() -> None:
    weight = np.full((1, 1), np.longdouble("3e400"))
    with pytest.raises(ValueError, match=r"weight has 3e\+400, .*no sums are wider"):
        pf.conv1x1(np.ones((1, 2, 2)), weight)
    with pytest.raises(ValueError, match="sums of complex64 do not hold; those of complex128 do"):
        pf.conv1x1(np.ones((1, 2, 2), "c8"), [[1e39j]])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex(dtype: str, layout: str, backend: Backend, rng: np.random.Generator) -> None:
    x, axis = arranged(values(rng, dtype, 6, 5, 19), layout)
    weight, bias = values(rng, "c16", 4, 6), values(rng, "c16", 4)
    residual = np.moveaxis(values(rng, dtype, 4, 5, 19), 0, axis)
    if not supported(backend, x, weight, channel_axis=axis):
        assert backend == "numba"
        return
    y = pf.conv1x1(x, weight, bias, residual=residual, channel_axis=axis, backend=backend)
    assert y.dtype == x.dtype
    assert_conv(y, x, weight, bias, residual, channel_axis=axis)
    real = pf.conv1x1(x, weight.real, channel_axis=axis, backend=backend)
    again = pf.conv1x1(x, weight.real + 0j, channel_axis=axis, backend=backend)
    for found in (real, again):
        assert_conv(found, x, weight.real, channel_axis=axis)


def test_complex_weights_of_real_input(rng: np.random.Generator) -> None:
    x, weight = values(rng, "f4", 6, 5, 19), values(rng, "c8", 4, 6)
    y = pf.conv1x1(x, weight, dtype="complex64")
    assert_conv(y, x, weight, dtype="c8")


@pytest.mark.parametrize("dtype", ["u1", "f2", "c8", "i4"])
def test_nothing_is_written_beside_the_output(
    dtype: str, backend: Backend, rng: np.random.Generator
) -> None:
    """Nothing is written between the elements of strided arrays either, in any conversion."""
    x = positive(values(rng, dtype, 5, 4, 37), backend)
    weight = numbers(rng, backend, 3, 5)
    if not supported(backend, x, weight, dtype=dtype):
        assert backend == "numba"
        return
    expected = pf.conv1x1(x, weight, dtype=dtype, backend=backend)
    size = np.dtype(dtype).itemsize
    for strides in [
        (4 * 37 * size, 37 * size, size),
        (size, 3 * 37 * size, 3 * size),
        (5000, -1200, 31),
    ]:
        memory = Memory((3, 4, 37), strides, dtype, offset=size)
        pf.conv1x1(x, weight, dtype=dtype, out=memory.array, backend=backend)
        memory.assert_holds(expected, f"{dtype} {strides}")


@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "c8", "f4"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_place(dtype: str, layout: str, backend: Backend, rng: np.random.Generator) -> None:
    x, axis = arranged(whole(values(rng, dtype, 6, 5, 19), backend), layout)
    weight = numbers(rng, backend, 6, 6)
    if not supported(backend, x, weight, channel_axis=axis, dtype=dtype):
        assert backend == "numba"
        return
    expected = pf.conv1x1(x, weight, channel_axis=axis, dtype=dtype, backend=backend)
    y = pf.conv1x1(x, weight, channel_axis=axis, dtype=dtype, out=x, backend=backend)
    assert y is x
    assert np.array_equal(y, expected)


@needs_c
@pytest.mark.parametrize("dtype", [*INPUTS, "c8", "c16"], ids=str)
def test_threads_and_panels_do_not_show(dtype: Any, rng: np.random.Generator) -> None:
    x = values(rng, dtype, 50, 131, 97)
    weight = rng.standard_normal((20, 50))
    layer = pf.Conv1x1(weight, backend="c")
    whole = layer(x, threads=1)
    for threads in (2, 3, 7):
        assert np.array_equal(layer(x, threads=threads), whole)
    part = np.s_[:, 17:90, 5:96]
    assert np.array_equal(layer(x[part]), whole[part])


@without_numba
def test_bfloat16_by_name(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name stands for the dtype of ml_dtypes, which has to be installed."""
    x, weight = np.linspace(1, 2, 12).reshape(3, 4), np.ones((2, 3))
    y = pf.conv1x1(x, weight, channel_axis=0, dtype="bfloat16", backend=backend)
    assert y.dtype == BFLOAT16
    wanted = pf.conv1x1(x, weight, channel_axis=0, dtype=BFLOAT16, backend=backend)
    assert y.tobytes() == wanted.tobytes()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match="dtype='bfloat16' needs ml_dtypes: run pip install"):
        pf.Conv1x1(weight, dtype="bfloat16")
