"""Outputs whose elements share memory, and arrays that share memory without saying so."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from support import BACKENDS, Array, assert_conv

import pointwise_fast as pf
from pointwise_fast.arrays import owners, shares_itself


def addresses(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> list[int]:
    """The addresses of every byte."""
    starts = [
        sum(i * s for i, s in zip(index, strides, strict=True))
        for index in itertools.product(*map(range, shape))
    ]
    return [start + byte for start in starts for byte in range(itemsize)]


def test_sharing_is_found_exactly(rng: np.random.Generator) -> None:
    found = set()
    for _ in range(3000):
        ndim = int(rng.integers(1, 5))
        shape = tuple(int(n) for n in rng.integers(0 if rng.integers(9) else 1, 5, ndim))
        itemsize = int(rng.choice([1, 2, 4, 8]))
        scale = itemsize if rng.integers(3) else 1
        strides = tuple(int(s) * scale for s in rng.integers(-14, 15, ndim))
        every = addresses(shape, strides, itemsize)
        expected = len(set(every)) < len(every)
        assert shares_itself(shape, strides, itemsize) == expected, (shape, strides, itemsize)
        found.add(expected)
    assert found == {False, True}


@pytest.mark.parametrize(
    ("shape", "strides", "shares"),
    [
        ((2, 3), (24, 16), False),  # one axis within the steps of the other
        ((3, 2), (16, 24), False),
        ((4, 3), (16, 24), True),
        ((7, 5), (40, 56), False),
        ((8, 6), (40, 56), True),
        ((50, 600, 600), (8, 8 * 50 * 600, 8 * 50), False),
        ((1, 5), (0, 8), False),
        ((5, 0), (0, 0), False),
        ((2, 3), (-24, -8), False),
        ((10**6, 10**6), (8, 8), True),
        ((10**6 + 1, 10**6), (8 * (10**6 - 1), 8 * 10**6), True),
        ((10**6, 10**6), (8 * (10**6 + 1), 8 * 10**6), False),
        ((10**6, 10**6), (16, 16 * (10**6 - 1) + 8), False),
    ],
)
def test_large_arrays(shape: Any, strides: Any, shares: bool) -> None:
    """Large arrays are checked without touching their memory or enumerating elements."""
    assert shares_itself(shape, strides, 8) == shares


SHARED: dict[str, Callable[[Array], Array]] = {
    "one element": lambda y: as_strided(y, y.shape, (0,) * y.ndim),
    "one channel": lambda y: as_strided(y, y.shape, (0, *y.strides[1:])),
    "one row": lambda y: as_strided(y, y.shape, (y.strides[0], 0, y.strides[2])),
    "windows": lambda y: as_strided(y, y.shape, (8, 4, 4)),
    "halves of elements": lambda y: as_strided(y, y.shape, (*y.strides[:2], 2)),
    "by a hair": lambda y: as_strided(y, y.shape, (16, 24, 4)),
}


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("way", ["conv1x1", "Conv1x1", "Chain", "Branches", "one array", "q"])
def test_out_that_shares_is_refused(way: str, kind: str, backend: Any) -> None:
    """It is refused every time, also after right calls, and nothing is written."""
    if way == "Chain" and backend == "numba":
        backend = "auto"
    x, weight = np.ones((3, 5, 6), np.float32), np.ones((4, 3), np.float32)
    memory = np.full(4 * 5 * 6, 7, np.int8 if way == "q" else np.float32)
    good = np.empty((4, 5, 6), memory.dtype)
    bad = SHARED[kind](memory.reshape(4, 5, 6))
    if way == "q":
        bad = as_strided(memory, bad.shape, tuple(step // 4 for step in bad.strides))
        if kind == "halves of elements":
            bad = as_strided(memory, bad.shape, (30, 6, 0))
    layer = pf.Conv1x1(weight, backend=backend)
    ways: dict[str, Callable[..., Any]] = {
        "conv1x1": lambda out: pf.conv1x1(x, weight, out=out, backend=backend),
        "Conv1x1": lambda out: layer(x, out=out),
        "Chain": lambda out: pf.Chain(layer, pf.Conv1x1(np.eye(4), backend=backend))(x, out=out),
        "Branches": lambda out: pf.Branches(layer, layer)(x, out=(np.empty_like(good), out)),
        "one array": lambda out: pf.Branches(
            pf.Conv1x1(weight[:3], backend=backend), pf.Conv1x1(weight[:1], backend=backend)
        )(x, out=out),
        "q": lambda out: pf.qconv1x1(
            x.astype("i1"), 1, 0, weight.astype("i1"), 1, 0, 1, 0, out=out
        ),
    }
    for _ in range(3):
        ways[way](good)
        assert np.all(good == 3)
        with pytest.raises(ValueError, match="out has elements that share memory"):
            ways[way](bad)
    assert np.all(memory == 7)


def test_out_within_the_steps_of_another(backend: Any, rng: np.random.Generator) -> None:
    """Axes may have steps in any order, as long as no two elements share memory."""
    x, weight = rng.standard_normal((3, 7, 5)), rng.standard_normal((2, 3))
    memory = np.full(400, np.nan)
    out = as_strided(memory[40:], (2, 7, 5), (8, 80, 112))
    for _ in range(3):
        assert pf.conv1x1(x, weight, out=out, backend=backend) is out
        assert_conv(out.copy(), x, weight)
    assert np.isnan(memory).sum() == 400 - out.size


def over_memory(array: Array, first: int, shape: tuple[int, ...]) -> Array:
    """An array as C code makes it of a pointer: it has no base and does not own its memory."""
    capsule = np._core.multiarray._ARRAY_API  # type: ignore[attr-defined]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer(capsule, None), ctypes.POINTER(ctypes.c_void_p))
    new = ctypes.PYFUNCTYPE(
        ctypes.py_object,
        *(ctypes.py_object, ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.py_object),
    )(table[93])  # PyArray_New
    extents = (ctypes.c_ssize_t * len(shape))(*shape)
    behaved = 0x0100 | 0x0400 | 0x0001
    start = array.ctypes.data + first * array.itemsize
    made: Array = new(
        np.ndarray, len(shape), extents, array.dtype.num, None, start, 0, behaved, None
    )
    return made


def test_arrays_over_one_memory(backend: Any, rng: np.random.Generator) -> None:
    """`out` is x shifted by 64 elements; neither array says whose memory it is."""
    weight = rng.standard_normal((40, 40)).astype(np.float32)
    layer = pf.Conv1x1(weight, backend=backend)
    for call in (layer, lambda x, **rest: pf.conv1x1(x, weight, backend=backend, **rest)):
        for _ in range(4):
            memory = rng.standard_normal(40 * 100 + 64).astype(np.float32)
            x, out = (over_memory(memory, first, (40, 10, 10)) for first in (64, 0))
            assert x.base is None
            assert out.base is None
            assert not owners(x)
            given = x.copy()
            assert call(x, out=out) is out
            assert_conv(out, given, weight)


def test_residual_over_the_memory_of_out(backend: Any, rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((40, 10, 10)).astype("f4"), np.eye(40, dtype="f4")
    for _ in range(4):
        memory = rng.standard_normal(40 * 100 + 64).astype(np.float32)
        residual, out = (over_memory(memory, first, (40, 10, 10)) for first in (0, 64))
        given = residual.copy()
        pf.conv1x1(x, weight, residual=residual, out=out, backend=backend)
        assert_conv(out, x, weight, None, given)


def test_quantised_arrays_over_one_memory(rng: np.random.Generator) -> None:
    weight = rng.integers(-9, 9, (40, 40), np.int8)
    for name in set(BACKENDS) - {"numba"}:
        memory = rng.integers(-128, 127, 40 * 100 + 64, np.int8)
        x, out = (over_memory(memory, first, (40, 10, 10)) for first in (64, 0))
        parameters: Any = (0.1, 3, weight, 0.1, 0, 1.0, np.int8(1))
        wanted = pf.qconv1x1(x.copy(), *parameters)
        pf.qconv1x1(x, *parameters, out=out, backend=name)
        assert np.array_equal(out, wanted)


def test_branches_over_one_memory(backend: Any, rng: np.random.Generator) -> None:
    weight = rng.standard_normal((40, 40)).astype(np.float32)
    branches = pf.Branches(*(pf.Conv1x1(weight, backend=backend) for _ in range(2)))
    for _ in range(3):
        memory = rng.standard_normal(40 * 100 + 64).astype(np.float32)
        x, out = (over_memory(memory, first, (40, 10, 10)) for first in (64, 0))
        given = x.copy()
        results = branches(x, out=(out, np.empty_like(given)))
        for result in results:
            assert_conv(result, given, weight)
        with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
            branches(given, out=(x, out))
