"""Masked arrays: in with their mask, out with that of what has no result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import overlap
from .composed import merge
from .dtypes import default_fill, holds
from .foreign import is_masked
from .geometry import Geometry, Masks, as_masks, geometry
from .kernels.numpy_blas import sizes
from .kernels.numpy_finish import absent, rescale, without_result
from .kernels.panels import panels
from .reduction import reduce_call
from .spec import LayerSpec

__all__ = ["find_lost", "mask_to_write", "unmask", "with_mask"]

Array = npt.NDArray[Any]
#: The weight of the first layer, as ``(K, C/groups)`` in some dtype.
FirstWeight = Callable[[np.dtype[Any]], Array]


def unmask(x: Array, mask: Array | None, labels: bool) -> tuple[Array, Masks]:
    """The data of `x`, and its mask with the one besides.

    Of no mask a scalar is made where there are `labels`: see `as_mask`.
    """
    if not is_masked(x):
        return x, mask
    data, own = np.ma.getdata(x, subok=False), np.asarray(np.ma.getmask(x))
    if own.ndim == 0 and x.ndim and (mask is not None or not labels):
        return data, mask
    return data, own if mask is None else (own, mask)


def mask_to_write(out: Any, data: Array, masks: Masks) -> Array | None:
    """The mask of `out`, where it may be written without harm to what is yet to be read."""
    if not is_masked(out):
        return None
    if np.ma.getmask(out) is np.ma.nomask:
        return None
    into = np.ma.getmaskarray(out)
    read = (data, *as_masks(masks))
    harmless = not any(overlap(a, b) for a in read for b in (into, np.ma.getdata(out, subok=False)))
    return into if harmless else None


def find_lost(
    spec: LayerSpec,
    first_weight: FirstWeight,
    x: Array,
    masks: Masks,
    into: Array | None = None,
) -> Array | None:
    """Where a layer has no result, written `into` an array of its shape or to a new one.

    None: nothing can be missing.
    """
    found = [geometry(m) for m in as_masks(masks)]
    given: Any = tuple(found) if len(found) == 2 else next(iter(found), None)
    problem, shape = reduce_call(spec, geometry(x), None, None, given)
    if problem.missing is None:
        if into is not None:
            into[...] = False
        return None
    lost = np.empty(shape, np.bool_) if into is None else into
    # A result of that shape, whose elements lie where those of the mask do.
    like = Geometry(shape, lost.strides, problem.out_dtype)
    problem, _ = reduce_call(spec, geometry(x), None, like, given, out_name="mask")
    assert problem.missing is not None
    layers = problem.layers()
    weight = None
    if problem.missing.valid == "any":
        weight = first_weight(problem.dtype)
    X, Y, M = problem.x_view(x), problem.out_view(lost), problem.mask_views(as_masks(masks))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for panel in panels(problem):
            gaps = absent(X[panel], problem.missing.nodata, merge([m[panel] for m in M]))
            none = None
            if weight is not None:
                total, there = sizes(layers[0], weight, gaps)
                none = rescale(there, total, there, gaps)[1]
            Y[panel] = without_result(layers, gaps, none)
    return lost


def with_mask(spec: LayerSpec, y: Any, lost: Array | None, x: Any) -> Array:
    """`y` as a masked array, or with its mask set where it is one."""
    if is_masked(y):
        hard = y.hardmask
        y.soften_mask()
        if lost is not None or np.ma.is_masked(y):
            y.mask = False if lost is None else lost
        if hard:
            y.harden_mask()
        return y
    fill = spec.missing.fill
    labels = spec.head == "argmax"
    # That of a chain is put in before its last layer, or does not matter if nothing is missing.
    beside = spec.hidden and not labels
    if fill is None or beside or (y.dtype.kind in "ui" and not holds(y.dtype, fill)):
        fill = default_fill(y.dtype, labels)
    result: Array = np.ma.MaskedArray(
        y,
        mask=np.ma.nomask if lost is None else lost,
        fill_value=y.dtype.type(fill),
        hard_mask=getattr(x, "hardmask", False),
    )
    return result
