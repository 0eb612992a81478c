"""The specification of quantised convolutions: what the C kernels must compute, to the bit.

It sums in float64, where every sum of products of bytes is exact, and by panels, so that its
temporaries stay small.
"""

from __future__ import annotations

import sys
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
    """`pointwise_fast.kernels.QuantisedPlan` on `numpy.matmul`."""

    NAME = "numpy"

    #: Channels up to which the output may be the input.
    most_in_place = sys.maxsize

    def __init__(self, problem: QuantisedProblem) -> None:
        self.problem = problem

    def conv(self, weight: Array, bias: Array | None, x: Array, out: Array, threads: int) -> None:
        problem = self.problem
        X = problem.x_view(x)
        Y = problem.out_view(out)
        W = weight.astype(np.float64) - problem.weight_zero[:, np.newaxis]
        b = np.zeros(problem.K) if bias is None else bias.astype(np.float64)
        for panel in panels(problem):
            sums = blas.product(W, X[panel].astype(np.float64) - problem.x_zero) + b[:, np.newaxis]
            Y[panel] = requantise(sums.astype(np.int64).astype(np.int32), problem)


def requantise(sums: Array, problem: QuantisedProblem) -> Array:
    """int32 sums ``(K, pixels)`` as bytes."""
    with np.errstate(over="ignore"):
        steps = np.rint(sums.astype(np.float32) * problem.multiplier[:, np.newaxis])
    y: Array = np.clip(steps + problem.out_zero, problem.lo, problem.hi).astype(problem.out_dtype)
    return y
