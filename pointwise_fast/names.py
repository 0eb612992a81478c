"""``channels=[names]``: arrays whose channels have names, and the order in which they come.

Known by what they have, for none of their libraries is imported: fields of a structured dtype, the
columns of a DataFrame, the index of a Series, a coordinate of an xarray.DataArray.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .foreign import is_masked, refuse_foreign

__all__ = ["Order", "as_names", "find_channels", "has_names", "parse_channels"]

Array = npt.NDArray[Any]
Names = tuple[Hashable, ...]
#: Where in x each of the named channels is; None: in the order of the names.
Order = tuple[int, ...] | None


def as_names(channels: Any) -> Names | None:
    """As a user passes them, as a tuple."""
    if channels is None:
        return None
    if isinstance(channels, str | bytes) or not isinstance(channels, Iterable):
        raise TypeError(f"channels must be a list of names; got {channels!r}")
    return tuple(channels)


def parse_channels(channels: Any, C: int) -> Names | None:
    """Check what a user passes for `C` input channels.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    names = as_names(channels)
    if names is None:
        return None
    if len(names) != C:
        raise ValueError(f"channels has {len(names)} names; weight expects {C} channels")
    try:
        twice = [name for name in names if names.count(name) > 1]
        hash(names)
    except (TypeError, ValueError):
        raise TypeError(f"channels must be a list of names; got {channels!r}") from None
    if twice:
        raise ValueError(f"channels has {twice[0]!r} twice")
    return names


def has_names(x: Any) -> bool:
    """Whether the channels of `x` have names; quick for an ndarray without."""
    if isinstance(x, np.ndarray):
        return x.dtype.names is not None
    return _columns(x) is not None or (hasattr(x, "dims") and hasattr(x, "coords"))


def find_channels(x: Any, names: Names, axis: int) -> tuple[Any, Order]:
    """Of `x`, for which `has_names`, an array with these channels on `axis`, and their order.

    Raises
    ------
    TypeError, ValueError
        Naming the first channel that `x` does not have, or what is in the way.
    """
    if is_masked(x):
        data, order = _fields(x.data, names, axis)
        mask = np.ma.getmaskarray(x)  # records have one
        found = np.ma.MaskedArray(data, mask=_fields(mask, names, axis, like=x.dtype)[0])
        if x.hardmask:
            found.harden_mask()
        return found, order
    if isinstance(x, np.ndarray):
        return _fields(x, names, axis)
    if _columns(x) is not None:
        return _of_columns(x, names, axis)
    return _of_coordinate(x, names, axis)


def _places(of: Sequence[Hashable], names: Names, what: str) -> list[int]:
    """Where among those `of` x each name is."""
    places: list[int] = []
    for name in names:
        count = of.count(name)
        if count != 1:
            has = f"{count} channels" if count else "no channel"
            raise ValueError(f"x has {has} named {name!r}; its {what} are {_listed(of)}")
        places.append(of.index(name))
    return places


def _listed(names: Sequence[Hashable]) -> str:
    shown = [repr(name) for name in names[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _as_order(places: Sequence[int]) -> Order:
    return None if list(places) == sorted(places) else tuple(places)


def _fields(
    x: Array, names: Names, axis: int, like: np.dtype[Any] | None = None
) -> tuple[Array, Order]:
    """Fields of records as channels, without a copy; in the order that they have in `like`."""
    fields: Any = x.dtype.fields
    arranged: Any = fields if like is None else like.fields
    _places(list(x.dtype.names or ()), names, "fields")
    by_offset = sorted(names, key=lambda name: arranged[name][1])
    dtypes = {fields[name][0] for name in names}
    if len(dtypes) > 1 or any(dtype.shape for dtype in dtypes):
        raise TypeError(
            f"x has fields of dtypes {', '.join(sorted(map(str, dtypes)))}; channels have one: "
            "pass numpy.lib.recfunctions.structured_to_unstructured(x[names])"
        )
    offsets = [fields[name][1] for name in by_offset]
    steps = set(np.diff(offsets).tolist()) or {0}
    if len(steps) > 1:
        raise ValueError(
            "the fields of x that channels names are not equally far apart: pass "
            "numpy.lib.recfunctions.structured_to_unstructured(x[names])"
        )
    if not names:
        raise ValueError("channels names no field of x")
    first = np.asarray(x)[str(by_offset[0])]  # names of fields are strings
    ndim = first.ndim + 1
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"channel_axis={axis} does not exist: x has {ndim} axes, its fields being one"
        )
    view = np.lib.stride_tricks.as_strided(
        first, (*first.shape, len(names)), (*first.strides, steps.pop())
    )
    order = _as_order([by_offset.index(name) for name in names])
    return np.moveaxis(view, -1, axis), order


def _columns(x: Any) -> list[Hashable] | None:
    """Names of a DataFrame's columns, or of a Series' elements."""
    if not hasattr(x, "to_numpy") or hasattr(x, "coords"):
        return None
    names = getattr(x, "columns", getattr(x, "index", None))
    return list(names) if isinstance(names, Iterable) else None


def _of_columns(x: Any, names: Names, axis: int) -> tuple[Any, Order]:
    columns = _columns(x) or []
    ndim = len(x.shape)
    if axis not in (-1, ndim - 1):
        raise ValueError(
            f"channel_axis={axis}, but the columns of a {type(x).__name__} are its last axis; "
            "pass channel_axis=-1"
        )
    refuse_foreign(x, "x", axis)
    places = _places(columns, names, "columns")
    if len(columns) > len(names):  # which need not be numbers
        return x[list(names)], None
    return x, _as_order(places)


def _of_coordinate(x: Any, names: Names, axis: int) -> tuple[Any, Order]:
    if getattr(x, "chunks", None) is not None or not hasattr(x, "to_numpy"):
        refuse_foreign(x, "x", axis)
    ndim = x.ndim
    if not -ndim <= axis < ndim:
        raise ValueError(f"channel_axis={axis} does not exist: x has {ndim} axes {x.dims}")
    dim = x.dims[axis]
    along = {name: c.values.tolist() for name, c in x.coords.items() if c.dims == (dim,)}
    if not along:
        raise ValueError(
            f"x has no coordinate along {dim!r}, axis {axis}, that names its channels; pass "
            "x.to_numpy(), whose channels are taken in their order"
        )
    # That of the axis, unless another has the names.
    fits = [values for values in along.values() if set(names) <= set(values)]
    values = fits[0] if fits else along.get(dim, next(iter(along.values())))
    places = _places(values, names, f"coordinates along {dim!r}")
    array = x.to_numpy()
    if len(values) == len(names):
        return array, _as_order(places)
    step = places[1] - places[0] if len(places) > 1 else 1
    if any(b - a != step for a, b in pairwise(places)):
        raise ValueError(
            f"x has other channels between those that channels names; pass "
            f"x.sel({dim}={list(names)})"
        )
    index: list[slice] = [slice(None)] * ndim
    end = places[-1] + step
    index[axis] = slice(places[0], end if end >= 0 else None, step)
    return array[tuple(index)], None
