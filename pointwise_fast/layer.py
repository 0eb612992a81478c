"""`Layer`: what is applied to array after array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .arrays import as_input, as_mask, as_x, check_out
from .call import Call, describe
from .config import default, resolve_threads
from .foreign import is_masked
from .geometry import NUMBER, Geometry, MaskGeometry, Masks, geometry
from .kernels import Plan, Repeat
from .keys import MOST_CALLS
from .masked import find_lost, mask_to_write, unmask, with_mask
from .names import find_channels, has_names
from .settings import Settings
from .typing import Head

__all__ = ["Layer", "as_residual", "geometries"]

Array = npt.NDArray[Any]


def as_residual(value: Any) -> Array | float:
    """`value` as an array; a number of Python stays one, for it has no dtype yet."""
    return value if type(value) in (int, float) else as_input(value, "residual")


def geometries(
    x: Array, residual: Array | float | None, out: Array | None, mask: Masks
) -> tuple[Geometry, Geometry | None, Geometry | None, MaskGeometry]:
    """What `describe` wants to know of the arrays, in its order."""
    added = None
    if residual is not None:
        added = geometry(residual) if isinstance(residual, np.ndarray) else NUMBER
    return (
        geometry(x),
        added,
        None if out is None else geometry(check_out(out)),
        _geometry_of_masks(mask),
    )


def _geometry_of_masks(mask: Masks) -> MaskGeometry:
    if isinstance(mask, tuple):
        return geometry(mask[0]), geometry(mask[1])
    return None if mask is None else geometry(mask)


class Layer(ABC):
    """What is applied to array after array: checks, plans and packed weights are made once."""

    _settings: Settings
    _repeat: Repeat | None

    @abstractmethod
    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        """All weights and biases, packed."""

    @abstractmethod
    def _first_weight(self, dtype: np.dtype[Any]) -> Array:
        """The weight of the first layer, as ``(K, C/groups)``."""

    def _for_order(self, order: tuple[int, ...]) -> Layer:
        """The same layer for an `x` whose channels come in another order."""
        raise NotImplementedError

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
            n = (threads is None and default.threads) or resolve_threads(threads)
            result = last(x, residual, out, n)
            if result is not None:
                return result
        n = resolve_threads(threads)
        settings = self._settings
        if out is not None:
            out = check_out(out, masked=True)
        of_x = residual is x and settings.missing.valid == "all"  # then their masks are one
        if settings.channels is not None and has_names(x):
            x, order = find_channels(x, settings.channels, settings.channel_axis)
            if order is not None:
                rest: Any = x if of_x else residual
                return self._in_order(order)(x, residual=rest, mask=mask, out=out, threads=n)
        x = as_x(x, settings.channel_axis)
        added: Array | float | None = None
        if of_x:
            added = np.asarray(x)
        elif residual is not None:
            added = as_residual(residual)
        if mask is not None:
            mask = as_mask(mask, settings.head == "argmax")
        if is_masked(x) or is_masked(out):
            return self._apply_masked(x, added, mask, out, n)
        return self._apply(x, added, mask, out, n)

    def _apply(
        self, x: Array, residual: Array | float | None, mask: Masks, out: Array | None, n: int
    ) -> Array:
        """The layer of arrays of NumPy, by `n` threads."""
        call, packed = self._find(x, residual, out, mask)
        if residual is not None:
            residual = call.residual(residual)
        if call.repeat is not None and call.repeat is not self._repeat and mask is None:
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
            np.copyto(out, self._apply(x, residual, mask, None, n))
            return out
        if plan is not call.plan:
            packed = self._pack(call, plan)
        plan.run(packed, x, residual, out, n, mask)  # type: ignore[arg-type]
        if plan is call.plan and call.repeat is None and mask is None:
            call.repeat = plan.repeat(packed, None, None, x, residual, out, call.empty)
        return out

    def _apply_masked(
        self, x: Array, residual: Array | float | None, mask: Array | None, out: Any, n: int
    ) -> Array:
        """`_apply`, where `x` or `out` is a masked array."""
        settings, weight = self._settings, self._first_weight
        data, masks = unmask(x, mask, settings.head == "argmax")
        target = None if out is None else np.ma.getdata(out, subok=False)
        self._find(data, residual, target, masks)  # which checks everything
        into = mask_to_write(out, data, masks)
        lost = None
        if into is None:
            lost = find_lost(settings, weight, data, masks)
        y = self._apply(data, residual, masks, target, n)
        if into is not None:
            find_lost(settings, weight, data, masks, into)
            written: Array = out
            return written
        return with_mask(settings, y if out is None else out, lost, x)

    def _in_order(self, order: tuple[int, ...]) -> Layer:
        found = self._orders.get(order)
        if found is None:
            if len(self._orders) >= MOST_CALLS:
                self._orders.clear()
            found = self._orders[order] = self._for_order(order)
        return found

    def _find(
        self,
        x: Array,
        residual: Array | float | None,
        out: Array | None,
        mask: Masks = None,
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
        self._orders: dict[tuple[int, ...], Layer] = {}
        # The last call, which finds out by itself whether the next is like it.
        self._repeat = None

    def __getstate__(self) -> dict[str, Any]:
        caches = ("_calls", "_packed", "_orders", "_repeat")
        return {k: v for k, v in vars(self).items() if k not in caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()
