"""``scale * x + offset`` as if it were rounded once, which NumPy has no function for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem

__all__ = ["scaled"]

Array = npt.NDArray[Any]

#: Numbers at once, of which there are some temporaries.
_BLOCK = 1 << 13

#: 2**27 + 1: the product with it parts the 53 bits of a float64 in two.
_SPLITTER = 134217729.0


def scaled(problem: Problem, X: Array) -> Array:
    """``scale * X + offset`` of a panel, channels by pixels, in the dtype of the sums.

    The product of float32 is exact in float64; so is the sum, but for its last bits where terms
    differ much. Rounded once more it differs from what is rounded once only where it is within
    2**-29 of the middle between two float32. What float64 loses by rounding product and sum is
    computed and added again, which leaves an error of an ulp at most.
    """
    assert problem.scale is not None
    assert problem.offset is not None
    dtype = problem.affine_dtype
    s, o = (np.array(v, dtype).astype(np.float64)[:, None] for v in (problem.scale, problem.offset))
    if X.dtype.kind == "c":
        Y = np.empty(X.shape, problem.dtype)
        Y.real, Y.imag = _apply(s, X.real, o, dtype), _apply(s, X.imag, 0 * o, dtype)
        return Y
    return _apply(s, X, o, dtype).astype(problem.dtype, copy=False)


def _apply(s: Array, X: Array, o: Array, dtype: np.dtype[Any]) -> Array:
    Y = np.empty(X.shape, dtype)
    step = max(1, _BLOCK // max(1, len(X)))
    for at in range(0, X.shape[1], step):
        block = X[:, at : at + step].astype(np.float64)
        Y[:, at : at + step] = s * block + o if dtype == np.float32 else _fused(s, block, o)
    return Y


def _split(x: Array) -> tuple[Array, Array]:
    high = _SPLITTER * x
    high -= high - x
    return high, x - high


def _fused(s: Array, x: Array, o: Array) -> Array:
    """In float64: the errors of product (Dekker) and sum (Knuth) are floats themselves."""
    product = s * x
    total = product + o
    moved = total - product
    lost = (product - (total - moved)) + (o - moved)
    if np.any(abs(np.frexp(s)[0]) != 0.5):  # else a power of 2, whose products are exact
        s_high, s_low = _split(s)
        high, low = _split(x)
        lost += low * s_low - (((product - high * s_high) - low * s_high) - high * s_low)
    # Beyond the range of floats nothing can be made up for.
    result: Array = np.where(np.isfinite(lost), total + lost, total)
    return result
