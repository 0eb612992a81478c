"""Where the elements of arrays lie, and whether arrays fit a layer's spec and one another."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arrays import shares_itself
from .dtypes import native
from .spec import LayerSpec, Shape

__all__ = [
    "NUMBER",
    "Geometry",
    "MaskGeometry",
    "Masks",
    "as_masks",
    "broadcast_residual",
    "check_apart",
    "check_fits",
    "check_size",
    "contiguous_strides",
    "find_channel_axis",
    "geometry",
    "spread_mask",
    "stepped",
    "stepped_along",
]

Array = npt.NDArray[Any]

#: Elements of an array: more than memory has, and few enough that 64 bits count their bytes.
_MOST_ELEMENTS = 1 << 53


class Geometry(NamedTuple):
    """Where an array's elements lie, relative to the first; strides are in bytes."""

    shape: Shape
    strides: Shape
    dtype: np.dtype[Any]


#: No mask, one, or that of a masked array and one besides.
MaskGeometry = Geometry | tuple[Geometry, Geometry] | None
Masks = Array | tuple[Array, Array] | None

#: A residual that is a number of Python: its dtype is that of the array to which it is added, as
#: in NumPy. No array has these strides.
NUMBER = Geometry((), (0,), np.dtype(float))


def geometry(array: Array) -> Geometry:
    return Geometry(array.shape, array.strides, array.dtype)


def as_masks(mask: Any) -> tuple[Any, ...]:
    """None, one or two of them, as arrays or as geometries, one after another."""
    if mask is None:
        return ()
    return mask if type(mask) is tuple else (mask,)


def find_channel_axis(spec: LayerSpec, shape: Shape) -> int:
    """The channel axis of `x` counted from the front."""
    ndim, axis = len(shape), spec.channel_axis
    if not -ndim <= axis < ndim:
        hint = "; for (C, L) signals pass channel_axis=-2, for rows of channels -1"
        raise ValueError(
            f"channel_axis={axis} does not exist: x has {ndim} axes, shape {shape}"
            + (hint if axis == -3 else "")
        )
    channels = shape[axis]
    if channels != spec.C:
        fits = [a - ndim for a in range(ndim) if shape[a] == spec.C and a != axis % ndim]
        hint = spec.hint_for(channels)
        if not hint and fits == [-1]:
            hint = "; for channels-last arrays pass channel_axis=-1"
        elif not hint and len(fits) == 1:
            hint = f"; axis {fits[0]} has {spec.C}: channel_axis={fits[0]}?"
        raise ValueError(f"x has {channels} channels on axis {axis}, {spec.expects()}{hint}")
    return axis % ndim


def stepped(spec: LayerSpec, shape: Shape, strides: Shape) -> tuple[Shape, Shape]:
    """Shape and strides of ``x[..., ::stride]``: those pixels of an `x` that are used."""
    return stepped_along(spec, find_channel_axis(spec, shape), shape, strides)


