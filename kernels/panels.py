"""Panels of pixels, for backends whose temporaries are arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem, QuantisedProblem

__all__ = ["panels"]

#: Bytes of input and output that one panel may hold; six temporaries of it stay below 4 MiB.
_PANEL_BYTES = 1 << 19


def panels(problem: Problem | QuantisedProblem) -> Iterator[tuple[Any, ...]]:
    """Index tuples over ``(*outer, channel, P)`` that cover every pixel once."""
    hidden = sum(layer.K for layer in getattr(problem, "hidden", ()))
    pixel = max(1, (problem.C + hidden + problem.K) * problem.dtype.itemsize)
    step = max(1, _PANEL_BYTES // pixel)
    for index in np.ndindex(problem.outer):
        for p in range(0, problem.P, step):
            yield (*index, slice(None), slice(p, p + step))
