"""The worked examples of the field, and those in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest
from bounds import convolved
from support import DTYPES, Backend, assert_conv, assert_within, reference

import pointwise_fast as pf

A = [
    [1, 2, 3, 2, 2, 3],
    [4, 5, 6, 2, 2, 3],
    [2, 1, 7, 2, 1, 3],
    [3, 2, 4, 2, 2, 3],
    [3, 2, 4, 2, 2, 3],
    [3, 2, 4, 2, 2, 3],
]
B = [
    [3, 2, 4, 3, 2, 2],
    [3, 2, 4, 3, 2, 2],
    [1, 2, 3, 3, 2, 2],
    [4, 5, 6, 3, 2, 2],
    [3, 2, 4, 3, 2, 2],
    [2, 1, 7, 2, 1, 3],
]
C = [
    [1, 2, 3, 3, 2, 2],
    [3, 2, 4, 3, 2, 2],
    [3, 2, 4, 3, 2, 2],
    [4, 5, 6, 3, 2, 2],
    [3, 2, 4, 3, 2, 2],
    [2, 1, 7, 2, 1, 3],
]
# A published table of this example has 0.6 in place of 4.6 = 0.1 * 4 + 0.2 * 7 + 0.4 * 7.
MIXED = [
    [1.1, 1.4, 2.3, 2.0, 1.4, 1.5],
    [2.2, 1.7, 3.0, 2.0, 1.4, 1.5],
    [1.6, 1.3, 2.9, 2.0, 1.3, 1.5],
    [2.7, 3.2, 4.0, 2.0, 1.4, 1.5],
    [2.1, 1.4, 2.8, 2.0, 1.4, 1.5],
    [1.5, 0.8, 4.6, 1.4, 0.8, 2.1],
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_three_maps_become_one(backend: Backend, dtype: Any) -> None:
    maps = np.array([A, B, C], dtype)
    weight = np.array([[0.1, 0.2, 0.4]])
    _, bound = reference(maps, weight)
    y = pf.conv1x1(maps, weight, backend=backend)
    assert y.shape == (1, 6, 6)
    assert_within(y, np.array([MIXED]), bound)
    channels_last = np.ascontiguousarray(maps.transpose(1, 2, 0))
    y = pf.conv1x1(channels_last, weight, channel_axis=-1, backend=backend)
    assert_within(y[..., 0], np.array(MIXED), bound[0])


def test_64_channels_to_32_channels_last(backend: Backend, rng: np.random.Generator) -> None:
    """A 1x1 layer of a network has 32 filters of 64 weights, a bias and an activation."""
    x = rng.standard_normal((32, 32, 64), np.float32)
    weight = rng.standard_normal((32, 64, 1, 1), np.float32)
    bias = rng.standard_normal(32).astype(np.float32)
    y = pf.conv1x1(x, weight, bias, channel_axis=-1, backend=backend)
    assert y.shape == (32, 32, 32)
    assert_conv(y, x, weight, bias, channel_axis=-1)
    relu = pf.conv1x1(x, weight, bias, activation="relu", channel_axis=-1, backend=backend)
    assert_within(relu, *convolved(x, weight[..., 0, 0], bias, activation="relu", channel_axis=-1,
                               dtype=x.dtype))  # fmt: skip
    assert 0.4 < np.mean(relu > 0) < 0.6


def test_ten_maps_become_four(backend: Backend, rng: np.random.Generator) -> None:
    maps = rng.standard_normal((10, 32, 32), np.float32)
    weight = rng.standard_normal((4, 10), np.float32)
    y = pf.conv1x1(maps, weight, backend=backend)
    assert y.shape == (4, 32, 32)
    assert_conv(y, maps, weight)
    assert_conv(y[2:3, 5, 7], maps[:, 5, 7], weight[2:3], channel_axis=0)


DIGITS = {
    2: "aaaa ...b .bb. b... aaaa",
    3: "aaaa ...b ..aa ...b aaaa",
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_maps_of_a_digit(backend: Backend, dtype: Any) -> None:
    """Horizontal strokes `a` and dots `b` add up to the digit; one pixel tells 2 from 3."""
    summed = {}
    for digit, picture in DIGITS.items():
        rows = picture.split()
        maps = np.array([[[c == kind for c in row] for row in rows] for kind in "ab"], dtype)
        y = pf.conv1x1(maps, [[1, 1]], backend=backend)
        assert y.shape == (1, 5, 4)
        np.testing.assert_array_equal(y[0], [[c != "." for c in row] for row in rows])
        assert maps[0, 2, 1] == 0  # strokes alone do not tell 2 from 3
        summed[digit] = y[0]
    row, column = 3, 2  # counted from 1
    assert summed[2][row - 1, column - 1] == 1
    assert summed[3][row - 1, column - 1] == 0


def modules() -> list[str]:
    found = [
        name
        for package in (pf, importlib.import_module("pointwise_fast.kernels"))
        for _, name, _ in pkgutil.iter_modules(package.__path__, package.__name__ + ".")
    ]
    return ["pointwise_fast", *sorted({name for name in found if not name.endswith("._c")})]


@pytest.mark.parametrize("name", modules())
def test_docstrings(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if error.name is None or error.name.startswith("pointwise_fast"):
            raise
        pytest.skip(f"needs {error.name}")
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_every_public_name_has_an_example() -> None:
    finder = doctest.DocTestFinder()
    for name in ("conv1x1", "Conv1x1", "set_num_threads", "backends", "config"):
        found = finder.find(getattr(pf, name), name, globs={})
        assert any(test.examples for test in found), name
