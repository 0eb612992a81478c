"""The specification of gradients: sums over all pixels, as plainly as NumPy can say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import blas
from .panels import panels

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem

__all__ = ["NumpyGradient"]

Array = npt.NDArray[Any]


class NumpyGradient:
    """`pointwise_fast.kernels.Gradient` on `numpy.matmul`; NumPy's BLAS decides on the threads."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def run(
        self,
        grad_out: Array,
        x: Array,
        grad_weight: Array | None,
        grad_bias: Array | None,
        threads: int,
    ) -> None:
        problem = self.problem
        X, DY = problem.x_view(x), problem.out_view(grad_out)
        G, K, C = problem.groups, problem.K, problem.C
        # Sums of panels are added up in float64: their number is no matter for the error.
        weight, bias = np.zeros((G, K // G, C // G)), np.zeros(K)
        with np.errstate(over="ignore", invalid="ignore"):
            for panel in panels(problem):
                n = DY[panel].shape[-1]
                Xg = X[panel].reshape(G, C // G, n)
                DYg = DY[panel].reshape(G, K // G, n)
                weight += blas.product(DYg, Xg.swapaxes(1, 2))
                bias += DYg.sum(axis=-1).reshape(K)
            if grad_weight is not None:
                grad_weight[...] = weight.reshape(K, C // G)
            if grad_bias is not None:
                grad_bias[...] = bias
