"""Every check of a call, made once for each combination of settings and array geometry.

`describe` puts a layer's `Settings` and the arrays' geometry together and gives a `Call`: a
`Problem`, the backend that takes it and its plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from . import dispatch
from .arrays import is_same, overlap, owners
from .dtypes import Dtypes, cast_parameter, choose_dtypes, label_dtype
from .geometry import (
    Geometry,
    MaskGeometry,
    Masks,
    as_masks,
    broadcast_residual,
    check_apart,
    check_fits,
    check_size,
    contiguous_strides,
    find_channel_axis,
    spread_mask,
    stepped_along,
)
from .kernels import Backend, Parameters, Plan, Repeat
from .merged import MergedPlan
from .problem import Problem, reduce_pixels
from .settings import Settings, Shape

__all__ = ["Call", "describe", "reduce_call"]

Array = npt.NDArray[Any]


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
    masks = [spread_mask(m, x.shape, axis) for m in as_masks(mask)]
    x_shape, x_strides = stepped_along(settings, axis, x.shape, x.strides)
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
        residual = broadcast_residual(residual, shape, dtypes.out)
        check_fits(residual, shape, dtypes.out, "residual")
        arrays["residual"] = residual.strides
    for i, m in enumerate(masks):
        arrays[f"mask {i}"] = stepped_along(settings, axis, x.shape, m)[1]

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
    layers = problem.layers()
    for i, layer in enumerate(layers, 1):
        where = f"layer {i}: " if len(layers) > 1 else ""
        for name, values in ("scale", layer.scale), ("offset", layer.offset):
            cast_parameter(np.array(values or ()), layer.affine_dtype, where + name)


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
