"""Every check of a call, made once for each combination of settings and array geometry.

`describe` puts a layer's `Settings` and the arrays' geometry together and gives a `Call`: a
`Problem`, the backend that takes it and its plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import dispatch
from .arrays import is_same, overlap, owners, shares_itself
from .dtypes import Dtypes, choose_dtypes, label_dtype, native
from .kernels import Backend, Parameters, Plan, Repeat
from .merged import MergedPlan
from .problem import Problem, reduce_pixels
from .settings import Settings, Shape

__all__ = [
    "NUMBER",
    "Call",
    "Geometry",
    "MaskGeometry",
    "Masks",
    "as_masks",
    "check_apart",
    "check_fits",
    "check_size",
    "contiguous_strides",
    "describe",
    "find_channel_axis",
    "geometry",
    "reduce_call",
    "stepped",
]

Array = npt.NDArray[Any]

#: Elements of an array: more than memory has, and few enough that 64 bits count their bytes.
_MOST_ELEMENTS = 1 << 53


class Geometry(NamedTuple):
    """Where an array's elements lie, relative to the first; strides are in bytes."""

    shape: Shape
    strides: Shape
    dtype: np.dtype[Any]


#: Of no mask, of one, or of that of a masked array and one besides.
MaskGeometry = Geometry | tuple[Geometry, Geometry] | None
Masks = Array | tuple[Array, Array] | None

#: Of a residual that is a number of Python: its dtype is that of the array to which it is added, as
#: in NumPy. No array has these strides.
NUMBER = Geometry((), (0,), np.dtype(float))


def geometry(array: Array) -> Geometry:
    return Geometry(array.shape, array.strides, array.dtype)


def as_masks(mask: Any) -> tuple[Any, ...]:
    """None, one or two of them, as arrays or as geometries, one after another."""
    if mask is None:
        return ()
    return mask if type(mask) is tuple else (mask,)


class Call:
    """A checked call without its data.

    Attributes
    ----------
    settings : Settings
    problem : Problem
    plan : Plan
    dtype : numpy.dtype
        Of the weights and sums.
    empty : callable
        Makes an array for the result.
    backend : Backend
        Whose plan it is.
    repeat : Repeat or None
        The plan's, once it has been made.
    """

    repeat: Repeat | None = None

    def __init__(
        self, settings: Settings, problem: Problem, backend: Backend, shape: Shape
    ) -> None:
        self.settings = settings
        self.problem = problem
        self.dtype = problem.dtype
        self.empty: Callable[[], Array] = partial(np.empty, shape, problem.out_dtype)
        self.backend = backend
        self._empty = 0 in (problem.K, problem.P, *problem.outer)
        self.plan: Plan
        if self._empty:
            self.plan = _NothingToDo()
        elif problem.second_mask_strides is None:
            self.plan = backend.plan(problem)
        else:
            self.plan = MergedPlan(problem, backend)

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

    @cached_property
    def _in_place(self) -> Plan | None:
        problem = replace(self.problem, in_place=True)
        if self._empty:
            return self.plan
        if problem.second_mask_strides is not None:
            return None
        if self.backend.unsupported(problem) is not None:
            return None
        return self.backend.plan(problem)


class _NothingToDo:
    """The plan of a problem with no output element."""

    pack_key: Hashable = "nothing"

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

    def repeat(self, *_: Any) -> None:
        return None


def describe(
    settings: Settings,
    x: Geometry,
    residual: Geometry | None = None,
    out: Geometry | None = None,
    mask: MaskGeometry = None,
) -> Call:
    """Check arrays against `settings` and each other, and find who computes them."""
    problem, shape = reduce_call(settings, x, residual, out, mask)
    backend, reason = dispatch.select(settings.backend, problem)
    if backend is None:
        raise ValueError(reason)
    return Call(settings, problem, backend, shape)


