"""Plans that are no backend's: of nothing, and of what backends take in parts only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .kernels import Backend, ChainPlan, Parameters, Plan
from .kernels.panels import panels
from .problem import Problem

__all__ = ["GroupedPlan", "MergedPlan", "NothingToDo", "merge"]

Array = npt.NDArray[Any]


class NothingToDo:
    """The plan of a problem with no output element."""

    pack_key: Hashable = "nothing"
    repeat = None

    def pack(self, weight: Array, bias: Array | None) -> None:
        pass

    def pack_chain(self, layers: Sequence[Parameters]) -> None:
        pass

    def run(
        self,
        packed: Any,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        pass

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
        pass


def merge(masks: Sequence[Array]) -> Array | None:
    """Where one of none, one or two masks is True."""
    if len(masks) < 2:
        return masks[0] if masks else None
    merged: Array = np.logical_or(*masks, order="C")
    return merged


class MergedPlan:
    """The plan of what has two masks: a panel at a time, for a backend that takes one.

    A mask of all of `x` that is made of both would be a temporary that grows with it.
    """

    repeat = None

    def __init__(self, problem: Problem, backend: Backend) -> None:
        self._problem = problem
        lengths = {self._length(panel) for panel in panels(problem)}
        self._plans = {n: backend.plan(_of_panel(problem, n)) for n in sorted(lengths)}
        self.pack_key: Hashable = (
            "merged",
            *((n, plan.pack_key) for n, plan in self._plans.items()),
        )

    def _length(self, panel: tuple[Any, ...]) -> int:
        pixels: slice = panel[-1]
        return int(min(pixels.stop, self._problem.P) - pixels.start)

    def pack(self, weight: Array, bias: Array | None) -> dict[int, Any]:
        return {n: plan.pack(weight, bias) for n, plan in self._plans.items()}

    def pack_chain(self, layers: Sequence[Parameters]) -> dict[int, Any]:
        return {n: cast(ChainPlan, plan).pack_chain(layers) for n, plan in self._plans.items()}

    def run(
        self,
        packed: dict[int, Any],
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Any = None,
    ) -> None:
        problem = self._problem
        X, Y, M = problem.x_view(x), problem.out_view(out), problem.mask_views(mask)
        R = None if residual is None else problem.residual_view(residual)
        for panel in panels(problem):
            n = self._length(panel)
            self._plans[n].run(
                packed[n],
                X[panel],
                None if R is None else R[panel],
                Y[panel],
                threads,
                merge([m[panel] for m in M]),
            )

    def conv(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Any = None,
    ) -> None:
        self.run(self.pack(weight, bias), x, residual, out, threads, mask)


def _of_panel(problem: Problem, n: int) -> Problem:
    """`problem` for `n` of its pixels, with one mask that lies densely."""
    residual = problem.residual_strides
    return replace(
        problem,
        outer=(),
        P=n,
        x_strides=problem.x_strides[-2:],
        out_strides=problem.out_strides[-2:],
        residual_strides=None if residual is None else residual[-2:],
        mask_strides=(n, 1),
        second_mask_strides=None,
    )


class GroupedPlan:
    """The plan of groups of channels: one after another, for a backend that takes one.

    Output and input have as many groups, so that none reads what another wrote.

    Parameters
    ----------
    plans : sequence of Plan
        For the arrays of each group.
    K, C : int
        Output and input channels of a group.
    axis : int
        The channel axis.
    """

    repeat = None

    def __init__(self, plans: Sequence[Plan], K: int, C: int, axis: int) -> None:
        before = (slice(None),) * axis
        self._groups = [
            (plan, (*before, slice(g * C, g * C + C)), slice(g * K, g * K + K))
            for g, plan in enumerate(plans)
        ]
        self._before = before
        self.pack_key: Hashable = ("grouped", *(plan.pack_key for plan in plans))

    def pack(self, weight: Array, bias: Array | None) -> list[Any]:
        return [
            plan.pack(weight[outputs], None if bias is None else bias[outputs])
            for plan, _, outputs in self._groups
        ]

    def run(
        self,
        packed: list[Any],
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        for (plan, inputs, outputs), weights in zip(self._groups, packed, strict=True):
            plan.run(weights, x[inputs], None, out[(*self._before, outputs)], threads)

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
        for plan, inputs, outputs in self._groups:
            added = None if bias is None else bias[outputs]
            target = out[(*self._before, outputs)]
            plan.conv(weight[outputs], added, x[inputs], None, target, threads)
