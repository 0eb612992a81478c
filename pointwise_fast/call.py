"""Every check of a call, made once for each combination of settings and array geometry.

`Settings` are what does not depend on the arrays; `describe` adds the arrays' geometry and gives
a `Call`: a `Problem`, the backend that takes it and its plan.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from . import dispatch
from .activation import ActivationSpec, parse_activation
from .arrays import is_same, overlap, refuse_objects
from .kernels import Backend, Parameters, Plan, Repeat
from .problem import Hidden, Problem, reduce_axes

__all__ = ["Call", "Geometry", "Settings", "describe", "geometry"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

#: Shape, byte strides and dtype: where an array's elements lie, relative to the first.
Geometry = tuple[Shape, Shape, np.dtype[Any]]

#: The dtypes of inputs and results.
FLOATS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.float32),
    np.dtype(np.float64): np.dtype(np.float64),
}


def geometry(array: Array) -> Geometry:
    return array.shape, array.strides, array.dtype


class Settings:
    """What a layer is before it meets an array; checked."""

    #: Of a chain: the layers before the last, which the other settings are of.
    hidden: tuple[Hidden, ...] = ()

    def __init__(
        self,
        weight_shape: Shape,
        bias_shape: Shape | None,
        activation: ActivationSpec,
        channel_axis: int,
        stride: int | Sequence[int],
        groups: int,
        dtype: npt.DTypeLike | None,
        backend: str,
    ) -> None:
        self.groups = _integer(groups, "groups", 1)
        self.weight_shape = _matrix_shape(weight_shape)
        self.K = self.weight_shape[0]
        self.C = self.weight_shape[1] * self.groups
        if self.K % self.groups:
            raise ValueError(
                f"groups={self.groups} does not divide the {self.K} output channels of weight"
            )
        self.bias = bias_shape is not None
        if bias_shape not in (None, (self.K,)):
            raise ValueError(
                f"bias has shape {bias_shape}; ({self.K},) fits weight of shape {weight_shape}"
            )
        self.channel_axis = _integer(channel_axis, "channel_axis")
        self.stride: int | Shape
        if isinstance(stride, Sequence) and not isinstance(stride, str):
            self.stride = tuple(_integer(step, "stride", 1) for step in stride)
        else:
            self.stride = _integer(stride, "stride", 1)
        self.dtype = None if dtype is None else _float_dtype(dtype, "dtype")
        self.activation = parse_activation(activation)
        dispatch.check_name(backend)
        self.backend = backend

    def cast(
        self, weight: Array, bias: Array | None, dtype: np.dtype[Any]
    ) -> tuple[Array, Array | None]:
        """Weights as ``(K, C/groups)`` and bias, in `dtype`."""
        if weight.ndim != 2:
            weight = weight.reshape(self.weight_shape)
        if weight.dtype is not dtype:
            weight = weight.astype(dtype)
        if bias is not None and bias.dtype is not dtype:
            bias = bias.astype(dtype)
        return weight, bias

    def expects(self, who: str = "weight") -> str:
        """How many channels `who` wants, for errors."""
        text = f"{who} expects {self.C}"
        if self.groups != 1:
            text += f" ({self.groups} groups of {self.weight_shape[1]})"
        return text

    def __str__(self) -> str:
        parts = [f"{self.C} -> {self.K}"]
        if self.activation is not None:
            name, *parameters = self.activation
            spec = tuple(self.activation) if any(parameters) else name
            parts.append(f"activation={spec!r}")
        parts.append(f"channel_axis={self.channel_axis}")
        parts += [f"stride={self.stride}"] if self.stride != 1 else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += [f"dtype={self.dtype}"] if self.dtype is not None else []
        parts += [f"backend={self.backend!r}"] if self.backend != "auto" else []
        return ", ".join(parts)


class Call:
    """A checked call without its data.

    Attributes
    ----------
    settings : Settings
    problem : Problem
    plan : Plan
    dtype : numpy.dtype
        Of the result.
    empty : callable
        Makes an array for the result.
    backend : Backend
        Whose plan it is.
    repeat : Repeat or None
        The plan's, once it has been made.
    """

    repeat: Repeat | None = None

    def __init__(
        self, settings: Settings, problem: Problem, backend: Backend, shape: Shape
    ) -> None:
        self.settings = settings
        self.problem = problem
        self.dtype = problem.dtype
        self.empty: Callable[[], Array] = partial(np.empty, shape, problem.dtype)
        self.backend = backend
        self._empty = 0 in (problem.K, problem.P, *problem.outer)
        self.plan: Plan = _NothingToDo() if self._empty else backend.plan(problem)

    def plan_into(self, out: Array, x: Array, residual: Array | None) -> Plan | None:
        """The plan that may write to `out`; None if it overlaps in a way that no plan can."""
        # The quick answer to what `overlap` asks: two owners of memory share none.
        apart = x.base is None and out.base is None and x is not out
        if apart and (residual is None or residual is out):
            return self.plan
        if residual is not None and overlap(residual, out) and not is_same(residual, out):
            return None
        if not overlap(x, out):
            return self.plan
        return self._in_place if is_same(x, out) else None

    @cached_property
    def _in_place(self) -> Plan | None:
        problem = replace(self.problem, in_place=True)
        if self._empty:
            return self.plan
        if self.backend.unsupported(problem) is not None:
            return None
        return self.backend.plan(problem)


class _NothingToDo:
    """The plan of a problem with no output element."""

    pack_key: Hashable = "nothing"

    def pack(self, weight: Array, bias: Array | None) -> None:
        pass

    def pack_chain(self, layers: Sequence[Parameters]) -> None:
        pass

    def run(self, packed: Any, x: Array, residual: Array | None, out: Array, threads: int) -> None:
        pass

    def conv(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
    ) -> None:
        pass

    def repeat(self, *_: Any) -> None:
        return None


def describe(
    settings: Settings,
    x_shape: Shape,
    x_strides: Shape,
    x_dtype: np.dtype[Any],
    residual: Geometry | None,
    out: Geometry | None,
) -> Call:
    """Check arrays against `settings` and each other, and reduce them to a `Problem`."""
    x_dtype = _float_dtype(x_dtype, "x")
    dtype = x_dtype if settings.dtype is None else settings.dtype
    axis = _find_channel_axis(settings, x_shape)
    x_shape, x_strides = _apply_stride(settings, axis, x_shape, x_strides)
    shape = (*x_shape[:axis], settings.K, *x_shape[axis + 1 :])
    if out is None:
        out = shape, _contiguous_strides(shape, dtype.itemsize), dtype
    _check_fits(out, shape, dtype, "out")
    arrays = [x_strides, out[1]]
    if residual is not None:
        _check_fits(residual, shape, dtype, "residual")
        arrays.append(residual[1])

    pixel_axes = [a for a in range(len(shape)) if a != axis]
    # The leading axis of length 1 stands for a single pixel where x is one channel vector.
    extents, steps = reduce_axes(
        [1, *(shape[a] for a in pixel_axes)],
        [(0,) * len(arrays), *(tuple(s[a] for s in arrays) for a in pixel_axes)],
    )
    strides = [
        (*(step[i] for step in steps[:-1]), array[axis], steps[-1][i])
        for i, array in enumerate(arrays)
    ]
    problem = Problem(
        dtype=dtype,
        x_dtype=x_dtype,
        outer=extents[:-1],
        C=settings.C,
        K=settings.K,
        P=extents[-1],
        groups=settings.groups,
        x_strides=strides[0],
        out_strides=strides[1],
        residual_strides=strides[2] if residual is not None else None,
        bias=settings.bias,
        activation=settings.activation,
        hidden=settings.hidden,
    )
    backend, reason = dispatch.select(settings.backend, problem)
    if backend is None:
        raise ValueError(reason)
    return Call(settings, problem, backend, shape)


def _matrix_shape(shape: Shape) -> tuple[int, int]:
    if len(shape) not in (2, 3, 4) or any(n != 1 for n in shape[2:]):
        raise ValueError(
            f"weight has shape {shape}; (K, C/groups), (K, C/groups, 1) or (K, C/groups, 1, 1) "
            "is expected"
        )
    return shape[0], shape[1]


def _find_channel_axis(settings: Settings, shape: Shape) -> int:
    """The channel axis of `x` counted from the front."""
    ndim, axis = len(shape), settings.channel_axis
    if not -ndim <= axis < ndim:
        hint = "; for (C, L) signals pass channel_axis=-2, for rows of channels -1"
        raise ValueError(
            f"channel_axis={axis} does not exist: x has {ndim} axes, shape {shape}"
            + (hint if axis == -3 else "")
        )
    channels = shape[axis]
    if channels != settings.C:
        fits = [a - ndim for a in range(ndim) if shape[a] == settings.C and a != axis % ndim]
        hint = ""
        if -1 in fits:
            hint = "; for channels-last arrays pass channel_axis=-1"
        elif fits:
            hint = f"; axis {fits[0]} has {settings.C}: channel_axis={fits[0]}?"
        raise ValueError(f"x has {channels} channels on axis {axis}, {settings.expects()}{hint}")
    return axis % ndim


def _apply_stride(
    settings: Settings, axis: int, shape: Shape, strides: Shape
) -> tuple[Shape, Shape]:
    """Shape and strides of ``x[..., ::stride]`` along the spatial axes."""
    if settings.stride == 1:
        return shape, strides
    ndim = len(shape)
    last = axis == ndim - 1
    spatial = list(range(1 if ndim > 3 else 0, axis) if last else range(axis + 1, ndim))
    step = settings.stride
    steps = (step,) * len(spatial) if isinstance(step, int) else step
    if len(steps) != len(spatial):
        raise ValueError(
            f"stride={step} has {len(steps)} entries; x of shape {shape} with channel axis "
            f"{settings.channel_axis} has {len(spatial)} spatial axes"
        )
    new_shape, new_strides = list(shape), list(strides)
    for a, n in zip(spatial, steps, strict=True):
        new_shape[a] = -(-shape[a] // n)
        new_strides[a] = strides[a] * n
    return tuple(new_shape), tuple(new_strides)


def _contiguous_strides(shape: Shape, itemsize: int) -> Shape:
    strides = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def _check_fits(array: Geometry, shape: Shape, dtype: np.dtype[Any], name: str) -> None:
    if array[0] != shape:
        raise ValueError(f"{name} has shape {array[0]}; the result has {shape}")
    if array[2] != dtype:
        raise TypeError(f"{name} has dtype {array[2]}; the result has {dtype}")


def _float_dtype(dtype: npt.DTypeLike, name: str) -> np.dtype[Any]:
    try:
        given = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{name} must be float32 or float64; got {dtype!r}") from None
    if given not in FLOATS:
        if name == "dtype":
            raise TypeError(f"dtype must be float32 or float64; got {given}")
        refuse_objects(given, name)
        raise TypeError(
            f"{name} has dtype {given}; supported are float32 and float64: "
            f"pass {name}.astype('float32')"
        )
    return FLOATS[given]


def _integer(value: Any, name: str, least: int | None = None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {value!r}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}; got {value!r}")
    return number
