"""The C kernels through cffi: AVX-512, AVX2, NEON and scalar, chosen once at import."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import Parameters, Plan, c_library, run_in_turn
from .c_library import (
    available,
    caches,
    check_status,
    compiler,
    ffi,
    has_fma,
    isa,
    isas,
    kernel_set,
    lib,
    repeat_module,
    select_isa,
    select_tuning,
    tuning,
    tunings,
)
from .c_problem import integer, memory, pointer, real_parts, to_c, weights
from .c_quantised import CQuantised
from .features import FEATURES as _ALL
from .features import first_lacking

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem, QuantisedProblem

    from . import OtherSizes, Repeat

__all__ = [
    "FEATURES",
    "NAME",
    "CChainPlan",
    "CGradient",
    "CPlan",
    "available",
    "caches",
    "compiler",
    "count_candidates",
    "gradient",
    "has_fma",
    "isa",
    "isas",
    "plan",
    "quantised",
    "repeat_branches",
    "run_branches",
    "select_isa",
    "select_tuning",
    "tuning",
    "tunings",
    "unsupported",
]

NAME = "c"

Array = npt.NDArray[Any]

# Looked up once: small calls are all overhead.
_NULL: Any = None if ffi is None else ffi.NULL

FEATURES = frozenset(_ALL)

#: Bytes of all channels of a pixel, where they are finished together: some pixels have to fit each
#: of four regions of a thread's scratch.
_MOST_BYTES = 8192


def unsupported(problem: Problem) -> str | None:
    lacking = first_lacking(problem, FEATURES)
    if lacking is not None:
        return lacking
    if problem.hidden and problem.missing is not None:
        return "missing data in chains of layers"
    if problem.hidden and problem.dtype.kind == "c":
        return "chains of complex layers"
    return next(filter(None, map(_unsupported_layer, problem.layers())), None)


def _unsupported_layer(problem: Problem) -> str | None:
    finish = _finish_of(problem)
    if finish is not None:
        if problem.groups > 1:
            return f"{finish} with groups={problem.groups}"
        if problem.dtype.kind == "c":
            return f"{finish} of complex numbers"
    parts = 2 if problem.dtype.kind == "c" else 1
    if parts == 2 and problem.x_dtype.kind != "c":
        return f"complex weights for x of {problem.x_dtype}"
    numbers = max(problem.K, problem.C) * parts
    most = _MOST_BYTES // problem.dtype.itemsize * parts
    if (finish is not None or parts == 2) and numbers > most:
        return f"{finish or 'complex numbers'} with more than {most // parts} channels"
    missing = problem.missing
    if missing is not None and not _holds_fill(problem, missing.fill):
        return f"fill={missing.fill}, which sums of {problem.dtype} do not hold"
    return None


def _holds_fill(problem: Problem, fill: float) -> bool:
    """Whether an integer is still itself after it was one of the sums, and then saturated."""
    if problem.out_dtype.kind not in "ui":
        return True
    limits = np.iinfo(problem.out_dtype)
    return max(limits.min, min(int(problem.dtype.type(fill)), limits.max)) == fill


def _finish_of(problem: Problem) -> str | None:
    """What is done with all channels of a pixel, in words."""
    if problem.head is not None:
        return f"head={problem.head!r}"
    if problem.missing is not None:
        return "missing data"
    return None


def plan(problem: Problem) -> CPlan:
    return CChainPlan(problem) if problem.hidden else CPlan(problem)


def count_candidates(problem: Problem, isa: str | None = None) -> int:
    """How many ways there are to compute a problem without hidden layers, the likeliest to be the
    quickest first: ``CPlan(problem, candidate=i)``. All give the same bits.
    """
    count: int = lib.pw_count_candidates(kernel_set(isa), to_c(problem)[0])
    return count


def run_branches(
    plans: Sequence[Plan], packed: Sequence[Any], x: Array, outs: Sequence[Array], threads: int
) -> None:
    handles = [getattr(found, "handle", None) for found in plans]
    if None in handles:  # there is nothing to do for one of them
        run_in_turn(plans, packed, x, outs, threads)
        return
    pointers = [pointer(out) for out in outs]  # which keep the arrays alive
    status = lib.pw_run_branches(handles, packed, len(handles), pointer(x), pointers, threads)
    check_status(status)


def repeat_branches(repeats: Sequence[Repeat], outs: Sequence[Array]) -> Repeat | None:
    """A call of several repeats on one input, of ``x, None or a tuple of outputs, threads``.

    The result is a tuple of outputs or, where nothing was done, None. `outs`, which do not overlap,
    are of the same kind. None: there are too many.
    """
    repeat: Repeat | None = repeat_module.remember_branches(tuple(repeats), tuple(outs))
    return repeat


def gradient(problem: Problem) -> CGradient:
    return CGradient(problem)


def quantised(problem: QuantisedProblem) -> CQuantised | None:
    return None if problem.in_place and problem.C > lib.PW_QCONV_IN_PLACE else CQuantised(problem)


class _Packing:
    """How a plan of ``c_src`` wants its weights; the plan has to outlive it."""

    def __init__(self, handle: Any, layers: int, isa: str, is_complex: bool) -> None:
        self.handle, self._complex = handle, is_complex
        #: The plans that weights are packed with, one for each layer.
        self._packers = [handle]
        if layers > 1:
            self._packers = [lib.pw_chain_layer(handle, i) for i in range(layers)]
        self.pack_key: Hashable = isa, *map(lib.pw_plan_layout, self._packers)

    def pack(self, weight: Array, bias: Array | None) -> Any:
        return self.pack_chain([(weight, bias)])

    def pack_chain(self, layers: Sequence[Parameters]) -> Any:
        sizes = [lib.pw_packed_bytes(plan) for plan in self._packers]
        packed = memory(sum(sizes))
        at = 0
        for plan, size, (weight, bias) in zip(self._packers, sizes, layers, strict=True):
            parts = real_parts(weight, bias) if self._complex else (weight, bias)
            lib.pw_pack(plan, *weights(*parts), packed + at)
            at += size
        return packed


def _pack_for_other(
    pack: Callable[[Plan], Any], layers: int, isa: str, address: int
) -> tuple[int, Any]:
    """Packed weights of floats for a plan of other sizes: their address and what owns them."""
    packing: Any = _Packing(ffi.cast("pw_plan *", address), layers, isa, False)
    packed = pack(packing)
    return integer(packed), packed


class CPlan(_Packing):
    """`pointwise_fast.kernels.Plan` on ``c_src``."""

    def __init__(self, problem: Problem, isa: str | None = None, candidate: int = 0) -> None:
        self._kernels, self._isa = kernel_set(isa), isa or c_library.isa()
        layers = problem.layers()
        # With what they point to: plans of other sizes are made of them.
        self._problems = [to_c(layer) for layer in layers]
        handle = self._new(self._kernels, [c for c, _ in self._problems], candidate)
        if not handle:
            raise MemoryError("no memory for a plan")
        handle = ffi.gc(handle, lib.pw_plan_free)
        super().__init__(handle, len(layers), self._isa, problem.dtype.kind == "c")
        self._out_dtype = problem.out_dtype
        # Multiply-adds of a pixel, with 16 for an activation.
        self._work = sum(layer.K * (layer.C // layer.groups + 16) for layer in layers)
        self._pixels = problem.P * math.prod(problem.outer)

    def _new(self, kernels: Any, problems: list[Any], candidate: int) -> Any:
        return lib.pw_plan_candidate(kernels, problems[0], candidate)

    def describe(self) -> str:
        """What the plan decided: path, blocks, stores, chunks."""
        text: str = ffi.string(lib.pw_plan_describe(self.handle)).decode()
        return text

    def run(
        self,
        packed: Any,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        status = lib.pw_run(
            self.handle,
            packed,
            pointer(x),
            _NULL if residual is None else pointer(residual),
            _NULL if mask is None else pointer(mask),
            pointer(out),
            threads,
        )
        check_status(status)

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
        if self._complex:
            weight, bias = real_parts(weight, bias)
        status = lib.pw_conv(
            self.handle,
            *weights(weight, bias),
            pointer(x),
            _NULL if residual is None else pointer(residual),
            _NULL if mask is None else pointer(mask),
            pointer(out),
            threads,
        )
        check_status(status)

    def repeat(
        self,
        packed: Any,
        weight: Array | None,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        empty: Callable[[], Array],
        others: OtherSizes | None,
    ) -> Repeat | None:
        if self._complex:
            return None
        family = None
        if others is not None:
            layers = tuple([integer(c) for c, _ in self._problems])
            pack = partial(_pack_for_other, others.pack, len(layers), self._isa)
            makes = np.empty, self._out_dtype
            family = integer(self._kernels), layers, others.channel_axis, *makes, pack
        repeat: Repeat | None = repeat_module.remember(
            integer(self.handle),
            0 if packed is None else integer(packed),
            (self.handle, packed, self._problems),
            self._work,
            self._pixels,
            empty,
            (x, residual, out, weight, bias),
            family,
        )
        return repeat


class CChainPlan(CPlan):
    """`pointwise_fast.kernels.ChainPlan` on ``c_src``."""

    def _new(self, kernels: Any, problems: list[Any], candidate: int) -> Any:
        return lib.pw_chain_new(kernels, problems, len(problems))


class CGradient:
    """`pointwise_fast.kernels.Gradient` on ``c_src``."""

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        handle = lib.pw_gradient_new(kernel_set(isa), to_c(problem)[0])
        if not handle:
            raise MemoryError("no memory for a plan")
        self._plan = ffi.gc(handle, lib.pw_gradient_free)

    def describe(self) -> str:
        """What the plan decided: kernels, blocks, segments, tiles."""
        text: str = ffi.string(lib.pw_gradient_describe(self._plan)).decode()
        return text

    def run(
        self,
        grad_out: Array,
        x: Array,
        grad_weight: Array | None,
        grad_bias: Array | None,
        threads: int,
    ) -> None:
        status = lib.pw_gradient_run(
            self._plan,
            pointer(x),
            pointer(grad_out),
            _NULL if grad_weight is None else pointer(grad_weight),
            _NULL if grad_bias is None else pointer(grad_bias),
            threads,
        )
        check_status(status)
