"""Branches give the bits of their single layers, and read the input once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import convolved
from scenes import (
    LAYOUTS,
    alone,
    assert_only_wrote,
    assert_same_bits,
    conv,
    image,
    isa,
    layers,
    room,
)
from support import BACKENDS, DTYPES, Backend, assert_conv, assert_within, needs_c

import pointwise_fast as pf

__all__ = ["isa"]  # a fixture


def fan(C: int, filters: tuple[int, ...], rng: np.random.Generator, **settings: Any) -> Any:
    """Layers from C channels to each of `filters`; their activations and biases differ."""
    found = []
    for i, k in enumerate(filters):
        one = layers((C, k), rng, activation=("relu", None, "relu6")[i % 3], **settings)[0]
        found.append(
            one
            if i % 2
            else pf.Conv1x1(one.weight, activation="relu", **{"backend": "c", **settings})
        )
    return found


#: An image that fits the caches, and one whose panels are read by all layers in turn.
SIZES = {"small": (2, 13, 11), "large": (1, 201, 203)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("filters", [(5, 16), (20, 3, 1), (33, 33)], ids=str)
def test_bits(
    isa: str, dtype: Any, size: str, filters: tuple[int, ...], rng: np.random.Generator
) -> None:
    """The bits are the same in every layout and mix of layouts, with any number of threads."""
    C = 7 if isa == "scalar" else 11
    found = fan(C, filters, rng)
    branches = pf.Branches(*found)
    n, h, w = SIZES[size]
    for layout in LAYOUTS:
        x = image(layout, (n, C, h, w), dtype, rng)
        expected = alone(found, x)
        for actual, wanted in zip(branches(x, threads=2), expected, strict=True):
            assert_same_bits(actual, wanted)
        for mixed in (False, True):
            outs = tuple(
                room(str(rng.choice(LAYOUTS)) if mixed else layout, wanted.shape, dtype)
                for wanted in expected
            )
            results = branches(x, out=outs, threads=int(rng.integers(1, 5)))
            assert all(a is b for a, b in zip(results, outs, strict=True))
            for out, wanted in zip(outs, expected, strict=True):
                assert_same_bits(out.copy("C"), wanted)
                assert_only_wrote(out)


@needs_c
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_array(isa: str, alike: bool, layout: str, rng: np.random.Generator) -> None:
    """One array takes all outputs along the channels, whether the layers become one or not."""
    found = [
        *layers((9, 16), rng),
        *layers((9, 5), rng, activation="relu" if alike else "relu6"),
        pf.Conv1x1(rng.standard_normal((4, 9)), activation="relu", backend="c"),
    ]
    branches = pf.Branches(*found)
    assert (branches._as_one is not None) == alike
    for n, h, w in ((2, 9, 8), (1, 180, 190)):
        x = image(layout, (n, 9, h, w), np.float32, rng)
        expected = np.concatenate(alone(found, x), axis=1)
        out = room(layout, expected.shape, np.float32)
        assert branches(x, out=out, threads=3) is out
        assert_same_bits(out.copy("C"), expected)
        assert_only_wrote(out)


@needs_c
def test_one_array_of_other_settings(rng: np.random.Generator) -> None:
    """Layers may have groups, and a dtype other than the input's."""
    x = rng.standard_normal((6, 30, 31))
    found = [*layers((6, 4), rng, groups=2), *layers((6, 9), rng, dtype="float64")]
    out = np.empty((13, 30, 31))
    pf.Branches(*found)(x, out=out)
    assert_same_bits(out, np.concatenate(alone(found, x)))
    narrow = layers((6, 4), rng, dtype="float32")[0]
    with pytest.raises(TypeError, match="layer 2: out has dtype float64; the result has float32"):
        pf.Branches(found[1], narrow)(x, out=out)
    both = pf.Branches(found[1], narrow)(x)
    assert [y.dtype for y in both] == [np.float64, np.float32]
    for y, layer in zip(both, (found[1], narrow), strict=True):
        assert_same_bits(y, layer(x))


