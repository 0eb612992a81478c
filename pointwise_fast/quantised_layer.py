"""`QConv1x1`: a quantised 1x1 convolution that is applied to array after array."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any
from weakref import WeakMethod

import numpy as np
import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import as_input, as_parameter, check_out
from .config import resolve_threads
from .conv_layer import OneLayer
from .execute import execute
from .kernels import Plan
from .keys import keep
from .prepare import Geometries, Prepared, prepare
from .quantisation import Quantisation, as_int32, check_bytes, check_int32
from .quantised import MASKED_BYTES
from .shapes import as_vector
from .spec import LayerSpec, Options
from .typing import Backend

__all__ = ["QConv1x1"]

Array = npt.NDArray[Any]

_DTYPES = np.dtype(np.uint8), np.dtype(np.int8)


def _kept(value: Any, name: str) -> Any:
    """A scale or zero point that nobody else can change; numbers and lists have no dtype yet."""
    if isinstance(value, int | float | np.generic):
        return value
    return deepcopy(value) if isinstance(value, list | tuple) else as_parameter(value, name).copy()


class QConv1x1(OneLayer):
    """A quantised 1x1 convolution whose weights are checked, copied and packed once.

    Parameters are those of `qconv1x1`, in its order. Whether x is of uint8 or of int8 is up to
    each call, as far as `x_zero_point` is in the range of both. The weights are packed when a call
    first needs them, for each of these dtypes. A layer may be shared by any number of threads, and
    pickled.

    Attributes
    ----------
    weight, bias : numpy.ndarray
        Read-only copies of what was given; no bias: None.
    in_channels, out_channels, groups, channel_axis : int
    stride : int or tuple of int
    activation : str, tuple or None
        With all its parameters.
    dtype : numpy.dtype or None
        Of the result; None: as `x` has it.

    Examples
    --------
    >>> import numpy as np, pointwise_fast as pf
    >>> layer = pf.QConv1x1(0.5, 0, np.ones((1, 2), np.int8), 0.5, 0, 0.25, np.uint8(10))
    >>> layer(np.array([[[0, 2, 4]], [[2, 4, 8]]], np.uint8))
    array([[[12, 16, 22]]], dtype=uint8)
    >>> layer
    QConv1x1(2 -> 1, channel_axis=-3)
    """

    __name__ = "qconv1x1"

    def __init__(
        self,
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
        backend: Backend = "auto",
    ) -> None:
        self._weight = as_input(weight, "weight").copy()
        check_bytes(self._weight.dtype, "weight")
        self._bias = None if bias is None else as_int32(bias).copy()
        if self._bias is not None:
            check_int32(self._bias.dtype)
        options = Options(activation, channel_axis, stride, groups, None, backend)
        bias_shape = None if self._bias is None else self._bias.shape
        self._spec = LayerSpec.parse(self._weight.shape, bias_shape, options)
        self._scales = (
            _kept(x_scale, "x_scale"),
            _kept(weight_scale, "weight_scale"),
            _kept(out_scale, "out_scale"),
        )
        self._zero_points = (
            _kept(x_zero_point, "x_zero_point"),
            _kept(weight_zero_point, "weight_zero_point"),
            _kept(out_zero_point, "out_zero_point"),
        )
        self._forget()
        self._check()

    def _check(self) -> None:
        """Refuse what fits no dtype of x."""
        errors = []
        for dtype in _DTYPES:
            try:
                quantisation = self._quantisation(dtype)
            except ValueError as error:
                errors.append(error)
            else:
                quantisation.bounds(self._spec.activation)
        if len(errors) == len(_DTYPES):
            raise errors[0]

    def _quantisation(self, x_dtype: np.dtype[Any]) -> Quantisation:
        dtypes = x_dtype, self._weight.dtype
        return Quantisation(self._scales, self._zero_points, dtypes, self._spec.K)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Of the result; None: as `x` has it."""
        given: Any = self._zero_points[2]
        return given.dtype if isinstance(given, np.generic | np.ndarray) else None

    def __call__(
        self, x: npt.ArrayLike, *, out: Array | None = None, threads: int | None = None
    ) -> Array:
        """Apply the layer; arguments, result and errors as in `qconv1x1`."""
        if out is not None:
            out = check_out(out)
        x = as_input(x, "x", axis=self._spec.channel_axis, masked=MASKED_BYTES)
        prepared = self._find(x, None, out)
        return execute(prepared, x, None, None, out, resolve_threads(threads))

    def _prepare(self, of: Geometries) -> Prepared:
        x_dtype = check_bytes(of[0].dtype, "x")
        spec = self._spec._replace(quantisation=self._quantisation(x_dtype))
        return keep(self._prepared, of, prepare(spec, of, WeakMethod(self._pack)))

    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        weight = self._weight.reshape(self._spec.weight_shape)
        bias = None if self._bias is None else as_vector(self._bias, self._spec.K)
        return plan.pack(weight, bias)

    def __repr__(self) -> str:
        return f"QConv1x1({self._spec})"
