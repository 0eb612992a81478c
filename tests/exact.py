"""Fused multiply-adds in NumPy, correct to the bit, to check the C kernels against.

Neither a C compiler nor the CPU's own FMA takes part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fma", "fma_chain", "fma_chains"]

Array = npt.NDArray[Any]


def fma(a: Array, b: Array, c: Array) -> Array:
    """``a * b + c``, rounded once, for finite numbers far from overflow and underflow.

    The sum is first rounded to odd, in twice the precision or in two pieces; the second rounding
    then gives what a single one would have (Boldo and Melquiond, "Emulation of a FMA and
    correctly rounded sums: proved algorithms using rounding to odd", 2008).
    """
    if c.dtype == np.float32:
        product = a.astype(np.float64) * b  # exact
        return _sum_to_odd(product, c.astype(np.float64)).astype(np.float32)
    high, low = _two_product(a, b)
    t_high, t_low = _two_sum(c, low)
    v_high, v_low = _two_sum(high, t_high)
    total: Array = v_high + _sum_to_odd(t_low, v_low)
    return total


def fma_chains(
    weight: Array, x: Array, bias: Array | None, stops: Iterable[int]
) -> Iterator[tuple[int, Array]]:
    """The sums ``(K, P)`` over the first C channels, for every C of `stops`.

    Each output is one chain of fused multiply-adds: from the bias, over c = 0, 1, 2...
    """
    K, P = len(weight), x.shape[1]
    sums = np.zeros((K, P), x.dtype)
    if bias is not None:
        sums += bias[:, np.newaxis]
    done = 0
    for stop in sorted(stops):
        for c in range(done, stop):
            sums = fma(weight[:, c, np.newaxis], x[c], sums)
        done = stop
        yield stop, sums


def fma_chain(weight: Array, x: Array, bias: Array | None = None) -> Array:
    """The sums over all channels."""
    ((_, sums),) = fma_chains(weight, x, bias, [len(x)])
    return sums


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its rounding error (Knuth)."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded product and its rounding error (Dekker)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _halves(a: Array) -> tuple[Array, Array]:
    big = 134217729.0 * a  # 2**27 + 1
    high = big - (big - a)
    return high, a - high


def _sum_to_odd(a: Array, b: Array) -> Array:
    """``a + b`` in float64; if inexact, the neighbour whose last bit is 1."""
    total, error = _two_sum(a, b)
    even = (total.view(np.int64) & 1) == 0
    toward = np.where((error > 0) == (total > 0), 1, -1)
    # An inexact sum is not 0, so that its neighbours are the next integers.
    odd: Array = (total.view(np.int64) + np.where(even & (error != 0), toward, 0)).view(np.float64)
    return odd
