"""`QConv1x1`: the results of `qconv1x1` call after call, and what a layer promises besides."""

from __future__ import annotations

import inspect
import pickle
import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from quantised import Case, any_bytes, expected, random_case
from support import BACKENDS, Array

import pointwise_fast as pf

QUANTISED = [name for name in BACKENDS if name != "numba"]


@pytest.fixture(params=QUANTISED)
def backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def layer_of(case: Case, activation: Any = None, axis: int = -3, **options: Any) -> pf.QConv1x1:
    return pf.QConv1x1(*case[1:], activation, axis, **options)


@pytest.mark.parametrize(
    ("shape", "axis"), [((13, 5, 14), -3), ((2, 7, 3, 4), -3), ((5, 3, 20), -1), ((9,), 0)]
)
def test_results(backend: Any, shape: Any, axis: int, rng: np.random.Generator) -> None:
    for K in (1, 5, 40):
        case = random_case(rng, shape, K, axis=axis)
        layer = layer_of(case, axis=axis, backend=backend)
        for threads in (1, 2):
            y = layer(case.x, threads=threads)
            assert y.dtype == case.out_zero_point.dtype
            assert np.array_equal(y, expected(case, axis))
        assert np.array_equal(y, pf.qconv1x1(*case, None, axis, backend=backend))
        other = any_bytes(rng, (*shape,), case.x.dtype)
        assert np.array_equal(layer(other), expected(case._replace(x=other), axis))


