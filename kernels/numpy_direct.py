"""Plain sums of floats at the speed of NumPy's own `matmul`.

The arrays themselves go to the BLAS, which writes to the output, and the rest is done in place.
What `takes` leaves out goes through the specification in `numpy_blas`, step by step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import Parameters, blas
from .numpy_activations import IN_PLACE, activate
from .panels import blocks

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem

__all__ = ["run", "takes"]

Array = npt.NDArray[Any]

#: What is up to a plain problem; all else must be as it is by default.
_PLAIN = frozenset(
    [
        *("dtype", "x_dtype", "out_dtype", "outer", "C", "K", "P", "groups"),
        *("x_strides", "out_strides", "residual_strides", "residual_dtype"),
        *("bias", "activation", "in_place"),
    ]
)

#: Elements that NumPy's inner loop should run over at a time.
_RUN = 1024


def takes(problem: Problem) -> bool:
    """Whether all layers are plain: of one dtype, with nothing beyond `_PLAIN`."""
    return all(map(_is_plain, problem.layers()))


def _is_plain(layer: Problem) -> bool:
    residual = layer.residual_dtype
    return (
        layer.dtype == layer.x_dtype == layer.out_dtype
        and (residual is None or residual == layer.dtype)
        and all(
            field.default is not MISSING and getattr(layer, field.name) == field.default
            for field in fields(layer)
            if field.name not in _PLAIN
        )
    )


def run(
    problem: Problem, packed: Sequence[Parameters], X: Array, residual: Array | None, Y: Array
) -> None:
    """Compute the output from views ``(*outer, channels, P)`` of the arrays."""
    layers = [_Layer(*layer) for layer in zip(problem.layers(), packed, strict=True)]
    last = layers[-1]
    readable = _suits_blas(X, problem.C // layers[0].groups)
    # The output is the place for the sums unless something else is read from there.
    writable = _suits_blas(Y, problem.K // last.groups) and not any(
        np.may_share_memory(Y, other) for other in (X, residual) if other is not None
    )
    if readable and writable and len(layers) == 1:
        # The whole product first, not block by block: the BLAS would pack the weights for each
        # block and call its threads together, which takes ten times as long where these have to
        # wait for a CPU (18 processes on 2 CPUs: 97 ms whole, 300 to 1,060 ms in blocks).
        last.multiply(X, Y)
        if residual is not None or not last.is_product:
            # Steps in place take no memory, and NumPy computes them longer than it waits for their
            # data: in blocks, bias and relu of 20 planes took 22% longer where these have 360,000
            # pixels, and 11% where they have 4 million (Zen 5).
            whole: Iterable[Any] = (...,)
            for block in whole if last.is_in_place else blocks(problem, problem.K):
                last.finish(Y[block], None if residual is None else residual[block])
        return
    for block in blocks(problem, sum(layer.K for layer in layers) + problem.C):
        y = X[block] if readable else _copy(X[block])
        for layer in layers[:-1]:
            y = layer.finish(layer.multiply(y, _empty(y, layer.K)))
        Yb = Y[block]
        sums = last.multiply(y, Yb if writable else _empty(Yb, problem.K))
        last.finish(sums, None if residual is None else residual[block])
        if not writable:
            Yb[...] = sums


class _Layer:
    """A layer with its weights, for blocks ``(*some, channels, pixels)``."""

    def __init__(self, problem: Problem, parameters: Parameters) -> None:
        weight, bias = parameters
        self.K, self.groups = problem.K, problem.groups
        self._activation = problem.activation
        self._weight = weight if self.groups == 1 else _split(weight, self.groups)
        self._bias = bias

    @property
    def is_product(self) -> bool:
        """Whether there is nothing to `finish`."""
        return self._bias is None and self._activation is None

    @property
    def is_in_place(self) -> bool:
        """Whether `finish` makes no temporary arrays of the size of `Y`."""
        return self._activation is None or self._activation.name in IN_PLACE

    def multiply(self, X: Array, Y: Array) -> Array:
        """Make `Y` the product, and return it."""
        Xg, Yg = (A if self.groups == 1 else _split(A, self.groups) for A in (X, Y))
        if Xg.shape[-2] == 1:
            # NumPy has no BLAS for products of a single term, and takes 4 to 7 times as long.
            np.multiply(self._weight, Xg, out=Yg)
        else:
            blas.product(self._weight, Xg, out=Yg)
        return Y

    def finish(self, Y: Array, residual: Array | None = None) -> Array:
        """Add bias and residual to `Y`, apply the activation, and return `Y`."""
        if self._bias is not None:
            _add_bias(Y, self._bias)
        if residual is not None:
            np.add(Y, residual, out=Y)
        return activate(Y, self._activation, out=Y)


def _add_bias(Y: Array, bias: Array) -> None:
    repeats = max(1, min(_RUN // len(bias), Y.shape[-1]))
    if not _is_interleaved(Y) or repeats == 1:
        np.add(Y, bias[:, np.newaxis], out=Y)
        return
    # Several pixels at a time: loops over the few channels of one would be mostly overhead.
    tile = np.tile(bias, (repeats, 1))
    rows = Y.swapaxes(-1, -2)
    n = rows.shape[-2]
    rest = n % repeats
    many, few = rows[..., : n - rest, :], rows[..., n - rest :, :]
    many = many.reshape(*rows.shape[:-2], n // repeats, *tile.shape)
    np.add(many, tile, out=many)
    np.add(few, tile[:rest], out=few)


def _suits_blas(A: Array, channels: int) -> bool:
    """Whether NumPy passes the matrices of `A`, of so many channels, to its BLAS as they are."""
    size, n = A.itemsize, A.shape[-1]
    c, p = A.strides[-2:]
    return A.flags.aligned and any(
        unit == size and step % size == 0 and length <= step // size < 2**31
        for unit, step, length in ((p, c, n), (c, p, channels))
    )


def _is_interleaved(A: Array) -> bool:
    return abs(A.strides[-2]) < abs(A.strides[-1])


def _empty(like: Array, channels: int) -> Array:
    """A new array for the pixels of `like`, planar or interleaved as it is."""
    *some, _, n = like.shape
    if _is_interleaved(like):
        return np.empty((*some, n, channels), like.dtype).swapaxes(-1, -2)
    return np.empty((*some, channels, n), like.dtype)


def _copy(A: Array) -> Array:
    copy = _empty(A, A.shape[-2])
    copy[...] = A
    return copy


def _split(A: Array, groups: int) -> Array:
    """The last axis but one of `A` as two, without a copy."""
    *some, channels, n = A.shape
    return A.reshape(*some, groups, channels // groups, n)
