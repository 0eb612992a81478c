"""`qconv1x1`: quantised 1x1 convolution with the semantics of ONNX's QLinearConv."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import as_input, check_out, is_same, overlap
from .call import Geometry, Settings, _check_fits, _contiguous_strides, _find_channel_axis, geometry
from .config import resolve_threads
from .dispatch import _candidates
from .kernels import QuantisedPlan
from .kernels.c_quantised import CQuantised
from .kernels.numpy_quantised import NumpyQuantised
from .problem import QuantisedProblem, reduce_pixels
from .quantisation import (
    Quantisation,
    check_bytes,
    parse_output,
    parse_scale,
    parse_scales,
    parse_zero_point,
    parse_zero_points,
)

__all__ = ["qconv1x1"]

Array = npt.NDArray[Any]


def qconv1x1(
    x: npt.ArrayLike,
    x_scale: float,
    x_zero_point: int,
    weight: npt.ArrayLike,
    weight_scale: npt.ArrayLike,
    weight_zero_point: npt.ArrayLike,
    out_scale: float,
    out_zero_point: int,
    bias: npt.ArrayLike | None = None,
    activation: ActivationSpec = None,
    channel_axis: int = -3,
    *,
    out: Array | None = None,
    backend: str = "auto",
    threads: int | None = None,
) -> Array:
    """Quantised 1x1 (pointwise) convolution: bytes in, bytes out, as ONNX's QLinearConv.

    A byte ``q`` stands for the real number ``scale * (q - zero_point)``. The sum of
    ``(weight - weight_zero_point) * (x - x_zero_point)`` over the channels, and the bias, is an
    int32, which wraps around on overflow. As a float32 it is multiplied by
    ``x_scale * weight_scale / out_scale`` (in float32 too), rounded with halves to even, moved by
    `out_zero_point` and saturated: the same bits as ONNX Runtime's, on every backend.

    Parameters
    ----------
    x : array_like of uint8 or int8
        Any number of axes, any strides; never copied.
    x_scale, out_scale : float
        Positive; rounded to float32.
    x_zero_point : int
        In the range of the dtype of `x`.
    weight : array_like of uint8 or int8, shape (K, C), (K, C, 1) or (K, C, 1, 1)
    weight_scale : float or array_like, shape (K,)
        One for all output channels, or one for each.
    weight_zero_point : int or array_like of int, shape (K,)
        Likewise, in the range of the dtype of `weight`.
    out_zero_point : int
        ``numpy.uint8`` or ``numpy.int8``, which is the dtype of the result; for an int of Python
        that is the dtype of `x`.
    bias : array_like of int32, shape (K,), optional
        In units of ``x_scale * weight_scale``.
    activation : {"relu", "relu6"} or ("clip", lo, hi), optional
        Bounds of the result, as real numbers: they are quantised as the result is.
    channel_axis : int, default -3
        As in `conv1x1`.
    out : numpy.ndarray, optional
        Where the result goes: its shape and dtype, any strides. It may overlap `x`.
    backend : {"auto", "c", "numpy"}
        See `backends`; the Numba backend has no quantised kernels.
    threads : int, optional
        `get_num_threads` by default.

    Returns
    -------
    numpy.ndarray
        `out`, or a new C-contiguous array: the shape of `x` with K on the channel axis.

    Raises
    ------
    TypeError, ValueError
        Before anything is computed or written; the message names the argument, what came and
        what would fit.

    References
    ----------
    https://onnx.ai/onnx/operators/onnx__QLinearConv.html

    Examples
    --------
    Two channels of a 1 x 3 image, of steps of 0.5, and their mean in steps of 0.25:

    >>> import numpy as np, pointwise_fast as pf
    >>> x = np.array([[[0, 2, 4]], [[2, 4, 8]]], np.uint8)
    >>> pf.qconv1x1(x, 0.5, 0, np.ones((1, 2), np.int8), 0.5, 0, 0.25, np.uint8(10))
    array([[[12, 16, 22]]], dtype=uint8)
    """
    x = check_bytes(as_input(x, "x"), "x")
    weight = check_bytes(as_input(weight, "weight"), "weight")
    if bias is not None:
        bias = as_input(bias, "bias")
        if bias.dtype != np.int32:
            raise TypeError(
                f"bias has dtype {bias.dtype}; int32 is expected, in units of "
                "x_scale * weight_scale"
            )
    K = weight.shape[0] if weight.ndim else 0
    out_zero, out_dtype = parse_output(out_zero_point, "out_zero_point", x.dtype)
    quantisation = Quantisation(
        parse_scale(x_scale, "x_scale"),
        parse_zero_point(x_zero_point, "x_zero_point", x.dtype, "x"),
        parse_scales(weight_scale, "weight_scale", K),
        parse_zero_points(weight_zero_point, "weight_zero_point", weight.dtype, "weight", K),
        parse_scale(out_scale, "out_scale"),
        out_zero,
        out_dtype,
    )
    arguments = (
        weight.shape,
        None if bias is None else bias.shape,
        activation,
        channel_axis,
        backend,
        quantisation,
        weight.dtype,
        geometry(x),
    )
    given = None if out is None else geometry(check_out(out))
    try:
        call = _cached_call(*arguments, given)
    except TypeError:  # something cannot be hashed, or is wrong: then this says what
        call = _Call(*arguments, given)
    n = resolve_threads(threads)
    if weight.ndim != 2:
        weight = weight.reshape(weight.shape[:2])
    plan: QuantisedPlan | None = call.plan
    if out is None:
        out = call.empty()
    elif overlap(x, out):
        plan = call.in_place if is_same(x, out) else None
    if plan is None:
        beside = call.empty()
        _Call(*arguments, None).plan.conv(weight, bias, x, beside, n)
        np.copyto(out, beside)
        return out
    plan.conv(weight, bias, x, out, n)
    return out


class _Call:
    """A checked call without its data.

    Attributes
    ----------
    plan : QuantisedPlan
    empty : callable
        Makes an array for the result.
    """

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        bias_shape: tuple[int, ...] | None,
        activation: ActivationSpec,
        channel_axis: int,
        backend: str,
        quantisation: Quantisation,
        weight_dtype: np.dtype[Any],
        x: Geometry,
        out: Geometry | None,
    ) -> None:
        settings = Settings(
            weight_shape, bias_shape, activation, channel_axis, 1, 1, None, backend
        )
        x_shape, x_strides, x_dtype = x
        axis = _find_channel_axis(settings, x_shape)
        shape = (*x_shape[:axis], settings.K, *x_shape[axis + 1 :])
        dtype = quantisation.out_dtype
        if out is None:
            out = shape, _contiguous_strides(shape, dtype.itemsize), dtype
        _check_fits(out, shape, dtype, "out")
        extents, strides = reduce_pixels(shape, axis, {"x": x_strides, "out": out[1]})
        lo, hi = quantisation.bounds(settings.activation)
        self._problem = QuantisedProblem(
            x_dtype=x_dtype,
            weight_dtype=weight_dtype,
            out_dtype=dtype,
            outer=extents[:-1],
            C=settings.C,
            K=settings.K,
            P=extents[-1],
            x_strides=strides["x"],
            out_strides=strides["out"],
            x_zero=quantisation.x_zero,
            weight_zero=quantisation.weight_zeros(settings.K, weight_dtype),
            multiplier=quantisation.multiplier(settings.K),
            out_zero=quantisation.out_zero,
            lo=lo,
            hi=hi,
        )
        self._make = _select(backend)
        self.plan = self._plan(self._problem)
        self.empty = partial(np.empty, shape, dtype)

    @cached_property
    def in_place(self) -> QuantisedPlan | None:
        """The plan whose output is its input; None where there is none."""
        problem = replace(self._problem, in_place=True)
        return self._plan(problem) if problem.C <= self._make.most_in_place else None

    def _plan(self, problem: QuantisedProblem) -> QuantisedPlan:
        nothing = 0 in (problem.K, problem.P, *problem.outer)
        return _NothingToDo() if nothing else self._make(problem)


class _NothingToDo:
    """The plan of a problem with no output element."""

    def conv(self, weight: Array, bias: Array | None, x: Array, out: Array, threads: int) -> None:
        pass


#: Typed, so that True never meets the entry of 1.
_cached_call = lru_cache(maxsize=256, typed=True)(_Call)


def _select(name: str) -> type[CQuantised] | type[NumpyQuantised]:
    plans = {CQuantised.NAME: CQuantised, NumpyQuantised.NAME: NumpyQuantised}
    for candidate in _candidates(name):
        if candidate in plans:
            return plans[candidate]
    raise ValueError(
        f"backend {_candidates(name)[0]!r} does not support quantised arrays; "
        f"choose from {', '.join(map(repr, plans))}"
    )
