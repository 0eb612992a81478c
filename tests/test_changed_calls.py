"""Calls that look like an earlier one, and are checked anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from repeats import BIAS, WEIGHT, Call, make, warm
from support import Array, Backend, assert_conv, assert_within, reference
from views import normal

import pointwise_fast as pf

__all__ = ["make"]  # a fixture


def change_shape(x: Array, out: Array) -> tuple[Array, Array]:
    return x[:, :5].copy(), out[:, :5].copy()


def change_shape_of_the_same_object(x: Array, out: Array) -> tuple[Array, Array]:
    x.resize(5, 3, 7, refcheck=False)
    out.resize(4, 3, 7, refcheck=False)
    return x, out


def change_dtype(x: Array, out: Array) -> tuple[Array, Array]:
    return x.astype(float), out.astype(float)


def change_strides(x: Array, out: Array) -> tuple[Array, Array]:
    return np.asfortranarray(x), np.asfortranarray(out)


def let_out_be_a_subclass(x: Array, out: Array) -> tuple[Array, Array]:
    return x, out.view(np.recarray)


CHANGES = [
    change_shape,
    change_shape_of_the_same_object,
    change_dtype,
    change_strides,
    let_out_be_a_subclass,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes(
    change: Callable[[Array, Array], tuple[Array, Array]],
    make: Callable[..., Call],
    backend: Backend,
    rng: np.random.Generator,
) -> None:
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    warm(call, x, out=out)
    call(x, out=out)
    new_x, new_out = change(x, out)
    given = new_x.copy()
    assert call(new_x, out=new_out) is new_out
    assert_conv(np.array(new_out), given, WEIGHT, BIAS)
    assert_conv(call(given), given, WEIGHT, BIAS)


ERRORS: dict[str, tuple[type[Exception], str, Callable[[Array, Array], dict[str, Any]]]] = {
    "masked": (TypeError, "masked", lambda x, out: {"residual": np.ma.masked_array(out)}),
    "more axes": (ValueError, "6 channels", lambda x, out: {"x": x[..., None]}),
    "fewer axes": (ValueError, "does not exist", lambda x, out: {"x": x[..., 0], "out": None}),
    "channels": (ValueError, "6 channels", lambda x, out: {"x": np.ones((6, 6, 7), "f4")}),
    "integers": (TypeError, "dtype", lambda x, out: {"x": x.astype("i4")}),
    "axes": (ValueError, "out has shape", lambda x, out: {"out": out[None]}),
    "out's dtype": (TypeError, "out has dtype", lambda x, out: {"out": out.astype(float)}),
    "threads": (ValueError, "threads", lambda x, out: {"threads": 0}),
    "threads' type": (TypeError, "threads", lambda x, out: {"threads": 1.0}),
    "residual": (ValueError, "residual", lambda x, out: {"residual": out[:, :5]}),
}


@pytest.mark.parametrize("error", ERRORS)
def test_errors_after_repeats(
    error: str, make: Callable[..., Call], backend: Backend, rng: np.random.Generator
) -> None:
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    warm(call, x, out=out)
    before = out.copy()
    kind, message, change = ERRORS[error]
    with pytest.raises(kind, match=message):
        call(**({"x": x, "out": out} | change(x, out)))
    # `out` still holds the first result.
    assert out.tobytes() == before.tobytes()


@pytest.mark.parametrize("order", ["<f4", ">f4"])
def test_the_other_byte_order(
    order: str, make: Callable[..., Call], backend: Backend, rng: np.random.Generator
) -> None:
    """Another byte order with the same shape and strides is no repeat."""
    if backend == "numba" and not np.dtype(order).isnative:
        pytest.skip("the backend has no such feature")
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    other = np.zeros(out.shape, order)
    warm(call, x, out=out)
    for given, to in ((x.astype(order), out), (x, other), (x.astype(order), other), (x, out)):
        to[:] = np.nan
        assert_conv(call(given, out=to).astype(np.float32), x, WEIGHT, BIAS)
        warm(call, given, out=to)
    # Residuals of the same values, in either byte order.
    residual = normal(rng, 4, 6, 7)
    for given in (residual.astype(order), residual):
        assert_conv(call(x, residual=given, out=out), x, WEIGHT, BIAS, residual)


def test_out_becomes_read_only(
    make: Callable[..., Call], backend: Backend, rng: np.random.Generator
) -> None:
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    warm(call, x, out=out)
    out[:] = 7
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        call(x, out=out)
    assert np.all(out == 7)
    x.flags.writeable = False
    assert_conv(call(x), x, WEIGHT, BIAS)


def test_settings_that_equal_others(backend: Backend, rng: np.random.Generator) -> None:
    """Some settings that equal others are wrong; a changed list is another setting."""
    x, stride = normal(rng, 5, 6, 8), [1, 1]
    for _ in range(3):
        assert pf.conv1x1(x, WEIGHT, stride=1, backend=backend).shape == (4, 6, 8)
    with pytest.raises(TypeError, match="stride"):
        pf.conv1x1(x, WEIGHT, stride=1.0, backend=backend)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="groups"):
        pf.conv1x1(x, WEIGHT, groups=1.0, backend=backend)  # type: ignore[arg-type]
    for _ in range(3):
        assert pf.conv1x1(x, WEIGHT, stride=stride, backend=backend).shape == (4, 6, 8)
    stride[1] = 2
    assert pf.conv1x1(x, WEIGHT, stride=stride, backend=backend).shape == (4, 6, 4)
    relu = pf.conv1x1(x, WEIGHT, activation="relu", backend=backend)
    assert np.all(relu >= 0)
    expected, bound = reference(x, WEIGHT)
    assert_within(relu, np.maximum(expected, 0), bound)


def test_other_weights_with_the_same_id(backend: Backend, rng: np.random.Generator) -> None:
    x = normal(rng, 5, 6, 7)
    for dtype in (np.float32, np.float64, np.int32, np.float32):
        for K in (4, 3):
            weight: Any = np.ones((K, 5), dtype)
            for _ in range(3):
                assert_conv(pf.conv1x1(x, weight, backend=backend), x, weight.astype("f4"))


@pytest.mark.parametrize("shape", [(4, 5, 2), (4, 5, 1, 1, 2), (1, 4, 5), (5, 5), (20,)])
def test_weights_change_their_shape(
    shape: tuple[int, ...], backend: Backend, rng: np.random.Generator
) -> None:
    x, weight, bias = normal(rng, 5, 6, 7), WEIGHT.copy(), BIAS.copy()
    for _ in range(3):
        pf.conv1x1(x, weight, bias, backend=backend)
    weight.resize(shape, refcheck=False)
    with pytest.raises(ValueError, match="weight"):
        pf.conv1x1(x, weight, bias, backend=backend)
    weight.resize((4, 5), refcheck=False)
    bias.resize((2, 2), refcheck=False)
    with pytest.raises(ValueError, match="bias"):
        pf.conv1x1(x, weight, bias, backend=backend)
