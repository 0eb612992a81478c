"""`conv1x1_backward`: what `conv1x1` hands back to its inputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from .arrays import as_input, as_parameter
from .config import resolve_threads
from .dispatch import select_gradient
from .dtypes import native
from .foreign import is_masked
from .geometry import Geometry, geometry, stepped
from .keys import Known
from .prepare import prepare
from .reduction import reduce_call
from .spec import LayerSpec, Options, Shape
from .typing import Backend, GradientName

__all__ = ["conv1x1_backward"]

Array = npt.NDArray[Any]

#: What gradients there are, in the order of the result.
_NAMES: tuple[GradientName, ...] = get_args(GradientName)


def conv1x1_backward(
    grad_out: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    *,
    channel_axis: int = -3,
    stride: int | Sequence[int] = 1,
    groups: int = 1,
    needs: Collection[GradientName] = _NAMES,
    threads: int | None = None,
    backend: Backend = "auto",
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients of a loss by the input, the weights and the bias of `conv1x1`.

    With ``y = conv1x1(x, weight, bias)`` and the loss's gradient by `y`::

        grad_x[..., c, p] = sum_k weight[k, c] * grad_out[..., k, p]
        grad_weight[k, c] = sum_p grad_out[..., k, p] * x[..., c, p]
        grad_bias[k]      = sum_p grad_out[..., k, p]

    as PyTorch's autograd has them. An activation comes in by the chain rule: ``grad_out`` is then
    the gradient by the activation's result times the activation's derivative, for relu
    ``grad * (y > 0)``. A residual's gradient is `grad_out` itself.

    Parameters
    ----------
    grad_out : array_like
        Shape of the result of ``conv1x1(x, weight)``, dtype of `x`, any strides, either byte
        order.
    x : array_like of float32 or float64
        The input of the forward call, any strides, either byte order.
    weight : array_like, shape (K, C/groups), (K, C/groups, 1), (K, C/groups, 1, 1) and so on
        Cast to the dtype of `x`. The shape (C,) is that of one output channel.
    channel_axis, stride, groups
        As in the forward call, see `conv1x1`.
    needs : collection of str
        Which gradients to compute, of ``"x"``, ``"weight"``, ``"bias"``: all by default.
    threads : int, optional
        `get_num_threads` by default. In the C backend all results are the same, bit by bit, for
        any number of threads.
    backend : {"auto", "c", "numba", "numpy"}
        See `backends`. ``"numba"`` has the gradient by `x` only; ``"auto"`` passes by.

    Returns
    -------
    grad_x : numpy.ndarray or None
        Shape of `x`; zero where `stride` passes by. None if not among `needs`, as the others.
    grad_weight : numpy.ndarray or None
        Shape of `weight`.
    grad_bias : numpy.ndarray or None
        Shape ``(K,)``. All are new C-contiguous arrays of the dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        Before anything is computed; the message names the argument, what came and what would fit.

    Examples
    --------
    One step of gradient descent towards a mixture of two channels:

    >>> import numpy as np, pointwise_fast as pf
    >>> x = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> weight, target = np.zeros((1, 2)), np.array([[2.0, 3.0, 5.0]])
    >>> error = pf.conv1x1(x, weight, channel_axis=-2) - target
    >>> _, grad_weight, grad_bias = pf.conv1x1_backward(error, x, weight, channel_axis=-2)
    >>> grad_weight, grad_bias
    (array([[-7., -8.]]), array([-10.]))
    """
    x = as_input(x, "x", masked=_no_gradient("x", x))
    grad_out = as_input(grad_out, "grad_out", masked=_no_gradient("grad_out", grad_out))
    weight = as_parameter(weight, "weight")
    wanted = _check_needs(needs)
    arrays = weight.shape, geometry(x), geometry(grad_out)
    backward = _known(arrays, (*wanted, channel_axis, stride, groups, backend))
    return backward(grad_out, x, weight, resolve_threads(threads))


def _no_gradient(name: str, array: Any) -> str | None:
    """What to pass instead of a masked array, for the error."""
    if not is_masked(array):
        return None
    floats = "" if array.dtype.kind == "f" else ".astype(numpy.float32)"
    return (
        f"{name}.filled(0){floats}, whose masked elements then add nothing to the sums over pixels"
    )


