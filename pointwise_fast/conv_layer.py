"""`Conv1x1`: a 1x1 convolution that is applied to array after array."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from copy import copy
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .activation import ActivationSpec
from .arrays import ANY_NUMBER, as_parameter
from .kernels import Parameters, Plan
from .layer import BaseLayer, Layer
from .missing import Nodata
from .spec import LayerSpec, Options
from .typing import Backend, Head, Precision, Valid

__all__ = ["Conv1x1", "OneLayer"]

Array = npt.NDArray[Any]


class OneLayer(BaseLayer):
    """A layer with a weight and a bias of its own."""

    _weight: Array
    _bias: Array | None

    @property
    def weight(self) -> Array:
        return self._weight

    @property
    def bias(self) -> Array | None:
        return self._bias

    @property
    def groups(self) -> int:
        return self._spec.groups

    @property
    def activation(self) -> ActivationSpec:
        activation = self._spec.activation
        return None if activation is None else cast(ActivationSpec, activation.spec)

    def _forget(self) -> None:
        super()._forget()
        # Which a pickle does not keep.
        for array in (self._weight, self._bias):
            if array is not None:
                array.flags.writeable = False


class Conv1x1(OneLayer, Layer):
    """A 1x1 convolution whose weights are checked, copied and packed once.

    Parameters are those of `conv1x1`. The weights are packed when a call first needs them. A
    layer may be shared by any number of threads, and pickled.

    Attributes
    ----------
    weight, bias : numpy.ndarray
        Read-only copies of what was given; no bias: None.
    in_channels, out_channels, groups, channel_axis : int
    stride : int or tuple of int
    activation : str, tuple or None
        With all its parameters.
    head : str or None
    dtype : numpy.dtype or None
        Of the result, as it was asked for.
    nodata : tuple or None
        The value of each input channel that stands for none.

    Examples
    --------
    >>> import numpy as np, pointwise_fast as pf
    >>> layer = pf.Conv1x1(np.eye(2, 3), activation="relu", channel_axis=-1)
    >>> layer(np.array([[-1.0, 2.0, 3.0]]))
    array([[0., 2.]])
    >>> layer
    Conv1x1(3 -> 2, activation='relu', channel_axis=-1)
    >>> layer.in_channels, layer.out_channels, layer.activation
    (3, 2, 'relu')
    """

    __name__ = "conv1x1"

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
        head: Head | None = None,
        nodata: Nodata = None,
        fill: float | None = None,
        valid: Valid = "all",
        min_valid: float = 0.5,
        scale: npt.ArrayLike | None = None,
        offset: npt.ArrayLike | None = None,
        precision: Precision | None = None,
        channels: Sequence[Hashable] | None = None,
        backend: Backend = "auto",
    ) -> None:
        self._weight = as_parameter(weight, "weight", ANY_NUMBER).copy()
        self._bias = None if bias is None else as_parameter(bias, "bias", ANY_NUMBER).copy()
        options = Options(
            activation, channel_axis, stride, groups, dtype, backend,
            head, nodata, fill, valid, min_valid, scale, offset, precision, channels,
        )  # fmt: skip
        bias_shape = None if self._bias is None else self._bias.shape
        self._spec = LayerSpec.parse(self._weight.shape, bias_shape, options)
        self._forget()

    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        return plan.pack(*self._parameters(dtype))

    def _parameters(self, dtype: np.dtype[Any]) -> Parameters:
        """Weights as ``(K, C/groups)`` and bias, in `dtype`."""
        return self._spec.cast(self._weight, self._bias, dtype)

    def _first_weight(self, dtype: np.dtype[Any]) -> Array:
        return self._parameters(dtype)[0]

    def _for_order(self, order: tuple[int, ...]) -> Conv1x1:
        spec = self._spec
        if spec.groups > 1:
            raise ValueError(
                f"x has its channels in another order than channels names them, which groups="
                f"{spec.groups} cannot follow; pass x with the channels in order"
            )
        found = copy(self)
        found._spec = spec.in_order(order)
        found._weight = self._weight.reshape(spec.weight_shape)[:, np.argsort(order)]
        found._forget()
        return found

    def __repr__(self) -> str:
        return f"Conv1x1({self._spec})"
