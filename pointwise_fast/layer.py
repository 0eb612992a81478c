"""`BaseLayer` and `Layer`: what is applied to array after array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, cast
from weakref import WeakMethod

import numpy as np
import numpy.typing as npt

from .arrays import as_input, as_mask, as_x, check_out
from .config import default, resolve_threads
from .execute import execute
from .foreign import is_masked
from .geometry import Masks
from .kernels import Plan, Repeat
from .keys import keep
from .masked import find_lost, mask_to_write, unmask, with_mask
from .names import find_channels, has_names
from .prepare import Geometries, Prepared, geometries, prepare
from .spec import LayerSpec
from .typing import Head

__all__ = ["BaseLayer", "Layer", "as_residual"]

Array = npt.NDArray[Any]


def as_residual(value: Any) -> Array | float:
    """`value` as an array; a number of Python stays one, for it has no dtype yet."""
    return value if type(value) in (int, float) else as_input(value, "residual")


class BaseLayer(ABC):
    """What is applied to array after array: checks, plans and packed weights are made once."""

    _spec: LayerSpec

    @abstractmethod
    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        """All weights and biases, packed."""

    @property
    def in_channels(self) -> int:
        return self._spec.C

    @property
    def out_channels(self) -> int:
        return self._spec.K

    @property
    def channel_axis(self) -> int:
        return self._spec.channel_axis

    @property
    def stride(self) -> int | tuple[int, ...]:
        return self._spec.stride

    def _find(
        self,
        x: Array,
        residual: Array | float | None = None,
        out: Array | None = None,
        mask: Masks = None,
    ) -> Prepared:
        """A checked call for these arrays, with the weights packed for it."""
        of = geometries(x, residual, out, mask)
        return self._prepared.get(of) or self._prepare(of)

    def _prepare(self, of: Geometries) -> Prepared:
        return keep(self._prepared, of, prepare(self._spec, of, WeakMethod(self._pack)))

    def _pack(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        key = plan.pack_key, dtype
        packed = self._packed.get(key)
        return keep(self._packed, key, self._pack_for(plan, dtype)) if packed is None else packed

    def _forget(self) -> None:
        self._prepared: dict[Geometries, Prepared] = {}
        # By the way a plan wants its weights, and their dtype.
        self._packed: dict[tuple[Hashable, np.dtype[Any]], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        made = ("_prepared", "_packed", "_orders", "_repeat", "_repeats")
        return {k: v for k, v in vars(self).items() if k not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()


class Layer(BaseLayer):
    """A layer of floats, whose arrays may be masked and have names for channels."""

    _repeat: Repeat | None

    @abstractmethod
    def _first_weight(self, dtype: np.dtype[Any]) -> Array:
        """The weight of the first layer, as ``(K, C/groups)``."""

    def _for_order(self, order: tuple[int, ...]) -> Layer:
        """The same layer for an `x` whose channels come in another order."""
        raise NotImplementedError

    @property
    def head(self) -> Head | None:
        return cast("Head | None", self._spec.head)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        return self._spec.dtype

    @property
    def nodata(self) -> tuple[Any, ...] | None:
        return self._spec.missing.nodata

    @property
    def _adds_input(self) -> bool:
        """Whether the layer brings its input as a residual itself."""
        return False

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
        spec = self._spec
        if out is not None:
            out = check_out(out, masked=True)
        of_x = residual is x and spec.missing.valid == "all"  # then their masks are one
        if spec.channels is not None and has_names(x):
            x, order = find_channels(x, spec.channels, spec.channel_axis)
            if order is not None:
                rest: Any = x if of_x else residual
                return self._in_order(order)(x, residual=rest, mask=mask, out=out, threads=n)
        x = as_x(x, spec.channel_axis)
        added: Array | float | None = None
        if of_x:
            added = np.asarray(x)
        elif residual is not None:
            added = as_residual(residual)
        if mask is not None:
            mask = as_mask(mask, spec.head == "argmax")
        if is_masked(x) or is_masked(out):
            return self._apply_masked(x, added, mask, out, n)
        return self._apply(x, added, mask, out, n)

    def _apply(
        self, x: Array, residual: Array | float | None, mask: Masks, out: Array | None, n: int
    ) -> Array:
        """The layer of arrays of NumPy, by `n` threads."""
        of = geometries(x, residual, out, mask)
        prepared = self._prepared.get(of)
        kind = x.dtype, x.ndim, residual is None
        if prepared is None and mask is None:
            like = self._repeats.get(kind)
            if like is not None and like is not self._repeat:
                found = like(x, residual, out, n)
                if found is not None:
                    self._repeat = like
                    return found
        if prepared is None:
            prepared = self._prepare(of)
        added = None if residual is None else prepared.residual(residual)
        result = execute(prepared, x, added, mask, out, n)
        if prepared.repeat is not None:
            self._repeat = keep(self._repeats, kind, prepared.repeat)
        return result

    def _apply_masked(
        self, x: Array, residual: Array | float | None, mask: Array | None, out: Any, n: int
    ) -> Array:
        """`_apply`, where `x` or `out` is a masked array."""
        spec, weight = self._spec, self._first_weight
        data, masks = unmask(x, mask, spec.head == "argmax")
        target = None if out is None else np.ma.getdata(out, subok=False)
        self._find(data, residual, target, masks)  # which checks everything
        into = mask_to_write(out, data, masks)
        lost = None
        if into is None:
            lost = find_lost(spec, weight, data, masks)
        y = self._apply(data, residual, masks, target, n)
        if into is not None:
            find_lost(spec, weight, data, masks, into)
            written: Array = out
            return written
        return with_mask(spec, y if out is None else out, lost, x)

    def _in_order(self, order: tuple[int, ...]) -> Layer:
        found = self._orders.get(order)
        return keep(self._orders, order, self._for_order(order)) if found is None else found

    def _forget(self) -> None:
        super()._forget()
        self._orders: dict[tuple[int, ...], Layer] = {}
        # The last call, which finds out by itself whether the next is like it; and the last of each
        # kind, for arrays of other sizes: dtype and axes of x, and whether there is no residual.
        self._repeat = None
        self._repeats: dict[tuple[np.dtype[Any], int, bool], Repeat] = {}
