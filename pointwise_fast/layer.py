"""`Layer`: what is applied to array after array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .arrays import as_input, check_out
from .call import NUMBER, Call, Geometry, describe, geometry
from .config import resolve_threads
from .kernels import Plan, Repeat
from .keys import MOST_CALLS
from .settings import Settings
from .typing import Head

__all__ = ["Layer", "as_residual", "geometries"]

Array = npt.NDArray[Any]


def as_residual(value: Any) -> Array | float:
    """`value` as an array; a number of Python stays one, for it has no dtype yet."""
    return value if type(value) in (int, float) else as_input(value, "residual")


def geometries(
    x: Array, residual: Array | float | None, out: Array | None, mask: Array | None
) -> tuple[Geometry, Geometry | None, Geometry | None, Geometry | None]:
    """What `describe` wants to know of the arrays, in its order."""
    added = None
    if residual is not None:
        added = geometry(residual) if isinstance(residual, np.ndarray) else NUMBER
    return (
        geometry(x),
        added,
        None if out is None else geometry(check_out(out)),
        None if mask is None else geometry(mask),
    )


class Layer(ABC):
    """What is applied to array after array: checks, plans and packed weights are made once."""

    _settings: Settings
    _repeat: Repeat | None

    @abstractmethod
    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        """All weights and biases, packed."""

    @property
    def in_channels(self) -> int:
        return self._settings.C

    @property
    def out_channels(self) -> int:
        return self._settings.K

    @property
    def channel_axis(self) -> int:
        return self._settings.channel_axis

    @property
    def stride(self) -> int | tuple[int, ...]:
        return self._settings.stride

    @property
    def head(self) -> Head | None:
        return cast("Head | None", self._settings.head)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        return self._settings.dtype

    @property
    def nodata(self) -> tuple[Any, ...] | None:
        return self._settings.missing.nodata

    def _added(self, x: Array) -> Array | None:
        """The residual that the layer brings itself."""
        return None

    def __call__(
        self,
        x: npt.ArrayLike,
        *,
        residual: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        out: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Apply the layer; arguments, result and errors as in `conv1x1`."""
        last = self._repeat
        if last is not None and mask is None:
            result = last(x, residual, out, resolve_threads(threads))
            if result is not None:
                return result
        x = as_input(x, "x")
        if residual is not None:
            residual = as_residual(residual)
        if mask is not None:
            mask = as_input(mask, "mask")
        call, packed = self._find(x, residual, out, mask)
        n = resolve_threads(threads)
        if residual is not None:
            residual = call.residual(residual)
        if call.repeat is not None and call.repeat is not last and mask is None:
            self._repeat = call.repeat
            result = call.repeat(x, residual, out, n)
            if result is not None:
                return result
        plan: Plan | None = call.plan
        if out is None:
            out = call.empty()
        else:
            plan = call.plan_into(out, x, residual, mask)
        if plan is None:
            np.copyto(out, Layer.__call__(self, x, residual=residual, mask=mask, threads=n))
            return out
        if plan is not call.plan:
            packed = self._pack(call, plan)
        plan.run(packed, x, residual, out, n, mask)
        if plan is call.plan and call.repeat is None and mask is None:
            call.repeat = plan.repeat(packed, None, None, x, residual, out, call.empty)
        return out

    def _find(
        self,
        x: Array,
        residual: Array | float | None,
        out: Array | None,
        mask: Array | None = None,
    ) -> tuple[Call, Any]:
        """A checked call for these arrays, and the weights packed for it."""
        key = geometries(x, residual, out, mask)
        found = self._calls.get(key)
        if found is None:
            call = describe(self._settings, *key)
            found = call, self._pack(call, call.plan)
            if len(self._calls) >= MOST_CALLS:
                self._calls.clear()
            self._calls[key] = found
        return found

    def _pack(self, call: Call, plan: Plan) -> Any:
        key = (plan.pack_key, call.dtype)
        packed = self._packed.get(key)
        if packed is None:
            packed = self._pack_for(plan, call.dtype)
            self._packed[key] = packed
        return packed

    def _forget(self) -> None:
        # Filled without a lock: at worst two threads do the same work. Keyed by a call's
        # geometry, and by the way a plan wants its weights.
        self._calls: dict[tuple[Any, ...], tuple[Call, Any]] = {}
        self._packed: dict[tuple[Any, ...], Any] = {}
        # The last call, which finds out by itself whether the next is like it.
        self._repeat = None

    def __getstate__(self) -> dict[str, Any]:
        caches = ("_calls", "_packed", "_repeat")
        return {k: v for k, v in vars(self).items() if k not in caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()