def stepped_along(spec: LayerSpec, axis: int, shape: Shape, strides: Shape) -> tuple[Shape, Shape]:
    """Shape and strides of ``x[..., ::stride]`` along the spatial axes."""
    if spec.stride == 1:
        return shape, strides
    ndim = len(shape)
    last = axis == ndim - 1
    spatial = list(range(1 if ndim > 3 else 0, axis) if last else range(axis + 1, ndim))
    step = spec.stride
    steps = (step,) * len(spatial) if isinstance(step, int) else step
    if len(steps) != len(spatial):
        raise ValueError(
            f"stride={step} has {len(steps)} entries; x of shape {shape} with channel axis "
            f"{spec.channel_axis} has {len(spatial)} spatial axes"
        )
    new_shape, new_strides = list(shape), list(strides)
    for a, n in zip(spatial, steps, strict=True):
        new_shape[a] = -(-shape[a] // n)
        new_strides[a] = strides[a] * min(n, shape[a])  # which bounds it: one pixel needs no step
    return tuple(new_shape), tuple(new_strides)


def spread_mask(mask: Geometry, x_shape: Shape, axis: int) -> Shape:
    """Strides of `mask` as if it had the shape of x: 0 where it is the same all along an axis."""
    pixels = (*x_shape[:axis], *x_shape[axis + 1 :])
    if mask.dtype != np.bool_:
        hint = ""
        if mask.dtype.kind in "ui":
            hint = (
                ". Where 255 is valid and 0 is missing, as in GDAL's and rasterio's masks, pass "
                "mask=src.dataset_mask() == 0; where 0 is valid, mask.astype(bool)"
            )
        raise TypeError(
            f"mask has dtype {mask.dtype}; bool is expected, True where x is missing{hint}"
        )
    as_x = _broadcast_strides(mask, x_shape)
    of_pixels = _broadcast_strides(mask, pixels)
    if of_pixels is not None:
        of_pixels = (*of_pixels[:axis], 0, *of_pixels[axis:])
    if as_x is None and of_pixels is None:
        raise ValueError(
            f"mask has shape {mask.shape}; {pixels}, as the pixels of x, or {x_shape}, as x, fits, "
            "or what NumPy would broadcast to one of them"
        )
    # What both readings make the same of, or what is as long as the pixels, is not ambiguous.
    whole = mask.shape == pixels[len(pixels) - len(mask.shape) :]
    if of_pixels is None or (mask.shape == x_shape and as_x is not None):
        assert as_x is not None
        return as_x
    if as_x in (None, of_pixels) or whole:
        return of_pixels
    raise ValueError(
        f"mask has shape {mask.shape}, which could be broadcast to {pixels}, the pixels of x, and "
        f"to {x_shape}, x, with another meaning: pass one of these shapes, as "
        f"numpy.broadcast_to(mask, {pixels}) or numpy.broadcast_to(mask, {x_shape})"
    )


def _broadcast_strides(array: Geometry, shape: Shape) -> Shape | None:
    """Strides of `array` broadcast to `shape`; None where NumPy would not."""
    ahead = len(shape) - len(array.shape)
    if ahead < 0 or any(n not in (1, m) for n, m in zip(array.shape, shape[ahead:], strict=True)):
        return None
    steps = zip(array.shape, array.strides, strict=True)
    return (0,) * ahead + tuple(0 if n == 1 else step for n, step in steps)


def broadcast_residual(residual: Geometry, shape: Shape, dtype: np.dtype[Any]) -> Geometry:
    """`residual` in `shape`, where NumPy would spread it so; else as it is."""
    if residual == NUMBER:
        return Geometry(shape, (0,) * len(shape), dtype)
    strides = _broadcast_strides(residual, shape)
    return residual if strides is None else residual._replace(shape=shape, strides=strides)


def contiguous_strides(shape: Shape, itemsize: int) -> Shape:
    strides = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def check_size(x_shape: Shape, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Refuse arrays that no memory holds before their bytes are computed with.

    `x`, of which elements may lie over one another, is of `x_shape`; the result of `shape`.
    """
    asked = math.prod(shape)
    if asked > _MOST_ELEMENTS:
        raise MemoryError(
            f"a result of shape {shape} and dtype {dtype} would take {asked * dtype.itemsize} "
            f"bytes; x has shape {x_shape}"
        )
    if math.prod(x_shape) > _MOST_ELEMENTS:
        raise MemoryError(
            f"x of shape {x_shape} has {math.prod(x_shape)} elements, at 4 bytes or more each "
            "on their way into the sums"
        )


def check_fits(array: Geometry, shape: Shape, dtype: np.dtype[Any], name: str) -> None:
    """Refuse an `array` that cannot be the result, in either byte order."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; the result has {shape}")
    if native(array.dtype) != native(dtype):
        raise TypeError(f"{name} has dtype {array.dtype}; the result has {dtype}")


def check_apart(out: Geometry) -> None:
    """Refuse an output of which one element would be written over another."""
    if shares_itself(out.shape, out.strides, out.dtype.itemsize):
        raise ValueError(
            f"out has elements that share memory: its shape is {out.shape}, its strides are "
            f"{out.strides} bytes; pass an array of its own, such as numpy.empty makes"
        )
