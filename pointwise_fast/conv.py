"""`conv1x1`: a layer that is used once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import ANY_NUMBER, as_mask, as_parameter, as_x, check_out
from .config import default, resolve_threads
from .conv_layer import Conv1x1
from .execute import execute
from .foreign import is_masked
from .kernels import Repeat
from .keys import Known, is_constant, keep
from .layer import as_residual
from .missing import Nodata
from .names import as_names, has_names
from .prepare import geometries, prepare_once
from .spec import LayerSpec, Options
from .typing import Backend, Head, Precision, Valid

__all__ = ["conv1x1"]

Array = npt.NDArray[Any]


def conv1x1(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    activation: ActivationSpec = None,
    residual: npt.ArrayLike | None = None,
    channel_axis: int = -3,
    stride: int | Sequence[int] = 1,
    groups: int = 1,
    dtype: npt.DTypeLike | None = None,
    head: Head | None = None,
    nodata: Nodata = None,
    mask: npt.ArrayLike | None = None,
    fill: float | None = None,
    valid: Valid = "all",
    min_valid: float = 0.5,
    scale: npt.ArrayLike | None = None,
    offset: npt.ArrayLike | None = None,
    precision: Precision | None = None,
    channels: Sequence[Hashable] | None = None,
    out: Array | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Array:
    """Apply one small matrix to the channels of every pixel: a 1x1 (pointwise) convolution.

    ``y[..., k, p] = activation(sum_c weight[k, c] * x[..., c, p] + bias[k] + residual[..., k, p])``

    Parameters
    ----------
    x : array_like
        Any number of axes, any strides, either byte order; never copied. Floats of 16 (float16,
        bfloat16), 32 or 64 bits, integers, booleans or complex numbers, which are converted a
        panel at a time. Also what speaks the buffer protocol, ``__array_interface__`` or DLPack
        (CPU), PyTorch's tensors among them. The mask of a masked array counts as `mask` does, and
        the result is a masked array. What has labels, or is lazy, is refused with the way out; see
        `channels`.
    weight : array_like, shape (K, C/groups), (K, C/groups, 1), (K, C/groups, 1, 1) and so on
        Cast to the dtype of the sums, which has to hold its numbers. The shape (C,) is that of
        one output channel.
    bias : array_like, shape (K,) or (), optional
        Cast to the dtype of the sums. K numbers may have more axes of length 1.
    activation : str, tuple or list, optional
        ``"relu"``, ``"relu6"``, ``("leaky_relu", negative_slope=0.01)``, ``("prelu", slopes)``
        with K slopes, ``("clip", lo, hi)``, of which either may be None, ``"sigmoid"``,
        ``"tanh"``, ``"silu"``, ``"gelu"`` (erf), ``"gelu_tanh"``, ``"hardswish"``,
        ``"hardsigmoid"``, ``("elu", alpha=1.0)``, ``"softplus"`` or ``"mish"``, as PyTorch defines
        them.
    residual : array_like, optional
        Added before the activation; of the dtype of the result, in either byte order, and
        broadcast to its shape. A number of Python is of any dtype that holds it.
        ``residual=out`` accumulates.
    channel_axis : int, default -3
        -3 for ``(C, H, W)`` and ``(N, C, H, W)``, -1 for channels-last, -2 for ``(C, L)``.
    stride : int or sequence of int, default 1
        Step along the spatial axes: those behind the channel axis; for channels-last those
        before it, the first axis of four or more being the batch.
    groups : int, default 1
        Divides C and K; each group of outputs sees its own group of inputs.
    dtype : dtype_like, optional
        Of the result: float16, bfloat16 (of ml_dtypes), float32, float64, an integer (rounded half
        to even, saturated, NaN to 0), complex64 or complex128, in either byte order, as
        ``">f4"``. By default that of `x` in the byte order of this machine; float32 for 16-bit
        floats and integers of up to 16 bits, float64 for longer ones. Sums are of float32, or of
        float64 where the result is, or where `x` or an integer result has 32 bits or more. So an
        integer result is exact only as far as the sums are: up to 2**24 in float32, which sums of
        many uint16 pass (see `precision`), up to 2**53 in float64.
    head : {"softmax", "log_softmax", "l2_normalize", "argmax"}, optional
        Applied over the output channels, last. ``"l2_normalize"`` divides by
        ``max(norm, 1e-12)``. ``"argmax"`` gives the number of the largest channel, the first of
        equal ones or the first NaN, in an array without the channel axis: uint8 up to 256
        channels (255 where data may be missing, for `fill` is no label), else uint16 or int64, or
        `dtype`.
    nodata : number or sequence of C numbers, optional
        The value of `x` that marks missing data, of each channel or of all; NaN for NaN, None in
        a sequence for a channel that has no such value. It is compared in the dtype of `x`:
        integers of 64 bits exactly, floats as that dtype rounds them.
    mask : array_like of bool, optional
        True where `x` is missing: a scalar for all of it, or what NumPy would broadcast to the
        pixels of `x` (its shape without the channel axis) or to `x` itself. Where both can be and
        differ, a mask of the shape of `x` is of `x`, one as long as the last axes of pixels is of
        pixels, and others are refused.
    fill : float, optional
        What a pixel without a result becomes: by default NaN; 0 for integers; of labels the
        largest value of their dtype.
    valid : {"all", "any"}
        ``"all"``: a pixel that misses a channel has no result. ``"any"``: the channels that are
        there are used, and each sum over them, without bias and residual, is multiplied by
        ``sum(abs(w)) / sum(abs(w) of the channels there)``; where the latter alone is 0 there is
        no result. Where both are 0 nothing is missing that would count: the result is the bias.
        Sums are over ``scale * x + offset``; the sizes are those of the weights as given, without
        the scale.
    min_valid : float, default 0.5
        For ``valid="any"``: the fraction of channels a pixel needs to have a result. A pixel that
        misses all its channels has none, with ``min_valid=0`` either.
    scale, offset : array_like, shape (C,) or (), optional
        ``scale * x + offset`` takes the place of `x`, as for reflectance from digital numbers or
        for a mean to subtract. It is rounded once, in the dtype of the sums, and then multiplied:
        a large mean costs no digits. Scale and offset are rounded to that dtype first; a value of
        `x` counts in full: where it has more bits (float64, integers of 32 and more) than sums of
        float32, all three are computed with in float64. A scale of 0 makes a channel that counts
        as `offset`. `nodata` and `mask` are of `x` itself. Where every offset is 0 the weights may
        take the scale.
    precision : {"bf16", "float64"}, optional
        ``"float64"``: sums, weights and bias of float64 (complex128) whatever `dtype` is; the
        result is rounded once. ``"bf16"`` allows `x` and `weight` to be rounded to bfloat16
        (8 bits) before they are multiplied, where the CPU has instructions for it (AVX-512 BF16,
        planar layouts); sums are of float32 all the same. Elsewhere nothing is rounded.
    channels : list of names, optional
        Names of the C input channels, in the order of the weights. Where the channels of `x` have
        names, they are found by them, in whatever order: the columns of a DataFrame, a coordinate
        along the channel axis of an xarray.DataArray, the fields of a structured array, which
        become the channel axis. The result is an array without names. Any other `x` has its
        channels in this order.
    out : numpy.ndarray, optional
        Where the result goes: its shape and dtype, either byte order, any strides with which no
        two elements share memory. It may overlap `x` or `residual`. The mask of a masked array is
        set, too. What it holds after a call was interrupted is undefined.
    backend : {"auto", "c", "numba", "numpy"}
        See `backends`.
    threads : int, optional
        `get_num_threads` by default. The NumPy backend leaves the threads to its BLAS.

    Returns
    -------
    numpy.ndarray
        `out`, or a new C-contiguous array: the shape of `x` with K on the channel axis. Where
        `x` is masked it is a masked array: `fill` as data and as ``fill_value``, and masked where
        there is no result.

    Raises
    ------
    TypeError, ValueError
        Before anything is computed or written; the message names the argument, what came and
        what would fit.
    KeyboardInterrupt
        After Ctrl-C, or whatever else the handler of a signal raises: in the C backend within some
        50 ms, in the NumPy backend between two panels, in Numba as the call ends.

    Examples
    --------
    Luma of a 2 x 2 colour image:

    >>> import numpy as np, pointwise_fast as pf
    >>> image = np.ones((3, 2, 2), np.float32)
    >>> pf.conv1x1(image, [[0.25, 0.5, 0.25]], bias=[1])
    array([[[2., 2.],
            [2., 2.]]], dtype=float32)
    """
    known = _repeats.get(id(weight))
    if known is not None:
        repeat, act, axis, step, parts, sums, where = known
        # Not ==, for which stride=1.0 would be 1.
        if (
            activation is act
            and channel_axis is axis
            and stride is step
            and groups is parts
            and dtype is sums
            and backend is where
            and head is None
            and nodata is None
            and mask is None
            and scale is None
            and offset is None
            and precision is None
            and channels is None
            and fill is None
            and valid == "all"
            and min_valid == 0.5
        ):
            n = (threads is None and default.threads) or resolve_threads(threads)
            result = repeat(x, residual, out, n, weight, bias)
            if result is not None:
                return result
    given = (  # in the order of `Options`
        *(activation, channel_axis, stride, groups, dtype, backend),
        *(head, nodata, fill, valid, min_valid, scale, offset, precision),
        as_names(channels),
    )
    return _checked(x, weight, bias, residual, out, mask, threads, given)


def _checked(
    x: Any,
    weight_given: Any,
    bias: Any,
    residual: Any,
    out: Array | None,
    mask: Any,
    threads: int | None,
    given: tuple[Any, ...],
) -> Array:
    """`conv1x1` for the first time, and whenever it is no repeat."""
    if out is not None:
        out = check_out(out, masked=True)
    if is_masked(x) or is_masked(out) or (given[_CHANNELS] is not None and has_names(x)):
        layer = Conv1x1(weight_given, bias, **Options(*given)._asdict())
        return layer(x, residual=residual, mask=mask, out=out, threads=threads)
    x = as_x(x, given[_AXIS])
    weight = as_parameter(weight_given, "weight", ANY_NUMBER)
    if bias is not None:
        bias = as_parameter(bias, "bias", ANY_NUMBER)
    if mask is not None:
        mask = as_mask(mask, given[_HEAD] == "argmax")
    if residual is not None:
        residual = as_residual(residual)
    spec = _specs((weight.shape, None if bias is None else bias.shape), given)
    prepared = prepare_once(spec, geometries(x, residual, out, mask))
    n = resolve_threads(threads)
    if residual is not None:
        residual = prepared.residual(residual)
    w, b = spec.cast(weight, bias, prepared.dtype)
    result = execute(prepared, x, residual, mask, out, n, w, b)
    repeat = prepared.repeat
    if repeat is not None and mask is None and weight is weight_given and spec.is_plain:
        options = given[:_COMPARED]
        if weight.dtype == w.dtype and is_constant(options):  # they are compared by identity
            keep(_repeats, id(weight), (repeat, *options))
    return result


_AXIS, _HEAD, _CHANNELS = map(Options._fields.index, ("channel_axis", "head", "channels"))
#: The first so many options are those that a repeat is found by.
_COMPARED = 6


def _parse(shapes: tuple[Any, Any], *given: Any) -> LayerSpec:
    return LayerSpec.parse(*shapes, Options(*given))


_specs = Known(_parse)

#: Calls to repeat, each with the six options it was made with, by the id of the weights. That is
#: but a hint where to look, for other arrays may come by it: a repeat checks all that it is given.
_repeats: dict[int, tuple[Repeat, Any, Any, Any, Any, Any, Any]] = {}
