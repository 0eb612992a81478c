"""Calls of many sizes and layouts: what their tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import Array
from views import normal

from pointwise_fast import conv, prepare
from pointwise_fast.reduction import reduce_call

Make = Callable[[np.random.Generator, int, int], Array]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for each call that was checked in Python: that was not made from a known one."""
    seen: list[Any] = []

    def count(*arguments: Any) -> Any:
        seen.append(arguments)
        return reduce_call(*arguments)

    monkeypatch.setattr(prepare, "reduce_call", count)
    monkeypatch.setattr(prepare, "_prepared", {})
    monkeypatch.setattr(prepare, "_last", (None, None, None))
    monkeypatch.setattr(conv, "_repeats", {})
    return seen


def window(array: Array, h: int, w: int) -> Array:
    return array[..., 1 : 1 + h, 1 : 1 + w]


def interleaved(rng: np.random.Generator, *shape: int) -> Array:
    return np.moveaxis(normal(rng, *shape), -1, 0)


#: Inputs of 5 channels, on the first axis of two others.
PIXELS: dict[str, Make] = {
    "planar": lambda rng, h, w: normal(rng, 5, h, w),
    "interleaved": lambda rng, h, w: interleaved(rng, h, w, 5),
    "window": lambda rng, h, w: window(normal(rng, 5, h + 3, w + 2), h, w),
    "crop": lambda rng, h, w: interleaved(rng, h + 3, w + 2, 5)[:, 1 : h + 1, 1 : w + 1],
    "rows reversed": lambda rng, h, w: normal(rng, 5, h, w)[:, ::-1],
    "all reversed": lambda rng, h, w: normal(rng, 5, h, w)[::-1, ::-1, ::-1],
    "transposed": lambda rng, h, w: normal(rng, w, h, 5).T,
    "fortran": lambda rng, h, w: np.asfortranarray(normal(rng, 5, h, w)),
    "every second": lambda rng, h, w: normal(rng, 5, 2 * h, 2 * w)[:, ::2, ::2],
    "one row for all": lambda rng, h, w: np.broadcast_to(normal(rng, 5, 1, w), (5, h, w)),
}
SIZES = [(1, 1), (1, 9), (9, 1), (3, 4), (4, 3), (2, 40), (40, 2), (17, 33), (300, 70), (8, 8)]
OUTS: dict[str, Make] = {
    "planar out": lambda rng, h, w: normal(rng, 4, h, w),
    "out window": lambda rng, h, w: window(normal(rng, 4, h + 2, w + 3), h, w),
    "interleaved out": lambda rng, h, w: interleaved(rng, h, w, 4),
    "columns of out reversed": lambda rng, h, w: normal(rng, 4, h, w)[..., ::-1],
}
