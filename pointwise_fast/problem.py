"""`Problem`: one call, reduced to what a backend has to know.

Any number of axes and any position of the channel axis reduce to pixels with channels. The
pixel axes that lie one behind the other in every array are merged; of those that remain, the
one with the smallest step is the *inner* pixel axis (length ``P``), the others are the *outer*
axes. Planar images have one inner axis of H x W, channels-last images one of N x H x W, a
cropped image an inner axis of its width, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .activation import Activation

__all__ = ["Hidden", "Problem", "reduce_axes"]

Array = npt.NDArray[Any]


class Hidden(NamedTuple):
    """A layer of a chain before its last: what `Problem` says of the last, of this one."""

    K: int
    groups: int
    bias: bool
    activation: Activation | None


@dataclass(frozen=True, slots=True)
class Problem:
    """One 1x1 convolution: extents, strides and epilogue, but no data.

    Every check has been made when a `Problem` exists. Strides are in bytes and may be negative,
    zero or no multiple of the element size; they belong to the axes ``(*outer, channel, P)``.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the weights, the sums, the residual and the output.
    x_dtype : numpy.dtype
        Of the input; converted on the way in where it differs from `dtype`.
    outer : tuple of int
        Extents of the outer pixel axes, in C order.
    C, K, P, groups : int
        Input channels, output channels, inner pixels, groups.
    x_strides, out_strides, residual_strides : tuple of int
        Byte strides over ``(*outer, channel, P)``; no residual: None.
    bias : bool
        Whether there is a bias.
    activation : Activation or None
        Applied last.
    in_place : bool
        The output *is* the input, element for element: a pixel's channels must all be read
        before any is written.
    hidden : tuple of Hidden
        Of a chain: the layers before the last, the first of which reads the C channels of the
        input. The other attributes, but for C and the strides of the input, are of the last.
    """

    dtype: np.dtype[Any]
    x_dtype: np.dtype[Any]
    outer: tuple[int, ...]
    C: int
    K: int
    P: int
    groups: int
    x_strides: tuple[int, ...]
    out_strides: tuple[int, ...]
    residual_strides: tuple[int, ...] | None
    bias: bool
    activation: Activation | None
    in_place: bool = False
    hidden: tuple[Hidden, ...] = ()

    def layers(self) -> list[Problem]:
        """Each layer of a chain as a problem of its own; strides of hidden channels are open."""
        found = []
        C, x_dtype = self.C, self.x_dtype
        for layer in self.hidden:
            found.append(
                replace(
                    self,
                    x_dtype=x_dtype,
                    C=C,
                    K=layer.K,
                    groups=layer.groups,
                    bias=layer.bias,
                    activation=layer.activation,
                    residual_strides=None,
                    hidden=(),
                )
            )
            C, x_dtype = layer.K, self.dtype
        found.append(replace(self, x_dtype=x_dtype, C=C, hidden=()))
        return found

    def x_view(self, x: Array) -> Array:
        """`x` as ``(*outer, C, P)``, without a copy."""
        return _view(x, (*self.outer, self.C, self.P), self.x_strides)

    def out_view(self, out: Array) -> Array:
        """`out` as ``(*outer, K, P)``, without a copy."""
        return _view(out, (*self.outer, self.K, self.P), self.out_strides)

    def residual_view(self, residual: Array) -> Array:
        """`residual` as ``(*outer, K, P)``, without a copy."""
        assert self.residual_strides is not None
        return _view(residual, (*self.outer, self.K, self.P), self.residual_strides)


def _view(array: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def reduce_axes(
    extents: Sequence[int], strides: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Order and merge pixel axes.

    Parameters
    ----------
    extents : sequence of int
        Length of each pixel axis; at least one, where there is none an axis of length 1.
    strides : sequence of tuple of int
        For each axis its byte stride in every array concerned, the input first.

    Returns
    -------
    extents : tuple of int
        Of the merged axes, at least one, the inner one last.
    strides : list of tuple of int
        As given, for the merged axes.

    Examples
    --------
    A C-contiguous float32 plane of 600 x 600, read and written, is one axis:

    >>> reduce_axes([600, 600], [(2400, 2400), (4, 4)])
    ((360000,), [(4, 4)])
    """
    axes = [(n, s) for n, s in zip(extents, strides, strict=True) if n != 1]
    axes.sort(key=lambda axis: [-abs(step) for step in axis[1]])
    merged: list[tuple[int, tuple[int, ...]]] = []
    for n, step in axes:
        if merged and merged[-1][1] == tuple(n * s for s in step):
            merged[-1] = (merged[-1][0] * n, step)
        else:
            merged.append((n, step))
    if not merged:
        merged.append((1, (0,) * len(strides[0])))
    return tuple(n for n, _ in merged), [s for _, s in merged]
