"""A layer as a careful user writes it with NumPy: `numpy.matmul` and an epilogue in place."""

from __future__ import annotations

from collections.abc import Callable
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
    job: Job, arrays: Arrays, epilogue: bool = True, multiply: Multiply = _matmul
) -> Callable[[], object]:
    """Return a call that computes `job`, without temporaries of the arrays' size where possible.

    If the layer has a stride, its pixels are gathered into a buffer first, because BLAS cannot read
    them in place. That buffer and the activation's scratch are allocated ahead.
    """
    product = _product(job, arrays, multiply)
    if not epilogue:
        return product
    bias, residual, out = job.bias, arrays.residual, arrays.out
    if bias is not None and job.layout == "planar":
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
    case, planar, (x, out, _) = job.case, job.layout == "planar", arrays
    G, W = case.groups, job.weight
    gather = None
    if case.stride > 1:
        step = slice(None, None, case.stride)
        window = (..., step, step) if planar else (..., step, step, slice(None))
        gather = x[window]
        x = np.empty(gather.shape, x.dtype)
    if planar:
        X: Array = x.reshape(case.N, case.C, -1)
        Y: Array = out.reshape(case.N, case.K, -1)
        if case.N == 1:
            X, Y = X[0], Y[0]
    else:
        X, Y = x.reshape(-1, case.C), out.reshape(-1, case.K)
    if G > 1 and planar:
        X = X.reshape(*X.shape[:-2], G, case.C // G, -1)
        Y = Y.reshape(*Y.shape[:-2], G, case.K // G, -1)
        W = W.reshape(G, case.K // G, -1)
    elif G > 1:
        X = X.reshape(-1, G, case.C // G).transpose(1, 0, 2)
        Y = Y.reshape(-1, G, case.K // G).transpose(1, 0, 2)
        W = W.reshape(G, case.K // G, -1)
    left, right = (W, X) if planar else (X, np.swapaxes(W, -1, -2))
    product = multiply(left, right, Y)
    if gather is None:
        return product

    def gather_first() -> object:
        np.copyto(x, gather)
        return product()

    return gather_first


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
