"""The shapes in which weights, and a number for each channel, come."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_vector", "is_vector", "matrix_shape"]

Array = npt.NDArray[Any]


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """``(K, C/groups)`` of weights.

    Raises
    ------
    ValueError
        If there are axes besides those two that are not 1 long.

    Examples
    --------
    >>> matrix_shape((20, 50, 1, 1)), matrix_shape((50,))
    ((20, 50), (1, 50))
    """
    if len(shape) == 1:
        return 1, shape[0]
    if len(shape) < 2 or any(n != 1 for n in shape[2:]):
        hint = ""
        leading = len(shape) - 2
        if leading > 0 and shape[:leading] == (1,) * leading:
            index = ", ".join("0" * leading)
            hint = f". Keras has ({'1, ' * leading}C/groups, K): pass weight[{index}].T"
        raise ValueError(
            f"weight has shape {shape}; (K, C/groups), (K, C/groups, 1), (K, C/groups, 1, 1) and "
            f"so on are expected, or (C,) for one output channel{hint}"
        )
    return shape[0], shape[1]


def is_vector(shape: tuple[int, ...], n: int) -> bool:
    """Whether an array of this shape has one number for each of `n` channels, or one for all.

    All axes but one are 1 long, as in ``(n, 1, 1)``, so that there is but one way to read it.
    """
    return [m for m in shape if m != 1] in ([], [n])


def as_vector(array: Array, n: int) -> Array:
    """`array`, which `is_vector`, in the shape ``(n,)``, without a copy."""
    return array if array.shape == (n,) else np.broadcast_to(array.reshape(-1), (n,))
