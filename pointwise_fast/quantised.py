"""`qconv1x1`: quantised 1x1 convolution with the semantics of ONNX's QLinearConv."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import as_input, check_out, is_same, overlap
from .call import (
    Geometry,
    check_fits,
    check_size,
    contiguous_strides,
    find_channel_axis,
    geometry,
)
from .config import resolve_threads
from .dispatch import candidates
from .dtypes import native
from .kernels import QuantisedPlan
from .kernels.c_quantised import CQuantised
from .kernels.numpy_quantised import NumpyQuantised
from .problem import QuantisedProblem, reduce_pixels
from .quantisation import Quantisation, check_bytes
from .settings import Settings

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
    if out is not None:
        out = check_out(out)
    x = as_input(x, "x", axis=channel_axis if type(channel_axis) is int else None, masked=_BYTES)
    weight = as_input(weight, "weight")
    if bias is not None:
        bias = as_input(bias, "bias")
        if not bias.dtype.isnative:
            bias = bias.astype(native(bias.dtype))
    arrays = (
        geometry(x),
        geometry(weight),
        None if bias is None else geometry(bias),
        None if out is None else geometry(out),
    )
    parameters = (
        x_scale,
        x_zero_point,
        weight_scale,
        weight_zero_point,
        out_scale,
        out_zero_point,
        activation,
        channel_axis,
        backend,
    )
    types = tuple(map(type, parameters))
    call = key = None
    if _KEYS.issuperset(types):
        # With types, for 1.0 is 1.
        key = (arrays, types, *[_by_value(p) if type(p) is np.ndarray else p for p in parameters])
        try:
            call = _calls.get(key)
        except TypeError:  # a tuple with something else in it
            key = None
    if call is None:
        call = _Call(arrays, *parameters)
        if key is not None:
            _remember(key, call)
    n = resolve_threads(threads)
    plan = call.plan
    if out is None:
        out = call.empty()
    elif not _owners(x, weight, out):
        if overlap(weight, out):
            weight = weight.copy()
        if overlap(x, out):
            in_place = call.in_place if is_same(x, out) else None
            if in_place is None:
                apart = _Call((*arrays[:3], None), *parameters)
                beside = apart.empty()
                apart.plan.conv(_as_matrix(weight), bias, x, beside, n)
                np.copyto(out, beside)
                return out
            plan = in_place
    plan.conv(_as_matrix(weight), bias, x, out, n)
    return out


#: Instead of a masked x.
_BYTES = (
    "x.filled(byte) with the byte that is to stand for what is masked, such as x_zero_point, which "
    "counts as 0: quantised operators know no missing data"
)


def _owners(x: Array, weight: Array, out: Array) -> bool:
    """Whether each has memory of its own: the quick answer to what `overlap` asks."""
    return (
        x.base is None
        and weight.base is None
        and out.base is None
        and x is not out
        and weight is not out
    )


def _as_matrix(weight: Array) -> Array:
    return weight if weight.ndim == 2 else weight.reshape(weight.shape[:2])


def _by_value(array: Array) -> Any:
    return array.tobytes(), array.shape, array.dtype


def _remember(key: Any, call: _Call) -> None:
    if len(_calls) >= _MOST_CALLS:
        _calls.clear()
    _calls[key] = call


#: Types of parameters whose value says all, or, of arrays, the bytes. A call with others is checked
#: anew each time.
_NUMBERS = (int, float, np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64)
_KEYS = frozenset((*_NUMBERS, str, tuple, type(None), np.ndarray))


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
        arrays: tuple[Geometry, Geometry, Geometry | None, Geometry | None],
        x_scale: Any,
        x_zero_point: Any,
        weight_scale: Any,
        weight_zero_point: Any,
        out_scale: Any,
        out_zero_point: Any,
        activation: ActivationSpec,
        channel_axis: int,
        backend: str,
    ) -> None:
        (x_shape, x_strides, x_dtype), weight, bias, out = arrays
        check_bytes(x_dtype, "x")
        check_bytes(weight[2], "weight")
        if bias is not None and bias[2] != np.int32:
            raise TypeError(
                f"bias has dtype {bias[2]}; int32 is expected, in units of x_scale * weight_scale"
            )
        given = weight[0], None if bias is None else bias[0], activation, channel_axis
        settings = Settings(*given, stride=1, groups=1, dtype=None, backend=backend)
        quantisation = Quantisation(
            (x_scale, weight_scale, out_scale),
            (x_zero_point, weight_zero_point, out_zero_point),
            (x_dtype, weight[2]),
            settings.K,
        )
        axis = find_channel_axis(settings, x_shape)
        shape = (*x_shape[:axis], settings.K, *x_shape[axis + 1 :])
        dtype = quantisation.out_dtype
        check_size(x_shape, shape, dtype)
        if out is None:
            out = Geometry(shape, contiguous_strides(shape, dtype.itemsize), dtype)
        check_fits(out, shape, dtype, "out")
        extents, strides = reduce_pixels(shape, axis, {"x": x_strides, "out": out[1]})
        lo, hi = quantisation.bounds(settings.activation)
        self._problem = QuantisedProblem(
            x_dtype=x_dtype,
            weight_dtype=weight[2],
            out_dtype=dtype,
            outer=extents[:-1],
            C=settings.C,
            K=settings.K,
            P=extents[-1],
            x_strides=strides["x"],
            out_strides=strides["out"],
            x_zero=quantisation.x_zero,
            weight_zero=quantisation.weight_zero,
            multiplier=quantisation.multiplier,
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
        return self._plan(problem) if self._make.most_in_place >= problem.C else None

    def _plan(self, problem: QuantisedProblem) -> QuantisedPlan:
        nothing = 0 in (problem.K, problem.P, *problem.outer)
        return _NothingToDo() if nothing else self._make(problem)


class _NothingToDo:
    """The plan of a problem with no output element."""

    def conv(self, weight: Array, bias: Array | None, x: Array, out: Array, threads: int) -> None:
        pass


#: Checked calls by the geometry of their arrays and the values of their parameters.
_calls: dict[Any, _Call] = {}

#: After which they are forgotten.
_MOST_CALLS = 256


def _select(name: str) -> type[CQuantised] | type[NumpyQuantised]:
    plans = {CQuantised.NAME: CQuantised, NumpyQuantised.NAME: NumpyQuantised}
    for candidate in candidates(name):
        if candidate in plans:
            return plans[candidate]
    raise ValueError(
        f"backend {candidates(name)[0]!r} does not support quantised arrays; "
        f"choose from {', '.join(map(repr, plans))}"
    )
