"""Masked arrays as inputs and outputs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from images import LAYOUTS, arranged, supported, weights
from support import Backend, without_numba

import pointwise_fast as pf


def assert_same(y: Any, expected: Any) -> None:
    """Equal in type, dtype, mask and data, also under the mask."""
    assert type(y) is type(expected)
    assert y.dtype == expected.dtype
    assert np.array_equal(np.ma.getmaskarray(y), np.ma.getmaskarray(expected))
    assert np.array_equal(np.ma.getdata(y), np.ma.getdata(expected), equal_nan=y.dtype.kind == "f")


def masked(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = "f4") -> Any:
    kind = np.dtype(dtype)
    data = rng.integers(1, 90, shape).astype(kind)
    mask = rng.random(shape) < 0.05
    data[mask] = rng.integers(0, 90, np.count_nonzero(mask)).astype(kind)
    if kind.kind == "f":  # what is under a mask does not matter
        data[mask] = np.nan
    return np.ma.MaskedArray(data, mask=mask)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("also", ["", "nodata", "mask", "nodata mask"])
def test_masked_arrays(
    also: str, dtype: str, layout: str, backend: Backend, rng: np.random.Generator
) -> None:
    plain = masked(rng, (7, 9, 41), dtype)
    data, axis = arranged(plain.data, layout)
    mask, _ = arranged(plain.mask, layout)
    x = np.ma.MaskedArray(data, mask=mask)
    W, bias = weights(rng, 5, 7), rng.standard_normal(5)
    if not supported(backend, data, W, channel_axis=axis):
        return
    settings: dict[str, Any] = {"channel_axis": axis, "activation": "relu", "backend": backend}
    missing = mask.copy()
    call: dict[str, Any] = {}
    if "nodata" in also:
        settings["nodata"] = 5
        missing |= data == 5
    if "mask" in also:
        pixels = tuple(np.delete(x.shape, axis % x.ndim))
        call["mask"] = rng.random(pixels) < 0.1
        missing |= np.expand_dims(call["mask"], axis)
    lost = missing.any(axis=axis, keepdims=True)
    plain_call = pf.conv1x1(data, W, bias, mask=missing, **{**settings, "nodata": None})
    expected = np.ma.MaskedArray(plain_call, mask=np.broadcast_to(lost, plain_call.shape))
    layer = pf.Conv1x1(W, bias, **settings)
    y: Any
    for y in (pf.conv1x1(x, W, bias, **settings, **call), layer(x, **call), layer(x, **call)):
        assert_same(y, expected)
        assert np.isnan(y.fill_value)
    before = mask.copy()
    assert np.array_equal(x.mask, before)


@without_numba
def test_results_of_masked_arrays(backend: Backend, rng: np.random.Generator) -> None:
    """Results may be integers, labels or filled; masks may be absent or hard."""
    x = masked(rng, (4, 6, 9), "u2")
    lost = x.mask.any(axis=0)
    W = abs(weights(rng, 3, 4))
    settings: dict[str, Any] = {"backend": backend}
    whole: Any = pf.conv1x1(x, W, dtype="u1", **settings)
    assert whole.fill_value == 0
    assert np.array_equal(whole.mask[2], lost)
    assert np.all(whole.data[:, lost] == 0)
    filled: Any = pf.conv1x1(x, W, fill=-9999, **settings)
    assert filled.fill_value == -9999
    assert np.all(filled.data[:, lost] == -9999)
    assert np.array_equal(filled.filled(), filled.data)
    labels: Any = pf.conv1x1(x, W, head="argmax", **settings)
    assert labels.dtype == np.uint8
    assert labels.fill_value == 255
    assert np.array_equal(labels.mask, lost)
    assert np.array_equal(labels.data == 255, lost)
    softmax: Any = pf.conv1x1(x, W, head="softmax", **settings)
    assert np.array_equal(np.isnan(softmax.data), softmax.mask)
    assert np.array_equal(softmax.mask[0], lost)
    bare: Any = pf.conv1x1(np.ma.MaskedArray(x.data), W, **settings)
    assert bare.mask is np.ma.nomask
    assert_same(bare, np.ma.MaskedArray(pf.conv1x1(x.data, W, **settings)))
    x.harden_mask()
    hard: Any = pf.conv1x1(x, W, **settings)
    assert hard.hardmask
    assert not bare.hardmask
    strided: Any = pf.conv1x1(x, W, stride=2, **settings)
    assert np.array_equal(strided.mask[0], lost[::2, ::2])


@without_numba
def test_masked_arrays_with_some_channels(backend: Backend, rng: np.random.Generator) -> None:
    """With valid="any", outputs that have no result are masked."""
    x = masked(rng, (6, 8, 11), "f8")
    x[:, 1, 1] = np.ma.masked
    x[:3, 2, 2], x[3:, 2, 2] = np.ma.masked, 1.0
    W = weights(rng, 3, 6)
    W[1, 3:] = 0
    extra = rng.random((6, 8, 11)) < 0.05
    settings: dict[str, Any] = {"valid": "any", "min_valid": 0.5}
    y: Any = pf.conv1x1(x, W, mask=extra, **settings)
    expected = pf.conv1x1(x.data, W, mask=x.mask | extra, **settings)
    assert_same(y, np.ma.MaskedArray(expected, mask=np.isnan(expected)))
    assert y.mask[1, 2, 2]
    assert not y.mask[0, 2, 2] or extra[:, 2, 2].any()
    assert y.mask[:, 1, 1].all()
    # A chain masks the outputs that depend on a masked hidden channel.
    last = pf.Conv1x1(np.ones((3, 1)), groups=3)
    chained: Any = pf.Chain(pf.Conv1x1(W, **settings), last)(x, mask=extra)
    assert np.array_equal(chained.mask, y.mask)
    mixed: Any = pf.Chain(pf.Conv1x1(W, **settings), pf.Conv1x1(weights(rng, 2, 3)))(x, mask=extra)
    assert np.array_equal(mixed.mask[1], y.mask.any(axis=0))
    assert np.array_equal(np.isnan(mixed.data), mixed.mask)


def test_out_of_masked_arrays(backend: Backend, rng: np.random.Generator) -> None:
    x, W = masked(rng, (5, 6, 7)), weights(rng, 5, 5)
    layer = pf.Conv1x1(W, backend=backend)
    expected = layer(x)
    plain = np.zeros((5, 6, 7), np.float32)
    y: Any = layer(x, out=plain)
    assert_same(y, expected)
    assert y.data.ctypes.data == plain.ctypes.data
    for mask in (False, np.ma.nomask, np.ones((5, 6, 7), bool)):
        out = np.ma.MaskedArray(np.zeros((5, 6, 7), np.float32), mask=mask)
        assert layer(x, out=out) is out
        assert_same(out, expected)
        assert pf.conv1x1(x.data, W, mask=x.mask, out=out, backend=backend) is out
        assert_same(out, expected)
        clean = np.nan_to_num(x.data)
        layer(clean, out=out)
        assert not np.ma.getmaskarray(out).any()
        assert np.array_equal(out.data, layer(clean))
    hard = np.ma.MaskedArray(np.zeros((5, 6, 7), np.float32), mask=True, hard_mask=True)
    layer(x, out=hard)
    assert_same(hard, expected)
    assert hard.hardmask


@pytest.mark.parametrize("shift", [0, 1])
def test_out_overlaps_a_masked_x(shift: int, backend: Backend, rng: np.random.Generator) -> None:
    block = np.ma.MaskedArray(rng.integers(1, 9, 250).astype("f4"), mask=rng.random(250) < 0.05)
    block[30] = 7
    x, out = block[:210].reshape(5, 6, 7), block[shift : shift + 210].reshape(5, 6, 7)
    layer = pf.Conv1x1(weights(rng, 5, 5), nodata=7, backend=backend)
    expected: Any = layer(x.copy())
    assert expected.mask.any()
    assert layer(x, out=out) is out
    assert_same(out, expected)


def test_errors_come_before_a_masked_out_is_touched(rng: np.random.Generator) -> None:
    x, W = masked(rng, (5, 6, 7)), weights(rng, 4, 5)
    for wrong in ({"mask": np.zeros((3, 3), bool)}, {"residual": np.zeros((1, 1, 1))},
                  {"dtype": "u1"}):  # fmt: skip
        out = np.ma.MaskedArray(np.full((4, 6, 7), 3, np.float32))
        with pytest.raises((TypeError, ValueError)):
            pf.conv1x1(x, W, out=out, **wrong)
        assert out.mask is np.ma.nomask
        assert np.all(out.data == 3)


@without_numba
def test_chains_of_masked_arrays(backend: Backend, rng: np.random.Generator) -> None:
    x = masked(rng, (5, 12, 13))
    first = pf.Conv1x1(weights(rng, 8, 5), activation="relu")
    for last in (pf.Conv1x1(weights(rng, 5, 8)), pf.Conv1x1(weights(rng, 4, 8), head="argmax")):
        chain: Any = pf.Chain(first, last)
        y = chain(x)
        lost = x.mask.any(axis=0)
        assert np.array_equal(np.ma.getmaskarray(y), np.broadcast_to(lost, y.shape))
        assert_same(y, np.ma.MaskedArray(chain(x.data, mask=x.mask), mask=y.mask))
    skip: Any = pf.Chain(first, pf.Conv1x1(weights(rng, 5, 8)), residual=True)
    y = skip(x)
    assert np.array_equal(y.mask[0], x.mask.any(axis=0))
    assert np.allclose(y, skip(np.where(x.mask, 0, x.data)))
    some = pf.Chain(pf.Conv1x1(weights(rng, 8, 5), valid="any"), pf.Conv1x1(weights(rng, 5, 8)),
                    residual=True)  # fmt: skip
    with pytest.raises(TypeError, match="residual is a masked array"):
        some(x)


@pytest.mark.parametrize("same", [False, True])
def test_branches_of_masked_arrays(same: bool, backend: Backend, rng: np.random.Generator) -> None:
    x, extra = masked(rng, (5, 12, 13)), rng.random((12, 13)) < 0.1
    second: dict[str, Any] = {} if same else {"activation": "relu"}
    layers = [
        pf.Conv1x1(weights(rng, 3, 5), backend=backend),
        pf.Conv1x1(weights(rng, 2, 5), backend=backend, **second),
    ]
    branches = pf.Branches(*layers)
    calls: list[dict[str, Any]] = [{}, {"mask": extra}]
    for call in calls:
        expected = [layer(x, **call) for layer in layers]
        for y, wanted in zip(branches(x, **call), expected, strict=True):
            assert_same(y, wanted)
        outs = np.ma.zeros((3, 12, 13), dtype="f4"), np.zeros((2, 12, 13), np.float32)
        results = branches(x, out=outs, **call)
        assert results[0] is outs[0]
        for y, wanted in zip(results, expected, strict=True):
            assert_same(y, wanted)
        together = np.ma.concatenate(expected)
        for out in (np.zeros((5, 12, 13), np.float32), np.ma.ones((5, 12, 13), dtype="f4")):
            y = branches(x, out=out, **call)
            assert (y is out) == isinstance(out, np.ma.MaskedArray)
            assert_same(y, together)
    labels: Any = pf.Branches(layers[0], pf.Conv1x1(weights(rng, 2, 5), head="argmax"))(x)
    assert np.array_equal(labels[1].mask, x.mask.any(axis=0))
    with pytest.raises(TypeError, match=r"layer 2: out has dtype float64"):
        branches(x, out=(outs[0], np.ma.zeros((2, 12, 13))))


def test_branches_side_by_side_with_some_channels(rng: np.random.Generator) -> None:
    """One array takes all outputs, each masked by its own weights; a hard mask stays hard."""
    x = masked(rng, (5, 12, 13))
    x[:2, 3, 4] = x[:, 5, 6] = np.ma.masked
    first, second = weights(rng, 3, 5), weights(rng, 2, 5)
    second[:, 2:] = 0
    settings: dict[str, Any] = {"valid": "any", "min_valid": 0}
    layers = [pf.Conv1x1(W, **settings) for W in (first, second)]
    expected = np.ma.concatenate([layer(x) for layer in layers])
    assert expected.mask[3:, 3, 4].all()
    assert expected.mask[:, 5, 6].all()
    for hard in (False, True):
        out = np.ma.MaskedArray(np.zeros((5, 12, 13), np.float32), mask=True, hard_mask=hard)
        assert pf.Branches(*layers)(x, out=out) is out
        assert np.array_equal(out.mask, expected.mask)
        assert np.array_equal(out.data, expected.data, equal_nan=True)
        assert out.hardmask == hard


@without_numba
def test_two_masks_in_place(backend: Backend, rng: np.random.Generator) -> None:
    """`out` is the masked input, and another mask comes with the call."""
    x, extra = masked(rng, (5, 12, 13)), rng.random((12, 13)) < 0.1
    W = weights(rng, 5, 5)
    expected = pf.conv1x1(x.copy(), W, mask=extra, backend=backend)
    y = pf.conv1x1(x, W, mask=extra, out=x, backend=backend)
    assert y is x
    assert_same(y, expected)


def test_two_masks_and_several_panels(rng: np.random.Generator) -> None:
    """Pixels are no multiple of a panel; threads share them; weights are packed once."""
    x = masked(rng, (30, 3, 5003))
    extra = rng.random((3, 5003)) < 0.1
    layer = pf.Conv1x1(weights(rng, 40, 30))
    expected = layer(x.data, mask=x.mask | extra)
    for threads in (1, 3):
        assert_same(layer(x, mask=extra, threads=threads),
                    np.ma.MaskedArray(expected, mask=np.isnan(expected)))  # fmt: skip
    again = pickle.loads(pickle.dumps(layer))
    assert np.array_equal(again(x, mask=extra).mask, np.isnan(expected))


def test_masked_arrays_elsewhere(rng: np.random.Generator) -> None:
    x, W = masked(rng, (5, 6, 7), "f4"), weights(rng, 4, 5)
    grad = np.zeros((4, 6, 7), np.float32)
    with pytest.raises(TypeError, match=r"x is a masked array.*pass x.filled\(0\), whose masked"):
        pf.conv1x1_backward(grad, x, W)
    with pytest.raises(TypeError, match=r"grad_out is a masked.*grad_out.filled\(0\).astype\("):
        pf.conv1x1_backward(np.ma.MaskedArray(grad.astype(int)), x.data, W)
    _, by_weight, _ = pf.conv1x1_backward(grad + 1, x.filled(0), W)
    assert by_weight is not None
    assert np.allclose(by_weight[0], x.sum(axis=(1, 2)))
    with pytest.raises(TypeError, match=r"x is a masked array.*x.filled\(byte\).*x_zero_point"):
        pf.qconv1x1(masked(rng, (5, 6, 7), "u1"), 1.0, 3, np.ones((4, 5), "i1"), 1.0, 0, 1.0, 0)
    with pytest.raises(TypeError, match=r"weight is a masked array.*weight.filled\(value\)"):
        pf.Conv1x1(np.ma.MaskedArray(W))


# valid="any": pixels that miss all channels, and weights of 0.


@without_numba
def test_what_is_left_of_a_pixel(backend: Backend) -> None:
    x = np.array([[np.nan, np.nan, 3.0], [np.nan, 2.0, 5.0]])
    W, bias = np.array([[1.0, 1.0], [0.0, 0.0], [4.0, 0.0]]), [10.0, 20.0, 30.0]
    y = pf.conv1x1(x, W, bias, nodata=np.nan, valid="any", min_valid=0, channel_axis=0)
    assert np.isnan(y[:, 0]).all()  # not even with min_valid=0, nor for weights of 0
    assert y[0, 1] == 2 * 2.0 + 10
    assert y[1, 1] == 20  # an output with weights of 0 misses nothing
    assert np.isnan(y[2, 1])  # all channels with weights other than 0 are missing
    assert y[:, 2].tolist() == [18, 20, 42]
