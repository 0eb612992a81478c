"""`Together`: several prepared calls of one input, which `execute` runs as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy.typing as npt

from .arrays import overlap
from .geometry import Masks, as_masks
from .prepare import Prepared

__all__ = ["Together"]

Array = npt.NDArray[Any]
Outs = tuple[Array, ...]


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
    plan, packed, repeat
        As those of `Prepared`.
    """

    def __init__(self, parts: Sequence[Prepared], skips: Sequence[bool], in_turn: bool) -> None:
        self._parts, self._skips, self._in_turn = parts, skips, in_turn
        self.plan = _Plans(parts, skips, in_turn)
        self.packed = [part.packed for part in parts]
        self.repeat: _Repeat | None = None

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
        self, packed: Any, weight: None, bias: None, x: Array, residual: None, outs: Outs, _: Any
    ) -> _Repeat | None:
        if self._backend is None:
            return None
        repeats = []
        for part, out in zip(self._parts, outs, strict=True):
            make = part.plan.repeat
            if part.repeat is None and make is not None:
                part.repeat = make(part.packed, None, None, x, None, out, part.empty)
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
