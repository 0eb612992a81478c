"""The one product of matrices: all that this package asks of NumPy's BLAS goes through here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["product"]

Array = npt.NDArray[Any]


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b``, into `out` if it is given. In which order it sums is up to the BLAS."""
    result: Array = np.matmul(a, b, out=out)
    return result