@needs_c
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_large(isa: str, layout: str, rng: np.random.Generator) -> None:
    """Streaming stores to outputs of different alignments; bits do not depend on the threads."""
    if isa == "scalar":
        pytest.skip("stores nothing past the caches")
    found = fan(4, (12, 8, 3), rng)
    branches = pf.Branches(*found)
    h, w = 600, 1024
    x = image(layout, (1, 4, h, w), np.float32, rng)
    expected = alone(found, x)
    rooms = [np.empty(y.size + 16, np.float32) for y in expected]
    outs = []
    for i, (space, y) in enumerate(zip(rooms, expected, strict=True)):
        part = space[3 * i : 3 * i + y.size]
        k = y.shape[1]
        outs.append(
            part.reshape(1, k, h, w)
            if layout == "planar"
            else part.reshape(1, h, w, k).transpose(0, 3, 1, 2)
        )
    for threads in (1, 2, 3, 7):
        for space in rooms:
            space[...] = np.nan
        branches(x, out=outs, threads=threads)
        for space, out, wanted in zip(rooms, outs, expected, strict=True):
            assert_same_bits(out.copy("C"), wanted)
            assert np.isnan(space).sum() == 16


@needs_c
def test_stride_and_channels_last(isa: str, rng: np.random.Generator) -> None:
    for shape, axis, stride in (
        ((6, 301, 290), -3, 2),
        ((240, 401, 6), -1, 2),
        ((3, 6, 5001), -2, 1),
        ((6,), -1, 1),
    ):
        x = rng.standard_normal(shape).astype(np.float32)
        found = fan(6, (8, 5), rng, channel_axis=axis, stride=stride)
        for y, wanted in zip(pf.Branches(*found)(x), alone(found, x), strict=True):
            assert_same_bits(y, wanted)


@needs_c
def test_out_overlaps_x(rng: np.random.Generator) -> None:
    """An output may be the input, or a part of it."""
    for h, w in ((9, 8), (200, 201)):
        found = fan(6, (6, 3), rng)
        branches = pf.Branches(*found)
        memory = rng.standard_normal((9, h, w)).astype(np.float32)
        for source, targets in (
            (np.s_[:6], (np.s_[:6], np.s_[6:])),
            (np.s_[:6], (np.s_[3:], np.s_[:3])),
            (np.s_[2:8], (np.s_[:6], np.s_[6:])),
        ):
            inside = memory.copy()
            expected = alone(found, inside[source].copy())
            outs = [inside[target] for target in targets]
            branches(inside[source], out=outs)
            for out, wanted in zip(outs, expected, strict=True):
                assert_same_bits(out.copy("C"), wanted)
        inside = memory.copy()
        expected = alone(found, inside[:6].copy())
        branches(inside[:6], out=inside)
        assert_same_bits(inside, np.concatenate(expected))


def test_against_numpy(backend: Backend, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 6, 50, 41))
    weights = [rng.standard_normal((k, 6)) for k in (4, 9)]
    branches = pf.Branches(*(pf.Conv1x1(w, activation="relu", backend=backend) for w in weights))
    exact = [convolved(x, w, activation="relu", dtype=x.dtype) for w in weights]
    for _ in range(3):
        for y, wanted in zip(branches(x), exact, strict=True):
            assert_within(y, *wanted)
    out = np.empty((2, 13, 50, 41))
    for y, wanted in zip(np.split(branches(x, out=out), [4], axis=1), exact, strict=True):
        assert_within(y, *wanted)


def test_backends_may_differ(rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 5, 4))
    found = [pf.Conv1x1(np.ones((k, 6)), backend=name) for k, name in enumerate(BACKENDS, 1)]
    for y in pf.Branches(*found, conv(2, 6))(x):
        assert_conv(y, x, np.ones((len(y), 6)))
