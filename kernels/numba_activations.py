"""Activations for Numba: scalar arithmetic without a branch or a call, which LLVM vectorises.

`exp` and `log1p` are sums of Taylor terms, as many as the dtype needs; the normal distribution
is a polynomial. Errors are a few units in the last place.
"""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, cfunc, types
from numba.extending import intrinsic, register_jitable

from .numba_loops import FIELDS, A, B, compile_cached

__all__ = ["LOG2_E", "NUMBERS", "compile_activation"]

LOG2_E = 1 / math.log(2)


def _expm1_terms(n: int) -> tuple[float, ...]:
    """1/n!, ..., 1/2!, 1: the terms of (exp(r) - 1) / r, highest power first."""
    return tuple(1 / math.factorial(i) for i in range(n, 0, -1))


def _atanh_terms(n: int) -> tuple[float, ...]:
    """1/(2n+1), ..., 1/3, 1: the terms of atanh(z) / z in z * z, highest power first."""
    return tuple(1 / (2 * i + 1) for i in range(n, -1, -1))


# (1 + u) erfc(u / sqrt 2) exp(u * u / 2) / 2 in t = (u - k) / (u + k), highest power first:
# Chebyshev interpolation, exact to 2e-8 (k = 3) and 3e-16 (k = 4) for all u >= 0.
_TAIL_F32 = (
    6.261944899e-05, 3.593166308e-05, -4.812877561e-04, -3.657486238e-04, 2.993102137e-03,
    1.164325329e-03, -2.272675504e-02, 4.516336581e-02, -1.643232114e-02, -9.652673372e-02,
    4.860557934e-01,
)  # fmt: skip
_TAIL_F64 = (
    -7.2721680529260390e-10, -1.5457383521303807e-09, 5.7675357822972728e-09,
    1.7443403166339522e-08, -1.8664795634985392e-08, -1.1022596317170989e-07,
    -1.9206688091818100e-10, 5.5077876522554214e-07, 4.0578109702001558e-07,
    -2.6118504141229662e-06, -3.4328252597563371e-06, 1.3626317731554408e-05,
    2.1250237297863506e-05, -8.7853005459343048e-05, -9.4430287839413561e-05,
    6.9489706951757701e-04, -2.8562309458305513e-04, -5.0023785870895671e-03,
    1.7936097479520866e-02, -3.2197837428311699e-02, 2.8600364053552107e-02,
    1.3999634724430389e-02, -9.6703477326525775e-02, 4.7205320650984467e-01,
)  # fmt: skip


