"""`Problem`: one call, reduced to what a backend has to know.

Any number of axes and any position of the channel axis reduce to pixels with channels. The
pixel axes that follow one another without gaps in every array are merged; of those that remain, the
one with the smallest step is the *inner* pixel axis (length ``P``), the others are the *outer*
axes. Planar images have one inner axis of H x W, channels-last images one of N x H x W, a
cropped image an inner axis of its width, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .activation import Activation
from .missing import Missing

__all__ = ["Hidden", "Problem", "QuantisedProblem", "reduce_axes", "reduce_pixels"]

Array = npt.NDArray[Any]


class Hidden(NamedTuple):
    """A layer of a chain before its last: what `Problem` says of the last, of this one."""

    K: int
    groups: int
    bias: bool
    activation: Activation | None
    scale: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None


# Nobody compares or prints problems, and to make the methods for it takes time at every import.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Problem:
    """One 1x1 convolution: extents, strides and epilogue, but no data.

    Every check has been made when a `Problem` exists. Strides are in bytes and may be negative,
    zero or no multiple of the element size; they belong to the axes ``(*outer, channel, P)``.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the weights, the bias and the sums: float32, float64, complex64 or complex128.
    x_dtype : numpy.dtype
        Of the input, in either byte order; converted on the way in where it differs from `dtype`.
    out_dtype : numpy.dtype
        Of the output, in either byte order. On the way out sums are rounded to the nearest, half
        to even; integers saturate, NaN becomes 0.
    outer : tuple of int
        Extents of the outer pixel axes, in C order.
    C, K, P, groups : int
        Input channels, output channels, inner pixels, groups.
    x_strides, out_strides, residual_strides, mask_strides : tuple of int
        Byte strides over ``(*outer, channel, P)``; no residual, no mask: None.
    bias : bool
        Whether there is a bias.
    activation : Activation or None
        Applied to the sums with bias and residual.
    head : str or None
        One of `HEADS`, made of the activated channels of each pixel. The output of "argmax" has one
        channel.
    precision : str or None
        "bf16": products of bfloat16, with sums of float32, will do. "float64": `dtype` is what was
        asked for, whatever `out_dtype` is.
    missing : Missing or None
        Set where there is a mask (of bytes, not 0 where the input is missing) or nodata values.
    scale, offset : tuple of float or None
        C each, or neither: ``scale * x + offset``, rounded once in `affine_dtype`, takes the place
        of x. Data that are missing are so in x itself.
    in_place : bool
        The output *is* the input, element for element: a pixel's channels must all be read
        before any is written.
    residual_dtype : numpy.dtype or None
        Of the residual: that of the output, but maybe in the other byte order. None: the same.
    hidden : tuple of Hidden
        Of a chain: the layers before the last, the first of which reads the C channels of the
        input. The other attributes, but for C and the strides of the input, are of the last.
    second_mask_strides : tuple of int or None
        Of a mask besides the first, which no backend sees: `MergedPlan` makes one of both.
    """

    dtype: np.dtype[Any]
    x_dtype: np.dtype[Any]
    out_dtype: np.dtype[Any]
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
    head: str | None = None
    precision: str | None = None
    missing: Missing | None = None
    mask_strides: tuple[int, ...] | None = None
    scale: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    in_place: bool = False
    residual_dtype: np.dtype[Any] | None = None
    hidden: tuple[Hidden, ...] = ()
    second_mask_strides: tuple[int, ...] | None = None

    def layers(self) -> list[Problem]:
        """Each layer of a chain as a problem of its own; strides of hidden channels are open.

        Data are missing in the first, the last has residual and head; hidden channels are of the
        dtype of the sums.
        """
        if not self.hidden:
            return [self]
        found = []
        before = replace(
            self,
            out_dtype=self.dtype,
            residual_strides=None,
            residual_dtype=None,
            head=None,
            precision=None,
            hidden=(),
        )
        for layer in self.hidden:
            found.append(replace(before, **layer._asdict()))
            before = replace(before, x_dtype=self.dtype, C=layer.K, missing=None, mask_strides=None)
        found.append(
            replace(
                self,
                x_dtype=self.dtype,
                C=before.C,
                missing=None,
                mask_strides=None,
                precision=None,
                hidden=(),
            )
        )
        return found

    @property
    def affine_dtype(self) -> np.dtype[Any]:
        """Of ``scale * x + offset``: that of the sums, or float64 where x has more bits."""
        x, parts = self.x_dtype, 2 if self.x_dtype.kind == "c" else 1
        is_wide = x.itemsize // parts > (2 if x.kind in "iu" else 4)
        real: np.dtype[Any] = self.dtype.type(0).real.dtype
        return np.dtype(np.float64) if is_wide else real

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return 1 if self.head == "argmax" else self.K

    def x_view(self, x: Array) -> Array:
        """`x` as ``(*outer, C, P)``, without a copy."""
        return _view(x, (*self.outer, self.C, self.P), self.x_strides)

    def out_view(self, out: Array) -> Array:
        """`out` as ``(*outer, out_channels, P)``, without a copy."""
        return _view(out, (*self.outer, self.out_channels, self.P), self.out_strides)

    def residual_view(self, residual: Array) -> Array:
        """`residual` as ``(*outer, K, P)``, without a copy."""
        assert self.residual_strides is not None
        return _view(residual, (*self.outer, self.K, self.P), self.residual_strides)

    def mask_view(self, mask: Array) -> Array:
        """`mask` as ``(*outer, C, P)``, without a copy."""
        assert self.mask_strides is not None
        return _view(mask, (*self.outer, self.C, self.P), self.mask_strides)

    def mask_views(self, masks: Sequence[Array]) -> list[Array]:
        """None, one or two masks as ``(*outer, C, P)``, without a copy."""
        shape = (*self.outer, self.C, self.P)
        strides = (self.mask_strides, self.second_mask_strides)
        return [_view(m, shape, s) for m, s in zip(masks, strides, strict=False) if s is not None]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QuantisedProblem:
    """One quantised 1x1 convolution: extents, strides and scales, but no data.

    Strides as in `Problem`. The sum of ``(weight - weight_zero) * (x - x_zero)`` and the bias is an
    int32, modulo 2**32. As float32 it is multiplied by `multiplier`, rounded (halves to even),
    moved by `out_zero`, and kept within `lo` and `hi`.

    Attributes
    ----------
    x_dtype, weight_dtype, out_dtype : numpy.dtype
        Of the input, the weights, the output: uint8 or int8.
    outer : tuple of int
        Extents of the outer pixel axes, in C order.
    C, K, P : int
        Input channels, output channels, inner pixels.
    x_strides, out_strides : tuple of int
        Byte strides over ``(*outer, channel, P)``.
    x_zero, out_zero : int
        Zero points.
    weight_zero : numpy.ndarray of int32, shape (K,)
    multiplier : numpy.ndarray of float32, shape (K,)
        Finite.
    lo, hi : int
        Bounds of the output, in the range of `out_dtype`.
    in_place : bool
        The output *is* the input, element for element.
    """

    x_dtype: np.dtype[Any]
    weight_dtype: np.dtype[Any]
    out_dtype: np.dtype[Any]
    outer: tuple[int, ...]
    C: int
    K: int
    P: int
    x_strides: tuple[int, ...]
    out_strides: tuple[int, ...]
    x_zero: int
    weight_zero: Array
    multiplier: Array
    out_zero: int
    lo: int
    hi: int
    in_place: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the sums."""
        return np.dtype(np.int32)

    def x_view(self, x: Array) -> Array:
        """`x` as ``(*outer, C, P)``, without a copy."""
        return _view(x, (*self.outer, self.C, self.P), self.x_strides)

    def out_view(self, out: Array) -> Array:
        """`out` as ``(*outer, K, P)``, without a copy."""
        return _view(out, (*self.outer, self.K, self.P), self.out_strides)


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
        For each axis its byte stride in every array concerned, first in the one whose order it is.

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


