"""Layers and images for chains and branches: shapes, memory layouts, instruction sets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support import ISAS, Array

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

#: How (N, C, H, W) lies in memory.
LAYOUTS = ("planar", "interleaved", "cropped", "backwards", "strided", "turned", "channels apart")


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of this CPU, for plans made in the test."""
    if request.param == "none":
        pytest.skip(str(c_simd.available()))
    before = c_simd.isa()
    c_simd.select_isa(request.param)
    yield request.param
    c_simd.select_isa(before)


def room(layout: str, shape: tuple[int, int, int, int], dtype: Any) -> Array:
    """An array of NaN, viewed as `shape` in the layout given."""
    n, c, h, w = shape

    def nan(*shape: int) -> Array:
        return np.full(shape, np.nan, dtype)

    match layout:
        case "planar":
            return nan(n, c, h, w)
        case "interleaved":
            return nan(n, h, w, c).transpose(0, 3, 1, 2)
        case "cropped":
            return nan(n, c, h + 3, w + 5)[:, :, 2:-1, 3:-2]
        case "backwards":
            return nan(n, c, h, w)[:, ::-1, ::-1, ::-1]
        case "strided":
            return nan(n, c, 2 * h, 2 * w)[:, :, ::2, ::2]
        case "turned":
            return nan(n, c, w, h).transpose(0, 1, 3, 2)
        case "channels apart":
            return nan(n, h, w, 2 * c).transpose(0, 3, 1, 2)[:, ::2]
    raise NotImplementedError(layout)


def image(
    layout: str, shape: tuple[int, int, int, int], dtype: Any, rng: np.random.Generator
) -> Array:
    array = room(layout, shape, dtype)
    array[...] = rng.standard_normal(shape)
    return array


def layers(
    channels: tuple[int, ...], rng: np.random.Generator, **settings: Any
) -> list[pf.Conv1x1]:
    """A layer from each number in `channels` to the next; every second one has no bias."""
    activations = ("relu", ("leaky_relu", 0.1), "relu6", None)
    groups = settings.pop("groups", 1)
    return [
        pf.Conv1x1(
            rng.standard_normal((k, c // groups)) / np.sqrt(c),
            rng.standard_normal(k) if i % 2 == 0 else None,
            **{"activation": activations[i % 4], "groups": groups, "backend": "c", **settings},
        )
        for i, (c, k) in enumerate(pairwise(channels))
    ]


def beside(view: Array) -> Array:
    """The array that `view` is a part of, with what lies between and around its elements."""
    base = view
    while isinstance(base.base, np.ndarray):
        base = base.base
    return base


def assert_same_bits(actual: Array, expected: Array) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


def assert_only_wrote(view: Array) -> None:
    """Everything outside `view`, which `room` made, is still NaN."""
    base = beside(view)
    assert np.isnan(base).sum() == base.size - view.size


def alone(found: list[pf.Conv1x1], x: Array) -> list[Array]:
    return [layer(x) for layer in found]


def conv(k: int, c: int, **settings: Any) -> pf.Conv1x1:
    return pf.Conv1x1(np.ones((k, c)), **settings)
