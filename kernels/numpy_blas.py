"""The specification: what every backend must compute, as plainly as NumPy can say it.

Also the fallback where neither C nor Numba is to be had. It works through the pixels in panels,
so that its temporaries stay small whatever the size of the arrays; NumPy's BLAS decides on
the threads. Plain sums of floats take the quicker way of `numpy_direct`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import Parameters, blas, numpy_direct
from . import no_repeat as repeat_branches
from . import run_in_turn as run_branches
from .features import FEATURES as _ALL
from .features import first_lacking
from .numpy_activations import activate
from .numpy_affine import scaled
from .numpy_finish import absent, apply_head, rescale, store, without_result
from .numpy_gradient import NumpyGradient
from .numpy_quantised import NumpyQuantised
from .panels import panels

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem, QuantisedProblem

__all__ = [
    "FEATURES",
    "NAME",
    "activate",
    "available",
    "gradient",
    "plan",
    "quantised",
    "repeat_branches",
    "run_branches",
    "sizes",
    "unsupported",
]

NAME = "numpy"

Array = npt.NDArray[Any]

#: So many times fewer pixels than a panel's are gathered: 12 -> 10 with 2% missing 48 -> 16 ns.
_FEW = 3


def available() -> str | None:
    return None


FEATURES = frozenset(_ALL)


def unsupported(problem: Problem) -> str | None:
    return first_lacking(problem, FEATURES)


def plan(problem: Problem) -> NumpyPlan:
    return NumpyPlan(problem)


def gradient(problem: Problem) -> NumpyGradient:
    return NumpyGradient(problem)


def quantised(problem: QuantisedProblem) -> NumpyQuantised:
    return NumpyQuantised(problem)


class NumpyPlan:
    """`pointwise_fast.kernels.Plan` on `numpy.matmul`."""

    pack_key = "plain"
    repeat = None

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._layers = problem.layers()
        self._direct = numpy_direct.takes(problem)

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
        mask: Array | None = None,
    ) -> None:
        problem = self.problem
        X = problem.x_view(x)
        Y = problem.out_view(out)
        R = None if residual is None else problem.residual_view(residual)
        M = None if mask is None else problem.mask_view(mask)
        # The other backends do not warn of infinities and NaN either.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._direct:
                numpy_direct.run(problem, packed, X, R, Y)
                return
            for panel in panels(problem):
                Yp, gaps, none = X[panel], None, None
                Rp, Mp = (None if array is None else array[panel] for array in (R, M))
                if problem.missing is not None:
                    gaps = absent(Yp, problem.missing.nodata, Mp)
                    if not gaps.any():
                        gaps = None
                for layer, (weight, bias) in zip(self._layers, packed, strict=True):
                    last = layer is self._layers[-1]
                    known = gaps if layer.missing is not None else None
                    Yp, lost = _apply(layer, weight, bias, Yp, Rp if last else None, known)
                    none = lost if known is not None else none
                missing = problem.missing
                if missing and gaps is not None and problem.hidden and problem.head == "argmax":
                    # What is missing has gone through the layers, to some label or other.
                    without = without_result(self._layers, gaps, none)
                    Yp = np.where(without, problem.out_dtype.type(missing.fill), Yp)
                Y[panel] = Yp

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
        # Packed are copies: the weights given may lie in `out`.
        self.run(self.pack(weight, bias), x, residual, out, threads, mask)


def _apply(
    problem: Problem,
    weight: Array,
    bias: Array | None,
    X: Array,
    residual: Array | None,
    gaps: Array | None,
) -> tuple[Array, Array | None]:
    """One layer of a panel of which `gaps` are missing, and the outputs that `rescale` tells."""
    missing, none = problem.missing, None
    if problem.scale is not None:
        X = scaled(problem, X)
    if gaps is not None:
        X = np.where(gaps, X.dtype.type(0), X)
    Y = _product(problem, weight, X.astype(problem.dtype, copy=False))
    if gaps is not None and missing is not None and missing.valid == "any":
        Y, none = _rescaled(problem, weight, Y, gaps)
    if bias is not None:
        Y += bias[:, np.newaxis]
    if residual is not None:
        Y += residual.astype(problem.dtype, copy=False)
    Y = store(apply_head(activate(Y, problem.activation), problem.head), problem.out_dtype)
    if gaps is not None and missing is not None:
        without = without_result([problem], gaps, none)
        Y = np.where(without, problem.out_dtype.type(missing.fill), Y)
    return Y, none


def _rescaled(problem: Problem, weight: Array, Y: Array, gaps: Array) -> tuple[Array, Array]:
    """What `rescale` makes of `Y`, with a second product of the pixels only that need it."""
    some = np.flatnonzero(gaps.any(axis=0))
    if len(some) * _FEW > gaps.shape[-1]:
        return rescale(Y, *sizes(problem, weight, gaps), gaps)
    none = np.zeros(Y.shape, np.bool_)
    of_some = gaps[:, some]
    Y[:, some], none[:, some] = rescale(Y[:, some], *sizes(problem, weight, of_some), of_some)
    return Y, none


def sizes(problem: Problem, weight: Array, gaps: Array) -> tuple[Array, Array]:
    """Sums of the sizes of the weights: of all, and of those whose channels are there."""
    size = abs(weight)
    there = _product(problem, size, (~gaps).astype(size.dtype))
    return size.sum(axis=1)[:, np.newaxis], there


def _product(problem: Problem, weight: Array, X: Array) -> Array:
    """`weight` of each group times its channels of `X`, in a new array."""
    G = problem.groups
    parts = zip(np.split(weight, G), np.split(X, G, axis=-2), strict=True)
    return np.concatenate([blas.product(W, Xg) for W, Xg in parts], axis=-2)
