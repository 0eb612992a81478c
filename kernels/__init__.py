"""Interchangeable backends, one module each, installed as ``pointwise_fast.kernels``.

A backend is a module with these names (`Backend`); it only ever sees a checked `Problem`, arrays
that fit it, weights ``(K, C/groups)`` and bias ``(K,)`` of ``problem.dtype``:

``NAME``
    What a user passes as ``backend=``.
``FEATURES``
    What it has of `features.FEATURES`.
``available()``
    None, or why the backend cannot serve on this machine. Cheap: imports nothing heavy.
``unsupported(problem)``
    None, or why it does not take this problem.
``plan(problem)``
    A `Plan`: what can be decided before there are weights and pixels; a `ChainPlan` where the
    problem has hidden layers.
``gradient(problem)``
    A `Gradient` for a problem without bias, activation and residual; None: the backend has none.
``quantised(problem)``
    A `Plan` of a `QuantisedProblem`, whose weights are bytes and whose bias is int32; None: the
    backend has no quantised kernels, or none that write over their input.
``run_branches(plans, packed, x, outs, threads)``
    `Plan.run` of several plans on one input.
``repeat_branches(repeats, outs)``
    Several of its repeats on one input as one, of ``x, None or a tuple of outputs, threads``, whose
    result is a tuple; None: it has no quicker way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem, QuantisedProblem

__all__ = [
    "Backend",
    "ChainPlan",
    "Gradient",
    "OtherSizes",
    "Parameters",
    "Plan",
    "Repeat",
    "no_repeat",
    "run_in_turn",
]

Array = npt.NDArray[np.generic]

#: Weight and bias of a layer.
Parameters = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]

#: A call made again, of ``x, residual, out, threads``, then weight and bias unless they are packed:
#: the output; or None, and nothing was done, where the arrays are not like those of the first
#: call, but for their sizes. It is given whatever the user passed.
Repeat = Callable[..., npt.NDArray[Any] | None]


class OtherSizes(NamedTuple):
    """What repeats have to know to make calls whose arrays have other sizes and strides, too.

    Attributes
    ----------
    channel_axis : int
        Of x and the output, counted from the front; all pixels on the other axes are used.
    pack : callable
        The weights as a plan wants them, where they do not come with each call.
    """

    channel_axis: int
    pack: Callable[[Plan], Any]


class Plan(Protocol):
    """How one problem will be computed; immutable and shared between threads."""

    #: Plans of the same key can use each other's packed weights.
    pack_key: Hashable

    def pack(self, weight: Array, bias: Array | None) -> Any:
        """The weights in the backend's own order, independent of the arrays given."""

    def run(
        self,
        packed: Any,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        """Compute `out` with packed weights."""

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
        """Compute `out` once: pack and run."""

    @property
    def repeat(self) -> Callable[..., Repeat | None] | None:
        """Makes a quick way to call `run`, or `conv` where there is a weight, once more.

        It is given what was packed or None, weight and bias or None, x, residual, out, what makes
        an output, and `OtherSizes` or None, all of a call that was checked in full. None: the plan
        has no quicker way; or, as its result, none for these arrays.
        """


class Gradient(Protocol):
    """How the gradients of weights and bias will be summed; immutable and shared between threads.

    The problem's output is the gradient that comes in.
    """

    def run(
        self,
        grad_out: Array,
        x: Array,
        grad_weight: Array | None,
        grad_bias: Array | None,
        threads: int,
    ) -> None:
        """Compute the C-contiguous ``(K, C/groups)`` and ``(K,)``; None: not wanted.

        There is at least one pixel and one output channel, and a `grad_weight` unless the problem
        has ``C = 0``.
        """


class ChainPlan(Plan, Protocol):
    """A plan for several layers, one after another."""

    def pack_chain(self, layers: Sequence[Parameters]) -> Any:
        """`pack`, of all layers, the first of them first."""


class Backend(Protocol):
    """What a module in this package offers."""

    NAME: str
    FEATURES: frozenset[str]

    def available(self) -> str | None: ...

    def unsupported(self, problem: Problem) -> str | None: ...

    def plan(self, problem: Problem) -> Plan: ...

    def gradient(self, problem: Problem) -> Gradient | None: ...

    def quantised(self, problem: QuantisedProblem) -> Plan | None: ...

    def run_branches(
        self,
        plans: Sequence[Plan],
        packed: Sequence[Any],
        x: npt.NDArray[Any],
        outs: Sequence[npt.NDArray[Any]],
        threads: int,
    ) -> None: ...

    def repeat_branches(
        self, repeats: Sequence[Repeat], outs: Sequence[npt.NDArray[Any]]
    ) -> Callable[..., Any] | None: ...


def run_in_turn(
    plans: Sequence[Plan],
    packed: Sequence[Any],
    x: npt.NDArray[Any],
    outs: Sequence[npt.NDArray[Any]],
    threads: int,
) -> None:
    """`Backend.run_branches` of those that cannot do better than one plan after another."""
    for plan, weights, out in zip(plans, packed, outs, strict=True):
        plan.run(weights, x, None, out, threads)


def no_repeat(repeats: Sequence[Repeat], outs: Sequence[npt.NDArray[Any]]) -> None:
    """`Backend.repeat_branches` of those that have none."""
