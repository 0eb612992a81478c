"""The specification: what every backend must compute, as plainly as NumPy can say it.

Also the fallback where neither C nor Numba is to be had. It works through the pixels in panels,
so that its temporaries stay small whatever the size of the arrays; NumPy's BLAS decides on
the threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import Parameters
from . import run_in_turn as run_branches

if TYPE_CHECKING:
    from pointwise_fast.activation import Activation
    from pointwise_fast.problem import Problem

__all__ = ["NAME", "activate", "available", "plan", "run_branches", "unsupported"]

NAME = "numpy"

Array = npt.NDArray[Any]

#: Bytes of input and output that one panel may hold; six temporaries of it stay below 4 MiB.
_PANEL_BYTES = 1 << 19


def available() -> str | None:
    return None


def unsupported(problem: Problem) -> str | None:
    return None


def plan(problem: Problem) -> NumpyPlan:
    return NumpyPlan(problem)


class NumpyPlan:
    """`pointwise_fast.kernels.Plan` on `numpy.matmul`."""

    pack_key = "plain"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._layers = problem.layers()

    def pack(self, weight: Array, bias: Array | None) -> list[Parameters]:
        return self.pack_chain([(weight, bias)])

    def pack_chain(self, layers: Sequence[Parameters]) -> list[Parameters]:
        return [(w.copy(), None if b is None else b.copy()) for w, b in layers]

    def run(
        self,
        packed: Sequence[Parameters],
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
    ) -> None:
        problem = self.problem
        X = problem.x_view(x)
        Y = problem.out_view(out)
        R = None if residual is None else problem.residual_view(residual)
        # The other backends do not warn of infinities and NaN either.
        with np.errstate(over="ignore", invalid="ignore"):
            for panel in _panels(problem):
                Yp = X[panel].astype(problem.dtype, copy=False)
                for layer, (weight, bias) in zip(self._layers, packed, strict=True):
                    Yp = _sums(layer, weight, bias, Yp)
                    if R is not None and layer is self._layers[-1]:
                        Yp += R[panel]
                    Yp = activate(Yp, layer.activation)
                Y[panel] = Yp

    def conv(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
    ) -> None:
        # Packed are copies: the weights given may lie in `out`.
        self.run(self.pack(weight, bias), x, residual, out, threads)

    def repeat(self, *_: Any) -> None:
        return None


def _sums(problem: Problem, weight: Array, bias: Array | None, Xp: Array) -> Array:
    """A new array of a panel's sums, from the bias on."""
    G = problem.groups
    W = weight.reshape(G, problem.K // G, problem.C // G)
    Yp = np.concatenate([W[g] @ Xg for g, Xg in enumerate(np.split(Xp, G, axis=-2))], axis=-2)
    if bias is not None:
        Yp += bias[:, np.newaxis]
    return Yp


def _panels(problem: Problem) -> Iterator[tuple[Any, ...]]:
    """Index tuples over ``(*outer, channel, P)`` that cover every pixel once."""
    channels = problem.C + sum(layer.K for layer in problem.hidden) + problem.K
    pixel = max(1, channels * problem.dtype.itemsize)
    step = max(1, _PANEL_BYTES // pixel)
    for index in np.ndindex(problem.outer):
        for p in range(0, problem.P, step):
            yield (*index, slice(None), slice(p, p + step))


def activate(y: Array, activation: Activation | None) -> Array:
    """`activation` of `y`: PyTorch's definitions, in the dtype of `y`."""
    if activation is None:
        return y
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result: Array = _evaluate(y, *activation)
    return result


def _evaluate(y: Any, name: str, a: float, b: float) -> Any:
    match name:
        case "relu":
            return np.maximum(y, 0)
        case "relu6":
            return np.clip(y, 0, 6)
        case "clip":
            return np.clip(y, a, b)
        case "leaky_relu":
            return np.where(y > 0, y, a * y)
        case "sigmoid":
            return 1 / (1 + np.exp(-y))
        case "tanh":
            return np.tanh(y)
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
