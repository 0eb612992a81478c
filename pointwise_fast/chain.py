"""`Chain`: several layers in one pass over the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .conv_layer import Conv1x1
from .kernels import ChainPlan, Parameters, Plan
from .layer import Layer
from .problem import Hidden
from .spec import LayerSpec

__all__ = ["Chain", "chained", "parameters_of"]

Array = npt.NDArray[Any]


class Chain(Layer):
    """Two or more 1x1 convolutions in one pass over the pixels.

    The channels between two layers, the hidden ones, are never an array: a panel of pixels goes
    through all layers while it is in the cache. The results are those of the layers called one
    after another; in the C backend to the bit, unless they have ``precision``: a chain does without
    ``"bf16"``, and hidden channels of ``"float64"`` are not rounded to float32. A chain may be
    shared by any number of threads, and pickled.

    Parameters
    ----------
    *layers : Conv1x1 or Chain
        Each takes as many channels as the one before gives; all have the same ``channel_axis``.
        A chain stands for its layers; it must have been made without ``residual=True``.
        Only the first may have a ``stride``, ``nodata`` and ``channels``, only the last a ``head``;
        its labels of pixels without a result are the first layer's ``fill``, 255 by default. With
        ``dtype=`` in the first, the others have the same or none; the last may have integers or
        floats of 16 bits. ``precision="float64"`` is for all or none. Layers that name a backend
        name the same.
    residual : bool, default False
        Add the chain's input in the last layer before its activation, as ``residual=x`` does in
        a call: an inverted residual, or the MLP of a ConvNeXt block.

    Attributes
    ----------
    layers : tuple of Conv1x1
        Those of chains among them.
    in_channels, channel_axis, stride, nodata
        As of the first layer, see `Conv1x1`.
    out_channels, head
        As of the last layer.
    dtype : numpy.dtype or None
        Of the result; None: as `x` has it.

    Raises
    ------
    TypeError, ValueError
        If the layers do not fit; the message names the layer by its position, from 1 on, what
        came and what would fit.

    Examples
    --------
    A perceptron with one hidden layer, for every pixel of an image:

    >>> import numpy as np, pointwise_fast as pf
    >>> hidden = pf.Conv1x1(np.ones((4, 3)), bias=[-3, -2, -1, 0], activation="relu")
    >>> mlp = pf.Chain(hidden, pf.Conv1x1(np.ones((1, 4))))
    >>> mlp(np.ones((3, 1, 2)))
    array([[[6., 6.]]])
    >>> mlp
    Chain(Conv1x1(3 -> 4, activation='relu', channel_axis=-3), Conv1x1(4 -> 1, channel_axis=-3))
    """

    __name__ = "chain"

    def __init__(self, *layers: Conv1x1 | Chain, residual: bool = False) -> None:
        if not isinstance(residual, bool):
            raise TypeError(f"residual must be True or False; got {residual!r}")
        self._layers = _flatten(layers)
        self._residual = residual
        self._spec = chained([layer._spec for layer in self._layers])
        if residual:
            _check_skip(self._spec)
        self._forget()

    @property
    def layers(self) -> tuple[Conv1x1, ...]:
        return self._layers

    @property
    def dtype(self) -> np.dtype[Any] | None:
        last = self._spec.dtype  # whose truth is of another kind
        return self._spec.hidden_dtype if last is None else last

    @property
    def _adds_input(self) -> bool:
        return self._residual

    def __call__(
        self,
        x: npt.ArrayLike,
        *,
        residual: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        out: Array | None = None,
        threads: int | None = None,
    ) -> Array:
        """Apply the layers one after another; arguments, result and errors as in `conv1x1`.

        Parameters
        ----------
        x : array_like
            As the first layer takes it.
        mask : array_like of bool, optional
            True where `x` is missing, as the first layer takes it.
        residual : array_like, optional
            Added in the last layer before its activation; may be `x`.
        out : numpy.ndarray, optional
            Where the result goes. It may overlap `x`: where it is `x`, nothing is copied.
        threads : int, optional
            `get_num_threads` by default.

        Returns
        -------
        numpy.ndarray
            `out`, or a new C-contiguous array, as the last layer gives it.
        """
        if self._residual:
            if residual is not None:
                raise ValueError(
                    "residual was passed to a chain that adds its own input; "
                    "make it without residual=True"
                )
            residual = x
        return super().__call__(x, residual=residual, mask=mask, out=out, threads=threads)

    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        return cast(ChainPlan, plan).pack_chain(parameters_of(self._layers, dtype))

    def _first_weight(self, dtype: np.dtype[Any]) -> Array:
        return self._layers[0]._first_weight(dtype)

    def _for_order(self, order: tuple[int, ...]) -> Chain:
        if self._residual:
            raise ValueError(
                "x has its channels in another order than channels names them, which a chain with "
                "residual=True cannot follow; pass x with the channels in order"
            )
        return Chain(self._layers[0]._for_order(order), *self._layers[1:])

    def __repr__(self) -> str:
        ending = ", residual=True" if self._residual else ""
        return f"Chain({', '.join(map(repr, self._layers))}{ending})"


def _flatten(given: Sequence[Any]) -> tuple[Conv1x1, ...]:
    """The layers of what a chain is made of: two or more."""
    layers: list[Conv1x1] = []
    for i, layer in enumerate(given, 1):
        if isinstance(layer, Chain):
            if layer._residual:
                raise ValueError(
                    f"layer {i} of Chain is a chain with residual=True, whose input would be added "
                    "in the midst; call one chain after the other"
                )
            layers += layer.layers
        elif isinstance(layer, Conv1x1):
            layers.append(layer)
        else:
            raise TypeError(
                f"layer {i} of Chain must be a Conv1x1 or a Chain; got {type(layer).__name__}"
            )
    if len(layers) < 2:
        raise ValueError(f"Chain needs two layers or more; got {len(layers)}")
    return tuple(layers)


def parameters_of(layers: Sequence[Conv1x1], dtype: np.dtype[Any]) -> list[Parameters]:
    """Each layer's weight and bias; errors name the layer."""
    found = []
    for i, layer in enumerate(layers, 1):
        try:
            found.append(layer._parameters(dtype))
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer {i}: {error}") from None
    return found


