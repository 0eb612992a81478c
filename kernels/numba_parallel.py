"""The Numba backend: LLVM's vectors where there is no C compiler.

Two kinds of tile, both of R x N sums in registers. *Planar*, where the pixels of x lie side by
side: N pixels of R filters, x in vectors and the weights broadcast. *Interleaved*, for any other
strides: R pixels of N filters, the weights in vectors and x broadcast.

Workers (`numba_loops`) are compiled to C functions. One thread calls its worker directly; many
call it from a parallel loop of Numba's, and each takes the next chunk of pixels until none is
left. Every pixel is summed in the same order whatever the number of threads.

Heads and missing data are seen to a panel of pixels at a time, while its sums are in cache
(`numba_finish`); what they need is compiled when the first such problem comes.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from . import Plan
from . import no_repeat as repeat_branches
from . import run_in_turn as run_branches
from .features import FLOATS, first_lacking
from .numba_plan import NumbaPlan, blocks_of, choose_tile, has_fma, machine

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem, QuantisedProblem

__all__ = [
    "FEATURES",
    "NAME",
    "available",
    "gradient",
    "plan",
    "quantised",
    "repeat_branches",
    "run_branches",
    "unsupported",
]

NAME = "numba"

#: Most bytes of a pixel's channels where there is a head or missing data: the C backend's limit,
#: so that `auto` does not compile what C leaves to NumPy.
_MOST_BYTES = 8192


def available() -> str | None:
    if importlib.util.find_spec("numba") is None:
        return "numba is not installed; run pip install 'pointwise_fast[numba]'"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "the environment variable NUMBA_DISABLE_JIT is set"
    return None


FEATURES = FLOATS | {
    *("head='softmax'", "head='log_softmax'", "head='l2_normalize'", "head='argmax'"),
    *("nodata=", "mask=", "offset="),
}


def unsupported(problem: Problem) -> str | None:
    lacking = first_lacking(problem, FEATURES)
    if lacking is not None:
        return lacking
    if problem.scale is not None and not has_fma():
        return "offset= without the CPU's fused multiply-adds"
    if problem.head is not None or problem.missing is not None:
        finish = f"head={problem.head!r}" if problem.head else "missing data"
        most = _MOST_BYTES // problem.dtype.itemsize
        if problem.groups > 1:
            return f"{finish} with groups={problem.groups}"
        if max(problem.K, problem.C) > most:
            return f"{finish} with more than {most} channels"
    # One block of filters reads a tile of x whole before it writes; a head, all of a panel.
    if problem.head is not None:
        return None
    if problem.in_place and blocks_of(problem, choose_tile(problem, *machine())) > 1:
        return f"{problem.K} channels written over x"
    return None


def plan(problem: Problem) -> Plan:
    if problem.head is None and problem.missing is None:
        return NumbaPlan(problem)
    # Numba is not imported before it is needed.
    from .numba_finish import FinishedPlan

    return FinishedPlan(problem)


def gradient(problem: Problem) -> None:
    return None


def quantised(problem: QuantisedProblem) -> None:
    return None
