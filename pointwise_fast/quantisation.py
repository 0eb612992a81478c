"""Scales and zero points: the checks of them, and what they make of sums."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from .activation import Activation
from .arrays import as_input, as_parameter
from .dtypes import native
from .shapes import as_vector, is_vector

__all__ = ["Quantisation", "as_int32", "check_bytes", "check_int32"]

Array = npt.NDArray[Any]

#: What a clip of the output can say.
ACTIVATIONS = ("relu", "relu6", "clip")


class Quantisation:
    """Scales and zero points of a call, checked.

    Parameters
    ----------
    scales, zero_points : tuple
        Of x, of the weights and of the output, as the user gave them.
    dtypes : tuple of numpy.dtype
        Of x and of the weights.
    K : int
        Output channels.

    Attributes
    ----------
    x_zero, out_zero : int
    weight_zero : numpy.ndarray of int32, shape (K,)
    multiplier : numpy.ndarray of float32, shape (K,)
        Of sums, for the output's steps.
    x_dtype, weight_dtype, out_dtype : numpy.dtype
    """

    def __init__(
        self,
        scales: tuple[Any, Any, Any],
        zero_points: tuple[Any, Any, Any],
        dtypes: tuple[np.dtype[Any], np.dtype[Any]],
        K: int,
    ) -> None:
        x_dtype, weight_dtype = self.x_dtype, self.weight_dtype = dtypes
        x_scale = _parse_scales(scales[0], "x_scale", None)
        weight_scale = as_vector(_parse_scales(scales[1], "weight_scale", K), K)
        self._out_scale = _parse_scales(scales[2], "out_scale", None)
        given = zero_points[2]
        self.out_dtype, of = x_dtype, "x"
        if isinstance(given, np.generic | np.ndarray):
            self.out_dtype, of = check_bytes(given.dtype, "out_zero_point"), "it"
        self.x_zero = int(_parse_zeros(zero_points[0], "x_zero_point", x_dtype, "x", None))
        self.out_zero = int(_parse_zeros(given, "out_zero_point", self.out_dtype, of, None))
        weight_zero = _parse_zeros(zero_points[1], "weight_zero_point", weight_dtype, "weight", K)
        self.weight_zero = as_vector(weight_zero, K).astype(np.int32)
        self.multiplier = np.empty(K, np.float32)
        with np.errstate(over="ignore", under="ignore"):
            self.multiplier[:] = x_scale * weight_scale / self._out_scale
        if not np.isfinite(self.multiplier).all():
            raise ValueError(
                "x_scale * weight_scale / out_scale is beyond float32: x_scale is "
                f"{x_scale}, weight_scale up to {weight_scale.max()}, out_scale {self._out_scale}"
            )

    @property
    def key(self) -> Hashable:
        """What another has only where all numbers and dtypes are the same."""
        return (
            *(self.x_dtype, self.weight_dtype, self.out_dtype, self.x_zero, self.out_zero),
            *(self.weight_zero.tobytes(), self.multiplier.tobytes(), self._out_scale.tobytes()),
        )

    def bounds(self, activation: Activation | None) -> tuple[int, int]:
        """The least and the largest output that the dtype and `activation` allow."""
        lo, hi = -np.inf, np.inf
        if activation is not None:
            if activation.name not in ACTIVATIONS:
                raise ValueError(
                    f"activation {activation.name!r} is not supported by qconv1x1; "
                    f"choose from {', '.join(ACTIVATIONS)}"
                )
            ends = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0)}
            lo, hi = ends.get(activation.name, (activation.a, activation.b))
        limits = np.iinfo(self.out_dtype)
        # As ONNX quantises a number.
        with np.errstate(over="ignore"):
            steps = np.rint(np.array([lo, hi]).astype(np.float32) / self._out_scale)
        least, most = np.clip(steps + self.out_zero, limits.min, limits.max)
        return int(least), int(most)


def check_bytes(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """`dtype`, or an error where it is not that of bytes."""
    if dtype not in (np.uint8, np.int8):
        raise TypeError(f"{name} has dtype {dtype}; uint8 or int8 is expected")
    return dtype


def check_int32(dtype: np.dtype[Any]) -> None:
    """Refuse a bias of another `dtype`."""
    if dtype != np.int32:
        raise TypeError(
            f"bias has dtype {dtype}; int32 is expected, in units of x_scale * weight_scale"
        )


def as_int32(bias: Any) -> Array:
    """`bias` as an array; numbers of Python become int32."""
    array = as_input(bias, "bias")
    if array.dtype.kind in "iu" and not isinstance(bias, np.ndarray | np.generic):
        limits = np.iinfo(np.int32)
        wrong = (array < limits.min) | (array > limits.max)
        if wrong.any():
            raise ValueError(
                f"bias must be between {limits.min} and {limits.max}; got {array[wrong].flat[0]}"
            )
        array = array.astype(np.int32)
    return array.astype(native(array.dtype), copy=False)


def _parse_scales(value: Any, name: str, K: int | None) -> Array:
    """float32, a single one or, for K channels, as many."""
    array = as_parameter(value, name)
    _check_length(array, name, K)
    with np.errstate(over="ignore", under="ignore"):
        scales = array.astype(np.float32)
    wrong = ~((scales > 0) & (scales < np.inf))
    if wrong.any():
        raise ValueError(
            f"{name} must be positive and finite, in float32; got {array[wrong].flat[0]}"
        )
    return scales if K is not None else scales.reshape(())


def _parse_zeros(value: Any, name: str, dtype: np.dtype[Any], of: str, K: int | None) -> Array:
    """Integers in the range of `dtype`, that of `of`; a single one, or as many as channels."""
    array = as_input(value, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an integer; got {value!r}")
    _check_length(array, name, K)
    limits = np.iinfo(dtype)
    wrong = (array < limits.min) | (array > limits.max)
    if wrong.any():
        raise ValueError(
            f"{name} must be between {limits.min} and {limits.max}, as {of} has dtype {dtype}; "
            f"got {array[wrong].flat[0]}"
        )
    return array if K is not None else array.reshape(())


def _check_length(array: Array, name: str, K: int | None) -> None:
    if is_vector(array.shape, 1 if K is None else K):
        return
    if K is None:
        raise ValueError(f"{name} has shape {array.shape}; a single number is expected")
    raise ValueError(
        f"{name} has shape {array.shape}; a single number is expected, or ({K},) for the {K} "
        "output channels of weight"
    )
