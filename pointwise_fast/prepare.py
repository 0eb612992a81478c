"""`prepare`: a call checked, planned and, for a layer, with packed weights, but no arrays yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any
from weakref import WeakMethod

import numpy as np
import numpy.typing as npt

from . import dispatch
from .arrays import is_same, overlap, owners
from .composed import GroupedPlan, MergedPlan, NothingToDo
from .geometry import NUMBER, Geometry, MaskGeometry, Masks, as_masks, geometry
from .kernels import Backend, OtherSizes, Plan, Repeat
from .keys import keep
from .problem import Problem, QuantisedProblem
from .reduction import reduce_call, reduce_quantised
from .spec import LayerSpec, Shape

__all__ = ["Geometries", "Pack", "Prepared", "Together", "geometries", "prepare", "prepare_once"]

Array = npt.NDArray[Any]
Outs = tuple[Array, ...]

#: Of x, the residual, the output and the mask.
Geometries = tuple[Geometry, Geometry | None, Geometry | None, MaskGeometry]
#: A layer's weights for a plan whose sums are of a dtype, packed. The layer, which holds what it
#: has prepared, is not held in return: it goes with its last user, not when Python looks for
#: circles.
Pack = WeakMethod[Callable[[Plan, np.dtype[Any]], Any]]
#: A plan for a problem, one that its backend takes; None where it does not take it in place.
PlanFor = Callable[[Any], Plan | None]


def geometries(
    x: Array, residual: Array | float | None, out: Array | None, mask: Masks
) -> Geometries:
    """What `prepare` wants to know of the arrays of a call."""
    added = None
    if residual is not None:
        added = geometry(residual) if isinstance(residual, np.ndarray) else NUMBER
    return (
        geometry(x),
        added,
        None if out is None else geometry(out),
        None if mask is None else _geometry_of_masks(mask),
    )


def _geometry_of_masks(mask: Array | tuple[Array, Array]) -> MaskGeometry:
    if isinstance(mask, tuple):
        return geometry(mask[0]), geometry(mask[1])
    return geometry(mask)


def prepare(spec: LayerSpec, of: Geometries, pack: Pack | None = None) -> Prepared:
    """Check arrays against `spec` and each other, and find who computes them, and how.

    Without `pack` weight and bias come with each call.
    """
    problem: Problem | QuantisedProblem
    if spec.quantisation is None:
        problem, shape = reduce_call(spec, *of)
        backend = dispatch.select(spec.backend, problem)
        plan_for: PlanFor = partial(_plan_for, backend)
    else:
        problem, shape = reduce_quantised(spec, *of)
        backend = dispatch.select_quantised(spec.backend)
        axis = spec.channel_axis % len(shape)
        plan_for = partial(_quantised_plan_for, backend, spec.groups, axis)
    return Prepared(spec, of, pack, problem, shape, backend, plan_for)


def _plan_for(backend: Backend, problem: Problem) -> Plan | None:
    """The plan of a problem that `backend` takes; None where it does not take it in place."""
    if problem.second_mask_strides is not None:
        return None if problem.in_place else MergedPlan(problem, backend)
    if problem.in_place and backend.unsupported(problem) is not None:
        return None
    return backend.plan(problem)


def _quantised_plan_for(
    backend: Backend, groups: int, axis: int, problem: QuantisedProblem
) -> Plan | None:
    if groups == 1:
        return backend.quantised(problem)
    C, K = problem.C // groups, problem.K // groups
    plans = []
    for g in range(groups):
        outputs = slice(g * K, (g + 1) * K)
        weight_zero, multiplier = problem.weight_zero[outputs], problem.multiplier[outputs]
        plan = backend.quantised(
            replace(problem, C=C, K=K, weight_zero=weight_zero, multiplier=multiplier)
        )
        if plan is None:
            return None
        plans.append(plan)
    return GroupedPlan(plans, K, C, axis)


_prepared: dict[tuple[LayerSpec, Geometries], Prepared] = {}
#: The last key and what it is of, found without a hash where it comes again, as in a loop.
_last: tuple[LayerSpec | None, Geometries | None, Any] = None, None, None


def prepare_once(spec: LayerSpec, of: Geometries) -> Prepared:
    """`prepare` without `pack`, or what that gave before."""
    global _last
    known, before, prepared = _last
    if spec is known and of == before:
        last: Prepared = prepared
        return last
    found = _prepared.get((spec, of)) or keep(_prepared, (spec, of), prepare(spec, of))
    _last = spec, of, found
    return found


class Prepared:
    """A checked call without its arrays, which `execute` runs.

    Attributes
    ----------
    spec : LayerSpec
    problem : Problem or QuantisedProblem
    backend : Backend
        Whose plan it is.
    plan : Plan
    packed
        The weights for `plan`; None where they come with each call.
    dtype : numpy.dtype
        Of the weights and sums.
    empty : callable
        Makes an array for the result.
    others : OtherSizes or None
        What the plan's repeat has to know for arrays that differ in sizes and strides only; None:
        they are to be checked.
    repeat : Repeat or None
        The plan's, once it has been run.
    """

    def __init__(
        self,
        spec: LayerSpec,
        of: Geometries,
        pack: Pack | None,
        problem: Problem | QuantisedProblem,
        shape: Shape,
        backend: Backend,
        plan_for: PlanFor,
    ) -> None:
        self.repeat: Repeat | None = None
        self.spec, self.problem, self.backend = spec, problem, backend
        self.dtype = problem.dtype
        self.empty: Callable[[], Array] = partial(np.empty, shape, problem.out_dtype)
        self.others = None
        if spec.stride == 1:
            axis = spec.channel_axis % len(of[0].shape)
            # Whoever repeats a call of this does not hold it in return.
            self.others = OtherSizes(axis, partial(_packed_for, pack, self.dtype))
        self._of, self._pack, self._plan_for = of, pack, plan_for
        plan = self._plan(problem)
        assert plan is not None
        self.plan: Plan = plan
        self.packed = _packed_for(pack, self.dtype, self.plan)

    def _plan(self, problem: Problem | QuantisedProblem) -> Plan | None:
        is_empty = 0 in (problem.K, problem.P, *problem.outer)
        return NothingToDo() if is_empty else self._plan_for(problem)

    def plan_into(self, out: Array, x: Array, residual: Array | None, mask: Masks) -> Plan | None:
        """The plan that may write to `out`; None if it overlaps in a way that no plan can."""
        if any(overlap(m, out) for m in as_masks(mask)):
            return None
        # The quick answer to what `overlap` asks: two owners of memory share none.
        apart = owners(x, out) and x is not out
        if apart and (residual is None or residual is out):
            return self.plan
        if residual is not None and overlap(residual, out) and not is_same(residual, out):
            return None
        if not overlap(x, out):
            return self.plan
        return self._in_place if is_same(x, out) else None

    @cached_property
    def _in_place(self) -> Plan | None:
        """The plan whose output is its input; None where there is none."""
        return self._plan(replace(self.problem, in_place=True))

    @cached_property
    def beside(self) -> Prepared:
        """The same with a new array for the result, for an output that overlaps an input."""
        x, residual, _, mask = self._of
        return prepare(self.spec, (x, residual, None, mask), self._pack)

    @cached_property
    def packed_in_place(self) -> Any:
        """The weights for the plan whose output is its input."""
        return (
            None if self._in_place is None else _packed_for(self._pack, self.dtype, self._in_place)
        )

    def residual(self, given: Array | float) -> Array:
        """`given`, a number in the dtype of the result.

        Raises
        ------
        ValueError
            If the result's dtype does not hold it.
        """
        if isinstance(given, np.ndarray):
            return given
        dtype = self.problem.out_dtype
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                number = np.array(given).astype(dtype)
            if dtype.kind in "ui":
                fits = bool(number == given)
            else:
                fits = bool(np.isfinite(number)) or not math.isfinite(given)
        except OverflowError:
            fits = False
        if not fits:
            raise ValueError(f"residual={given!r} does not fit the result, which has dtype {dtype}")
        return number


def _packed_for(pack: Pack | None, dtype: np.dtype[Any], plan: Plan) -> Any:
    """A layer's weights for its plan; None where they come with each call."""
    if pack is None:
        return None
    found = pack()
    assert found is not None  # whoever runs a layer's call has the layer
    return found(plan, dtype)


