"""A layer as a careful user writes it with NumPy: `numpy.matmul` and an epilogue in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from .job import Array, Arrays, Job

__all__ = ["Multiply", "numpy_layer"]


class Multiply(Protocol):
    """Prepares ``out = left @ right`` for matrices, or for stacks of equally many."""

    def __call__(self, left: Array, right: Array, out: Array) -> Callable[[], object]: ...


def _matmul(left: Array, right: Array, out: Array) -> Callable[[], object]:
    return partial(np.matmul, left, right, out=out)


def numpy_layer(
    job: Job,
    arrays: Arrays,
    epilogue: bool = True,
    multiply: Multiply = _matmul,
    copies: bool = False,
) -> Callable[[], object]:
    """Return a call that computes `job`, without temporaries of the arrays' size where possible.

    If the layer has a stride, its pixels are gathered into a buffer first, because BLAS cannot read
    them in place. That buffer and the activation's scratch are allocated ahead. With `copies`, the
    product of a mixed layout is computed as x lies in memory and then copied to the result.
    """
    arrays = job.in_memory_order(arrays)
    product = (_copied_product if copies else _product)(job, arrays, multiply)
    if not epilogue:
        return product
    bias, residual, out = job.bias, arrays.residual, arrays.out
    if bias is not None and not job.interleaved[1]:
        bias = bias[:, np.newaxis, np.newaxis]
    activate = _activation(job.case.activation, out)

    def whole() -> Array:
        product()
        if bias is not None:
            np.add(out, bias, out=out)
        if residual is not None:
            np.add(out, residual, out=out)
        activate()
        return out

    return whole


def _product(job: Job, arrays: Arrays, multiply: Multiply) -> Callable[[], object]:
    """The product alone. BLAS reads either layout of x, so mixed ones need no copy."""
    case, W, (x, out, _) = job.case, job.weight, arrays
    x_last, out_last = job.interleaved
    gather = None
    if case.stride > 1:
        step = slice(None, None, case.stride)
        gather = x[(..., step, step, slice(None)) if x_last else (..., step, step)]
        x = np.empty(gather.shape, x.dtype)
    # Interleaved on both sides, the pixels of all images are rows of one matrix.
    images = 1 if x_last and out_last else case.N
    X = _matrices(x, images, case.groups, case.C, x_last)
    Y = _matrices(out, images, case.groups, case.K, out_last)
    if case.groups > 1:
        W = W.reshape(case.groups, case.K // case.groups, -1)
    if out_last:
        product = multiply(*(np.swapaxes(matrix, -1, -2) for matrix in (X, W, Y)))
    else:
        product = multiply(W, X, Y)
    if gather is None:
        return product

    def gather_first() -> object:
        np.copyto(x, gather)
        return product()

    return gather_first


def _copied_product(job: Job, arrays: Arrays, multiply: Multiply) -> Callable[[], object]:
    """The product in the layout of x, and a copy into that of the result."""
    x_last, out_last = job.interleaved
    assert x_last != out_last
    alike = replace(job, layout="interleaved" if x_last else "planar")
    moved = np.moveaxis(arrays.out, *((-1, -3) if out_last else (-3, -1)))
    between = np.empty(moved.shape, moved.dtype)
    product = _product(alike, arrays._replace(out=between), multiply)

    def product_and_copy() -> None:
        product()
        np.copyto(moved, between)

    return product_and_copy


def _matrices(array: Array, images: int, groups: int, channels: int, last: bool) -> Array:
    """A view of `array` as (channels, pixels), stacked by image and group if there are several."""
    if last:
        found = array.reshape(images, -1, groups, channels // groups).transpose(0, 2, 3, 1)
    else:
        found = array.reshape(images, groups, channels // groups, -1)
    view: Array = found[tuple(0 if n == 1 else slice(None) for n in (images, groups))]
    return view


def _activation(name: str | None, y: Array) -> Callable[[], object]:
    """Return a call that applies the activation to `y` in place."""
    if name is None:
        return lambda: None
    if name == "relu":
        return lambda: np.maximum(y, 0, out=y)
    if name == "relu6":
        return lambda: np.clip(y, 0, 6, out=y)
    scratch = np.empty_like(y)
    steps = {
        "sigmoid": _sigmoid,
        "silu": _silu,
        "hardsigmoid": _hardsigmoid,
        "hardswish": _hardswish,
    }[name]
    return lambda: steps(y, scratch)


def _sigmoid(y: Array, scratch: Array) -> None:
    np.negative(y, out=y)
    np.exp(y, out=y)
    y += 1
    np.reciprocal(y, out=y)


def _silu(y: Array, scratch: Array) -> None:
    np.negative(y, out=scratch)
    np.exp(scratch, out=scratch)
    scratch += 1
    y /= scratch


def _hardsigmoid(y: Array, scratch: Array) -> None:
    y += 3
    np.clip(y, 0, 6, out=y)
    y *= 1 / 6


def _hardswish(y: Array, scratch: Array) -> None:
    np.add(y, 3, out=scratch)
    np.clip(scratch, 0, 6, out=scratch)
    scratch *= 1 / 6
    y *= scratch
