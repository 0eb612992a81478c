"""`LayerSpec`: what a layer is before it meets an array."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import dispatch
from .activation import Activation, parse_activation, parse_head
from .arrays import as_parameter, check_integer
from .dtypes import cast_parameter, check_result_dtype
from .folding import check_scale, fold_scale
from .keys import key_of
from .missing import MissingSpec, Nodata, parse_missing
from .names import parse_channels
from .problem import Hidden
from .quantisation import Quantisation
from .shapes import as_vector, is_vector, matrix_shape

__all__ = ["LayerSpec", "Options", "Shape", "side_by_side"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
Numbers = tuple[float, ...]

_PRECISIONS = "'bf16' or 'float64'"


class Options(NamedTuple):
    """What a layer is told besides weight and bias, as a user gave it."""

    activation: Any = None
    channel_axis: int = -3
    stride: int | Sequence[int] = 1
    groups: int = 1
    dtype: npt.DTypeLike | None = None
    backend: str = "auto"
    head: str | None = None
    nodata: Nodata = None
    fill: float | None = None
    valid: str = "all"
    min_valid: float = 0.5
    scale: npt.ArrayLike | None = None
    offset: npt.ArrayLike | None = None
    precision: str | None = None
    channels: Sequence[Hashable] | None = None


class _Fields(NamedTuple):
    """Those of a `LayerSpec`. Importing a dataclass of as many takes 2 ms longer."""

    weight_shape: tuple[int, int]
    weight_given: Shape
    C: int
    K: int
    groups: int
    bias: bool
    channel_axis: int
    stride: int | Shape
    dtype: np.dtype[Any] | None
    activation: Activation | None
    head: str | None
    missing: MissingSpec
    scale: Array | None
    offset: Array | None
    affine: tuple[Numbers, Numbers] | None
    precision: str | None
    channels: tuple[Hashable, ...] | None
    backend: str
    quantisation: Quantisation | None = None
    hidden: tuple[Hidden, ...] = ()
    hidden_dtype: np.dtype[Any] | None = None
    first: LayerSpec | None = None


class LayerSpec(_Fields):
    """A layer's checked options and the shapes of its parameters, which it does not hold.

    Specs are equal where all that they say is the same, the signs of zeros too; what they are
    compared by is made once.

    Attributes
    ----------
    weight_shape : tuple of int
        ``(K, C/groups)``; `weight_given` is the same as the user spelled it.
    C, K, groups : int
    bias : bool
        Whether there is one.
    missing : MissingSpec
    scale, offset : numpy.ndarray or None
        As the user gave them.
    affine : tuple or None
        Scale and offset of each channel, where they are applied to x; None: there are none, or
        there is a scale that the weights take.
    quantisation : Quantisation or None
        Scales and zero points, where x and the result are bytes.
    hidden : tuple of Hidden
        A chain's layers before the last; `first` is the spec of the first, whose are the channels,
        the stride and what data are missing. The rest is of the last.
    hidden_dtype : numpy.dtype or None
        That the first layer of a chain names.
    """

    @classmethod
    def parse(cls, weight_given: Shape, bias_shape: Shape | None, options: Options) -> LayerSpec:
        """Check `options` against each other and the shapes of weight and bias.

        Raises
        ------
        TypeError, ValueError
            Naming the argument.
        """
        groups = check_integer(options.groups, "groups", 1)
        K, per_group = weight_shape = matrix_shape(weight_given)
        C = per_group * groups
        if K % groups:
            raise ValueError(f"groups={groups} does not divide the {K} output channels of weight")
        if bias_shape is not None:
            _check_bias(bias_shape, weight_given, weight_shape)
        axis = check_integer(options.channel_axis, "channel_axis")
        stride = _parse_stride(options.stride)
        dtype = None if options.dtype is None else check_result_dtype(options.dtype)
        activation = _parse_activation(options.activation, K)
        head = parse_head(options.head)
        if head is not None and not K:
            raise ValueError(f"head={head!r} of no output channel: weight has shape {weight_given}")
        missing = parse_missing(options.nodata, options.fill, options.valid, options.min_valid, C)
        affine = _parse_affine(options.scale, options.offset, C, options.valid == "any")
        precision = _parse_precision(options.precision)
        channels = parse_channels(options.channels, C)
        dispatch.check_name(options.backend)
        return cls(
            weight_shape=weight_shape,
            weight_given=weight_given,
            C=C,
            K=K,
            groups=groups,
            bias=bias_shape is not None,
            channel_axis=axis,
            stride=stride,
            dtype=dtype,
            activation=activation,
            head=head,
            missing=missing,
            scale=_copied(options.scale, "scale"),
            offset=_copied(options.offset, "offset"),
            affine=affine,
            precision=precision,
            channels=channels,
            backend=options.backend,
        )

    @cached_property
    def _key(self) -> Hashable:
        first = None if self.first is None else self.first._key
        quantised = None if self.quantisation is None else self.quantisation.key
        found = key_of(_plain((*self._replace(first=None, quantisation=None),)))
        # Names of channels may be anything; then a spec equals itself alone.
        return object() if found is None else (found, first, quantised)

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, LayerSpec) and self._key == other._key)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __getstate__(self) -> None:
        """Nothing besides the fields: no hash, which is of this process."""

    @cached_property
    def is_plain(self) -> bool:
        """Without what `conv1x1` does not look at in a call that might be a repeat."""
        return (
            self.head is None
            and self.missing.nodata is None
            and self.scale is None
            and self.offset is None
            and self.precision is None
        )

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
            cast_parameter(self.scale, dtype, "scale", fits)
            weight, _ = fold_scale(weight, None, self.scale, None, self.groups)
            name = "weight * scale"
        if weight.dtype is not dtype:
            weight = cast_parameter(weight, dtype, name, fits)
        if bias is not None and bias.dtype is not dtype:
            bias = cast_parameter(bias, dtype, "bias", fits)
        return weight, bias

    def in_order(self, order: tuple[int, ...]) -> LayerSpec:
        """For an input that has the channels in another order: channel c at ``order[c]``."""
        places = np.argsort(order)

        def moved(values: Any) -> Any:
            """A number for each channel in the order of the input; one for all stays."""
            if isinstance(values, tuple):
                return tuple(values[c] for c in places)
            return values.reshape(-1)[places] if np.size(values) == self.C else values

        nodata, affine = self.missing.nodata, self.affine
        return self._replace(
            channels=None,
            missing=self.missing._replace(nodata=None if nodata is None else moved(nodata)),
            scale=None if self.scale is None else moved(self.scale),
            offset=None if self.offset is None else moved(self.offset),
            affine=None if affine is None else (moved(affine[0]), moved(affine[1])),
        )

    def expects(self, who: str | None = None) -> str:
        """How many channels `who` wants, for errors."""
        if self.first is not None:
            return self.first.expects(who or "layer 1")
        text = f"{who or 'weight'} expects {self.C}"
        if self.groups != 1:
            text += f" ({self.groups} groups of {self.weight_shape[1]})"
        return text

    def hint_for(self, channels: int) -> str:
        """What to pass where `channels` came and the weight is the wrong way round; or ""."""
        if self.first is not None:
            return self.first.hint_for(channels)
        rows, columns = self.weight_shape
        if rows * self.groups != channels or columns % self.groups:
            return ""
        text = "; weight has shape {2}, (K, C/groups) is expected: pass {0}"
        return _transposed(self.weight_given, text)

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


def side_by_side(specs: Sequence[LayerSpec]) -> LayerSpec | None:
    """One layer with the output channels of all; None: they differ in more than their parameters.

    All read the same pixels, so that channels, their axis and the stride are equal.
    """
    first = specs[0]
    of_channels = first.head is not None or (first.activation and first.activation.slopes)
    # The number of channels matters for bf16.
    if first.hidden or first.groups > 1 or of_channels or first.precision == "bf16":
        return None
    # A scale that is not in `affine` is in the weights.
    kinds = {
        spec._replace(
            K=0, bias=False, weight_shape=(0, 0), weight_given=(), scale=None, offset=None
        )
        for spec in specs
    }
    if len(kinds) > 1:
        return None
    return first._replace(K=sum(s.K for s in specs), bias=any(s.bias for s in specs))


def _plain(value: Any) -> Any:
    """`value` for `key_of`, which knows tuples, but none with names."""
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def _copied(value: Any, name: str) -> Array | None:
    """What a user gave, who may change it later."""
    return None if value is None else as_parameter(value, name).copy()


def _check_bias(bias_shape: Shape, weight_given: Shape, weight_shape: tuple[int, int]) -> None:
    K, per_group = weight_shape
    if is_vector(bias_shape, K):
        return
    hint = ""
    if is_vector(bias_shape, per_group):
        hint = _transposed(weight_given, "; it fits {} of shape {}")
    raise ValueError(
        f"bias has shape {bias_shape}; a single number, or ({K},), fits weight of "
        f"shape {weight_given}{hint}"
    )


def _transposed(shape: Shape, text: str) -> str:
    """`text` about the weight, its axes changed, its new shape and its old; "" of a vector."""
    if len(shape) < 2:
        return ""
    spelled = "weight.T" if len(shape) == 2 else "weight.swapaxes(0, 1)"
    return text.format(spelled, (shape[1], shape[0], *shape[2:]), shape)


def _parse_stride(stride: Any) -> int | Shape:
    if isinstance(stride, Sequence) and not isinstance(stride, str):
        return tuple(check_integer(step, "stride", 1) for step in stride)
    return check_integer(stride, "stride", 1)


def _parse_activation(given: Any, K: int) -> Activation | None:
    activation = parse_activation(given)
    if activation is not None and len(activation.slopes) not in (0, K):
        raise ValueError(
            f"activation 'prelu' has {len(activation.slopes)} slopes; one, or {K}, "
            f"fit the {K} output channels"
        )
    return activation


def _parse_affine(
    scale: Any, offset: Any, C: int, compares_sizes: bool
) -> tuple[Numbers, Numbers] | None:
    """`LayerSpec.affine`; valid="any" compares the sizes of the weights, which then stay."""
    if scale is None and offset is None:
        return None
    factor, shift = check_scale(scale, offset, C)
    if compares_sizes or np.any(shift):
        return tuple(factor.tolist()), tuple(shift.tolist())
    return None


def _parse_precision(precision: Any) -> str | None:
    if not isinstance(precision, str | None):
        raise TypeError(f"precision must be None, {_PRECISIONS}; got {type(precision).__name__}")
    if precision not in (None, "bf16", "float64"):
        raise ValueError(f"precision must be None, {_PRECISIONS}; got {precision!r}")
    return precision