class Together:
    """As a `Prepared` call, but the output is a tuple of arrays.

    Parameters
    ----------
    parts : sequence of Prepared
        All with weights of their own, for one x.
    skips : sequence of bool
        Which of them add x as a residual.
    in_turn : bool
        Whether they have to run one after another, as backends run neither chains nor missing
        data together.

    Attributes
    ----------
    plan, packed, repeat, others
        As those of `Prepared`; the last is None.
    """

    def __init__(self, parts: Sequence[Prepared], skips: Sequence[bool], in_turn: bool) -> None:
        self._parts, self._skips, self._in_turn = parts, skips, in_turn
        self.plan = _Plans(parts, skips, in_turn)
        self.packed = [part.packed for part in parts]
        self.repeat: _Repeat | None = None
        self.others = None

    def empty(self) -> Outs:
        return tuple([part.empty() for part in self._parts])

    def plan_into(self, outs: Outs, x: Array, residual: None, mask: Masks) -> _Plans | None:
        """The plans; None where an output overlaps an input.

        Raises
        ------
        ValueError
            If outputs overlap each other.
        """
        for i, a in enumerate(outs):
            for j, b in enumerate(outs[:i]):
                if overlap(a, b):
                    raise ValueError(f"out[{i}] overlaps out[{j}]")
        inputs = (x, *as_masks(mask))
        return None if any(overlap(a, b) for a in outs for b in inputs) else self.plan

    @cached_property
    def beside(self) -> Together:
        return Together([part.beside for part in self._parts], self._skips, self._in_turn)


