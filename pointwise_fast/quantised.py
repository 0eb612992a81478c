"""`qconv1x1`: quantised 1x1 convolution with the semantics of ONNX's QLinearConv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import as_input, check_out, is_same, overlap, owners
from .config import resolve_threads
from .dispatch import candidates
from .geometry import (
    Geometry,
    check_apart,
    check_fits,
    check_size,
    contiguous_strides,
    find_channel_axis,
    geometry,
    stepped,
)
from .kernels import QuantisedPlan
from .kernels.c_quantised import CQuantised
from .kernels.numpy_quantised import NumpyQuantised
from .keys import Known
from .problem import QuantisedProblem, reduce_pixels
from .quantisation import Quantisation, as_int32, check_bytes
from .shapes import as_vector
from .spec import LayerSpec, Options, Shape
from .typing import Backend

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
    x = as_input(x, "x", axis=channel_axis if type(channel_axis) is int else None, masked=_BYTES)
    weight = as_input(weight, "weight")
    if bias is not None:
        bias = as_int32(bias)
    arrays = (
        geometry(x),
        geometry(weight),
        None if bias is None else geometry(bias),
        None if out is None else geometry(out),
    )
    parameters = (
        *(x_scale, x_zero_point, weight_scale, weight_zero_point, out_scale, out_zero_point),
        *(activation, channel_axis, stride, groups, backend),
    )
    call = _known(arrays, parameters)
    n = resolve_threads(threads)
    plans = call.plans
    if out is None:
        out = call.empty()
    elif x is out or weight is out or not owners(x, weight, out, bias):
        if overlap(weight, out):
            weight = weight.copy()
        if bias is not None and overlap(bias, out):
            bias = bias.copy()
        if overlap(x, out):
            in_place = call.in_place if is_same(x, out) else None
            if in_place is None:
                beside = call.empty()
                call.run(call.plans_beside, weight, bias, x, beside, n)
                np.copyto(out, beside)
                return out
            plans = in_place
    call.run(plans, weight, bias, x, out, n)
    return out


#: Instead of a masked x.
_BYTES = (
    "x.filled(byte) with the byte that is to stand for what is masked, such as x_zero_point, which "
    "counts as 0: quantised operators know no missing data"
)


class _Group(NamedTuple):
    """The part of a call that one group of channels is: which of each array, and its plan."""

    inputs: slice
    outputs: slice
    plan: QuantisedPlan


class _Call:
    """A checked call without its data.

    Attributes
    ----------
    plans : list of _Group
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
        stride: int | Sequence[int],
        groups: int,
        backend: str,
    ) -> None:
        x, weight, bias, out = arrays
        check_bytes(x.dtype, "x")
        check_bytes(weight.dtype, "weight")
        if bias is not None and bias.dtype != np.int32:
            raise TypeError(
                f"bias has dtype {bias.dtype}; int32 is expected, in units of "
                "x_scale * weight_scale"
            )
        options = Options(activation, channel_axis, stride, groups, None, backend)
        bias_shape = None if bias is None else bias.shape
        self._settings = settings = LayerSpec.parse(weight.shape, bias_shape, options)
        self._axis = axis = find_channel_axis(settings, x.shape)
        quantisation = Quantisation(
            (x_scale, weight_scale, out_scale),
            (x_zero_point, weight_zero_point, out_zero_point),
            (x.dtype, weight.dtype),
            settings.K,
        )
        x_shape, x_strides = stepped(settings, x.shape, x.strides)
        self._shape = shape = (*x_shape[:axis], settings.K, *x_shape[axis + 1 :])
        self._x_strides = x_strides
        dtype = quantisation.out_dtype
        check_size(x.shape, shape, dtype)
        if out is not None:
            check_fits(out, shape, dtype, "out")
            check_apart(out)
        lo, hi = quantisation.bounds(settings.activation)
        self._problem = QuantisedProblem(
            x_dtype=x.dtype,
            weight_dtype=weight.dtype,
            out_dtype=dtype,
            C=settings.C,
            K=settings.K,
            **self._reduced(None if out is None else out.strides),
            x_zero=quantisation.x_zero,
            weight_zero=quantisation.weight_zero,
            multiplier=quantisation.multiplier,
            out_zero=quantisation.out_zero,
            lo=lo,
            hi=hi,
        )
        self._make = _select(backend)
        self.plans = self._plan(self._problem)
        self.empty = partial(np.empty, shape, dtype)

    @cached_property
    def in_place(self) -> list[_Group] | None:
        """The plans whose output is their input; None where there are none."""
        problem = replace(self._problem, in_place=True)
        most = self._make.most_in_place
        return self._plan(problem) if most >= problem.C // self._settings.groups else None

    @cached_property
    def plans_beside(self) -> list[_Group]:
        """The plans whose output is a new array, whatever the call's own has been."""
        return self._plan(replace(self._problem, **self._reduced(None)))

    def _reduced(self, out_strides: Shape | None) -> dict[str, Any]:
        """Pixels, and strides over them; None: those of a new array of bytes."""
        out_strides = contiguous_strides(self._shape, 1) if out_strides is None else out_strides
        arrays = {"x": self._x_strides, "out": out_strides}
        extents, strides = reduce_pixels(self._shape, self._axis, arrays)
        return {
            "outer": extents[:-1],
            "P": extents[-1],
            "x_strides": strides["x"],
            "out_strides": strides["out"],
        }

    def _plan(self, problem: QuantisedProblem) -> list[_Group]:
        """One for each group; as output and input have as many, none reads what another wrote."""
        if 0 in (problem.K, problem.P, *problem.outer):
            return []
        groups = self._settings.groups
        C, K = problem.C // groups, problem.K // groups
        found = []
        for g in range(groups):
            inputs, outputs = slice(g * C, (g + 1) * C), slice(g * K, (g + 1) * K)
            of_group = replace(
                problem,
                C=C,
                K=K,
                weight_zero=problem.weight_zero[outputs],
                multiplier=problem.multiplier[outputs],
            )
            found.append(_Group(inputs, outputs, self._make(of_group)))
        return found

    def run(
        self,
        plans: list[_Group],
        weight: Array,
        bias: Array | None,
        x: Array,
        out: Array,
        threads: int,
    ) -> None:
        if weight.ndim != 2:
            weight = weight.reshape(self._settings.weight_shape)
        if bias is not None:
            bias = as_vector(bias, self._settings.K)
        if len(plans) == 1:
            plans[0].plan.conv(weight, bias, x, out, threads)
            return
        before = (slice(None),) * self._axis
        for inputs, outputs, plan in plans:
            added = None if bias is None else bias[outputs]
            source, target = x[(*before, inputs)], out[(*before, outputs)]
            plan.conv(weight[outputs], added, source, target, threads)


_known = Known(_Call)


def _select(name: str) -> type[CQuantised] | type[NumpyQuantised]:
    plans = {CQuantised.NAME: CQuantised, NumpyQuantised.NAME: NumpyQuantised}
    for candidate in candidates(name):
        if candidate in plans:
            return plans[candidate]
    raise ValueError(
        f"backend {candidates(name)[0]!r} does not support quantised arrays; "
        f"choose from {', '.join(map(repr, plans))}"
    )
