"""Panels of pixels, for backends whose temporaries are arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem, QuantisedProblem

__all__ = ["blocks", "panels"]

#: Bytes that one panel may hold in all its channels; six temporaries of it stay below 4 MiB.
_PANEL_BYTES = 1 << 19


def panels(problem: Problem | QuantisedProblem) -> Iterator[tuple[Any, ...]]:
    """Index tuples over ``(*outer, channel, P)`` that cover every pixel once."""
    hidden = sum(layer.K for layer in getattr(problem, "hidden", ()))
    step = _most_pixels(problem, problem.C + hidden + problem.K)
    for index in np.ndindex(problem.outer):
        for p in range(0, problem.P, step):
            yield (*index, slice(None), slice(p, p + step))


def blocks(problem: Problem, channels: int) -> Iterator[tuple[Any, ...]]:
    """Like `panels`, but small ones together, so that some of the outer axes may remain.

    `channels` are those that should be in cache together.
    """
    most = _most_pixels(problem, channels)
    pixels = (*problem.outer, problem.P)
    axis, size = len(pixels) - 1, 1
    while axis > 0 and size * pixels[axis] <= most:
        size *= pixels[axis]
        axis -= 1
    step = max(1, most // size)
    between = (slice(None),) if axis == len(problem.outer) else ()
    for index in np.ndindex(pixels[:axis]):
        for i in range(0, pixels[axis], step):
            yield (*index, *between, slice(i, i + step))


def _most_pixels(problem: Problem | QuantisedProblem, channels: int) -> int:
    return max(1, _PANEL_BYTES // max(1, channels * problem.dtype.itemsize))
