"""The specification of the activations: PyTorch's definitions, as plainly as NumPy can say them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pointwise_fast.activation import Activation

__all__ = ["IN_PLACE", "activate"]

Array = npt.NDArray[Any]

#: Activations of a single step, which writes to `out` itself.
IN_PLACE = frozenset(["relu", "relu6", "clip", "tanh"])


def activate(y: Array, activation: Activation | None, out: Array | None = None) -> Array:
    """`activation` of `y`, in the dtype of `y`; into `out` if it is given, which may be `y`."""
    if activation is None:
        result = y
    else:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            result = _evaluate(y, *activation, out)
    if out is not None and result is not out:
        out[...] = result
    return result


def _evaluate(
    y: Any, name: str, a: float, b: float, slopes: tuple[float, ...], out: Array | None
) -> Any:
    # Those of `IN_PLACE` write to `out` themselves.
    match name:
        case "relu":
            return np.maximum(y, 0, out=out)
        case "relu6":
            return np.clip(y, 0, 6, out=out)
        case "clip":
            return np.clip(y, a, b, out=out)
        case "leaky_relu":
            return np.where(y > 0, y, a * y)
        case "prelu":
            return np.where(y > 0, y, np.array(slopes, y.dtype)[:, np.newaxis] * y)
        case "sigmoid":
            return 1 / (1 + np.exp(-y))
        case "tanh":
            return np.tanh(y, out=out)
        case "silu":
            return y / (1 + np.exp(-y))
        case "gelu":
            return y * _normal_cdf(y)
        case "gelu_tanh":
            return y / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        case "hardswish":
            return y * (np.clip(y + 3, 0, 6) / 6)
        case "hardsigmoid":
            return np.clip(y + 3, 0, 6) / 6
        case "elu":
            return np.where(y > 0, y, a * np.expm1(np.minimum(y, 0)))
        case "softplus":
            return np.where(y > 20, y, np.logaddexp(0, y))
        case "mish":
            n = np.expm1(2 * np.logaddexp(0, np.minimum(y, 30)))
            return y * (n / (n + 2))
    raise NotImplementedError(name)


#: NumPy has no erf; `math.erfc` is exact to the last digits, element by element.
_erfc = np.frompyfunc(math.erfc, 1, 1)


def _normal_cdf(y: Array) -> Array:
    t = y.astype(np.float64)
    np.divide(t, -math.sqrt(2), out=t)
    # Into an array of floats: one of Python's objects for each would take 40 bytes more.
    _erfc(t, out=t, casting="unsafe")
    np.multiply(t, 0.5, out=t)
    return t.astype(y.dtype, copy=False)
