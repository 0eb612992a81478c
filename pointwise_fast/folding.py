"""Steps before or after a 1x1 convolution, folded into its weights and bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import ANY_NUMBER, as_parameter

__all__ = ["fold_batch_norm", "fold_normalization", "fold_scale"]

Array = npt.NDArray[Any]


def fold_batch_norm(
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    gamma: npt.ArrayLike | None,
    beta: npt.ArrayLike | None,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    """Fold a batch normalization that follows the convolution into it.

    ``gamma * (y - mean) / sqrt(var + eps) + beta`` of the outputs y, as Ioffe and Szegedy (2015)
    define it for inference; the parameters have PyTorch's meaning.

    Parameters
    ----------
    weight : array_like, shape (K, C/groups), and trailing axes of length 1
    bias : array_like, shape (K,), or None
    gamma, beta, mean, var : array_like, shape (K,)
        `gamma` and `beta` may be None: 1 and 0.
    eps : float, default 1e-5

    Returns
    -------
    weight, bias : numpy.ndarray of float64
        `weight` in its shape.

    Raises
    ------
    TypeError, ValueError
        If a parameter does not have K numbers, or ``var + eps`` is not positive.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> pf.fold_batch_norm([[1.0, 2.0]], None, [2.0], [1.0], [3.0], [4.0], eps=0)
    (array([[1., 2.]]), array([-2.]))
    """
    W = _weights(weight)
    K = len(W)
    scale = _vector(gamma, "gamma", K, "output", 1.0)
    shift = _vector(beta, "beta", K, "output", 0.0)
    spread = _vector(var, "var", K, "output") + eps
    if not np.all(spread > 0):
        raise ValueError(f"var + eps must be positive; var has {spread.min() - eps}, eps={eps}")
    factor = scale / np.sqrt(spread)
    start = _vector(bias, "bias", K, "output", 0.0)
    folded = W * factor.reshape(K, *(1,) * (W.ndim - 1))
    return folded, (start - _vector(mean, "mean", K, "output")) * factor + shift


def fold_normalization(
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    mean: npt.ArrayLike,
    std: npt.ArrayLike,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Fold a normalization ``(x - mean) / std`` of the input channels into the convolution.

    Parameters
    ----------
    weight : array_like, shape (K, C/groups), and trailing axes of length 1
    bias : array_like, shape (K,), or None
    mean, std : array_like, shape (C,) or ()
    groups : int, default 1

    Returns
    -------
    weight, bias : numpy.ndarray of float64
        `weight` in its shape.

    Raises
    ------
    TypeError, ValueError
        If a parameter does not have C numbers, or a `std` is 0.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> pf.fold_normalization([[1.0, 2.0]], None, mean=[1.0, 2.0], std=[1.0, 0.5])
    (array([[1., 4.]]), array([-9.]))
    """
    W = _weights(weight)
    C = W.shape[1] * groups
    spread = _vector(std, "std", C, "input")
    if not np.all(spread):
        raise ValueError("std is 0 in some channel")
    return fold_scale(W, bias, 1 / spread, -_vector(mean, "mean", C, "input") / spread, groups)


def fold_scale(
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    scale: npt.ArrayLike | None,
    offset: npt.ArrayLike | None,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Fold ``scale * x + offset`` of the input channels into the convolution.

    Parameters
    ----------
    weight : array_like, shape (K, C/groups), and trailing axes of length 1
    bias : array_like, shape (K,), or None
    scale, offset : array_like, shape (C,) or (), or None
    groups : int, default 1

    Returns
    -------
    weight, bias : numpy.ndarray of float64 or complex128
        `weight` in its shape.

    Raises
    ------
    TypeError, ValueError
        If a parameter does not have C numbers, or a `scale` is 0.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> pf.fold_scale([[1.0, 2.0]], [0.5], scale=0.5, offset=[1.0, 0.0])
    (array([[0.5, 1. ]]), array([1.5]))
    """
    W = _weights(weight)
    K, per_group = W.shape[:2]
    C = per_group * groups
    factor = _vector(scale, "scale", C, "input", 1.0)
    if not np.all(factor):
        raise ValueError("scale is 0 in some channel")
    shift = _vector(offset, "offset", C, "input", 0.0)
    # One row of channels for each group, then for each of its outputs.
    of_output = np.arange(K) // max(1, K // groups)
    matrix = W.reshape(K, per_group)
    start = _vector(bias, "bias", K, "output", 0.0)
    start = start + np.einsum("kc,kc->k", matrix, shift.reshape(groups, per_group)[of_output])
    return (matrix * factor.reshape(groups, per_group)[of_output]).reshape(W.shape), start


def _weights(weight: npt.ArrayLike) -> Array:
    W = as_parameter(weight, "weight", ANY_NUMBER)
    if W.ndim < 2:
        raise ValueError(f"weight has shape {W.shape}; (K, C/groups) is expected")
    return W.astype(np.complex128 if W.dtype.kind == "c" else np.float64)


def _vector(value: Any, name: str, n: int, what: str, default: float | None = None) -> Array:
    """`value` as `n` numbers: one for each channel, or one for all."""
    if value is None and default is not None:
        return np.full(n, default)
    given = as_parameter(value, name, ANY_NUMBER if what == "output" else "fiub")
    if given.shape not in ((n,), ()) or (given.shape == () and what == "output"):
        raise ValueError(f"{name} has shape {given.shape}; ({n},) fits the {n} {what} channels")
    numbers = np.broadcast_to(given, (n,))
    if not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} must be finite")
    return numbers.astype(np.complex128 if given.dtype.kind == "c" else np.float64)
