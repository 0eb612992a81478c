"""NumPy: `numpy.matmul` with ``out=`` and an epilogue in place."""

from __future__ import annotations

from ..layers.contenders import NUMPY_COPY, NUMPY_LAYER, Contender

__all__ = ["contenders"]


def contenders(threads: int) -> list[Contender]:
    """OpenBLAS has its number of threads from the environment."""
    return [NUMPY_LAYER, NUMPY_COPY]