def chained(specs: Sequence[LayerSpec]) -> LayerSpec:
    """The spec of the last layer, with the channels and stride of the first.

    Raises
    ------
    ValueError
        If a layer does not fit those before it.
    """
    first, last = specs[0], specs[-1]
    for i, (before, spec) in enumerate(pairwise(specs), 2):
        _check_pair(i, before, spec)
        _check_later(i, spec)
        if before.head is not None:
            raise ValueError(
                f"layer {i - 1} has head={before.head!r}; only the last layer may have one"
            )
        stored = spec is last and spec.dtype is not None and _is_stored(spec.dtype)
        # Not ==: NumPy takes None for float64.
        if (
            not stored
            and spec.dtype is not None
            and (first.dtype is None or spec.dtype != first.dtype)
        ):
            raise ValueError(
                f"layer {i} has dtype={spec.dtype}, layer 1 has {first.dtype or 'none'}; "
                f"all compute in one dtype: pass dtype='{spec.dtype}' to layer 1, or none "
                f"to layer {i}"
            )
    if first.dtype is not None and _is_stored(first.dtype):
        raise ValueError(
            f"layer 1 has dtype={first.dtype}; hidden channels are float32, float64 or complex"
        )
    _check_precision(specs)
    hidden = [
        Hidden(s.K, s.groups, s.bias, s.activation, *(s.affine or (None, None))) for s in specs[:-1]
    ]
    return last._replace(
        C=first.C,
        stride=first.stride,
        missing=first.missing,
        channels=first.channels,
        precision="float64" if first.precision == "float64" else None,
        backend=_common_backend(specs),
        hidden=tuple(hidden),
        hidden_dtype=first.dtype,
        first=first,
    )


def _check_later(i: int, spec: LayerSpec) -> None:
    """Refuse what only a first layer may have."""
    if spec.stride not in (1, (1,) * _length(spec.stride)):
        raise ValueError(f"layer {i} has stride={spec.stride}; only the first layer may have one")
    if spec.channels is not None:
        raise ValueError(f"layer {i} has channels=; they are for the first")
    if not spec.missing.is_default:
        raise ValueError(
            f"layer {i} has nodata=, fill=, valid= or min_valid=; they are for the first"
        )


def _check_skip(spec: LayerSpec) -> None:
    """Refuse to add the input where it has not the shape of the result."""
    if spec.head == "argmax":
        raise ValueError("residual=True cannot be added to the labels of head='argmax'")
    if spec.C != spec.K:
        raise ValueError(
            f"residual=True needs as many channels at the end as at the start; layer 1 "
            f"expects {spec.C}, the last gives {spec.K}"
        )
    if spec.stride not in (1, (1,) * _length(spec.stride)):
        raise ValueError(f"residual=True needs stride 1; layer 1 has {spec.stride}")


def _check_precision(layers: Sequence[LayerSpec]) -> None:
    """Refuse sums of several dtypes: hidden channels are as wide as the sums they come from."""
    for i, layer in enumerate(layers[1:], 2):
        given = layers[0].precision, layer.precision
        if "float64" in given and given[0] != given[1]:
            raise ValueError(
                f"layer {i} has precision={given[1]!r}, layer 1 has {given[0]!r}; a chain has one "
                "dtype of sums: pass precision='float64' to all layers or to none"
            )


def _is_stored(dtype: np.dtype[Any]) -> bool:
    """Whether there are arrays of `dtype`, but no sums."""
    return dtype.kind in "ui" or dtype.itemsize == 2


def _length(stride: int | tuple[int, ...]) -> int:
    return len(stride) if isinstance(stride, tuple) else 1


def _check_pair(i: int, before: LayerSpec, layer: LayerSpec) -> None:
    if before.K == 0:
        raise ValueError(f"layer {i - 1} gives no channels; only the last layer may")
    if layer.C != before.K:
        raise ValueError(
            f"{layer.expects(f'layer {i}')} channels, layer {i - 1} gives {before.K}"
            + layer.hint_for(before.K)
        )
    if layer.channel_axis != before.channel_axis:
        raise ValueError(
            f"layer {i} has channel_axis={layer.channel_axis}, layer {i - 1} has "
            f"{before.channel_axis}; all must have the same"
        )


def _common_backend(layers: Sequence[LayerSpec]) -> str:
    """What the layers name; "auto" where none names one."""
    named = [(i, layer.backend) for i, layer in enumerate(layers, 1) if layer.backend != "auto"]
    for i, name in named:
        if name != named[0][1]:
            raise ValueError(
                f"layer {i} has backend={name!r}, layer {named[0][0]} has {named[0][1]!r}; "
                "a chain has one"
            )
    return named[0][1] if named else "auto"
