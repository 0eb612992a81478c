"""`Settings`: what a layer is before it meets an array."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from . import dispatch
from .activation import parse_activation
from .arrays import as_parameter, check_integer
from .dtypes import cast_parameter, check_result_dtype
from .folding import check_scale, fold_scale
from .head import parse_head
from .missing import Nodata, parse_missing
from .names import parse_channels
from .problem import Hidden
from .shapes import as_vector, is_vector, matrix_shape

__all__ = ["Settings", "Shape"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Numbers = tuple[float, ...]

_PRECISIONS = "'bf16' or 'float64'"


class Settings:
    """A layer's settings, checked."""

    #: A chain's layers before the last; the other settings are the last one's.
    hidden: tuple[Hidden, ...] = ()
    #: That its first layer names.
    hidden_dtype: np.dtype[Any] | None = None

    def __init__(
        self,
        weight_shape: Shape,
        bias_shape: Shape | None,
        activation: Any,
        channel_axis: int,
        stride: int | Sequence[int],
        groups: int,
        dtype: npt.DTypeLike | None,
        backend: str,
        head: str | None = None,
        nodata: Nodata = None,
        fill: float | None = None,
        valid: str = "all",
        min_valid: float = 0.5,
        scale: npt.ArrayLike | None = None,
        offset: npt.ArrayLike | None = None,
        precision: str | None = None,
        channels: Sequence[Hashable] | None = None,
    ) -> None:
        self.groups = check_integer(groups, "groups", 1)
        self.weight_shape = matrix_shape(weight_shape)
        self._weight_given = weight_shape
        self.K = self.weight_shape[0]
        self.C = self.weight_shape[1] * self.groups
        if self.K % self.groups:
            raise ValueError(
                f"groups={self.groups} does not divide the {self.K} output channels of weight"
            )
        self.bias = bias_shape is not None
        if bias_shape is not None and not is_vector(bias_shape, self.K):
            hint = ""
            if is_vector(bias_shape, self.weight_shape[1]):
                hint = self._transposed("; it fits {} of shape {}")
            raise ValueError(
                f"bias has shape {bias_shape}; a single number, or ({self.K},), fits weight of "
                f"shape {weight_shape}{hint}"
            )
        self.channel_axis = check_integer(channel_axis, "channel_axis")
        self.stride: int | Shape
        if isinstance(stride, Sequence) and not isinstance(stride, str):
            self.stride = tuple(check_integer(step, "stride", 1) for step in stride)
        else:
            self.stride = check_integer(stride, "stride", 1)
        self.dtype = None if dtype is None else check_result_dtype(dtype)
        self.activation = parse_activation(activation)
        if self.activation is not None and len(self.activation.slopes) not in (0, self.K):
            raise ValueError(
                f"activation 'prelu' has {len(self.activation.slopes)} slopes; one, or {self.K}, "
                f"fit the {self.K} output channels"
            )
        self.head = parse_head(head)
        if self.head is not None and not self.K:
            raise ValueError(
                f"head={self.head!r} of no output channel: weight has shape {weight_shape}"
            )
        self.missing = parse_missing(nodata, fill, valid, min_valid, self.C)
        self.scale, self.offset = scale, offset
        #: Scale and offset of each channel, where they are applied to x; None: there are none, or
        #: there is a scale that the weights take.
        self.affine: tuple[Numbers, Numbers] | None = None
        if scale is not None or offset is not None:
            factor, shift = check_scale(scale, offset, self.C)
            # Whose sizes valid="any" compares.
            if valid == "any" or np.any(shift):
                self.affine = tuple(factor.tolist()), tuple(shift.tolist())
        if not isinstance(precision, str | None):
            raise TypeError(
                f"precision must be None, {_PRECISIONS}; got {type(precision).__name__}"
            )
        if precision not in (None, "bf16", "float64"):
            raise ValueError(f"precision must be None, {_PRECISIONS}; got {precision!r}")
        self.precision = precision
        self.channels = parse_channels(channels, self.C)
        dispatch.check_name(backend)
        self.backend = backend

    def cast(
        self, weight: Array, bias: Array | None, dtype: np.dtype[Any], fits: str | None = None
    ) -> tuple[Array, Array | None]:
        """Weights as ``(K, C/groups)`` and bias, in `dtype`; a scale without offset is in them.

        `fits` says what to pass for wider sums.
        """
        for array, name in (weight, "weight"), (bias, "bias"):
            if dtype.kind != "c" and array is not None and array.dtype.kind == "c":
                raise TypeError(
                    f"{name} has dtype {array.dtype}; real numbers are expected for a result of "
                    "real numbers, dtype='complex64' or 'complex128' gives others"
                )
        if weight.ndim != 2:
            weight = weight.reshape(self.weight_shape)
        if bias is not None:
            bias = as_vector(bias, self.K)
        name = "weight"
        if self.scale is not None and self.affine is None:
            cast_parameter(as_parameter(self.scale, "scale"), dtype, "scale", fits)
            weight, _ = fold_scale(weight, None, self.scale, None, self.groups)
            name = "weight * scale"
        if weight.dtype is not dtype:
            weight = cast_parameter(weight, dtype, name, fits)
        if bias is not None and bias.dtype is not dtype:
            bias = cast_parameter(bias, dtype, "bias", fits)
        return weight, bias

    def in_order(self, order: tuple[int, ...]) -> Settings:
        """For an input that has the channels in another order: channel c at ``order[c]``."""
        found = copy(self)
        found.channels = None
        places = np.argsort(order)
        nodata = self.missing.nodata
        if nodata is not None:
            found.missing = self.missing._replace(nodata=tuple(nodata[c] for c in places))
        for name in ("scale", "offset"):
            value: Array | None = getattr(self, name)
            if value is not None and np.size(value) == self.C:
                setattr(found, name, np.asarray(value).reshape(-1)[places])
        if self.affine is not None:
            factor, shift = self.affine
            found.affine = (
                tuple(factor[c] for c in places),
                tuple(shift[c] for c in places),
            )
        return found

    def expects(self, who: str = "weight") -> str:
        """How many channels `who` wants, for errors."""
        text = f"{who} expects {self.C}"
        if self.groups != 1:
            text += f" ({self.groups} groups of {self.weight_shape[1]})"
        return text

    def hint_for(self, channels: int) -> str:
        """What to pass where `channels` came and the weight is the wrong way round; or ""."""
        rows, columns = self.weight_shape
        if rows * self.groups != channels or columns % self.groups:
            return ""
        return self._transposed("; weight has shape {2}, (K, C/groups) is expected: pass {0}")

    def _transposed(self, text: str) -> str:
        """`text` about the weight, its axes changed, its new shape and its old; "" of a vector."""
        shape = self._weight_given
        if len(shape) < 2:
            return ""
        spelled = "weight.T" if len(shape) == 2 else "weight.swapaxes(0, 1)"
        return text.format(spelled, (shape[1], shape[0], *shape[2:]), shape)

    def __str__(self) -> str:
        parts = [f"{self.C} -> {self.K}"]
        if self.activation is not None:
            parts.append(f"activation={self.activation}")
        parts.append(f"channel_axis={self.channel_axis}")
        parts += [f"stride={self.stride}"] if self.stride != 1 else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += [f"dtype={self.dtype}"] if self.dtype is not None else []
        parts += [f"head={self.head!r}"] if self.head is not None else []
        parts += [f"nodata={self.missing.nodata}"] if self.missing.nodata is not None else []
        parts += ["scale=..."] if self.scale is not None else []
        parts += ["offset=..."] if self.offset is not None else []
        parts += [f"precision={self.precision!r}"] if self.precision is not None else []
        parts += [f"backend={self.backend!r}"] if self.backend != "auto" else []
        return ", ".join(parts)