def _check_needs(needs: Any) -> tuple[bool, bool, bool]:
    if isinstance(needs, str) or not isinstance(needs, Collection):
        raise TypeError(
            f"needs must be a collection of names, such as ('weight', 'bias'); got {needs!r}"
        )
    for name in needs:
        if name not in _NAMES:
            raise ValueError(f"needs has {name!r}; choose from {', '.join(map(repr, _NAMES))}")
    return "x" in needs, "weight" in needs, "bias" in needs


class _Backward:
    """A checked call without its data."""

    def __init__(
        self,
        arrays: tuple[Shape, Geometry, Geometry],
        needs_x: bool,
        needs_weight: bool,
        needs_bias: bool,
        channel_axis: int,
        stride: int | Sequence[int],
        groups: int,
        backend: str,
    ) -> None:
        weight_shape, x, grad_out = arrays
        if native(x.dtype) not in (np.float32, np.float64):
            raise TypeError(f"x has dtype {x.dtype}; gradients are of float32 and float64")
        options = Options(channel_axis=channel_axis, stride=stride, groups=groups, backend=backend)
        layer = LayerSpec.parse(weight_shape, None, options)
        problem, _ = reduce_call(layer, x, None, grad_out, out_name="grad_out")
        self._needs_x, self._needs_weight, self._needs_bias = needs_x, needs_weight, needs_bias
        self._layer, self._weight_shape = layer, weight_shape
        self._dtype = problem.dtype
        self._K, self._G = layer.K, layer.groups
        self._x_shape = x.shape
        self._has_gaps = False
        if self._needs_x:
            self._describe_x(grad_out)
        # Sums of nothing are zero.
        self._sums = None
        self._has_terms = 0 not in (problem.K, problem.P, *problem.outer)
        self._has_weights = self._needs_weight and problem.C > 0
        if self._has_terms and (self._has_weights or self._needs_bias):
            if not self._has_weights:
                problem = replace(problem, C=0)
            self._sums = select_gradient(layer.backend, problem)

    def _describe_x(self, grad_out: Geometry) -> None:
        """The convolution of `grad_out` whose result is the gradient by `x`."""
        layer = self._layer
        options = Options(
            channel_axis=layer.channel_axis, groups=layer.groups, backend=layer.backend
        )
        back = LayerSpec.parse((layer.C, layer.K // layer.groups), None, options)
        whole = np.empty(self._x_shape, self._dtype)
        self._view = stepped(layer, self._x_shape, whole.strides)
        self._has_gaps = self._view[0] != self._x_shape
        view = Geometry(*self._view, self._dtype)
        self._x_call = prepare(back, (grad_out, None, view, None))

    def __call__(
        self, grad_out: Array, x: Array, weight: Array, threads: int
    ) -> tuple[Array | None, Array | None, Array | None]:
        grad_x = grad_weight = grad_bias = None
        if self._needs_x:
            grad_x = self._grad_x(grad_out, weight, threads)
        empty = np.zeros if self._sums is None else np.empty
        if self._needs_weight:
            grad_weight = empty(self._weight_shape, self._dtype)
        if self._needs_bias:
            grad_bias = empty(self._K, self._dtype)
        if self._sums is not None:
            matrix = None
            if grad_weight is not None and self._has_weights:
                matrix = grad_weight.reshape(self._layer.weight_shape)
            self._sums.run(grad_out, x, matrix, grad_bias, threads)
        return grad_x, grad_weight, grad_bias

    def _grad_x(self, grad_out: Array, weight: Array, threads: int) -> Array:
        grad_x = (np.zeros if self._has_gaps else np.empty)(self._x_shape, self._dtype)
        shape, strides = self._view
        used = np.ndarray(shape, self._dtype, grad_x, 0, strides) if self._has_gaps else grad_x
        weight, _ = self._layer.cast(weight, None, self._dtype, "x of float64")
        by_group = weight.reshape(self._G, self._K // self._G, weight.shape[1])
        transposed = by_group.swapaxes(1, 2).reshape(self._layer.C, self._K // self._G)
        self._x_call.plan.conv(transposed, None, grad_out, None, used, threads)
        return grad_x


_known = Known(_Backward)
