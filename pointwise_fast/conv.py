"""`conv1x1` and `Conv1x1`: what a user calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import ANY_NUMBER, as_input, as_parameter, check_integer
from .call import Call, describe
from .config import resolve_threads
from .kernels import Parameters, Plan, Repeat
from .layer import MOST_CALLS, Layer, geometries
from .missing import Nodata
from .settings import Settings

__all__ = ["Conv1x1", "conv1x1"]

Array = npt.NDArray[Any]

#: What follows the bias in `Settings`, as given.
_Given = tuple[Any, ...]


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
    head: str | None = None,
    nodata: Nodata = None,
    mask: npt.ArrayLike | None = None,
    fill: float | None = None,
    valid: str = "all",
    min_valid: float = 0.5,
    scale: npt.ArrayLike | None = None,
    offset: npt.ArrayLike | None = None,
    precision: str | None = None,
    out: Array | None = None,
    backend: str = "auto",
    threads: int | None = None,
) -> Array:
    """Apply one small matrix to the channels of every pixel: a 1x1 (pointwise) convolution.

    ``y[..., k, p] = activation(sum_c weight[k, c] * x[..., c, p] + bias[k] + residual[..., k, p])``

    Parameters
    ----------
    x : array_like
        Any number of axes, any strides; never copied. Floats of 16 (float16, bfloat16), 32 or 64
        bits, integers, booleans or complex numbers, which are converted a panel at a time. Also
        what speaks the buffer protocol, ``__array_interface__`` or DLPack (CPU).
    weight : array_like, shape (K, C/groups), (K, C/groups, 1) or (K, C/groups, 1, 1)
        Cast to the dtype of the sums.
    bias : array_like, shape (K,), optional
        Cast to the dtype of the sums.
    activation : str or tuple, optional
        ``"relu"``, ``"relu6"``, ``("leaky_relu", negative_slope=0.01)``, ``("prelu", slopes)``
        with K slopes, ``("clip", lo, hi)``, ``"sigmoid"``, ``"tanh"``, ``"silu"``, ``"gelu"``
        (erf), ``"gelu_tanh"``, ``"hardswish"``, ``"hardsigmoid"``, ``("elu", alpha=1.0)``,
        ``"softplus"`` or ``"mish"``, as PyTorch defines them.
    residual : array_like, optional
        Added before the activation; the shape and dtype of the result. ``residual=out``
        accumulates.
    channel_axis : int, default -3
        -3 for ``(C, H, W)`` and ``(N, C, H, W)``, -1 for channels-last, -2 for ``(C, L)``.
    stride : int or sequence of int, default 1
        Step along the spatial axes: those behind the channel axis; for channels-last those
        before it, the first axis of four or more being the batch.
    groups : int, default 1
        Divides C and K; each group of outputs sees its own group of inputs.
    dtype : dtype_like, optional
        Of the result: float16, bfloat16 (of ml_dtypes), float32, float64, an integer of up to 32
        bits (rounded half to even, saturated, NaN to 0), complex64 or complex128. By default that
        of `x`; float32 for 16-bit floats and integers of up to 16 bits, float64 for longer ones.
        Sums are of float32, or of float64 where the result is, or an integer one needs it.
    head : {"softmax", "log_softmax", "l2_normalize", "argmax"}, optional
        Applied over the output channels, last. ``"l2_normalize"`` divides by
        ``max(norm, 1e-12)``. ``"argmax"`` gives the number of the largest channel, the first of
        equal ones or the first NaN, in an array without the channel axis: uint8 up to 256
        channels, else uint16 or int64, or `dtype`.
    nodata : float or sequence of C floats, optional
        The value of `x` that stands for none, of each channel or of all; NaN for NaN.
    mask : array_like of bool, optional
        True where `x` is missing; the shape of `x`, or of its pixels (without channel axis).
    fill : float, optional
        What a pixel without a result becomes: NaN by default, 0 for integers.
    valid : {"all", "any"}
        ``"all"``: a pixel that misses a channel has no result. ``"any"``: the channels that are
        there are used, and each sum over them, without bias and residual, is multiplied by
        ``sum(abs(w)) / sum(abs(w) of the channels there)``; where the latter alone is 0 there is
        no result. Sums are over ``scale * x + offset``; the sizes are those of the weights as
        given, without the scale.
    min_valid : float, default 0.5
        For ``valid="any"``: the fraction of channels a pixel needs to have a result.
    scale, offset : array_like, shape (C,) or (), optional
        ``scale * x + offset`` takes the place of `x`, as for reflectance from digital numbers or
        for a mean to subtract. It is rounded once, in the dtype of the sums, and then multiplied:
        a large mean costs no digits. Scale and offset are rounded to that dtype first; a value of
        `x` counts in full: where it has more bits (float64, integers of 32 and more) than sums of
        float32, all three are computed with in float64. A scale of 0 makes a channel that counts
        as `offset`. `nodata` and `mask` are of `x` itself. Where every offset is 0 the weights may
        take the scale.
    precision : {"bf16"}, optional
        Allows `x` and `weight` to be rounded to bfloat16 (8 bits) before they are multiplied, where
        the CPU has instructions for it (AVX-512 BF16, planar layouts); sums are of float32 all the
        same. Elsewhere nothing is rounded.
    out : numpy.ndarray, optional
        Where the result goes: its shape and dtype, any strides. It may overlap `x` or
        `residual`.
    backend : {"auto", "c", "numba", "numpy"}
        See `backends`.
    threads : int, optional
        `get_num_threads` by default. The NumPy backend leaves the threads to its BLAS.

    Returns
    -------
    numpy.ndarray
        `out`, or a new C-contiguous array: the shape of `x` with K on the channel axis.

    Raises
    ------
    TypeError, ValueError
        Before anything is computed or written; the message names the argument, what came and
        what would fit.

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
            and fill is None
            and valid == "all"
            and min_valid == 0.5
        ):
            result = repeat(x, residual, out, resolve_threads(threads), weight, bias)
            if result is not None:
                return result
    if isinstance(stride, tuple | list):  # of which (2.0, 2) would be found by (2, 2)
        stride = tuple(check_integer(step, "stride", 1) for step in stride)
    if scale is not None or offset is not None:
        scale, offset = _hashable(scale), _hashable(offset)
    given = (
        *(activation, channel_axis, stride, groups, dtype, backend),
        *(head, nodata, fill, valid, min_valid, scale, offset, precision),
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
    given: _Given,
) -> Array:
    """`conv1x1` for the first time, and whenever it is no repeat."""
    x = as_input(x, "x")
    weight = as_parameter(weight_given, "weight", ANY_NUMBER)
    if bias is not None:
        bias = as_parameter(bias, "bias", ANY_NUMBER)
    if residual is not None:
        residual = as_input(residual, "residual")
    if mask is not None:
        mask = as_input(mask, "mask")
    layer = (weight.shape, None if bias is None else bias.shape, *given)
    arrays = geometries(x, residual, out, mask)
    try:
        call = _cached_call(*layer, *arrays)
    except TypeError:  # something cannot be hashed, or is wrong: then this says what
        call = _call(*layer, *arrays)
    n = resolve_threads(threads)
    w, b = call.settings.cast(weight, bias, call.dtype)
    if call.repeat is not None and mask is None:
        if weight is weight_given and weight.dtype == w.dtype and _is_plain(call.settings):
            _remember(weight, call.repeat, given)
        result = call.repeat(x, residual, out, n, w, b)
        if result is not None:
            return result
    plan: Plan | None = call.plan
    if out is None:
        out = call.empty()
    else:
        plan = call.plan_into(out, x, residual, mask)
    if plan is None:
        beside = call.empty()
        alone = _call(*layer, *geometries(x, residual, None, mask))
        alone.plan.conv(w, b, x, residual, beside, n, mask)
        np.copyto(out, beside)
        return out
    plan.conv(w, b, x, residual, out, n, mask)
    if plan is call.plan and call.repeat is None and mask is None:
        call.repeat = plan.repeat(None, w, b, x, residual, out, call.empty)
    return out


