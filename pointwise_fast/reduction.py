"""Every check of arrays against a `LayerSpec` and each other, and the `Problem` they come to."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import Dtypes, cast_parameter, choose_dtypes, label_dtype
from .geometry import (
    Geometry,
    MaskGeometry,
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
from .missing import Missing
from .problem import Problem, QuantisedProblem, reduce_pixels
from .spec import LayerSpec, Shape

__all__ = ["reduce_call", "reduce_quantised"]


def reduce_call(
    spec: LayerSpec,
    x: Geometry,
    residual: Geometry | None = None,
    out: Geometry | None = None,
    mask: MaskGeometry = None,
    out_name: str = "out",
) -> tuple[Problem, Shape]:
    """Check arrays and reduce them to a `Problem`; also the shape of the result."""
    labels = spec.head == "argmax"
    some_missing = mask is not None or spec.missing.nodata is not None
    dtypes = _choose_dtypes(spec, x.dtype, some_missing)
    axis = find_channel_axis(spec, x.shape)
    masks = [spread_mask(m, x.shape, axis) for m in as_masks(mask)]
    x_shape, x_strides = stepped_along(spec, axis, x.shape, x.strides)
    pixels = (*x_shape[:axis], *x_shape[axis + 1 :])
    shape = pixels if labels else (*x_shape[:axis], spec.K, *x_shape[axis + 1 :])
    check_size(x.shape, shape, dtypes.out)
    if out is None:
        out = Geometry(shape, contiguous_strides(shape, dtypes.out.itemsize), dtypes.out)
    else:
        check_fits(out, shape, dtypes.out, out_name)
        # Its byte order, not the object: an equal dtype may be another type or have metadata.
        if out.dtype.isnative != dtypes.out.isnative:
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
        arrays[f"mask {i}"] = stepped_along(spec, axis, x.shape, m)[1]

    extents, strides = reduce_pixels(x_shape, axis, arrays)
    problem = Problem(
        dtype=dtypes.sums,
        x_dtype=dtypes.x,
        out_dtype=dtypes.out,
        outer=extents[:-1],
        C=spec.C,
        K=spec.K,
        P=extents[-1],
        groups=spec.groups,
        x_strides=strides["x"],
        out_strides=strides["out"],
        residual_strides=strides.get("residual"),
        residual_dtype=None if residual is None else residual.dtype,
        bias=spec.bias,
        activation=spec.activation,
        hidden=spec.hidden,
        head=spec.head,
        precision=spec.precision,
        missing=_resolve_missing(spec, dtypes) if some_missing else None,
        mask_strides=strides.get("mask 0"),
        second_mask_strides=strides.get("mask 1"),
        scale=spec.affine and spec.affine[0],
        offset=spec.affine and spec.affine[1],
    )
    _check_affine(problem)
    return problem, shape


def _resolve_missing(spec: LayerSpec, dtypes: Dtypes) -> Missing:
    """A chain's fill is its first layer's, of the sums' dtype, unless labels come of it."""
    labels = spec.head == "argmax"
    filled = dtypes.sums if spec.hidden and not labels else dtypes.out
    return spec.missing.resolve(dtypes.x, filled, labels)


def reduce_quantised(
    spec: LayerSpec,
    x: Geometry,
    residual: Geometry | None = None,
    out: Geometry | None = None,
    mask: MaskGeometry = None,
) -> tuple[QuantisedProblem, Shape]:
    """`reduce_call` of bytes, without residual and mask."""
    quantisation = spec.quantisation
    assert quantisation is not None
    axis = find_channel_axis(spec, x.shape)
    x_shape, x_strides = stepped_along(spec, axis, x.shape, x.strides)
    shape = (*x_shape[:axis], spec.K, *x_shape[axis + 1 :])
    dtype = quantisation.out_dtype
    check_size(x.shape, shape, dtype)
    if out is not None:
        check_fits(out, shape, dtype, "out")
        check_apart(out)
    out_strides = contiguous_strides(shape, 1) if out is None else out.strides
    extents, strides = reduce_pixels(shape, axis, {"x": x_strides, "out": out_strides})
    lo, hi = quantisation.bounds(spec.activation)
    problem = QuantisedProblem(
        x_dtype=quantisation.x_dtype,
        weight_dtype=quantisation.weight_dtype,
        out_dtype=dtype,
        outer=extents[:-1],
        C=spec.C,
        K=spec.K,
        P=extents[-1],
        x_strides=strides["x"],
        out_strides=strides["out"],
        x_zero=quantisation.x_zero,
        weight_zero=quantisation.weight_zero,
        multiplier=quantisation.multiplier,
        out_zero=quantisation.out_zero,
        lo=lo,
        hi=hi,
    )
    return problem, shape


def _check_affine(problem: Problem) -> None:
    """Refuse a scale or an offset that is computed with and would be infinite."""
    layers = problem.layers()
    for i, layer in enumerate(layers, 1):
        where = f"layer {i}: " if len(layers) > 1 else ""
        for name, values in ("scale", layer.scale), ("offset", layer.offset):
            if values is not None:
                cast_parameter(np.array(values), layer.affine_dtype, where + name)


def _choose_dtypes(spec: LayerSpec, x: np.dtype[Any], missing: bool) -> Dtypes:
    """Those of a call, in which data may be missing; what makes no sense together is refused."""
    head = spec.head
    precision = spec.precision
    before = choose_dtypes(x, spec.hidden_dtype, precision) if spec.hidden else None
    given = x if before is None else before.out
    if head == "argmax":
        labels = label_dtype(spec.K, spec.dtype, missing, spec.missing.fill)
        dtypes = choose_dtypes(given, None, precision)._replace(out=labels)
    else:
        dtypes = choose_dtypes(given, spec.dtype, precision)
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
        activations = [layer.activation for layer in spec.hidden] + [spec.activation]
        activation = next(filter(None, activations), None)
        if activation is not None:
            raise ValueError(
                f"activation {activation.name!r} is not defined for complex numbers; "
                f"x has dtype {x}"
            )
        if head is not None:
            raise ValueError(f"head {head!r} is not defined for complex numbers; x has dtype {x}")
    return dtypes