def reduce_pixels(
    shape: Sequence[int], axis: int, strides: Mapping[str, Sequence[int]]
) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    """Reduce axes other than the channel axis.

    Parameters
    ----------
    shape : sequence of int
        Of any of the arrays: they differ on the channel axis alone.
    axis : int
        The channel axis.
    strides : mapping of str to sequence of int
        Each array's byte strides: those of "x" first, those of "out", and others'.

    Returns
    -------
    extents : tuple of int
        ``(*outer, P)``.
    strides : dict
        Each array's over ``(*outer, channel, P)``.
    """
    pixel_axes = [a for a in range(len(shape)) if a != axis]
    # Where the channels of a pixel are contiguous, in one run wherever it is, pixels are
    # taken in the order of the output.
    whole = all(abs(strides["x"][axis]) <= abs(strides["x"][a]) for a in pixel_axes)
    order = sorted(strides, key=lambda name: name != "out") if whole else list(strides)
    # The leading axis of length 1 stands for a single pixel where x is one channel vector.
    extents, steps = reduce_axes(
        [1, *(shape[a] for a in pixel_axes)],
        [(0,) * len(strides), *(tuple(strides[name][a] for name in order) for a in pixel_axes)],
    )
    return extents, {
        name: (*(step[i] for step in steps[:-1]), strides[name][axis], steps[-1][i])
        for i, name in enumerate(order)
    }
