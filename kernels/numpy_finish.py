"""What the specification does before and after the product: missing data, heads, storing.

All on panels of channels by pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pointwise_fast.missing import Missing
    from pointwise_fast.problem import Problem

__all__ = ["absent", "apply_head", "lacking", "rescale", "store", "without_result"]

Array = npt.NDArray[Any]

#: Least norm that l2_normalize divides by; PyTorch's.
_LEAST_NORM = 1e-12


def absent(X: Array, nodata: tuple[float | None, ...] | None, mask: Array | None) -> Array:
    """Where `X` is missing."""
    gaps = np.zeros(X.shape, np.bool_)
    if mask is not None:
        gaps |= mask
    if nodata is not None:
        with np.errstate(invalid="ignore"):
            for row, values, value in zip(gaps, X, nodata, strict=True):
                if value is not None:
                    # As a scalar of that dtype: nothing is rounded on its way into a comparison.
                    row |= values != values if value != value else values == X.dtype.type(value)
    return gaps


def lacking(gaps: Array, missing: Missing) -> Array:
    """The pixels that have too few channels."""
    C = len(gaps)
    there = C - np.count_nonzero(gaps, axis=0)
    if missing.valid == "all":
        few: Array = there < C
    else:
        few = (there / max(C, 1) < missing.min_valid) & (C > 0) | (there == 0) & (C > 0)
    return few


def rescale(Y: Array, total: Array, there: Array, gaps: Array) -> tuple[Array, Array]:
    """Sums `Y` over the channels that are there, as if the others had weighed as much.

    `total` and `there` are sums of the sizes of the weights: of all, and of those there. The second
    result tells the outputs of which nothing can be said.
    """
    incomplete = gaps.any(axis=0) & (total != 0)
    factor = np.where(incomplete, total / there, 1)
    return Y * factor, incomplete & (there == 0)


def without_result(layers: Sequence[Problem], gaps: Array, none: Array | None) -> Array:
    """The outputs that have no result: of a single layer, or of the last of a chain.

    `none` tells the outputs of the first layer of which nothing can be said, as `rescale` does.
    The result is of pixels, or of channels by pixels.
    """
    missing = layers[0].missing
    assert missing is not None
    few = lacking(gaps, missing)
    if none is None:
        return few
    lost: Array = none | few
    for layer in layers[1:]:
        groups = lost.reshape(layer.groups, -1, lost.shape[-1]).any(axis=1)
        lost = np.repeat(groups, layer.K // layer.groups, axis=0)
    if layers[-1].head is not None:
        lost = np.asarray(lost.any(axis=0, keepdims=True))
    return lost


def apply_head(Y: Array, head: str | None) -> Array:
    """`head` over the channels."""
    result: Array
    if head is None:
        result = Y
    elif head == "argmax":
        result = Y.argmax(axis=0)[np.newaxis]
    elif head == "l2_normalize":
        norm = np.sqrt(np.sum(Y * Y, axis=0))
        result = Y / np.maximum(norm, Y.dtype.type(_LEAST_NORM))
    else:
        shifted = Y - Y.max(axis=0)
        powers = np.exp(shifted)
        total = powers.sum(axis=0)
        result = powers / total if head == "softmax" else shifted - np.log(total)
    return result


def store(Y: Array, dtype: np.dtype[Any]) -> Array:
    """`Y` as `dtype`: rounded to the nearest, half to even; integers saturate, NaN becomes 0."""
    if dtype.name == "bfloat16" and Y.dtype == np.float64:
        Y = _to_odd(Y)  # ml_dtypes rounds to float32 first
    if dtype.kind not in "ui" or Y.dtype.kind in "ui":
        return Y.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    top = Y.dtype.type(limits.max)
    rounds_up = int(top) > limits.max
    if rounds_up:  # the largest integer of 64 bits
        top = np.nextafter(top, Y.dtype.type(0))
    whole: Array = np.nan_to_num(np.clip(np.rint(Y), limits.min, top), nan=0).astype(dtype)
    if rounds_up:
        whole[top < Y] = limits.max
    return whole


def _to_odd(Y: Array) -> Array:
    """float64 as float32, rounded to odd: to 16 bits that rounds as `Y` itself would."""
    near = Y.astype(np.float32)
    bits = near.view(np.uint32)
    odd = (bits - (abs(near) > abs(Y))) | 1
    return np.where(near == Y, bits, odd).astype(np.uint32).view(np.float32)
