"""The specification of quantised convolutions: what the C kernels must compute, to the bit.

It sums in float64, where every sum of products of bytes is exact, and by panels, so that its
temporaries stay small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import blas
from .panels import panels

if TYPE_CHECKING:
    from pointwise_fast.problem import QuantisedProblem

__all__ = ["NumpyQuantised"]

Array = npt.NDArray[Any]


class NumpyQuantised:
    """`pointwise_fast.kernels.Plan` of a `QuantisedProblem` on `numpy.matmul`."""

    pack_key = "quantised numpy"
    repeat = None

    def __init__(self, problem: QuantisedProblem) -> None:
        self.problem = problem

    def pack(self, weight: Array, bias: Array | None) -> tuple[Array, Array]:
        """Weights less their zero points and a bias, of float64."""
        W = weight.astype(np.float64) - self.problem.weight_zero[:, np.newaxis]
        return W, np.zeros(len(W)) if bias is None else bias.astype(np.float64)

    def run(
        self,
        packed: tuple[Array, Array],
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        problem = self.problem
        X = problem.x_view(x)
        Y = problem.out_view(out)
        W, b = packed
        for panel in panels(problem):
            sums = blas.product(W, X[panel].astype(np.float64) - problem.x_zero) + b[:, np.newaxis]
            Y[panel] = requantise(sums.astype(np.int64).astype(np.int32), problem)

    def conv(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        self.run(self.pack(weight, bias), x, None, out, threads)


def requantise(sums: Array, problem: QuantisedProblem) -> Array:
    """int32 sums ``(K, pixels)`` as bytes."""
    with np.errstate(over="ignore"):
        steps = np.rint(sums.astype(np.float32) * problem.multiplier[:, np.newaxis])
    y: Array = np.clip(steps + problem.out_zero, problem.lo, problem.hi).astype(problem.out_dtype)
    return y