def _call(*arguments: Any) -> Call:
    """The last four arguments are the arrays' geometries."""
    return describe(Settings(*arguments[:-4]), *arguments[-4:])


def _hashable(numbers: Any) -> Any:
    """An array or a list of numbers as a tuple, by which a call is found again."""
    if type(numbers) is np.ndarray and numbers.ndim == 1:
        return tuple(numbers.tolist())
    return tuple(numbers) if type(numbers) is list else numbers


def _is_plain(settings: Settings) -> bool:
    """Without what `conv1x1` does not look at in a call that might be a repeat."""
    return (
        settings.head is None
        and settings.missing.nodata is None
        and settings.scale is None
        and settings.offset is None
        and settings.precision is None
    )


#: Typed, so that stride=1.0 never meets the entry of stride=1.
_cached_call = lru_cache(maxsize=256, typed=True)(_call)


def _remember(weight: Array, repeat: Repeat, given: _Given) -> None:
    if len(_repeats) >= MOST_CALLS:
        _repeats.clear()
    activation, channel_axis, stride, groups, dtype, backend, *_ = given
    _repeats[id(weight)] = repeat, activation, channel_axis, stride, groups, dtype, backend


#: Calls to repeat, each with the six settings it was made with, by the id of the weights. That is
#: but a hint where to look, for other arrays may come by it: a repeat checks all that it is given.
_repeats: dict[int, tuple[Repeat, Any, Any, Any, Any, Any, Any]] = {}


