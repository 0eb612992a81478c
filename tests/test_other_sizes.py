"""Calls of sizes and strides not seen before: they are made from a known call, or are checked."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repeats import BIAS, WEIGHT, Call, layer_call, make
from sizes import OUTS, PIXELS, SIZES, checks, window
from support import Array, assert_conv, needs_c
from views import normal

import pointwise_fast as pf
from pointwise_fast import prepare
from pointwise_fast.kernels.c_library import repeat_module

__all__ = ["checks", "make"]  # fixtures

pytestmark = needs_c


@pytest.mark.parametrize("out", [None, *OUTS])
@pytest.mark.parametrize("pixels", PIXELS)
def test_bits_and_checks(
    pixels: str,
    out: str | None,
    make: Callable[..., Call],
    checks: list[Any],
    rng: np.random.Generator,
) -> None:
    """One call is checked; those of other sizes have the bits of calls that were checked."""
    call = make(activation="silu")
    for h, w in SIZES:
        x = PIXELS[pixels](rng, h, w)
        y = None if out is None else OUTS[out](rng, h, w)
        result = call(x, out=y)
        assert y is None or result is y
        assert y is not None or result.flags.c_contiguous
        assert len(checks) == 1
        before = result.tobytes()
        assert call(x, out=y).tobytes() == before
        assert len(checks) == 1
        assert layer_call(activation="silu")(x).tobytes() == before
        checks.pop()


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "i4", "u8", "f2", "f4", "f8"])
@pytest.mark.parametrize("axis", [-3, -1])
def test_dtypes(axis: int, dtype: str, checks: list[Any], rng: np.random.Generator) -> None:
    """Of integers all sums are exact: every backend gives the same bits."""
    weight = np.rint(WEIGHT * 4)
    call = pf.Conv1x1(weight, BIAS, channel_axis=axis, backend="c")
    other = pf.Conv1x1(weight, BIAS, channel_axis=axis, backend="numpy")
    for h, w in SIZES:
        x = rng.integers(0, 2 if dtype == "?" else 100, (5, h, w)).astype(dtype)
        x = np.ascontiguousarray(np.moveaxis(x, 0, axis))
        result = call(x)
        assert len(checks) == 1
        expected = other(x)
        checks.pop()
        assert result.dtype == expected.dtype
        assert result.tobytes() == expected.tobytes()


SETTINGS: dict[str, dict[str, Any]] = {
    "softmax": {"head": "softmax"},
    "argmax": {"head": "argmax"},
    "prelu": {"activation": ("prelu", [0.1, 0.2, 0.3, 0.4])},
    "nodata": {"nodata": 1.0, "fill": -9},
    "some valid": {"nodata": 1.0, "fill": -9, "valid": "any", "min_valid": 0.1},
    "scale": {"scale": 2.0, "offset": [1, 2, 3, 4, 5]},
    "wide": {"precision": "float64"},
    "uint8": {"dtype": "u1"},
    "groups": {"groups": 5},
}


@pytest.mark.parametrize("axis", [-3, -1])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str, axis: int, checks: list[Any], rng: np.random.Generator) -> None:
    """What a problem points to is there when other plans are made of it."""
    settings = SETTINGS[name]
    weight = normal(rng, 5, 1) if name == "groups" else WEIGHT
    kept = pf.Conv1x1(weight, channel_axis=axis, backend="c", **settings)
    for h, w in SIZES:
        x = np.rint(PIXELS["crop"](rng, h, w))
        x = np.moveaxis(x, 0, axis)
        result = kept(x)
        assert len(checks) == 1
        expected = pf.Conv1x1(weight, channel_axis=axis, backend="c", **settings)(x)
        checks.pop()
        assert result.dtype == expected.dtype
        assert result.shape == expected.shape
        assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("layers", [2, 3, 9])
def test_chains(layers: int, checks: list[Any], rng: np.random.Generator) -> None:
    """A chain of more layers than are remembered is checked each time."""
    weights = [normal(rng, 5, 5) / 3 for _ in range(layers)]

    def chain() -> pf.Chain:
        parts = [pf.Conv1x1(w, activation="relu", backend="c") for w in weights]
        return pf.Chain(*parts, residual=True)

    kept = chain()
    for n, pixels in enumerate(("planar", "window", "crop")):
        for i, (h, w) in enumerate(SIZES):
            x = PIXELS[pixels](rng, h, w)
            result = kept(x)
            assert len(checks) == (1 if layers < 9 else n * len(SIZES) + i + 1)
            expected = chain()(x)
            checks.pop()
            assert result.tobytes() == expected.tobytes()


def test_plans(rng: np.random.Generator) -> None:
    """A plan that was made from a known call decides what one decides for a checked call."""
    compared = 0
    for _ in range(300):
        ndim = int(rng.integers(1, 6))
        axis = int(rng.integers(ndim))
        weight = normal(rng, int(rng.choice([2, 4, 20])), int(rng.choice([2, 3, 5, 50])))
        kept = pf.Conv1x1(weight, channel_axis=axis, backend="c")
        with_residual, with_out = rng.integers(2, size=2)
        first = None
        for _ in range(4):
            # Buffers of NumPy may have other strides than their arrays where an axis is 1 long.
            shape = [int(m) for m in rng.integers(2, 9, ndim)]
            shape[axis] = weight.shape[1]
            x = strided(rng, shape)
            shape[axis] = weight.shape[0]
            residual = strided(rng, shape) if with_residual else None
            out: Array | None = strided(rng, shape) if with_out and first else None
            result: Array = kept(x, residual=residual, out=out)
            other = pf.Conv1x1(weight, channel_axis=axis, backend="c")
            expected = other(x, residual=residual, out=out)
            assert result.tobytes() == expected.tobytes()
            plan: Any = next(iter(other._prepared.values())).plan
            sizes = prepare.geometries(x, residual, result, None)
            first = first or sizes
            if sizes != first:
                compared += 1
                assert repeat_module.describe_other(kept._repeat) == plan.describe()
            assert len(kept._prepared) == 1
    assert compared > 500


def strided(rng: np.random.Generator, shape: list[int]) -> Array:
    """Numbers in memory of another order of axes, some of them reversed or with gaps."""
    order = [int(a) for a in rng.permutation(len(shape))]
    gaps = [int(g) for g in rng.choice([1, 1, 1, 2], len(shape))]
    held = normal(rng, *(shape[a] * gaps[a] for a in order))
    view = held.transpose(np.argsort(order))
    steps = [g * int(s) for g, s in zip(gaps, rng.choice([1, 1, -1], len(shape)), strict=True)]
    return view[tuple(slice(None, None, step) for step in steps)]


def test_weights_in_another_order(checks: list[Any], rng: np.random.Generator) -> None:
    """Windows for which plans want weights in several orders: each is packed once."""
    weight = normal(rng, 20, 50)
    kept, big = pf.Conv1x1(weight, backend="c"), normal(rng, 50, 64, 64)
    for n in range(150):
        h, w = (int(m) for m in rng.integers(1, 41, 2))
        x = window(big, h, w)
        result = kept(x)
        expected = pf.Conv1x1(weight, backend="c")(x)
        assert result.tobytes() == expected.tobytes()
        assert len(checks) == n + 2  # all but one are of the others
    assert len(kept._packed) <= 8
    packed = dict(kept._packed)
    for h, w in SIZES:
        kept(window(big, h % 40 + 1, w % 40 + 1))
    assert all(kept._packed[key] is value for key, value in packed.items())


def test_kinds_in_turn(checks: list[Any], rng: np.random.Generator) -> None:
    """A layer knows a call of each kind of arrays."""
    layer = layer_call()
    for n in range(1, 9):
        for x in normal(rng, 5, n, 7), normal(rng, 2, 5, 7, n), rng.integers(9, size=(5, n, 7)):
            for residual in None, normal(rng, 4, n, 7).astype(x.dtype.char.replace("l", "d")):
                if residual is not None and x.ndim == 4:
                    continue
                result = layer(x, residual=residual)
                assert len(checks) <= 5
                seen = len(checks)
                expected = layer_call()(x, residual=residual)
                assert result.tobytes() == expected.tobytes()
                del checks[seen:]
    assert len(checks) == 5


DTYPES = ["f4", "f8", "i1", "i2", "i4", "i8", "f2", "?", "u2"]
#: What is not plain is checked, each time that the sizes are new.
CHECKED: dict[str, Callable[[np.random.Generator, int], dict[str, Any]]] = {
    "dtype": lambda rng, n: {"x": normal(rng, 5, n, 7).astype(DTYPES[n])},
    "byte order": lambda rng, n: {"x": normal(rng, 5, n, 7).astype(">f4")},
    "axes": lambda rng, n: {"x": normal(rng, *(1,) * (n - 3), 5, n, 7)},
    "empty": lambda rng, n: {"x": normal(rng, 5, 0, n)},
    "mask": lambda rng, n: {"x": normal(rng, 5, n, 7), "mask": np.zeros((n, 7), bool)},
    "residual": lambda rng, n: {"x": normal(rng, 5, n, 7), "residual": normal(rng, 4, 1, 1)},
    "number": lambda rng, n: {"x": normal(rng, 5, n, 7), "residual": 1},
    "masked": lambda rng, n: {"x": np.ma.masked_less(normal(rng, 5, n, 7), 0)},
    "subclass": lambda rng, n: {"x": normal(rng, 5, n, 7).view(Plain)},
}


class Plain(np.ndarray[Any, Any]):
    """An array of another type."""


@pytest.mark.parametrize("name", CHECKED)
def test_checked(
    name: str, make: Callable[..., Call], checks: list[Any], rng: np.random.Generator
) -> None:
    call, given = make(), CHECKED[name]
    for n in range(3, 9):
        arguments = given(rng, n)
        before = len(checks)
        result = call(**arguments)
        assert len(checks) > before
        expected = layer_call()(**arguments)
        assert np.ma.getdata(result).tobytes() == np.ma.getdata(expected).tobytes()


def test_strides_are_checked(checks: list[Any], rng: np.random.Generator) -> None:
    layer = layer_call(stride=2)
    for n in range(3, 9):
        x = normal(rng, 5, n, 7)
        assert layer(x).tobytes() == layer_call()(x[:, ::2, ::2]).tobytes()
    assert len(checks) == 12


def test_out_overlaps(checks: list[Any], make: Callable[..., Call]) -> None:
    rng = np.random.default_rng(3)
    call = make()
    for n in range(3, 9):
        both = normal(rng, 9, n, 7)
        x, residual = both[:5].copy(), both[5:].copy()
        call(both[:5], residual=both[5:], out=both[5:])
        assert_conv(both[5:], x, WEIGHT, BIAS, residual)
    assert len(checks) == 1
    for n in range(3, 9):
        both = normal(rng, 9, n, 7)
        x, residual = both[:5].copy(), both[4:8].copy()
        call(both[:5], residual=both[4:8], out=both[4:8])
        assert_conv(both[4:8], x, WEIGHT, BIAS, residual)
    assert len(checks) > 6


ERRORS: dict[str, Callable[[Array, Array], dict[str, Any]]] = {
    "channels": lambda x, out: {"x": x[:4]},
    "more channels": lambda x, out: {"x": x[[0, 1, 2, 3, 4, 0]]},
    "channels last": lambda x, out: {"x": np.moveaxis(x, 0, -1)},
    "shape of out": lambda x, out: {"out": out[:, 1:]},
    "shape of out, as large": lambda x, out: {"out": out.swapaxes(1, 2)},
    "axes of out": lambda x, out: {"out": out[None]},
    "channels of out": lambda x, out: {"out": out[:3]},
    "dtype of out": lambda x, out: {"out": out.astype(float)},
    "out is read-only": lambda x, out: {"out": read_only(out)},
    "out shares memory": lambda x, out: {
        "out": np.lib.stride_tricks.as_strided(out, strides=(4,) * 3)
    },
    "out has one row": lambda x, out: {
        "out": np.lib.stride_tricks.as_strided(out, strides=(out.strides[0], 0, 4))
    },
    "residual": lambda x, out: {"residual": x},
    "size": lambda x, out: {"x": np.broadcast_to(x[:, :1, :1], (5, 1 << 40, 1 << 16))},
    "size of x": lambda x, out: {"x": np.broadcast_to(x[:, :1, :1], (5, 1 << 51, 1))},
    "string": lambda x, out: {"x": "x"},
}


def read_only(array: Array) -> Array:
    view = array[:]
    view.flags.writeable = False
    return view


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("given", [False, True], ids=["new", "out"])
def test_errors(
    given: bool, error: str, make: Callable[..., Call], rng: np.random.Generator
) -> None:
    """Messages are those of calls that were never made before; nothing is written."""
    call = make()
    for n in range(3, 6):
        call(normal(rng, 5, n, 7), out=normal(rng, 4, n, 7) if given else None)
    x, out = normal(rng, 5, 11, 13), normal(rng, 4, 11, 13)
    before = out.copy()
    arguments = {"x": x, "out": out if given else None} | ERRORS[error](x, out)
    with pytest.raises((TypeError, ValueError, MemoryError)) as expected:
        layer_call()(**arguments)
    with pytest.raises(type(expected.value)) as raised:
        call(**arguments)
    assert str(raised.value) == str(expected.value)
    assert out.tobytes() == before.tobytes()


def test_threads(make: Callable[..., Call]) -> None:
    """Threads replace the last call of other sizes, while others are about to repeat it."""
    call, barrier = make(), threading.Barrier(6)
    inputs = [np.full((5, 1 + n % 7, 60 + n), n, np.float32) for n in range(24)]
    expected = [call(x).tobytes() for x in inputs]
    failures = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        barrier.wait(30)
        for n in rng.integers(len(inputs), size=600):
            x = inputs[n]
            out = np.empty((4, *x.shape[1:]), np.float32) if rng.integers(2) else None
            if call(x, out=out, threads=1 + int(n) % 2).tobytes() != expected[n]:
                failures.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def resident() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_nothing_is_kept(make: Callable[..., Call], rng: np.random.Generator) -> None:
    """Plans of sizes that went by are gone: 30 000 of them would take 150 MB."""
    call, big, out = make(), normal(rng, 5, 150, 200), normal(rng, 4, 150, 200)
    dtype = big.dtype

    def all_sizes() -> None:
        for h in range(1, 151):
            for w in range(1, 201):
                call(big[:, :h, :w], out=out[:, :h, :w] if w % 2 else None)

    all_sizes()
    before, counts = resident(), [sys.getrefcount(o) for o in (big, out, dtype, np.empty, call)]
    all_sizes()
    assert [sys.getrefcount(o) for o in (big, out, dtype, np.empty, call)] == counts
    assert resident() - before < 20e6


def test_a_layer_goes_with_its_last_user(rng: np.random.Generator) -> None:
    """No circle of references leads through C, where Python would not find it."""
    layer = pf.Conv1x1(normal(rng, 20, 50), backend="c")
    for h, w in SIZES:
        layer(window(normal(rng, 50, h + 2, w + 2), h, w))
    gone = weakref.ref(layer)
    del layer
    assert gone() is None


def test_pack_fails(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """If weights cannot be packed for other sizes, the call fails, and the next one works."""
    weight, big = normal(rng, 20, 50), normal(rng, 50, 64, 64)
    layer, other = (pf.Conv1x1(weight, backend="c") for _ in range(2))
    windows = [window(big, 40, n) for n in range(1, 40)]
    layer(big)
    for x in windows:
        other(x)
    # Not all instruction sets have several orders.
    differ = [
        x for x in windows if other._find(x).plan.pack_key not in {k for k, _ in layer._packed}
    ]

    def fail(*arguments: Any) -> None:
        raise MemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(pf.Conv1x1, "_pack_for", fail)
        for x in differ:
            with pytest.raises(MemoryError, match="none left"):
                layer(x)
    for x in windows:
        assert layer(x).tobytes() == other(x).tobytes()


def test_dtype_of_the_result_is_no_other_calls() -> None:
    """An `out` of an equal dtype, but another type or with metadata, leaves no trace."""
    layer = pf.Conv1x1(np.ones((4, 5), "f4"), backend="c", dtype="i8")
    x, y = np.ones((5, 3, 7), "f4"), np.ones((5, 4, 7), "f4")
    layer(x, out=np.empty((4, 3, 7), np.longlong))
    assert layer(y).dtype.char == np.dtype("i8").char
    layer = pf.Conv1x1(np.ones((4, 5), "f4"), backend="c")
    layer(x, out=np.empty((4, 3, 7), np.dtype("f4", metadata={"a": 1})))
    assert layer(y).dtype.metadata is None


def test_steps_of_single_elements_are_any() -> None:
    x = np.ones((5, 3, 7), "f4")
    layer = pf.Conv1x1(np.ones((4, 5), "f4"), backend="c")
    layer(x)
    least = np.lib.stride_tricks.as_strided(np.ones(200, "f4"), (5, 1, 7), (28, -(2**63), 4))
    assert np.array_equal(layer(least), layer(least.copy()))
    out = np.lib.stride_tricks.as_strided(np.zeros(200, "f4"), (4, 1, 7), (28, -(2**63), 4))
    assert np.array_equal(layer(x[:, :1], out=out), layer(x[:, :1].copy()))
