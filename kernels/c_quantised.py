"""Quantised convolutions in C: VNNI, AVX-512, AVX2, NEON with and without sdot, and scalar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import c_simd
from .c_problem import pointer
from .c_simd import _kernel_sets, check_status

try:
    from ._c import ffi, lib
except ImportError:  # `c_simd.available` says why
    ffi = lib = None

if TYPE_CHECKING:
    from pointwise_fast.problem import QuantisedProblem

__all__ = ["CQuantised", "kernels_of"]

Array = npt.NDArray[Any]


def kernels_of(isa: str) -> dict[str, Any]:
    """The kernels of an instruction set of `c_simd.isas` that work here, by name, best first."""
    found: dict[str, Any] = {}
    i = 0
    while candidate := lib.pw_qkernels_at(_kernel_sets[isa], i):
        if lib.pw_qkernels_works(candidate):
            found[ffi.string(lib.pw_qkernels_name(candidate)).decode()] = candidate
        i += 1
    return found


class CQuantised:
    """`pointwise_fast.kernels.QuantisedPlan` on ``c_src``."""

    NAME = "c"

    #: Channels up to which the output may be the input.
    most_in_place = 0 if lib is None else lib.PW_QCONV_IN_PLACE

    def __init__(self, problem: QuantisedProblem, kernels: str | None = None) -> None:
        found = kernels_of(c_simd.isa() if kernels is None else kernels.partition("-")[0])
        self._kernels = found[kernels or next(iter(found))]
        # The C problem points into these.
        self._weight_zero = np.ascontiguousarray(problem.weight_zero, np.int32)
        self._multiplier = np.ascontiguousarray(problem.multiplier, np.float32)
        self._problem = _to_c(problem)
        self._problem.w_zero = ffi.from_buffer("int32_t[]", self._weight_zero)
        self._problem.scale = ffi.from_buffer("float[]", self._multiplier)

    def conv(self, weight: Array, bias: Array | None, x: Array, out: Array, threads: int) -> None:
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
