"""Quantised convolutions in C: VNNI, AVX-512, AVX2, NEON with and without sdot, and scalar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import Parameters
from .c_library import check_status, ffi, isa, kernel_set, lib
from .c_problem import pointer

if TYPE_CHECKING:
    from pointwise_fast.problem import QuantisedProblem

__all__ = ["CQuantised", "kernels_of"]

Array = npt.NDArray[Any]


def kernels_of(name: str) -> dict[str, Any]:
    """The kernels of an instruction set of `c_simd.isas` that work here, by name, best first."""
    found: dict[str, Any] = {}
    i = 0
    while candidate := lib.pw_qkernels_at(kernel_set(name), i):
        if lib.pw_qkernels_works(candidate):
            found[ffi.string(lib.pw_qkernels_name(candidate)).decode()] = candidate
        i += 1
    return found


class CQuantised:
    """`pointwise_fast.kernels.Plan` of a `QuantisedProblem` on ``c_src``."""

    pack_key = "quantised"
    repeat = None

    def __init__(self, problem: QuantisedProblem, kernels: str | None = None) -> None:
        found = kernels_of(isa() if kernels is None else kernels.partition("-")[0])
        self._kernels = found[kernels or next(iter(found))]
        # The C problem points into these.
        self._weight_zero = np.ascontiguousarray(problem.weight_zero, np.int32)
        self._multiplier = np.ascontiguousarray(problem.multiplier, np.float32)
        self._problem = _to_c(problem)
        self._problem.w_zero = ffi.from_buffer("int32_t[]", self._weight_zero)
        self._problem.scale = ffi.from_buffer("float[]", self._multiplier)

    def pack(self, weight: Array, bias: Array | None) -> Parameters:
        return weight.copy(), None if bias is None else bias.copy()

    def run(
        self,
        packed: Parameters,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        self.conv(*packed, x, None, out, threads)

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
        status = lib.pw_qconv(
            self._kernels,
            self._problem,
            pointer(weight),
            *weight.strides,
            *((ffi.NULL, 0) if bias is None else (pointer(bias), bias.strides[0])),
            pointer(x),
            pointer(out),
            threads,
        )
        check_status(status)


def _to_c(problem: QuantisedProblem) -> Any:
    c = ffi.new("pw_qproblem *")
    c.C, c.K, c.P = problem.C, problem.K, problem.P
    c.outer = len(problem.outer)
    c.outer_n = problem.outer
    *c.x_outer, c.x_c, c.x_p = problem.x_strides
    *c.y_outer, c.y_k, c.y_p = problem.out_strides
    c.x_signed = problem.x_dtype == np.int8
    c.w_signed = problem.weight_dtype == np.int8
    c.y_signed = problem.out_dtype == np.int8
    c.x_zero, c.y_zero = problem.x_zero, problem.out_zero
    c.lo, c.hi = problem.lo, problem.hi
    c.in_place = problem.in_place
    return c
