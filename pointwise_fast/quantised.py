"""`qconv1x1`: quantised 1x1 convolution with the semantics of ONNX's QLinearConv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import as_input, check_out, overlap, owners
from .config import resolve_threads
from .execute import execute
from .geometry import find_channel_axis, geometry
from .keys import Known
from .prepare import prepare_once
from .quantisation import Quantisation, as_int32, check_bytes, check_int32
from .shapes import as_vector
from .spec import LayerSpec, Options
from .typing import Backend

__all__ = ["MASKED_BYTES", "qconv1x1"]

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
    stride: int | Sequence[int] = 1,
    groups: int = 1,
    out: Array | None = None,
    backend: Backend = "auto",
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
    weight : array_like of uint8 or int8, shape (K, C/groups), (K, C/groups, 1) and so on
        The shape (C,) is that of one output channel.
    weight_scale : float or array_like, shape (K,)
        One for all output channels, or one for each; as all of its kind here it may have more axes
        of length 1.
    weight_zero_point : int or array_like of int, shape (K,)
        Likewise, in the range of the dtype of `weight`.
    out_zero_point : int
        ``numpy.uint8`` or ``numpy.int8``, which is the dtype of the result; for an int of Python
        that is the dtype of `x`.
    bias : array_like of int32, shape (K,) or (), optional
        In units of ``x_scale * weight_scale``. A list of int will do.
    activation : {"relu", "relu6"} or ("clip", lo, hi), optional
        Bounds of the result, as real numbers: they are quantised as the result is.
    channel_axis, stride, groups
        As in `conv1x1`.
    out : numpy.ndarray, optional
        Where the result goes: its shape and dtype, any strides with which no two elements share
        memory. It may overlap `x`.
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
    if out is not None:
        out = check_out(out)
    x = as_input(
        x, "x", axis=channel_axis if type(channel_axis) is int else None, masked=MASKED_BYTES
    )
    weight = as_input(weight, "weight")
    if bias is not None:
        bias = as_int32(bias)
    shapes = (
        *(x.shape, x.dtype, weight.shape, weight.dtype),
        *((None, None) if bias is None else (bias.shape, bias.dtype)),
    )
    parameters = (
        *(x_scale, x_zero_point, weight_scale, weight_zero_point, out_scale, out_zero_point),
        *(activation, channel_axis, stride, groups, backend),
    )
    spec = _specs(shapes, parameters)
    of = geometry(x), None, None if out is None else geometry(out), None
    prepared = prepare_once(spec, of)
    n = resolve_threads(threads)
    if weight.ndim != 2:
        weight = weight.reshape(spec.weight_shape)
    if bias is not None:
        bias = as_vector(bias, spec.K)
    # Weights are read while the output is written.
    if out is not None and not (weight is not out and owners(weight, bias, out)):
        weight = weight.copy() if overlap(weight, out) else weight
        bias = bias.copy() if bias is not None and overlap(bias, out) else bias
    return execute(prepared, x, None, None, out, n, weight, bias)


#: Instead of a masked x.
MASKED_BYTES = (
    "x.filled(byte) with the byte that is to stand for what is masked, such as x_zero_point, which "
    "counts as 0: quantised operators know no missing data"
)


def _parse(
    arrays: tuple[Any, ...],
    x_scale: Any,
    x_zero_point: Any,
    weight_scale: Any,
    weight_zero_point: Any,
    out_scale: Any,
    out_zero_point: Any,
    *given: Any,
) -> LayerSpec:
    x_shape, x_dtype, weight_shape, weight_dtype, bias_shape, bias_dtype = arrays
    check_bytes(x_dtype, "x")
    check_bytes(weight_dtype, "weight")
    if bias_dtype is not None:
        check_int32(bias_dtype)
    activation, channel_axis, stride, groups, backend = given
    options = Options(activation, channel_axis, stride, groups, None, backend)
    spec = LayerSpec.parse(weight_shape, bias_shape, options)
    # Whoever has mixed up the axes of the weight is told so before its scales do not fit.
    find_channel_axis(spec, x_shape)
    scales = x_scale, weight_scale, out_scale
    zero_points = x_zero_point, weight_zero_point, out_zero_point
    quantisation = Quantisation(scales, zero_points, (x_dtype, weight_dtype), spec.K)
    return spec._replace(quantisation=quantisation)


_specs = Known(_parse)
