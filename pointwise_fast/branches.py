"""`Branches`: several layers that read the same input."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import as_mask, as_x, check_out
from .chain import Chain, parameters_of
from .config import resolve_threads
from .conv_layer import Conv1x1
from .execute import execute
from .foreign import is_masked
from .geometry import Masks, geometry
from .kernels import Plan
from .keys import keep
from .layer import Layer
from .masked import find_lost, unmask, with_mask
from .names import find_channels, has_names
from .prepare import Prepared, Together, geometries
from .spec import LayerSpec, side_by_side

__all__ = ["Branches"]

Array = npt.NDArray[Any]


class Branches:
    """Several 1x1 convolutions of the same input, which is read once.

    Each panel of pixels goes to all layers while it is in the cache. The results are those of
    the layers called by themselves; in the C backend to the bit. Branches may be shared by any
    number of threads, and pickled.

    Parameters
    ----------
    *layers : Conv1x1, Chain or Branches
        All take as many channels, of the same names if they have ``channels``, on the same
        ``channel_axis`` and with the same ``stride``. A `Chain` is a branch like another, but then
        the branches are called in turn, and each reads the input. `Branches` stand for their
        layers.

    Attributes
    ----------
    layers : tuple of Conv1x1 and Chain
        Those of branches among them.
    in_channels, channel_axis, stride
        Of all layers, see `Conv1x1`.

    Raises
    ------
    TypeError, ValueError
        If the layers do not fit; the message names the layer by its position, from 1 on, what
        came and what would fit.

    Examples
    --------
    >>> import numpy as np, pointwise_fast as pf
    >>> total, double = pf.Conv1x1(np.ones((1, 3))), pf.Conv1x1(2 * np.eye(3))
    >>> branches = pf.Branches(total, double)
    >>> image = np.ones((3, 1, 2))
    >>> branches(image)[0]
    array([[[3., 3.]]])

    One array for all, along the channel axis:

    >>> branches(image, out=np.empty((4, 1, 2)))
    array([[[3., 3.]],
    <BLANKLINE>
           [[2., 2.]],
    <BLANKLINE>
           [[2., 2.]],
    <BLANKLINE>
           [[2., 2.]]])
    """

    __name__ = "branches"

    def __init__(self, *layers: Conv1x1 | Chain | Branches) -> None:
        self._layers = _flatten(layers)
        first = self._layers[0]._spec
        for i, layer in enumerate(self._layers[1:], 2):
            spec = layer._spec
            if spec.C != first.C:
                raise ValueError(
                    f"{spec.expects(f'layer {i}')} channels, {first.expects('layer 1')}; "
                    "all read the same input"
                )
            for name in ("channel_axis", "stride", "channels"):
                mine, theirs = getattr(spec, name), getattr(first, name)
                if mine != theirs:
                    raise ValueError(
                        f"layer {i} has {name}={mine}, layer 1 has {theirs}; "
                        "all read the same pixels"
                    )
        self._chained = any(isinstance(layer, Chain) for layer in self._layers)
        self._skips = [layer._adds_input for layer in self._layers]
        self._orders: dict[tuple[int, ...], Branches] = {}
        self._prepared: dict[Hashable, Together] = {}
        self._repeat: Callable[..., tuple[Array, ...] | None] | None = None

    @property
    def layers(self) -> tuple[Conv1x1 | Chain, ...]:
        return self._layers

    @property
    def in_channels(self) -> int:
        return self._layers[0].in_channels

    @property
    def channel_axis(self) -> int:
        return self._layers[0].channel_axis

    @property
    def stride(self) -> int | tuple[int, ...]:
        return self._layers[0].stride

    def __call__(
        self,
        x: npt.ArrayLike,
        *,
        mask: npt.ArrayLike | None = None,
        out: Array | Sequence[Array] | None = None,
        threads: int | None = None,
    ) -> Array | tuple[Array, ...]:
        """Apply each layer to `x`.

        Parameters
        ----------
        x : array_like
            As in `conv1x1`.
        mask : array_like of bool, optional
            True where `x` is missing, as in `conv1x1`; the layers are then called in turn, as they
            are for a masked `x`.
        out : numpy.ndarray or sequence of numpy.ndarray, optional
            One array, into which the results go side by side along the channel axis; or an
            array for each layer, which must not overlap one another. Any of them may overlap `x`.
        threads : int, optional
            `get_num_threads` by default.

        Returns
        -------
        tuple of numpy.ndarray, or numpy.ndarray
            The result of each layer; `out` where that is one array. Masked arrays if `x` is one.

        Raises
        ------
        TypeError, ValueError
            Before anything is computed or written; the message names the layer, the argument,
            what came and what would fit.
        """
        n = resolve_threads(threads)
        if self._repeat is not None and mask is None and not isinstance(out, np.ndarray):
            results = self._repeat(x, out, n)
            if results is not None:
                return results
        outs = self._check_outs(out)
        first = self._layers[0]._spec
        if first.channels is not None and has_names(x):
            x, order = find_channels(x, first.channels, first.channel_axis)
            if order is not None:
                return self._in_order(order)(x, mask=mask, out=out, threads=n)
        x = as_x(x, first.channel_axis)
        if mask is not None:
            mask = as_mask(mask, self._give_labels)
        if isinstance(out, np.ndarray):
            return self._run_into_one(x, mask, out, n)
        if is_masked(x) or any(map(is_masked, outs)):
            return self._run_masked(x, mask, outs, n)
        return self._run(x, mask, outs, n)

    def _check_outs(self, out: Any) -> tuple[Array | None, ...]:
        """`out` as one for each layer, unless it is a single array."""
        if out is None or isinstance(out, np.ndarray):
            if out is not None:
                check_out(out, masked=True)
            return (None,) * len(self._layers)
        if not isinstance(out, tuple | list):
            raise TypeError(
                f"out must be a numpy.ndarray or a tuple of them; got {type(out).__name__}"
            )
        if len(out) != len(self._layers):
            raise ValueError(f"out has {len(out)} arrays; there are {len(self._layers)} layers")
        for i, array in enumerate(out):
            try:
                check_out(array, masked=True)
            except (TypeError, ValueError) as error:
                raise type(error)(f"layer {i + 1}: {error}") from None
        return tuple(out)

    @property
    def _give_labels(self) -> bool:
        return any(layer._spec.head == "argmax" for layer in self._layers)

    def _in_order(self, order: tuple[int, ...]) -> Branches:
        """The same branches for an `x` whose channels come in another order."""
        found = self._orders.get(order)
        if found is None:
            layers = [layer._for_order(order) for layer in self._layers]
            found = keep(self._orders, order, Branches(*layers))
        return found

    def _run_masked(
        self,
        x: Array,
        mask: Array | None,
        given: tuple[Array | None, ...],
        threads: int,
        lost: Sequence[Array] = (),
    ) -> tuple[Array, ...]:
        """`_run` of masked arrays; `lost` are arrays for the masks of the results."""
        data, masks = unmask(x, mask, self._give_labels)
        targets = tuple(None if out is None else np.ma.getdata(out, subok=False) for out in given)
        self._find(data, masks, targets)  # which checks everything
        # Before any output is written, which may overlap x.
        found = [
            find_lost(layer._spec, layer._first_weight, data, masks, into)
            for layer, into in zip(self._layers, lost or (None,) * len(given), strict=True)
        ]
        results = self._run(data, masks, targets, threads)
        return tuple(
            with_mask(layer._spec, y if out is None else out, gone, x)
            for layer, y, out, gone in zip(self._layers, results, given, found, strict=True)
        )

    def _run(
        self, x: Array, mask: Masks, given: tuple[Array | None, ...], threads: int
    ) -> tuple[Array, ...]:
        together = self._find(x, mask, given)
        outs = tuple(out for out in given if out is not None) or None
        results = execute(together, x, None, mask, outs, threads)
        if together.repeat is not None:
            self._repeat = together.repeat.branches
        return results

    def _find(self, x: Array, mask: Masks, outs: tuple[Array | None, ...]) -> Together:
        """Checked calls of all layers for these arrays."""
        key = (
            geometries(x, None, None, mask),
            tuple(out is not None and geometry(out) for out in outs),
        )
        found = self._prepared.get(key)
        if found is None:
            parts = [self._find_layer(i, x, mask, out) for i, out in enumerate(outs)]
            in_turn = mask is not None or self._chained
            found = keep(self._prepared, key, Together(parts, self._skips, in_turn))
        return found

    def _find_layer(self, i: int, x: Array, mask: Masks, out: Array | None) -> Prepared:
        """`Layer._find`, whose errors name the layer."""
        try:
            return self._layers[i]._find(x, x if self._skips[i] else None, out, mask)
        except (TypeError, ValueError) as error:
            raise type(error)(f"layer {i + 1}: {error}") from None

    def _run_into_one(self, x: Array, mask: Array | None, out: Array, threads: int) -> Array:
        if self._as_one is not None:
            return self._as_one(x, mask=mask, out=out, threads=threads)
        axis = self._layers[0]._spec.channel_axis
        ends = np.cumsum([layer._spec.K for layer in self._layers])
        if not -out.ndim <= axis < out.ndim or out.shape[axis] != ends[-1]:
            raise ValueError(
                f"out has shape {out.shape}; the layers give {ends[-1]} channels on axis {axis}"
            )
        data = np.ma.getdata(out, subok=False) if is_masked(out) else out
        parts = tuple(np.split(data, ends[:-1], axis))
        if not is_masked(x) and not is_masked(out):
            self._run(x, mask, parts, threads)
            return out
        lost = np.empty(out.shape, np.bool_)
        self._run_masked(x, mask, parts, threads, np.split(lost, ends[:-1], axis))
        return with_mask(self._layers[0]._spec, out, lost, x)

    @cached_property
    def _as_one(self) -> _SideBySide | None:
        """One layer with all channels, where the layers differ in weights and biases alone."""
        spec = side_by_side([layer._spec for layer in self._layers])
        return None if spec is None else _SideBySide(spec, self._layers)

    def __getstate__(self) -> tuple[Conv1x1 | Chain, ...]:
        return self._layers

    def __setstate__(self, layers: tuple[Conv1x1 | Chain, ...]) -> None:
        self.__init__(*layers)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"Branches({', '.join(map(repr, self._layers))})"


def _flatten(given: Sequence[Any]) -> tuple[Conv1x1 | Chain, ...]:
    """The layers of what branches are made of: two or more."""
    layers: list[Conv1x1 | Chain] = []
    for i, layer in enumerate(given, 1):
        if isinstance(layer, Branches):
            layers += layer.layers
        elif isinstance(layer, Conv1x1 | Chain):
            layers.append(layer)
        else:
            raise TypeError(
                f"layer {i} of Branches must be a Conv1x1, a Chain or Branches; got "
                f"{type(layer).__name__}"
            )
    if len(layers) < 2:
        raise ValueError(f"Branches needs two layers or more; got {len(layers)}")
    return tuple(layers)


class _SideBySide(Layer):
    """Layers whose specs are alike side by side: one matrix."""

    def __init__(self, spec: LayerSpec, layers: Sequence[Any]) -> None:
        self._spec, self._layers = spec, layers
        self._forget()

    def _first_weight(self, dtype: np.dtype[Any]) -> Array:
        return np.concatenate([layer._first_weight(dtype) for layer in self._layers])

    def _pack_for(self, plan: Plan, dtype: np.dtype[Any]) -> Any:
        found = parameters_of(self._layers, dtype)
        weight = np.concatenate([weight for weight, _ in found])
        if not self._spec.bias:
            return plan.pack(weight, None)
        biases = [np.zeros(len(w), dtype) if bias is None else bias for w, bias in found]
        return plan.pack(weight, np.concatenate(biases))