class Conv1x1(Layer):
    """A 1x1 convolution whose weights are checked, copied and packed once.

    Parameters are those of `conv1x1`. The weights are packed when a call first needs them. A
    layer may be shared by any number of threads, and pickled.

    Attributes
    ----------
    weight, bias : numpy.ndarray
        Read-only copies of what was given; no bias: None.

    Examples
    --------
    >>> import numpy as np, pointwise_fast as pf
    >>> layer = pf.Conv1x1(np.eye(2, 3), activation="relu", channel_axis=-1)
    >>> layer(np.array([[-1.0, 2.0, 3.0]]))
    array([[0., 2.]])
    >>> layer
    Conv1x1(3 -> 2, activation='relu', channel_axis=-1)
    """

    def __init__(
        self,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        *,
        activation: ActivationSpec = None,
        channel_axis: int = -3,
        stride: int | Sequence[int] = 1,
        groups: int = 1,
        dtype: npt.DTypeLike | None = None,
        head: str | None = None,
        nodata: Nodata = None,
        fill: float | None = None,
        valid: str = "all",
        min_valid: float = 0.5,
        scale: npt.ArrayLike | None = None,
        offset: npt.ArrayLike | None = None,
        precision: str | None = None,
        backend: str = "auto",
    ) -> None:
        self._weight = as_parameter(weight, "weight", ANY_NUMBER).copy()
        self._bias = None if bias is None else as_parameter(bias, "bias", ANY_NUMBER).copy()
        self._settings = Settings(
            self._weight.shape,
            None if self._bias is None else self._bias.shape,
            activation,
            channel_axis,
            stride,
            groups,
            dtype,
            backend,
            head,
            nodata,
            fill,
            valid,
            min_valid,
            None if scale is None else as_parameter(scale, "scale").copy(),
            None if offset is None else as_parameter(offset, "offset").copy(),
            precision,
        )
        self._forget()

    @property
    def weight(self) -> Array:
        return self._weight

    @property
    def bias(self) -> Array | None:
        return self._bias

    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        return plan.pack(*self._parameters(dtype))

    def _parameters(self, dtype: np.dtype[Any]) -> Parameters:
        """Weights as ``(K, C/groups)`` and bias, in `dtype`."""
        return self._settings.cast(self._weight, self._bias, dtype)

    def _forget(self) -> None:
        super()._forget()
        # Which a pickle does not keep.
        for array in (self._weight, self._bias):
            if array is not None:
                array.flags.writeable = False

    def __repr__(self) -> str:
        return f"Conv1x1({self._settings})"
