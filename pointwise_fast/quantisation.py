"""Scales and zero points: the checks of them, and what they make of sums."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .activation import Activation
from .arrays import as_input, as_parameter

__all__ = [
    "Quantisation",
    "check_bytes",
    "parse_output",
    "parse_scale",
    "parse_scales",
    "parse_zero_point",
    "parse_zero_points",
]

Array = npt.NDArray[Any]

#: The dtypes of quantised arrays.
BYTES = (np.dtype(np.uint8), np.dtype(np.int8))

#: What a clip of the output can say.
ACTIVATIONS = ("relu", "relu6", "clip")


class Quantisation(NamedTuple):
    """Scales and zero points of one call, by value, so that it can be a key.

    Attributes
    ----------
    x_scale, out_scale : float
        Of float32.
    x_zero, out_zero : int
    weight_scale : float or bytes
        Of float32; bytes: one for each output channel.
    weight_zero : int or bytes
        Bytes: one of the weights' dtype for each output channel.
    out_dtype : numpy.dtype
    """

    x_scale: float
    x_zero: int
    weight_scale: float | bytes
    weight_zero: int | bytes
    out_scale: float
    out_zero: int
    out_dtype: np.dtype[Any]

    def multiplier(self, K: int) -> Array:
        """What each channel's sums are multiplied by, ``(K,)`` of float32."""
        scale = self.weight_scale
        w = np.frombuffer(scale, np.float32) if isinstance(scale, bytes) else np.float32(scale)
        with np.errstate(over="ignore", under="ignore"):
            found = np.float32(self.x_scale) * w / np.float32(self.out_scale)
        if not np.all(np.isfinite(found)):
            raise ValueError(
                "x_scale * weight_scale / out_scale is beyond float32 for "
                f"x_scale={self.x_scale} and out_scale={self.out_scale}"
            )
        return np.broadcast_to(found, K)

    def weight_zeros(self, K: int, dtype: np.dtype[Any]) -> Array:
        """The zero points of the weights, ``(K,)`` of int32."""
        zero = self.weight_zero
        found = np.frombuffer(zero, dtype) if isinstance(zero, bytes) else np.int32(zero)
        return np.broadcast_to(found, K).astype(np.int32)

    def bounds(self, activation: Activation | None) -> tuple[int, int]:
        """The least and the largest output that the dtype and `activation` allow."""
        limits = np.iinfo(self.out_dtype)
        lo, hi = -np.inf, np.inf
        if activation is not None:
            if activation.name not in ACTIVATIONS:
                raise ValueError(
                    f"activation {activation.name!r} is not supported by qconv1x1; "
                    f"choose from {', '.join(ACTIVATIONS)}"
                )
            lo, hi = {"relu": (0, np.inf), "relu6": (0, 6)}.get(
                activation.name, (activation.a, activation.b)
            )
        # As ONNX quantises a number.
        with np.errstate(over="ignore"):
            ends = np.rint(np.array([lo, hi], np.float32) / np.float32(self.out_scale))
        lo, hi = np.clip(ends + self.out_zero, limits.min, limits.max)
        return int(lo), int(hi)


def check_bytes(array: Array, name: str) -> Array:
    """`array`, or an error where it is not of bytes."""
    if array.dtype not in BYTES:
        raise TypeError(f"{name} has dtype {array.dtype}; uint8 or int8 is expected")
    return array


def parse_scale(value: Any, name: str) -> float:
    """A positive, finite number, rounded to float32."""
    if type(value) is not float:
        value = _single(as_parameter(value, name), name)
    with np.errstate(over="ignore", under="ignore"):
        scale = float(np.float32(value))
    if not 0 < scale < np.inf:
        raise ValueError(f"{name} must be positive and finite in float32; got {value}")
    return scale


def parse_scales(value: Any, name: str, K: int) -> float | bytes:
    """A scale, or one for each of K channels, as bytes of float32."""
    if type(value) is float:
        return parse_scale(value, name)
    array = as_parameter(value, name)
    if array.ndim == 0 or array.shape == (1,):
        return parse_scale(array, name)
    _check_length(array, name, K)
    with np.errstate(over="ignore", under="ignore"):
        scales = array.astype(np.float32)
    fine = (scales > 0) & (scales < np.inf)
    if not fine.all():
        i = int(np.argmin(fine))
        raise ValueError(f"{name} must be positive and finite in float32; entry {i} is {array[i]}")
    return scales.tobytes()


def parse_zero_point(value: Any, name: str, dtype: np.dtype[Any], of: str) -> int:
    """An integer in the range of `dtype`, which is that of `of`."""
    if type(value) is not int:
        value = int(_single(_integers(value, name), name))
    _check_range(value, name, dtype, of)
    return value


def parse_zero_points(
    value: Any, name: str, dtype: np.dtype[Any], of: str, K: int
) -> int | bytes:
    """A zero point, or one for each of K channels, as bytes of `dtype`."""
    if type(value) is int:
        return parse_zero_point(value, name, dtype, of)
    array = _integers(value, name)
    if array.ndim == 0 or array.shape == (1,):
        return parse_zero_point(array, name, dtype, of)
    _check_length(array, name, K)
    if array.dtype != dtype:
        for entry in array:
            _check_range(int(entry), name, dtype, of)
    return array.astype(dtype).tobytes()


def parse_output(value: Any, name: str, default: np.dtype[Any]) -> tuple[int, np.dtype[Any]]:
    """The zero point of the output, and its dtype: `default`, that of x, for an int of Python."""
    if isinstance(value, np.generic | np.ndarray):
        array = check_bytes(as_input(value, name), name)
        return int(_single(array, name)), array.dtype
    return parse_zero_point(value, name, default, "x"), default


def _integers(value: Any, name: str) -> Array:
    array = as_input(value, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an integer; got {value!r}")
    return array


def _single(array: Array, name: str) -> Any:
    if array.ndim and array.shape != (1,):
        raise ValueError(f"{name} has shape {array.shape}; a single number is expected")
    return array.item()


def _check_length(array: Array, name: str, K: int) -> None:
    if array.shape != (K,):
        raise ValueError(
            f"{name} has shape {array.shape}; a single number, or ({K},) for the {K} output "
            "channels of weight, is expected"
        )


def _check_range(value: int, name: str, dtype: np.dtype[Any], of: str) -> None:
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise ValueError(
            f"{name} must be between {limits.min} and {limits.max}, as {of} has dtype {dtype}; "
            f"got {value}"
        )
