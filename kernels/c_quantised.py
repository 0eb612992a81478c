"""Quantised convolutions in C: VNNI, AVX-512, AVX2, NEON with and without sdot, and scalar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .c_library import check_status, ffi, isa, kernel_set, lib
from .c_problem import memory, pointer, weights

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

    repeat = None

    def __init__(self, problem: QuantisedProblem, kernels: str | None = None) -> None:
        found = kernels_of(isa() if kernels is None else kernels.partition("-")[0])
        name = kernels or next(iter(found))
        c, _keep = _to_c(problem)
        handle = lib.pw_qplan_new(found[name], c)
        if not handle:
            raise MemoryError("no memory for a plan")
        self._plan = ffi.gc(handle, lib.pw_qplan_free)
        # Zero points and scales are those of the layer that packs.
        self.pack_key = "quantised", name, lib.pw_qplan_layout(handle), problem.x_dtype

    def describe(self) -> str:
        """What the plan decided: kernels, blocks, passes, staging, stores."""
        text: str = ffi.string(lib.pw_qplan_describe(self._plan)).decode()
        return text

    def pack(self, weight: Array, bias: Array | None) -> Any:
        packed = memory(lib.pw_qpacked_bytes(self._plan))
        lib.pw_qpack(self._plan, *weights(weight, bias), packed)
        return packed

    def run(
        self,
        packed: Any,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        check_status(lib.pw_qrun(self._plan, packed, pointer(x), pointer(out), threads))

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
        status = lib.pw_qconv(self._plan, *weights(weight, bias), pointer(x), pointer(out), threads)
        check_status(status)


def _to_c(problem: QuantisedProblem) -> tuple[Any, list[Any]]:
    """The problem, and what it points to."""
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
    keep = [
        ffi.new("int32_t[]", problem.weight_zero.tolist()),
        ffi.new("float[]", problem.multiplier.tolist()),
    ]
    c.w_zero, c.scale = keep
    return c, keep