def reduce_call(
    settings: Settings,
    x: Geometry,
    residual: Geometry | None = None,
    out: Geometry | None = None,
    mask: MaskGeometry = None,
    out_name: str = "out",
) -> tuple[Problem, Shape]:
    """Check arrays and reduce them to a `Problem`; also the shape of the result."""
    labels = settings.head == "argmax"
    spec = settings.missing
    some_missing = mask is not None or spec.nodata is not None
    dtypes = _choose_dtypes(settings, x.dtype, some_missing)
    axis = find_channel_axis(settings, x.shape)
    masks = [_spread_mask(m, x.shape, axis) for m in as_masks(mask)]
    x_shape, x_strides = _apply_stride(settings, axis, x.shape, x.strides)
    pixels = (*x_shape[:axis], *x_shape[axis + 1 :])
    shape = pixels if labels else (*x_shape[:axis], settings.K, *x_shape[axis + 1 :])
    check_size(x.shape, shape, dtypes.out)
    if out is None:
        out = Geometry(shape, contiguous_strides(shape, dtypes.out.itemsize), dtypes.out)
    check_fits(out, shape, dtypes.out, out_name)
    dtypes = dtypes._replace(out=out.dtype)
    if out_name == "out":
        check_apart(out)
    out_strides = (*out.strides[:axis], 0, *out.strides[axis:]) if labels else out.strides
    arrays = {"x": x_strides, "out": out_strides}
    if residual is not None:
        if labels:
            raise ValueError("residual cannot be added to the labels of head='argmax'")
        residual = _broadcast(residual, shape, dtypes.out)
        check_fits(residual, shape, dtypes.out, "residual")
        arrays["residual"] = residual.strides
    for i, m in enumerate(masks):
        arrays[f"mask {i}"] = _apply_stride(settings, axis, x.shape, m)[1]

    extents, strides = reduce_pixels(x_shape, axis, arrays)
    problem = Problem(
        dtype=dtypes.sums,
        x_dtype=dtypes.x,
        out_dtype=dtypes.out,
        outer=extents[:-1],
        C=settings.C,
        K=settings.K,
        P=extents[-1],
        groups=settings.groups,
        x_strides=strides["x"],
        out_strides=strides["out"],
        residual_strides=strides.get("residual"),
        residual_dtype=None if residual is None else residual.dtype,
        bias=settings.bias,
        activation=settings.activation,
        hidden=settings.hidden,
        head=settings.head,
        precision=settings.precision,
        # A chain's fill is its first layer's, of the sums' dtype, unless labels come of it.
        missing=spec.resolve(
            dtypes.x, dtypes.sums if settings.hidden and not labels else dtypes.out, labels
        )
        if some_missing
        else None,
        mask_strides=strides.get("mask 0"),
        second_mask_strides=strides.get("mask 1"),
        scale=settings.affine and settings.affine[0],
        offset=settings.affine and settings.affine[1],
    )
    _check_affine(problem)
    return problem, shape


def _check_affine(problem: Problem) -> None:
    """Refuse a scale or an offset that is computed with and would be infinite."""
    for layer in problem.layers():
        dtype = layer.affine_dtype
        for name, values in ("scale", layer.scale), ("offset", layer.offset):
            largest = max(map(abs, values or ()), default=0.0)
            if largest > float(np.finfo(dtype).max):
                raise ValueError(
                    f"{name}={largest:g} does not fit {dtype}, in which it is applied to x; "
                    "dtype='float64' does"
                )


def stepped(settings: Settings, shape: Shape, strides: Shape) -> tuple[Shape, Shape]:
    """Shape and strides of ``x[..., ::stride]``: those pixels of an `x` that are used."""
    return _apply_stride(settings, find_channel_axis(settings, shape), shape, strides)


