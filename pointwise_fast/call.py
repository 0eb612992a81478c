"""Every check of a call, made once for each combination of settings and array geometry.

`describe` puts a layer's `Settings` and the arrays' geometry together and gives a `Call`: a
`Problem`, the backend that takes it and its plan.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import dispatch
from .arrays import is_same, overlap
from .dtypes import Dtypes, choose_dtypes, label_dtype
from .kernels import Backend, Parameters, Plan, Repeat
from .problem import Problem, reduce_pixels
from .settings import Settings, Shape

__all__ = [
    "Call",
    "Geometry",
    "check_fits",
    "contiguous_strides",
    "describe",
    "find_channel_axis",
    "geometry",
    "reduce_call",
    "stepped",
]

Array = npt.NDArray[Any]


class Geometry(NamedTuple):
    """Where an array's elements lie, relative to the first; strides are in bytes."""

    shape: Shape
    strides: Shape
    dtype: np.dtype[Any]


def geometry(array: Array) -> Geometry:
    return Geometry(array.shape, array.strides, array.dtype)


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
        self.plan: Plan = _NothingToDo() if self._empty else backend.plan(problem)

    def plan_into(
        self, out: Array, x: Array, residual: Array | None, mask: Array | None
    ) -> Plan | None:
        """The plan that may write to `out`; None if it overlaps in a way that no plan can."""
        if mask is not None and overlap(mask, out):
            return None
        # The quick answer to what `overlap` asks: two owners of memory share none.
        apart = x.base is None and out.base is None and x is not out
        if apart and (residual is None or residual is out):
            return self.plan
        if residual is not None and overlap(residual, out) and not is_same(residual, out):
            return None
        if not overlap(x, out):
            return self.plan
        return self._in_place if is_same(x, out) else None

    @cached_property
    def _in_place(self) -> Plan | None:
        problem = replace(self.problem, in_place=True)
        if self._empty:
            return self.plan
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
    mask: Geometry | None = None,
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
    mask: Geometry | None = None,
    out_name: str = "out",
) -> tuple[Problem, Shape]:
    """Check arrays and reduce them to a `Problem`; also the shape of the result."""
    labels = settings.head == "argmax"
    dtypes = _choose_dtypes(settings, x.dtype)
    axis = find_channel_axis(settings, x.shape)
    if mask is not None:
        mask = _spread_mask(mask, x.shape, axis)
    x_shape, x_strides = _apply_stride(settings, axis, x.shape, x.strides)
    pixels = (*x_shape[:axis], *x_shape[axis + 1 :])
    shape = pixels if labels else (*x_shape[:axis], settings.K, *x_shape[axis + 1 :])
    if out is None:
        out = Geometry(shape, contiguous_strides(shape, dtypes.out.itemsize), dtypes.out)
    check_fits(out, shape, dtypes.out, out_name)
    out_strides = (*out.strides[:axis], 0, *out.strides[axis:]) if labels else out.strides
    arrays = {"x": x_strides, "out": out_strides}
    if residual is not None:
        if labels:
            raise ValueError("residual cannot be added to the labels of head='argmax'")
        check_fits(residual, shape, dtypes.out, "residual")
        arrays["residual"] = residual.strides
    if mask is not None:
        arrays["mask"] = _apply_stride(settings, axis, mask.shape, mask.strides)[1]

    extents, strides = reduce_pixels(x_shape, axis, arrays)
    spec = settings.missing
    some_missing = mask is not None or spec.nodata is not None
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
        bias=settings.bias,
        activation=settings.activation,
        hidden=settings.hidden,
        head=settings.head,
        precision=settings.precision,
        # Of a chain the first layer's, whose result is of the sums' dtype.
        missing=spec.resolve(dtypes.x, dtypes.sums if settings.hidden else dtypes.out)
        if some_missing
        else None,
        mask_strides=strides.get("mask"),
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


def _choose_dtypes(settings: Settings, x: np.dtype[Any]) -> Dtypes:
    """Those of a call; what makes no sense together is refused."""
    head = settings.head
    before = choose_dtypes(x, settings.hidden_dtype) if settings.hidden else None
    given = x if before is None else before.out
    if head == "argmax":
        dtypes = choose_dtypes(given, None)._replace(out=label_dtype(settings.K, settings.dtype))
    else:
        dtypes = choose_dtypes(given, settings.dtype)
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
        hint = ""
        if -1 in fits:
            hint = "; for channels-last arrays pass channel_axis=-1"
        elif fits:
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
        new_strides[a] = strides[a] * n
    return tuple(new_shape), tuple(new_strides)


def _spread_mask(mask: Geometry, x_shape: Shape, axis: int) -> Geometry:
    """`mask` as if it had the shape of x."""
    if mask.dtype != np.bool_:
        raise TypeError(f"mask has dtype {mask.dtype}; bool is expected, True where x is missing")
    pixels = (*x_shape[:axis], *x_shape[axis + 1 :])
    if mask.shape == x_shape:
        return mask
    if mask.shape != pixels:
        raise ValueError(
            f"mask has shape {mask.shape}; {pixels}, as the pixels of x, or {x_shape}, as x, fits"
        )
    return mask._replace(shape=x_shape, strides=(*mask.strides[:axis], 0, *mask.strides[axis:]))


def contiguous_strides(shape: Shape, itemsize: int) -> Shape:
    strides = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def check_fits(array: Geometry, shape: Shape, dtype: np.dtype[Any], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; the result has {shape}")
    if array.dtype != dtype:
        raise TypeError(f"{name} has dtype {array.dtype}; the result has {dtype}")
