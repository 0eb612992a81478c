"""Values of every dtype, and the ways in which an image lies in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Array, Backend, numbers

import pointwise_fast as pf

LAYOUTS = ["planar", "interleaved", "strided"]


def values(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    """Random values: the whole range of a small dtype, more than float32 holds of a long one."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind in "ui":
        limits = np.iinfo(kind)
        low, high = max(limits.min, -(2**40)), min(limits.max, 2**40)
        return rng.integers(low, high, shape, kind.type if kind.itemsize < 8 else np.int64).astype(
            kind
        )
    if kind.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(kind)
    return rng.standard_normal(shape).astype(kind)


def whole(x: Array, backend: Backend) -> Array:
    """Rounds floats to whole numbers for the NumPy backend: see `support.numbers`."""
    return np.rint(4 * x).astype(x.dtype) if backend == "numpy" and x.dtype.kind in "fc" else x


def positive(x: Array, backend: Backend) -> Array:
    """`whole`, and at least 1: to compare bytes, since the sign of 0 depends on the order too."""
    x = whole(x, backend)
    if backend != "numpy" or x.dtype.kind not in "fc":
        return x
    parts = abs(x.real) + 1 + (1j * (abs(x.imag) + 1) if x.dtype.kind == "c" else 0)
    return parts.astype(x.dtype)


def arranged(x: Array, layout: str) -> tuple[Array, int]:
    """`x`, a (C, H, W) array, in another layout; and its channel axis there."""
    if layout == "planar":
        return x, -3
    if layout == "interleaved":
        return np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1
    wide = np.zeros((x.shape[0], 2 * x.shape[1], 3 * x.shape[2]), x.dtype)
    view = wide[:, ::2, ::-3]
    view[...] = x
    return view, -3


def supported(backend: Backend, x: Array, weight: Array, **settings: Any) -> bool:
    """Whether `backend` takes this call; if not, checks that it refuses by name."""
    floats = (np.float32, np.float64)
    wanted = settings.get("dtype", np.float32)
    plain = x.dtype in floats and np.dtype(wanted) in floats and settings.get("valid") != "any"
    if backend != "numba" or plain:
        return True
    settings.update({"nodata": 0} if "valid" in settings else {})
    with pytest.raises(ValueError, match="backend 'numba' does not support"):
        pf.conv1x1(x, weight, backend=backend, **settings)
    return False


def with_gaps(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: Any,
    nodata: float,
    backend: Backend = "c",
) -> Array:
    kind = np.dtype(dtype)
    if kind.kind in "ui":
        x = rng.integers(0, 100, shape).astype(kind)
    else:
        x = numbers(rng, backend, *shape).astype(kind)
    x[rng.random(shape) < 0.04] = nodata
    return x


def weights(rng: np.random.Generator, K: int, C: int) -> Array:
    """Whole numbers, none of them 0: their sums are the same in any order."""
    return (rng.integers(1, 10, (K, C)) * rng.choice([-1, 1], (K, C))).astype(np.float32)
