"""Arrays of the other byte order, as in TIFF and FITS files, as inputs and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import LAYOUTS, arranged, positive, values, whole
from support import Array, Backend, Memory, needs_c, numbers, without_numba

import pointwise_fast as pf

DTYPES = ["u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"]


def swapped(array: Array) -> Array:
    """The same values with the same strides, and their bytes in the other order."""
    other = np.empty_like(array, array.dtype.newbyteorder("S"))
    # `astype` would not keep the strides.
    other = np.lib.stride_tricks.as_strided(other, array.shape, other.strides)
    other[...] = array
    assert not other.dtype.isnative
    return other


def arranged_swapped(x: Array, layout: str) -> tuple[Array, int]:
    view, axis = arranged(x.astype(x.dtype.newbyteorder("S")), layout)
    assert not view.dtype.isnative
    return view, axis


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_input(dtype: str, layout: str, backend: Backend, rng: np.random.Generator) -> None:
    plain = whole(values(rng, dtype, 7, 9, 53), backend)
    x, axis = arranged_swapped(plain, layout)
    weight, bias = numbers(rng, backend, 5, 7), numbers(rng, backend, 5)
    if backend == "numba":
        named = "foreign byte order" if dtype in ("f4", "f8") else "input"
        with pytest.raises(ValueError, match=f"backend 'numba' does not support .*{named}"):
            pf.conv1x1(x, weight, channel_axis=axis, backend=backend)
        return
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    expected = pf.conv1x1(arranged(plain, layout)[0], weight, bias, **settings)
    y = pf.conv1x1(x, weight, bias, **settings)
    assert y.dtype == expected.dtype
    assert y.dtype.isnative
    assert np.array_equal(y, expected)
    layer = pf.Conv1x1(weight, bias, **settings)
    for threads in (1, 2, 5):
        assert np.array_equal(layer(x, threads=threads), expected)


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_output(dtype: str, layout: str, backend: Backend, rng: np.random.Generator) -> None:
    complex_too = dtype.startswith("c")
    plain = values(rng, dtype if complex_too else "f4", 6, 4, 37)
    x, axis = arranged(whole(plain, backend), layout)
    weight, bias = numbers(rng, backend, 3, 6) * 50, numbers(rng, backend, 3)
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    expected = pf.conv1x1(x, weight, bias, dtype=dtype, **settings)
    other = expected.dtype.newbyteorder("S")
    y = pf.conv1x1(x, weight, bias, dtype=other, **settings)
    assert y.dtype == other
    assert np.array_equal(y, expected)
    # The dtype of `out` decides its byte order.
    for asked in (dtype, other):
        for given in (other, expected.dtype):
            out = np.zeros_like(expected, given)
            assert pf.conv1x1(x, weight, bias, dtype=asked, out=out, **settings) is out
            assert np.array_equal(out, expected)
    layer = pf.Conv1x1(weight, bias, dtype=other, **settings)
    for residual in (expected, swapped(expected)):
        wanted = pf.conv1x1(x, weight, bias, dtype=dtype, residual=expected, **settings)
        assert np.array_equal(layer(x, residual=residual), wanted)
        plain = pf.conv1x1(x, weight, bias, dtype=dtype, residual=residual, **settings)
        assert plain.dtype.isnative
        assert np.array_equal(plain, wanted)
        sums = residual.copy()
        pf.conv1x1(x, weight, bias, dtype=dtype, residual=sums, out=sums, **settings)
        assert np.array_equal(sums, wanted)


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u2", "f4", "i8", "c8"])
def test_in_place(dtype: str, layout: str, backend: Backend, rng: np.random.Generator) -> None:
    plain = rng.integers(1, 30, (6, 5, 41)).astype(dtype)
    x, axis = arranged_swapped(plain, layout)
    weight = rng.integers(1, 9, (6, 6))
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend, "dtype": dtype}
    expected = pf.conv1x1(arranged(plain, layout)[0], weight, **settings)
    kept = x.copy()
    assert pf.conv1x1(x, weight, out=x, **settings) is x
    assert np.array_equal(x, expected)
    assert np.array_equal(pf.Conv1x1(weight, **settings)(kept, out=kept), expected)
    # The output is the same bytes in the other order, then one row further.
    values_of = np.ascontiguousarray(kept)
    for out in (values_of.view(np.dtype(dtype)), values_of[::-1]):
        wanted = pf.conv1x1(values_of.copy(), weight, **settings)
        again = values_of.copy()
        view = again.view(np.dtype(dtype)) if out.dtype.isnative else again[::-1]
        pf.conv1x1(again, weight, out=view, **settings)
        assert np.array_equal(view, wanted)


@without_numba
def test_memory_maps(backend: Backend, tmp_path: Path, rng: np.random.Generator) -> None:
    plain = values(rng, "u2", 5, 30, 41)
    plain.astype(">u2").tofile(tmp_path / "x")
    x = np.memmap(tmp_path / "x", ">u2", "r", shape=plain.shape)
    out = np.memmap(tmp_path / "out", ">f4", "w+", shape=(2, 30, 41))
    weight = numbers(rng, backend, 2, 5)
    pf.conv1x1(x, weight, out=np.asarray(out), backend=backend)
    out.flush()
    expected = pf.conv1x1(plain, weight, backend=backend)
    assert np.array_equal(np.fromfile(tmp_path / "out", ">f4").reshape(2, 30, 41), expected)


@pytest.mark.parametrize("backend", pf.backends())
def test_parameters(backend: Backend, rng: np.random.Generator) -> None:
    """Weights and other parameters are cast, whatever their byte order."""
    x = rng.integers(0, 50, (4, 3, 7)).astype(np.float32)
    weight, bias = rng.standard_normal((5, 4)), rng.standard_normal(5)
    expected = pf.conv1x1(x, weight, bias, scale=2, offset=[1, 2, 3, 4], backend=backend)
    scale, offset = np.array(2, ">f4"), np.array([1, 2, 3, 4], ">i2")
    for other in (">f8", "<f8"):
        w, b = weight.astype(other), bias.astype(other)
        y = pf.conv1x1(x, w, b, scale=scale, offset=offset, backend=backend)
        assert np.array_equal(y, expected)
        layer = pf.Conv1x1(w, b, scale=scale, offset=offset, backend=backend)
        assert np.array_equal(layer(x), expected)


@without_numba
def test_slopes_and_nodata(backend: Backend, rng: np.random.Generator) -> None:
    x = rng.integers(0, 4, (4, 3, 70)).astype(np.int32)
    weight, slopes = numbers(rng, backend, 2, 4), np.array([0.5, 0.25])
    settings: dict[str, Any] = {"fill": -1, "backend": backend}
    expected = pf.conv1x1(x, weight, activation=("prelu", slopes), nodata=[3, 1, 0, 2], **settings)
    for array in (x, swapped(x)):
        y = pf.conv1x1(
            array,
            weight,
            activation=("prelu", slopes.astype(">f4")),
            nodata=np.array([3, 1, 0, 2], ">i2"),
            **settings,
        )
        assert np.array_equal(y, expected)


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "nodata"), [("u2", 258), ("f4", np.nan), ("f8", -9999), ("i8", -(2**63))]
)
def test_missing_data(
    dtype: str, nodata: float, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    """nodata is a value, not its bytes: 258 is 0x0102, and 513 (0x0201) is not missing."""
    plain = rng.integers(0, 600, (5, 6, 113)).astype(dtype)
    plain[1, ::2, ::9], plain[2, ::2, 1::9] = 513, nodata
    x, axis = arranged_swapped(plain, layout)
    weight = numbers(rng, backend, 3, 5)
    settings: dict[str, Any] = {"channel_axis": axis, "nodata": nodata, "backend": backend}
    expected = pf.conv1x1(arranged(plain, layout)[0], weight, **settings)
    assert 0 < np.isnan(expected).sum() < expected.size / 2
    assert np.array_equal(pf.conv1x1(x, weight, **settings), expected, equal_nan=True)
    # A swapped result is filled with the same value.
    y = pf.conv1x1(x, weight, dtype=">f8", fill=-7, **settings)
    plain_y = pf.conv1x1(arranged(plain, layout)[0], weight, dtype="f8", fill=-7, **settings)
    assert np.array_equal(y, plain_y)


@without_numba
def test_heads_and_labels(backend: Backend, rng: np.random.Generator) -> None:
    x, weight = whole(values(rng, "f4", 6, 5, 29), backend), numbers(rng, backend, 9, 6)
    for head in ("softmax", "argmax"):
        expected = pf.conv1x1(x, weight, head=head, backend=backend)
        assert np.array_equal(pf.conv1x1(swapped(x), weight, head=head, backend=backend), expected)
    labels = pf.conv1x1(x, weight, head="argmax", dtype=">u2", backend=backend)
    assert labels.dtype == np.dtype(">u2")
    assert np.array_equal(labels, expected)


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chains_and_branches(layout: str, backend: Backend, rng: np.random.Generator) -> None:
    plain = rng.integers(0, 30, (6, 31, 97)).astype("u2")
    x, axis = arranged_swapped(plain, layout)
    native = arranged(plain, layout)[0]
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    for hidden in (4, 70):  # in registers, in panels
        first = pf.Conv1x1(rng.integers(1, 4, (hidden, 6)), activation="relu", **settings)
        last = pf.Conv1x1(rng.integers(1, 4, (6, hidden)), **settings)
        chain = pf.Chain(first, last)
        expected = chain(native)
        for residual in (None, swapped(expected)):
            wanted = chain(native, residual=None if residual is None else expected)
            out = np.empty_like(swapped(expected))
            chain(x, residual=residual, out=out, threads=2)
            assert np.array_equal(out, wanted)
    branches = pf.Branches(first, last := pf.Conv1x1(rng.standard_normal((3, 6)), **settings))
    for y, layer in zip(branches(x, threads=2), (first, last), strict=True):
        assert np.array_equal(y, layer(native))
    shape = list(x.shape)
    shape[axis] = 73
    out = np.empty(shape, ">f4")
    branches(x, out=out)
    assert np.array_equal(out, np.concatenate(branches(native), axis=axis))


@needs_c
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u2", "f4", "i8", "c16"])
def test_threads_and_panels_do_not_show(dtype: str, layout: str, rng: np.random.Generator) -> None:
    x, axis = arranged_swapped(values(rng, dtype, 50, 61, 97), layout)
    other = np.dtype(dtype if dtype == "c16" else "f4").newbyteorder("S")
    layer = pf.Conv1x1(rng.standard_normal((20, 50)), channel_axis=axis, dtype=other, backend="c")
    whole = layer(x, threads=1)
    native = pf.Conv1x1(layer.weight, channel_axis=axis, dtype=other.newbyteorder("S"), backend="c")
    assert np.array_equal(whole, native(x.astype(x.dtype.newbyteorder("S"))))
    for threads in (2, 3, 7):
        assert np.array_equal(layer(x, threads=threads), whole)
    part = np.s_[:, 17:50, 5:96] if axis == -3 else np.s_[17:50, 5:96]
    assert np.array_equal(layer(x[part]), whole[part])


@without_numba
@pytest.mark.parametrize("dtype", [">u2", ">f4", ">f8", ">c8"])
def test_nothing_is_written_beside_the_output(
    dtype: str, backend: Backend, rng: np.random.Generator
) -> None:
    x = positive(values(rng, "c8" if dtype == ">c8" else "f4", 5, 4, 37), backend)
    weight = numbers(rng, backend, 3, 5)
    expected = pf.conv1x1(x, weight, dtype=dtype, backend=backend)
    for layout in ("planar", "interleaved", "odd"):
        arrays = []
        for n, size in (len(weight), np.dtype(dtype).itemsize), (len(x), x.itemsize):
            strides = {
                "planar": (4 * 37 * size, 37 * size, size),
                "interleaved": (size, n * 37 * size, n * size),
                "odd": (5000, -1200, 31),
            }
            arrays.append(strides[layout])
        memory = Memory((3, 4, 37), arrays[0], dtype, offset=1)
        source = Memory.holding(swapped(x), arrays[1], 3)
        pf.conv1x1(source.array, weight, out=memory.array, dtype=dtype, backend=backend)
        memory.assert_holds(expected, f"{dtype} {layout}")


@without_numba
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("C", "K", "P"), [(3, 5, 900), (20, 9, 33), (40, 70, 400), (1, 1, 7), (300, 20, 2)]
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_gradients(
    dtype: str, C: int, K: int, P: int, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    # Small integers: their sums are exact, in any order.
    x, axis = arranged(rng.integers(-4, 5, (C, 3, P)).astype(dtype), layout)
    grad_out = arranged(rng.integers(-4, 5, (K, 3, P)).astype(dtype), layout)[0]
    weight = rng.integers(-4, 5, (K, C)).astype(dtype)
    settings: dict[str, Any] = {"channel_axis": axis, "backend": backend}
    expected = pf.conv1x1_backward(grad_out, x, weight, **settings)
    for given in ((swapped(grad_out), swapped(x)), (grad_out, swapped(x)), (swapped(grad_out), x)):
        found = pf.conv1x1_backward(*given, swapped(weight), **settings)
        for gradient, wanted in zip(found, expected, strict=True):
            assert gradient is not None
            assert wanted is not None
            assert gradient.dtype == dtype
            assert gradient.dtype.isnative
            assert np.array_equal(gradient, wanted)


@without_numba
def test_quantised(backend: Backend, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (4, 3, 7)).astype(np.uint8)
    weight, bias = rng.integers(-9, 9, (5, 4)).astype(np.int8), rng.integers(-900, 900, 5)
    scale, zero = rng.random(5).astype(np.float32) + 0.1, rng.integers(-3, 3, 5).astype(np.int32)

    def call(order: str) -> Array:
        parts = bias.astype(order + "i4"), scale.astype(order + "f4"), zero.astype(order + "i4")
        b, s, z = parts
        return pf.qconv1x1(x, 0.5, 3, weight, s, z, 9.0, 7, b, backend=backend)

    assert np.array_equal(call(">"), call("<"))


@without_numba
def test_bfloat16(backend: Backend, rng: np.random.Generator) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = rng.standard_normal((4, 3, 37)).astype(ml_dtypes.bfloat16)
    other = x.view(np.uint16).byteswap().view(x.dtype.newbyteorder("S"))
    weight = rng.standard_normal((2, 4))
    expected = pf.conv1x1(x, weight, backend=backend)
    assert np.array_equal(pf.conv1x1(other, weight, backend=backend), expected)
    plain = pf.conv1x1(x, weight, dtype=x.dtype, backend=backend)
    y = pf.conv1x1(x, weight, dtype=other.dtype, backend=backend)
    assert np.array_equal(y.view(np.uint16).byteswap(), plain.view(np.uint16))


@pytest.mark.parametrize("dtype", [">g", ">c32", ">S3", ">M8[s]"])
def test_what_is_refused_says_what_fits(dtype: str) -> None:
    x = np.zeros((3, 2, 2), dtype)
    with pytest.raises(TypeError, match=r"x has dtype .* supported are bool, .*either byte order"):
        pf.conv1x1(x, np.ones((1, 3)))