class _Plans:
    """Plans of one input as one."""

    def __init__(self, parts: Sequence[Prepared], skips: Sequence[bool], in_turn: bool) -> None:
        self._parts, self._skips = parts, skips
        self._plans = [part.plan for part in parts]
        backends = {part.backend.NAME: part.backend for part in parts}
        self._backend = None if in_turn or len(backends) > 1 else parts[0].backend

    def run(
        self, packed: Any, x: Array, residual: None, outs: Outs, threads: int, mask: Masks
    ) -> None:
        if self._backend is not None:
            self._backend.run_branches(self._plans, packed, x, outs, threads)
            return
        for plan, weights, adds, out in zip(self._plans, packed, self._skips, outs, strict=True):
            added = x if adds else None
            plan.run(weights, x, added, out, threads, mask)  # type: ignore[arg-type]

    def repeat(
        self, packed: Any, weight: None, bias: None, x: Array, residual: None, outs: Outs, *_: Any
    ) -> _Repeat | None:
        if self._backend is None:
            return None
        repeats = []
        for part, out in zip(self._parts, outs, strict=True):
            make = part.plan.repeat
            if part.repeat is None and make is not None:
                like = x, None, out, part.empty, part.others
                part.repeat = make(part.packed, None, None, *like)
            if part.repeat is None:
                return None
            repeats.append(part.repeat)
        branches = self._backend.repeat_branches(repeats, outs)
        return None if branches is None else _Repeat(branches)


class _Repeat:
    """As the repeat of a single call, which has a residual."""

    def __init__(self, branches: Callable[..., Outs | None]) -> None:
        self.branches = branches

    def __call__(self, x: Array, residual: None, outs: Outs | None, threads: int) -> Outs | None:
        return self.branches(x, outs, threads)