def _choose_dtypes(settings: Settings, x: np.dtype[Any], missing: bool) -> Dtypes:
    """Those of a call, in which data may be missing; what makes no sense together is refused."""
    head = settings.head
    precision = settings.precision
    before = choose_dtypes(x, settings.hidden_dtype, precision) if settings.hidden else None
    given = x if before is None else before.out
    if head == "argmax":
        labels = label_dtype(settings.K, settings.dtype, missing, settings.missing.fill)
        dtypes = choose_dtypes(given, None, precision)._replace(out=labels)
    else:
        dtypes = choose_dtypes(given, settings.dtype, precision)
        if head is not None and dtypes.out.kind in "ui":
            raise TypeError(f"head={head!r} gives fractions, which dtype={dtypes.out} cannot hold")
    if before is not None:
        if dtypes.sums != before.sums:
            raise TypeError(
                f"the last layer computes in {dtypes.sums}, those before it in {before.sums}; "
                "a chain has one dtype of sums: pass another dtype= to the first or the last layer"
            )
        dtypes = dtypes._replace(x=x)
    if dtypes.sums.kind == "c":
        activations = [layer.activation for layer in settings.hidden] + [settings.activation]
        activation = next(filter(None, activations), None)
        if activation is not None:
            raise ValueError(
                f"activation {activation.name!r} is not defined for complex numbers; "
                f"x has dtype {x}"
            )
        if head is not None:
            raise ValueError(f"head {head!r} is not defined for complex numbers; x has dtype {x}")
    return dtypes


def find_channel_axis(settings: Settings, shape: Shape) -> int:
    """The channel axis of `x` counted from the front."""
    ndim, axis = len(shape), settings.channel_axis
    if not -ndim <= axis < ndim:
        hint = "; for (C, L) signals pass channel_axis=-2, for rows of channels -1"
        raise ValueError(
            f"channel_axis={axis} does not exist: x has {ndim} axes, shape {shape}"
            + (hint if axis == -3 else "")
        )
    channels = shape[axis]
    if channels != settings.C:
        fits = [a - ndim for a in range(ndim) if shape[a] == settings.C and a != axis % ndim]
        hint = settings.hint_for(channels)
        if not hint and fits == [-1]:
            hint = "; for channels-last arrays pass channel_axis=-1"
        elif not hint and len(fits) == 1:
            hint = f"; axis {fits[0]} has {settings.C}: channel_axis={fits[0]}?"
        raise ValueError(f"x has {channels} channels on axis {axis}, {settings.expects()}{hint}")
    return axis % ndim


def _apply_stride(
    settings: Settings, axis: int, shape: Shape, strides: Shape
) -> tuple[Shape, Shape]:
    """Shape and strides of ``x[..., ::stride]`` along the spatial axes."""
    if settings.stride == 1:
        return shape, strides
    ndim = len(shape)
    last = axis == ndim - 1
    spatial = list(range(1 if ndim > 3 else 0, axis) if last else range(axis + 1, ndim))
    step = settings.stride
    steps = (step,) * len(spatial) if isinstance(step, int) else step
    if len(steps) != len(spatial):
        raise ValueError(
            f"stride={step} has {len(steps)} entries; x of shape {shape} with channel axis "
            f"{settings.channel_axis} has {len(spatial)} spatial axes"
        )
    new_shape, new_strides = list(shape), list(strides)
    for a, n in zip(spatial, steps, strict=True):
        new_shape[a] = -(-shape[a] // n)
        new_strides[a] = strides[a] * min(n, shape[a])  # which bounds it: one pixel needs no step
    return tuple(new_shape), tuple(new_strides)


def _spread_mask(mask: Geometry, x_shape: Shape, axis: int) -> Shape:
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


def _broadcast(residual: Geometry, shape: Shape, dtype: np.dtype[Any]) -> Geometry:
    """`residual` in `shape`, where NumPy would spread it so; else as it is."""
    if residual == NUMBER:
        return Geometry(shape, (0,) * len(shape), dtype)
    missing = len(shape) - len(residual.shape)
    given = (1,) * missing + residual.shape
    if missing < 0 or any(m not in (1, n) for m, n in zip(given, shape, strict=True)):
        return residual
    steps = zip(given, shape, (0,) * missing + residual.strides, strict=True)
    return residual._replace(
        shape=shape, strides=tuple(step if m == n else 0 for m, n, step in steps)
    )


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