def _even_and_odd(terms: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Those of a polynomial, lowest power last; as loops of 24 terms are too long to unroll."""
    return terms[-1::-2][::-1], terms[-2::-2][::-1]


# Per dtype: an integer of its size. 1.5 * 2**(bits of the mantissa), which leaves what is added
# to it as an integer in its last bits; the exponent's bias and place. log(2) in two parts, the
# first with so few bits that its multiples are exact. -log of the least normal number, log of
# the largest. Terms of expm1 and log1p. The tail's k, terms, and a mask for half of the mantissa.
# The exponent of a power of 2 that makes subnormal numbers normal; -log of what rounds to 0; the
# bits of the root of 1/2.
NUMBERS: dict[Any, tuple[Any, ...]] = {
    np.float32: (
        np.int32, 1.5 * 2.0**23, 127, 23, 355 / 512, math.log(2) - 355 / 512, 87.3365, 88.7228,
        _expm1_terms(8), _atanh_terms(7), 3.0, *_even_and_odd(_TAIL_F32), -(2**12),
        64, 105.0, int(np.float32(math.sqrt(0.5)).view(np.int32)),
    ),
    np.float64: (
        np.int64, 1.5 * 2.0**52, 1023, 52, 0.693147180369123816490, 1.90821492927058770002e-10,
        708.396, 709.7827, _expm1_terms(14), _atanh_terms(15), 4.0, *_even_and_odd(_TAIL_F64),
        -(2**27), 512, 747.0, int(np.float64(math.sqrt(0.5)).view(np.int64)),
    ),
}  # fmt: skip


@intrinsic
def bits(typingctx, value, kind):
    """The bits of `value` as a number of another kind."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return kind.dtype(value, kind), codegen


@register_jitable
def _clip(v, lo, hi):
    """Written so that NaN passes."""
    v = lo if v < lo else v
    return hi if v > hi else v


@register_jitable
def _polynomial(x, terms, T):
    total = T(terms[0])
    for term in terms[1:]:
        total = total * x + T(term)
    return total


@register_jitable
def _reduce(x, low, less, T, m):
    """2**(n - less) and exp(r) - 1, where x + low = n log 2 + r."""
    rounded = x * T(LOG2_E) + T(m[1])
    n = rounded - T(m[1])
    r = (x - n * T(m[4])) - n * T(m[5]) + low
    power = bits(m[0]((bits(rounded - less, m[0]) + m[0](m[2])) << m[0](m[3])), T)
    return power, r * _polynomial(r, m[8], T)


@register_jitable
def _exp(x, low, T, m):
    """exp(x + low), `low` being small; 0 where that is not a normal number."""
    # Half of a large result, as 2**n may be too large where the result is not.
    less = T(1) if x > T(0) else T(0)
    power, p = _reduce(_clip(x, -T(m[6]), T(m[7])), low, less, T, m)
    y = (power * p + power) * (T(1) + less)
    y = T(np.inf) if x > T(m[7]) else y
    return T(0) if x < -T(m[6]) else y


@register_jitable
def _expm1(x, T, m):
    """exp(x) - 1 for x <= 0."""
    power, p = _reduce(T(-50) if x < T(-50) else x, T(0), T(0), T, m)
    return power * p + (power - T(1))


@register_jitable
def _relu(v, a, b, T, m):
    return T(0) if v < T(0) else v


@register_jitable
def _relu6(v, a, b, T, m):
    return _clip(v, T(0), T(6))


@register_jitable
def _leaky_relu(v, a, b, T, m):
    return v if v > T(0) else a * v


@register_jitable
def _clip_to(v, a, b, T, m):
    return _clip(v, a, b)


@register_jitable
def _sigmoid(v, a, b, T, m):
    return T(1) / (T(1) + _exp(-v, T(0), T, m))


@register_jitable
def _tanh(v, a, b, T, m):
    t = _expm1(T(-2) * abs(v), T, m)
    y = -t / (T(2) + t)
    return -y if v < T(0) else y


@register_jitable
def _silu(v, a, b, T, m):
    return v / (T(1) + _exp(-v, T(0), T, m))


@register_jitable
def _gelu(v, a, b, T, m):
    # exp(-u * u / 2) to the last digits: the square of u's leading half is exact.
    u = abs(v)
    u = T(40) if u > T(40) else u
    half = bits(m[0](bits(u, m[0]) & m[0](m[13])), T)
    square = _exp(T(-0.5) * half * half, T(-0.5) * (u - half) * (u + half), T, m)
    t = T(1) - T(2 * m[10]) / (u + T(m[10]))
    polynomial = _polynomial(t * t, m[11], T) + t * _polynomial(t * t, m[12], T)
    tail = square * polynomial / (T(1) + u)
    return v * (tail if v < T(0) else T(1) - tail)


@register_jitable
def _gelu_tanh(v, a, b, T, m):
    slope = T(-2 * math.sqrt(2 / math.pi))
    return v / (T(1) + _exp(slope * (v + T(0.044715) * v * v * v), T(0), T, m))


@register_jitable
def _hardswish(v, a, b, T, m):
    return v * (_clip(v + T(3), T(0), T(6)) / T(6))


@register_jitable
def _hardsigmoid(v, a, b, T, m):
    return _clip(v + T(3), T(0), T(6)) / T(6)


@register_jitable
def _elu(v, a, b, T, m):
    return v if v > T(0) else a * _expm1(v, T, m)


@register_jitable
def _softplus(v, a, b, T, m):
    e = _exp(-abs(v), T(0), T, m)
    z = e / (T(2) + e)
    log1p = T(2) * z * _polynomial(z * z, m[9], T)
    y = (v if v > T(0) else T(0)) + log1p
    # PyTorch's threshold.
    return v if v > T(20) else y


@register_jitable
def _mish(v, a, b, T, m):
    e = _exp(T(30) if v > T(30) else v, T(0), T, m)
    n = e * (e + T(2))
    return v * (n / (n + T(2)))


_FUNCTIONS = {
    "relu": _relu,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "clip": _clip_to,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hardswish": _hardswish,
    "hardsigmoid": _hardsigmoid,
    "elu": _elu,
    "softplus": _softplus,
    "mish": _mish,
}


def compile_activation(name: str, T: Any, n: int) -> Any:
    """A C function that applies activation `name` to `n` numbers; parameters are in `FIELDS`.

    What it takes from other modules is in its closure, and so part of its key in Numba's cache.
    """
    function, m = _FUNCTIONS[name], NUMBERS[T]
    at_a, at_b, fields_in_all = A, B, len(FIELDS)

    def activate(sums, fields):
        y = carray(sums, (n,))
        parameters = carray(fields, (fields_in_all,))
        a, b = T(parameters[at_a]), T(parameters[at_b])
        for i in range(n):
            y[i] = function(y[i], a, b, T, m)

    numbers = types.CPointer(types.float32 if T is np.float32 else types.float64)
    return compile_cached(cfunc, types.void(numbers, types.CPointer(types.float64)), activate)
