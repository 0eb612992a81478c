"""Steps before or after a 1x1 convolution, folded into its weights and bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import ANY_NUMBER, as_parameter, check_integer

__all__ = ["check_scale", "fold_batch_norm", "fold_normalization", "fold_scale"]

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
    W, _ = _weights(weight, 1)
    K = len(W)
    try:
        eps = float(eps)
    except (TypeError, ValueError):
        raise TypeError(f"eps must be a number; got {eps!r}") from None
    scale = _vector(gamma, "gamma", K, "output", 1.0)
    shift = _vector(beta, "beta", K, "output", 0.0)
    spread = _vector(var, "var", K, "real") + eps
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

    Notes
    -----
    What is folded is no longer subtracted from `x` but from the sums, in which
    ``weight * x / std`` and ``weight * mean / std`` cancel: where a mean is m times its std, an
    error is m times as large. Sums of float32 have 7 digits; means of 1e4 times the std leave 3 of
    them (sums of 200 such channels are off by 1e-2 where they are of size 1), means of the size of
    the std cost nothing that shows. ``scale=1 / std, offset=-mean / std`` of `conv1x1` and
    `Conv1x1` subtract from `x` itself, at next to no cost; what is lost is only the rounding of
    `offset` to the dtype of the sums.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> pf.fold_normalization([[1.0, 2.0]], None, mean=[1.0, 2.0], std=[1.0, 0.5])
    (array([[1., 4.]]), array([-9.]))
    """
    W, C = _weights(weight, groups)
    spread = _vector(std, "std", C, "input")
    with np.errstate(all="ignore"):
        factor = 1 / spread
        shift = -_vector(mean, "mean", C, "input") * factor
    if not np.all(np.isfinite(factor)):
        raise ValueError("std is 0, or as good as 0, in some channel")
    return fold_scale(W, bias, factor, shift, groups)


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
        If a parameter does not have C numbers.

    Notes
    -----
    An offset in the bias costs digits as a mean does, see `fold_normalization`; ``offset=`` of
    `conv1x1` and `Conv1x1` does not. A `scale` in the weights costs none.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> pf.fold_scale([[1.0, 2.0]], [0.5], scale=0.5, offset=[1.0, 0.0])
    (array([[0.5, 1. ]]), array([1.5]))
    """
    W, C = _weights(weight, groups)
    K, per_group = W.shape[:2]
    factor, shift = check_scale(scale, offset, C)
    # One row of channels for each group, then for each of its outputs.
    of_output = np.arange(K) // max(1, K // groups)
    matrix = W.reshape(K, per_group)
    start = _vector(bias, "bias", K, "output", 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        start = start + np.einsum("kc,kc->k", matrix, shift.reshape(groups, per_group)[of_output])
        folded = (matrix * factor.reshape(groups, per_group)[of_output]).reshape(W.shape)
    return folded, start


def check_scale(scale: Any, offset: Any, C: int) -> tuple[Array, Array]:
    """Both as one number for each of `C` channels."""
    # Adding 0 makes one zero of both.
    factor = _vector(scale, "scale", C, "input", 1.0) + 0.0
    return factor, _vector(offset, "offset", C, "input", 0.0) + 0.0


def _weights(weight: npt.ArrayLike, groups: Any) -> tuple[Array, int]:
    """Weights in a wide dtype, and how many input channels there are."""
    W = as_parameter(weight, "weight", ANY_NUMBER)
    if W.ndim < 2 or any(n != 1 for n in W.shape[2:]):
        raise ValueError(
            f"weight has shape {W.shape}; (K, C/groups), with trailing axes of length 1, "
            "is expected"
        )
    groups = check_integer(groups, "groups", 1)
    if len(W) % groups:
        raise ValueError(f"groups={groups} does not divide the {len(W)} output channels of weight")
    return W.astype(np.complex128 if W.dtype.kind == "c" else np.float64), W.shape[1] * groups


def _vector(value: Any, name: str, n: int, what: str, default: float | None = None) -> Array:
    """`value` as `n` numbers: one for each channel, or one for all."""
    if value is None and default is not None:
        return np.full(n, default)
    given = as_parameter(value, name, ANY_NUMBER if what == "output" else "fiub")
    if given.shape not in ((n,), ()) or (given.shape == () and what != "input"):
        side = "input" if what == "input" else "output"
        raise ValueError(f"{name} has shape {given.shape}; ({n},) fits the {n} {side} channels")
    numbers = np.broadcast_to(given, (n,))
    if not np.all(np.isfinite(numbers)):
        raise ValueError(f"{name} must be finite")
    return numbers.astype(np.complex128 if given.dtype.kind == "c" else np.float64)