@pytest.mark.parametrize("groups", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
def test_options(backend: Any, groups: int, stride: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, (20, 9, 11), 10)
    case = case._replace(weight=case.weight[:, : 20 // groups])
    options: Any = {"stride": stride, "groups": groups, "backend": backend}
    layer = layer_of(case, "relu6", **options)
    y = pf.qconv1x1(*case, "relu6", **options)
    assert np.array_equal(layer(case.x), y)
    out = np.full_like(y, 77)
    assert layer(case.x, out=out) is out
    assert np.array_equal(out, y)


def test_an_output_that_overlaps(backend: Any, rng: np.random.Generator) -> None:
    for groups in (1, 3):
        case = random_case(rng, (12, 6, 7), 12, (np.dtype("u1"),) * 3)
        case = case._replace(weight=case.weight[:, : 12 // groups])
        layer = layer_of(case, groups=groups, backend=backend)
        y, whole = layer(case.x), np.concatenate([case.x, case.x])
        x = whole[:12]
        assert np.array_equal(layer(x, out=x), y)
        whole[:12] = case.x
        assert np.array_equal(layer(whole[:12], out=whole[3:15]), y)


def test_either_dtype_of_x(backend: Any, rng: np.random.Generator) -> None:
    """An int of Python as zero point of the result stands for the dtype of x."""
    case = random_case(rng, (6, 4, 5), 3)._replace(x_zero_point=7, out_zero_point=9)
    layer = layer_of(case, backend=backend)
    assert layer.dtype is None
    for dtype in (np.uint8, np.int8):
        x: Array = any_bytes(rng, (6, 4, 5), dtype)
        y = layer(x)
        assert y.dtype == dtype
        here = case._replace(x=x, out_zero_point=np.dtype(dtype).type(9))
        assert np.array_equal(y, expected(here))
    only_unsigned = layer_of(case._replace(x_zero_point=200), backend=backend)
    only_unsigned(any_bytes(rng, (6, 4, 5), np.uint8))
    with pytest.raises(ValueError, match="x_zero_point must be between -128 and 127"):
        only_unsigned(any_bytes(rng, (6, 4, 5), np.int8))


def test_arguments_are_copied(backend: Any, rng: np.random.Generator) -> None:
    bias = np.arange(3, dtype=np.int32)
    case = random_case(rng, (6, 4, 5), 3)._replace(bias=bias.copy())
    weight, weight_scale = case.weight.copy(), np.array(case.weight_scale)
    changing = case._replace(weight=weight, weight_scale=weight_scale, bias=bias)
    layer = layer_of(changing, backend=backend)
    y = layer(case.x)
    for array in (weight, weight_scale, bias):
        array += 1
    fresh = any_bytes(rng, (6, 8, 5), case.x.dtype)
    assert np.array_equal(layer(case.x), y)
    assert np.array_equal(layer(fresh), layer_of(case, backend=backend)(fresh))
    assert not layer.weight.flags.writeable
    assert layer.bias is not None
    assert not layer.bias.flags.writeable


def test_pickles(backend: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, (6, 4, 5), 3)
    layer = layer_of(case, "relu", backend=backend)
    y = layer(case.x)
    for copy in (pickle.loads(pickle.dumps(layer)), deepcopy(layer)):
        assert np.array_equal(copy(case.x), y)
        assert repr(copy) == repr(layer)
        assert not copy.weight.flags.writeable


def test_weights_are_packed_once(rng: np.random.Generator, monkeypatch: Any) -> None:
    """For each dtype of x and each order of the weights, not for each geometry."""
    found = pytest.importorskip("pointwise_fast.kernels.c_quantised").CQuantised
    if "c" not in BACKENDS:
        pytest.skip("the C kernels are not built")
    packed: list[int] = []
    pack = found.pack

    def counted(*given: Any) -> Any:
        packed.append(1)
        return pack(*given)

    monkeypatch.setattr(found, "pack", counted)
    case = random_case(rng, (6, 4, 5), 3)._replace(x_zero_point=7, out_zero_point=9)
    layer = layer_of(case, backend="c")
    for dtype, orders in ((np.uint8, 1), (np.int8, 2)):
        for rows in (4, 4, 7, 9):
            x = any_bytes(rng, (6, rows, 5), dtype)
            assert np.array_equal(layer(x), expected(here_of(case, x)))
            assert np.array_equal(layer(x[:, ::-1]), expected(here_of(case, x[:, ::-1])))
        assert len(packed) == orders


def here_of(case: Case, x: Array) -> Case:
    return case._replace(x=x, out_zero_point=x.dtype.type(9))


def test_many_callers(backend: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, (30, 20, 50), 20)
    layer, wanted = layer_of(case, backend=backend), expected(case)
    failures: list[int] = []

    def work() -> None:
        failures.extend(n for n in range(20) if not np.array_equal(layer(case.x), wanted))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def test_attributes(rng: np.random.Generator) -> None:
    case = random_case(rng, (6, 4, 5), 4)._replace(out_zero_point=np.int8(3))
    case = case._replace(weight=case.weight[:, :3])
    layer = layer_of(case, ("clip", 0, 4), axis=0, stride=2, groups=2)
    assert (layer.in_channels, layer.out_channels, layer.groups) == (6, 4, 2)
    assert (layer.channel_axis, layer.stride, layer.dtype) == (0, 2, np.dtype(np.int8))
    assert layer.activation == ("clip", 0.0, 4.0)
    assert layer.__name__ == "qconv1x1"
    assert repr(layer) == (
        "QConv1x1(6 -> 4, activation=('clip', 0.0, 4.0), channel_axis=0, stride=2, groups=2)"
    )


def test_arguments_are_those_of_the_function() -> None:
    function = inspect.signature(pf.qconv1x1).parameters
    both = [name for name in function if name not in ("x", "out", "threads")]
    assert list(inspect.signature(pf.QConv1x1).parameters) == both


X = np.zeros((3, 2, 4), np.uint8)
GOOD: dict[str, Any] = {
    "x_scale": 0.5, "x_zero_point": 0, "weight": np.ones((2, 3), np.int8), "weight_scale": 0.5,
    "weight_zero_point": 0, "out_scale": 1.0, "out_zero_point": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"x_scale": 0}, "x_scale must be positive"),
        ({"x_zero_point": 256}, "x_zero_point must be between 0 and 255"),
        ({"x_zero_point": 0.5}, "x_zero_point must be an integer"),
        ({"weight": np.ones((2, 3))}, "weight has dtype float64"),
        ({"weight_scale": [1, 2, 3]}, r"weight_scale has shape \(3,\)"),
        ({"out_zero_point": np.uint8(3), "weight_zero_point": 128}, "weight_zero_point must be"),
        ({"bias": [0.5, 1]}, "bias has dtype float64"),
        ({"bias": [1, 2, 3]}, r"bias has shape \(3,\)"),
        ({"activation": "gelu"}, "activation 'gelu' is not supported by qconv1x1"),
        ({"groups": 3}, "groups=3 does not divide"),
        ({"backend": "best"}, "backend 'best' is unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_wrong_argument(bad: dict[str, Any], message: str) -> None:
    """It is named as the layer is made, before there is an x."""
    pf.QConv1x1(**GOOD)
    with pytest.raises((TypeError, ValueError), match=message):
        pf.QConv1x1(**{**GOOD, **bad})


def test_wrong_calls() -> None:
    layer = pf.QConv1x1(**GOOD)
    out = np.full((2, 2, 4), 9, np.uint8)
    frozen = out.copy()
    frozen.flags.writeable = False
    masked = np.ma.MaskedArray(X, mask=X == 0)
    for x, rest, message in (
        (X.astype(np.int16), {}, "x has dtype int16"),
        (X[:2], {}, "x has 2 channels on axis -3, weight expects 3"),
        (masked, {}, "quantised operators know no missing data"),
        (X, {"out": out[:1]}, r"out has shape \(1, 2, 4\)"),
        (X, {"out": out.astype(np.int8)}, "out has dtype int8"),
        (X, {"out": frozen}, "out is read-only"),
        (X, {"out": out, "threads": 0}, "threads must be between"),
    ):
        given: Any = rest
        with pytest.raises((TypeError, ValueError), match=message):
            layer(x, **given)
    assert np.all(out == 9)
    with pytest.raises(TypeError, match="layer 1 of Chain must be"):
        pf.Chain(layer, layer)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'numba'"):
        pf.QConv1x1(**GOOD, backend="numba")(X)


def test_parameters_are_copied() -> None:
    """Whatever lends its memory: arrays, buffers, and objects that only describe an array."""

    class Described:
        def __init__(self, array: Array) -> None:
            self.base, self.__array_interface__ = array, array.__array_interface__

    x = np.arange(8, dtype="u1").reshape(2, 2, 2)
    weight = np.array([[1, 2], [3, 4], [5, 6]], np.int8)
    lent: list[Callable[[Any], Any]] = [np.asarray, memoryview, Described]
    for lend in lent:
        scale = np.array([0.5, 0.25, 0.125])
        given: tuple[Any, ...] = (0.5, 0, weight, lend(scale), 0, 0.25, np.uint8(0))
        layer, y = pf.QConv1x1(*given), pf.qconv1x1(x, *given)
        assert np.array_equal(layer(x), y)
        scale[:] = 0.01
        assert np.array_equal(layer(x[:, :, 1:]), y[:, :, 1:])
