"""Each activation against PyTorch's definition, evaluated in a wider precision.

An activation f can be no better than its argument: half a unit in the last place of y moves f(y)
by the condition number |y f'(y) / f(y)| times as much, relatively. That number is below 2 where
f is well-conditioned, and grows like |y| for sigmoid, silu, softplus, mish and like y**2 for gelu
on the far left, where they vanish. So the bound is

    |error| <= units * eps * (1 + condition) * |f(y)| + tiny * max(1, |y|)

with the units of `UNITS`; tiny is the smallest normal number, below which digits are lost
by underflow, in f itself or in the factor that multiplies y. The piecewise linear activations are
exact up to one rounding for each of their operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import DTYPES, UNIFORM, WIDE, Array, Backend, numbers

import pointwise_fast as pf

#: 0: nothing is rounded. 1: one product. 2: a product and a division by 6, after a y + 3 that is
#: rounded at most once. 4: an exponential and the operations after it.
UNITS = {
    "relu": 0,
    "relu6": 0,
    "clip": 0,
    "leaky_relu": 1,
    "hardswish": 2,
    "hardsigmoid": 2,
    "sigmoid": 4,
    "tanh": 4,
    "silu": 4,
    "gelu": 4,
    "gelu_tanh": 4,
    "elu": 4,
    "softplus": 4,
    "mish": 4,
}


def normal_cdf(y: Array) -> Array:
    """(1 + erf(y / sqrt 2)) / 2; `math.erfc` and a first-order step to the exact argument."""
    t = -y / np.sqrt(y.dtype.type(2))
    near = t.astype(np.float64)
    value = np.array([math.erfc(v) for v in near.ravel()]).reshape(t.shape).astype(t.dtype)
    with np.errstate(invalid="ignore"):
        slope = -2 / np.sqrt(t.dtype.type(np.pi)) * np.exp(-(near.astype(t.dtype) ** 2))
        step = np.where(np.isfinite(t), slope * (t - near), 0)
    # Where erfc is a subnormal number, its rounding error exceeds the step.
    return (value + np.where(value > 1e-300, step, 0)) / 2


def mish(y: Array) -> Array:
    # tanh(log(1 + e^y)) = n / (n + 2) with n = e^y (e^y + 2); it is 1 long before e^y overflows.
    e = np.exp(np.minimum(y, 60))
    n = e * (e + 2)
    return y * (n / (n + 2))


def gelu_tanh(y: Array) -> Array:
    u = np.sqrt(y.dtype.type(2) / y.dtype.type(math.pi)) * (y + y.dtype.type("0.044715") * y**3)
    # (1 + tanh u) / 2 = 1 / (1 + e^-2u), without the cancellation on the left.
    return y / (1 + np.exp(-2 * u))


REFERENCE: dict[str, Callable[..., Any]] = {
    "relu": lambda y: np.where(y < 0, 0, y),
    "relu6": lambda y: np.where(y < 0, 0, np.where(y > 6, 6, y)),
    "clip": lambda y, lo, hi: np.where(y < lo, lo, np.where(y > hi, hi, y)),
    "leaky_relu": lambda y, slope=0.01: np.where(y < 0, slope * y, y),
    "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
    "tanh": np.tanh,
    "silu": lambda y: y / (1 + np.exp(-y)),
    "gelu": lambda y: y * normal_cdf(y),
    "gelu_tanh": gelu_tanh,
    "hardswish": lambda y: y * np.clip(y + 3, 0, 6) / 6,
    "hardsigmoid": lambda y: np.clip(y + 3, 0, 6) / 6,
    "elu": lambda y, alpha=1.0: np.where(y > 0, y, alpha * np.expm1(y)),
    # Above its threshold of 20, PyTorch's softplus is y itself.
    "softplus": lambda y: np.where(y > 20, y, np.log1p(np.exp(y))),
    "mish": mish,
}

SPECS = [
    *(("clip", -1.5, 2.5) if name == "clip" else (name,) for name in UNIFORM),
    ("leaky_relu", 0.2),
    ("leaky_relu", -1.5),
    ("leaky_relu", 0.0),
    ("elu", 0.5),
    ("elu", -2.0),
    ("clip", 0, 0),
    ("clip", -math.inf, 1),
    ("clip", -1, math.inf),
]


def arguments(dtype: Any, rng: np.random.Generator) -> Array:
    """Numbers from subnormal to the maximum, dense where the functions bend."""
    info = np.finfo(dtype)
    scale = np.linspace(np.log2(info.smallest_subnormal), np.log2(info.max) - 0.01, 3000)
    magnitudes: list[Array] = [
        np.exp2(scale),
        rng.uniform(0, 4, 8000),
        rng.uniform(0, 130, 6000),
        rng.uniform(0, 800, 2000),
        np.arange(0, 12, 1 / 16),
        np.array([info.smallest_subnormal, info.tiny, info.max, info.eps], np.float64),
    ]
    y = np.concatenate(magnitudes).astype(dtype)
    return np.concatenate([y, -y, np.nextafter(y[y < info.max], dtype(np.inf))])


def activate(y: Array, spec: Any, backend: Backend) -> Array:
    """`spec` of each y, through a convolution with one weight of 1."""
    return pf.conv1x1(y[np.newaxis], np.ones((1, 1)), activation=spec, channel_axis=-2,
                      backend=backend)[0]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_within_the_bound(
    spec: Any, dtype: Any, backend: Backend, rng: np.random.Generator
) -> None:
    name, *parameters = spec
    info = np.finfo(dtype)
    y = arguments(dtype, rng)
    actual = activate(y, spec if parameters else name, backend)
    wide: Any = WIDE[np.dtype(dtype)]
    # Parameters are rounded to the dtype, as weights are.
    p = [wide(dtype(value)) for value in parameters]
    f = REFERENCE[name]
    with np.errstate(all="ignore"):
        Y = y.astype(wide)
        expected = f(Y, *p)
        step = wide(np.finfo(wide).eps) ** wide(1 / 3)
        # y f'(y), by a difference quotient
        moved = (f(Y * (1 + step), *p) - f(Y * (1 - step), *p)) / (2 * step)
        overflow = abs(expected) > wide(info.max)
        assert np.array_equal(actual[overflow], np.sign(expected[overflow]) * dtype(np.inf))
        rest = ~overflow
        allowed = UNITS[name] * info.eps * (abs(expected) + abs(moved))
        allowed += wide(info.tiny) * np.maximum(1, abs(Y))
        error = abs(actual - expected)[rest]
    if not UNITS[name]:
        assert np.array_equal(actual, expected.astype(dtype))
    worst = np.argmax(error - allowed[rest])
    assert error[worst] <= allowed[rest][worst], (
        f"{name}({y[rest][worst]!r}) = {actual[rest][worst]!r}, expected {expected[rest][worst]!r}"
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNIFORM)
def test_special_values(name: str, dtype: Any, backend: Backend) -> None:
    spec = ("clip", -1.5, 2.5) if name == "clip" else name
    y = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    nan, at_inf, at_minus_inf, zero, minus_zero = activate(y, spec, backend)
    assert np.isnan(nan)
    limits = {
        "relu": (np.inf, 0),
        "relu6": (6, 0),
        "clip": (2.5, -1.5),
        "leaky_relu": (np.inf, -np.inf),
        "sigmoid": (1, 0),
        "tanh": (1, -1),
        "silu": (np.inf, np.nan),
        "gelu": (np.inf, np.nan),
        "gelu_tanh": (np.inf, np.nan),
        "hardswish": (np.inf, np.nan),
        "hardsigmoid": (1, 0),
        "elu": (np.inf, -1),
        "softplus": (np.inf, 0),
        "mish": (np.inf, np.nan),
    }
    above, below = limits[name]
    assert at_inf == above
    # -inf * 0 is NaN in IEEE and in PyTorch; the limit, 0, is accepted too.
    assert at_minus_inf == below or (
        np.isnan(below) and (np.isnan(at_minus_inf) or at_minus_inf == 0)
    )
    at_zero = {"sigmoid": 0.5, "hardsigmoid": 0.5, "softplus": math.log(2)}.get(name, 0)
    for value in (zero, minus_zero):
        assert abs(value - at_zero) <= np.finfo(dtype).eps


#: What torch.nn.functional gives at -2.5, -0.75, 0.25 and 3.5 by default (clip is hardtanh).
TABLE = {
    "relu": (0, 0, 0.25, 3.5),
    "relu6": (0, 0, 0.25, 3.5),
    "leaky_relu": (-0.025, -0.0075, 0.25, 3.5),
    "hardsigmoid": (1 / 12, 0.375, 13 / 24, 1),
    "hardswish": (-5 / 24, -0.28125, 13 / 96, 3.5),
    "elu": (math.expm1(-2.5), math.expm1(-0.75), 0.25, 3.5),
    "sigmoid": tuple(1 / (1 + math.exp(-y)) for y in (-2.5, -0.75, 0.25, 3.5)),
    "tanh": tuple(map(math.tanh, (-2.5, -0.75, 0.25, 3.5))),
    "silu": tuple(y / (1 + math.exp(-y)) for y in (-2.5, -0.75, 0.25, 3.5)),
    "gelu": tuple(y / 2 * (1 + math.erf(y / math.sqrt(2))) for y in (-2.5, -0.75, 0.25, 3.5)),
    "gelu_tanh": tuple(
        y / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        for y in (-2.5, -0.75, 0.25, 3.5)
    ),
    "softplus": tuple(math.log(1 + math.exp(y)) for y in (-2.5, -0.75, 0.25, 3.5)),
    "mish": tuple(y * math.tanh(math.log(1 + math.exp(y))) for y in (-2.5, -0.75, 0.25, 3.5)),
}


@pytest.mark.parametrize("name", TABLE)
def test_definitions_and_defaults(name: str, backend: Backend) -> None:
    """The formulas are those of PyTorch's documentation, without any rearrangement."""
    y = activate(np.array([-2.5, -0.75, 0.25, 3.5]), name, backend)
    np.testing.assert_allclose(y, TABLE[name], rtol=1e-13)


def test_every_activation_is_tested() -> None:
    assert set(UNIFORM) == set(REFERENCE) == set(UNITS) == {*TABLE, "clip"}


def test_residual_comes_before_the_activation(backend: Backend, rng: np.random.Generator) -> None:
    x, residual = numbers(rng, backend, 2, 3, 5, 5)
    weight = numbers(rng, backend, 3, 3)
    plain = pf.conv1x1(x, weight, residual=residual, backend=backend)
    y = pf.conv1x1(x, weight, residual=residual, activation="relu", backend=backend)
    assert np.array_equal(y, np.maximum(plain, 0))
    assert (y == 0).any()
