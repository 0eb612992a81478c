"""Reference results of whole layers in a wider dtype, each with the error that is allowed.

A layer multiplies the error of its input by its weights, an activation by its Lipschitz
constant; each adds an error of its own. See `support.reference` for the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from support import Array, assert_within, reference, units

import pointwise_fast as pf
from pointwise_fast.activation import Activation, parse_activation

__all__ = [
    "Bounded",
    "activated",
    "assert_labels",
    "assert_stored",
    "convolved",
    "headed",
    "in_series",
]


class Bounded(NamedTuple):
    """Exact values, and how far results may be from them."""

    value: Array
    error: Array


class Stretch(NamedTuple):
    """An activation: its Lipschitz constant, its own roundings, and its value in a wide dtype."""

    most: Callable[[Activation], float]
    roundings: int
    f: Callable[[Array, Activation], Array]


#: The roundings are those of an exponential and of the operations after it; ``1 + |y|`` bounds the
#: condition number that multiplies them.
STRETCH: dict[str, Stretch] = {
    "relu": Stretch(lambda _: 1, 0, lambda y, _: np.maximum(y, 0)),
    "relu6": Stretch(lambda _: 1, 0, lambda y, _: np.clip(y, 0, 6)),
    "clip": Stretch(lambda _: 1, 0, lambda y, p: np.clip(y, p.a, p.b)),
    "leaky_relu": Stretch(
        lambda p: max(1, abs(p.a)), 1, lambda y, p: np.where(y < 0, p.a * y, y)
    ),
    "sigmoid": Stretch(lambda _: 0.25, 8, lambda y, _: 1 / (1 + np.exp(-y))),
    "tanh": Stretch(lambda _: 1, 8, lambda y, _: np.tanh(y)),
    "silu": Stretch(lambda _: 1.1, 8, lambda y, _: y / (1 + np.exp(-y))),
    "elu": Stretch(
        lambda p: max(1, abs(p.a)), 8, lambda y, p: np.where(y > 0, y, p.a * np.expm1(y))
    ),
}  # fmt: skip


def activated(sums: Bounded, spec: Any, dtype: npt.DTypeLike, axis: int = -3) -> Bounded:
    """The activation `spec` of `sums`, in `dtype`."""
    y, eps = sums.value, np.finfo(dtype).eps
    activation = spec if isinstance(spec, Activation) else parse_activation(spec)
    if activation is None:
        return sums
    if activation.name == "prelu":
        shape = (-1, *(1,) * (y.ndim - 1))
        slopes = np.moveaxis(np.reshape(activation.slopes, shape), 0, axis)
        found = np.where(y < 0, slopes * y, y)
        return Bounded(found, np.maximum(1, abs(slopes)) * sums.error + 2 * eps * abs(found))
    most, roundings, f = STRETCH[activation.name]
    found = f(y, activation)
    own = roundings * eps * ((1 + abs(y)) if roundings > 1 else 2) * abs(found)
    return Bounded(found, most(activation) * sums.error + own)


def convolved(
    x: Array | Bounded,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    dtype: npt.DTypeLike,
    activation: Any = None,
    channel_axis: int = -3,
    gaps: Array | None = None,
    valid: str = "all",
    min_valid: float = 0.5,
    fill: float = np.nan,
) -> Bounded:
    """A layer that sums in `dtype`, without a head and before its result is stored.

    `x` is `Bounded` if it comes from another layer, or if its scale and offset were applied in a
    wider dtype. `gaps` tells which elements of it are missing.
    """
    X, error = x if isinstance(x, Bounded) else (x, None)
    settings: dict[str, Any] = {"channel_axis": channel_axis, "dtype": dtype, "error": error}
    if gaps is None:
        sums = Bounded(*reference(X, weight, bias, residual, **settings))
        return activated(sums, activation, dtype, channel_axis)
    X = np.where(gaps, np.zeros((), X.dtype), X)
    none = gaps.any(axis=channel_axis, keepdims=True)
    if valid == "all":
        sums = Bounded(*reference(X, weight, bias, residual, **settings))
    else:
        assert residual is None
        sums, none = _weighed(X, gaps, weight, bias, settings)
        none |= (~gaps).mean(axis=channel_axis, keepdims=True) < min_valid
    y = activated(sums, activation, dtype, channel_axis)
    return Bounded(np.where(none, fill, y.value), np.where(none, 0, y.error))


def _weighed(
    X: Array, gaps: Array, weight: Array, bias: Array | None, settings: dict[str, Any]
) -> tuple[Bounded, Array]:
    """Sums over the channels that are present, scaled up for the missing ones by their weights.

    The factor is a quotient of two sums of C terms. The result therefore has the roundings of
    three sums, and those of the quotient, the product and the bias.
    """
    C, dtype, axis = weight.shape[1], settings["dtype"], settings["channel_axis"]
    shape = (-1, *(1,) * (X.ndim - 1))
    value, error = reference(X, weight, **settings)
    there, _ = reference((~gaps).astype(dtype), abs(weight), channel_axis=axis, dtype=dtype)
    total = np.moveaxis(abs(weight.astype(dtype)).sum(axis=1).reshape(shape), 0, axis)
    some = gaps.any(axis=axis, keepdims=True) & (total != 0)
    nothing = some & (there == 0) | gaps.all(axis=axis, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(some & ~nothing, total / there, 1)
    b = np.zeros(1) if bias is None else bias
    b = np.moveaxis(b.astype(dtype).astype(value.dtype).reshape(shape), 0, axis)
    more = (3 * C + 8) * np.finfo(dtype).eps
    bound = np.where(some, factor * error * (more / units(C, dtype)) + more * abs(b), error)
    bound = np.where(some, bound, error + units(C, dtype) * abs(b))
    return Bounded(value * factor + b, bound), nothing


def in_series(
    x: Array | Bounded, found: list[pf.Conv1x1], residual: Array | None = None
) -> Bounded:
    """Plain layers one after another; the last one adds `residual`."""
    dtype = (x.value if isinstance(x, Bounded) else x).dtype
    for one in found:
        settings = one._spec
        assert settings.head is None
        last = one is found[-1]
        x = convolved(x, one.weight, one.bias, residual if last else None, dtype=dtype,
                  activation=settings.activation, channel_axis=settings.channel_axis)  # fmt: skip
    assert isinstance(x, Bounded)
    return x


def softened(y: Array, head: str) -> Array:
    """Any head but argmax, by its definition; channels are on axis 0."""
    if head == "l2_normalize":
        return y / np.maximum(np.sqrt((y * y).sum(axis=0)), 1e-12)
    shifted = y - y.max(axis=0)
    total = np.exp(shifted).sum(axis=0)
    return np.exp(shifted) / total if head == "softmax" else shifted - np.log(total)


def headed(y: Bounded, head: str, dtype: npt.DTypeLike, axis: int = -3) -> Bounded:
    """`head` of `y`, in `dtype`.

    An error of E in each channel multiplies every quotient of two powers by at most ``exp(2 E)``;
    moving a vector by e changes its direction by at most ``e / (norm - |e|)``, and ``|y|`` times
    that through its norm. The head adds one unit for each of K sums, four for an exponential, and
    those of a logarithm's argument. Half a unit of an exponent is as many units of its power.
    """
    Y, E = (np.moveaxis(a, axis, 0) for a in y)
    found = softened(Y, head)
    size = abs(found)
    if head == "l2_normalize":
        moved = np.sqrt((E * E).sum(axis=0))
        norm = np.sqrt((Y * Y).sum(axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            carried = np.where(norm > moved, (E + size * moved) / (norm - moved), 2)
    else:
        most = 2 * E.max(axis=0)
        carried = np.expm1(most) * size if head == "softmax" else most
    if head == "log_softmax":
        size = size + abs(Y).max() + 1
    own = (len(Y) + 8) * np.finfo(dtype).eps * size + np.finfo(dtype).tiny
    if head == "softmax":
        with np.errstate(invalid="ignore"):  # of infinities
            own += np.nan_to_num(abs(Y - Y.max(axis=0))) * np.finfo(dtype).eps / 2 * size
    return Bounded(*(np.moveaxis(a, 0, axis) for a in (found, carried + own)))


def assert_labels(labels: Array, y: Bounded, axis: int = -3) -> None:
    """Each label names a channel that may be the largest, given the errors."""
    least = (y.value - y.error).max(axis=axis, keepdims=True)
    chosen = np.take_along_axis(y.value + y.error, np.expand_dims(labels.astype(int), axis), axis)
    assert np.all(chosen >= least)


def assert_stored(actual: Array, y: Bounded) -> None:
    """Compare `actual`, whose dtype may be narrower, with the ends of `y`, rounded likewise."""
    kind = actual.dtype
    if kind.kind == "c":
        assert_within(actual, *y)
        return
    ends = []
    for end in (y.value - y.error, y.value + y.error):
        if kind.kind in "ui":
            limits = np.iinfo(kind)
            end = np.clip(np.rint(end), limits.min, limits.max)
            end = np.nan_to_num(end, nan=0)
        with np.errstate(over="ignore"):
            ends.append(end.astype(kind))
    low, high = ends
    right = (low <= actual) & (actual <= high)
    if kind.kind not in "ui":
        right |= np.isnan(actual) & np.isnan(y.value)
    assert np.all(right), f"{np.sum(~right)} elements of {right.size} are off"
