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
    A `Plan`: what can be decided before there are weights and pixels.
``gradient(problem)``
    A `Gradient` for a problem without bias, activation and residual; None: the backend has none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem

__all__ = ["Backend", "Gradient", "Plan", "QuantisedPlan", "Repeat"]

Array = npt.NDArray[np.generic]

#: A call made again, of ``x, residual, out, threads``, then weight and bias unless they are packed:
#: the output; or None, and nothing was done, where the arrays are not like those of the first
#: call. It is given whatever the user passed.
Repeat = Callable[..., npt.NDArray[Any] | None]


class Plan(Protocol):
    """How one `Problem` will be computed; immutable and shared between threads."""

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

    def repeat(
        self,
        packed: Any,
        weight: Array | None,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        empty: Callable[[], Array],
    ) -> Repeat | None:
        """A quick way to call `run`, or `conv` where there is a weight, once more.

        The arrays are those of a call that was checked in full; `empty` makes an output. None:
        the backend has no quicker way.
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


class Backend(Protocol):
    """What a module in this package offers."""

    NAME: str
    FEATURES: frozenset[str]

    def available(self) -> str | None: ...

    def unsupported(self, problem: Problem) -> str | None: ...

    def plan(self, problem: Problem) -> Plan: ...

    def gradient(self, problem: Problem) -> Gradient | None: ...


class QuantisedPlan(Protocol):
    """How one `QuantisedProblem` will be computed; immutable and shared between threads."""

    def conv(self, weight: Array, bias: Array | None, x: Array, out: Array, threads: int) -> None:
        """Compute `out`; weights are ``(K, C)``, the bias ``(K,)`` of int32."""
