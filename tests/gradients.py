"""Gradients in a wider dtype, each with the error that is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from support import WIDE, Array


def terms(n: int) -> float:
    """The most roundings of a product in a sum of n, as c_src/pointwise.h has it."""
    return min(n, 512 + 2 * math.ceil(math.sqrt(n))) + 2


def exact(
    grad_out: Array, x: Array, weight: Array, axis: int, groups: int = 1
) -> list[tuple[Array, Array]]:
    """The gradients for a stride of 1 in a wider dtype, each with the error that is allowed."""
    dtype = x.dtype
    wide, eps = WIDE[dtype], float(np.finfo(dtype).eps)
    K, C = weight.shape
    W = weight.astype(dtype).astype(wide).reshape(groups, K // groups, C)
    X = np.moveaxis(x, axis, 0).astype(wide)
    DY = np.moveaxis(grad_out, axis, 0).astype(wide).reshape(groups, K // groups, -1)
    pixels = X.shape[1:]
    X = X.reshape(groups, C, -1)
    n = X.shape[-1]

    def sums(W: Array, X: Array, DY: Array) -> list[Array]:
        back = (W.swapaxes(1, 2) @ DY).reshape(groups * C, *pixels)
        return [
            np.moveaxis(back, 0, axis),
            (DY @ X.swapaxes(1, 2)).reshape(K, C),
            DY.sum(axis=-1).reshape(K),
        ]

    values, sizes = sums(W, X, DY), sums(abs(W), abs(X), abs(DY))
    most = (K // groups + 4, terms(n), terms(n))
    return [(v, m * eps * s) for v, s, m in zip(values, sizes, most, strict=True)]


def assert_gradients(found: Any, grad_out: Array, x: Array, weight: Array, axis: int = -3) -> None:
    groups = x.shape[axis] // weight.shape[1] if weight.shape[1] else 1
    for name, result, (value, bound) in zip(
        ("x", "weight", "bias"), found, exact(grad_out, x, weight, axis, groups), strict=True
    ):
        assert result.shape == value.shape, name
        assert result.dtype == x.dtype, name
        assert result.flags.c_contiguous, name
        assert np.all(abs(result - value) <= bound), name


def draw(rng: np.random.Generator, dtype: Any, *shapes: tuple[int, ...]) -> list[Array]:
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]
