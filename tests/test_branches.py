"""Branches: the bits of their layers by themselves, from one read of the input."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from bounds import convolved
from scenes import LAYOUTS, assert_only_wrote, assert_same_bits, image, isa, layers, room
from support import BACKENDS, DTYPES, Array, assert_conv, assert_within

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

__all__ = ["isa"]  # a fixture

needs_c = pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available()))


def fan(C: int, filters: tuple[int, ...], rng: np.random.Generator, **settings: Any) -> Any:
    """Layers from C to each of `filters`, whose activations and biases differ."""
    found = []
    for i, k in enumerate(filters):
        one = layers((C, k), rng, activation=("relu", None, "relu6")[i % 3], **settings)[0]
        found.append(
            one
            if i % 2
            else pf.Conv1x1(one.weight, activation="relu", **{"backend": "c", **settings})
        )
    return found


def alone(found: list[pf.Conv1x1], x: Array) -> list[Array]:
    return [layer(x) for layer in found]


#: Images small enough for the caches, and one whose panels go to all layers together.
SIZES = {"small": (2, 13, 11), "large": (1, 201, 203)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("filters", [(5, 16), (20, 3, 1), (33, 33)], ids=str)
def test_bits(
    isa: str, dtype: Any, size: str, filters: tuple[int, ...], rng: np.random.Generator
) -> None:
    """In every layout and mix of them, whatever the threads."""
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
    """Side by side along the channels, whether the layers may become one or not."""
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
    """Groups, and a layer in another dtype than the input."""
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
    """Streaming stores, each output aligned elsewhere; no number of threads makes a difference."""
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
    """The input itself, and parts of it."""
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


def test_against_numpy(backend: str, rng: np.random.Generator) -> None:
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


def test_empty(backend: str) -> None:
    branches = pf.Branches(conv(0, 3, backend=backend), conv(2, 3, backend=backend))
    for _ in range(2):
        none, two = branches(np.ones((3, 2, 2)))
        assert none.shape == (0, 2, 2)
        assert (two == 3).all()
    assert branches(np.ones((3, 0, 2)))[1].shape == (2, 0, 2)


def conv(k: int, c: int, **settings: Any) -> pf.Conv1x1:
    return pf.Conv1x1(np.ones((k, c)), **settings)


def branch(**settings: Any) -> pf.Branches:
    """Layers of 4 and 2 channels, from 3."""
    return pf.Branches(conv(4, 3, activation="relu"), conv(2, 3, **settings))


X = np.ones((3, 2, 2))

REFUSED = {
    "one layer": (lambda: pf.Branches(conv(2, 3)), ValueError, "two layers or more; got 1"),
    "no layer": (
        lambda: pf.Branches(conv(2, 3), None),  # type: ignore[arg-type]
        TypeError,
        "layer 2 of Branches must be a Conv1x1, a Chain or Branches; got NoneType",
    ),
    "channels": (
        lambda: pf.Branches(conv(4, 3), conv(4, 3), conv(2, 2, groups=2)),
        ValueError,
        r"layer 3 expects 4 \(2 groups of 2\) channels, layer 1 expects 3",
    ),
    "channel axis": (
        lambda: branch(channel_axis=-1),
        ValueError,
        "layer 2 has channel_axis=-1, layer 1 has -3",
    ),
    "stride": (lambda: branch(stride=2), ValueError, "layer 2 has stride=2, layer 1 has 1"),
    "channels of x": (
        lambda: branch()(np.ones((2, 2, 3))),
        ValueError,
        "layer 1: x has 2 channels on axis -3, weight expects 3; for channels-last",
    ),
    "kind of out": (
        lambda: branch()(X, out="no"),  # type: ignore[arg-type]
        TypeError,
        "out must be a numpy.ndarray or a tuple of them; got str",
    ),
    "number of outs": (
        lambda: branch()(X, out=(np.empty((4, 2, 2)),)),
        ValueError,
        "out has 1 arrays; there are 2 layers",
    ),
    "shape of an out": (
        lambda: branch()(X, out=(np.empty((4, 2, 2)), np.empty((4, 2, 2)))),
        ValueError,
        r"layer 2: out has shape \(4, 2, 2\); the result has \(2, 2, 2\)",
    ),
    "kind of an out": (
        lambda: branch()(X, out=(np.empty((4, 2, 2)), [1])),  # type: ignore[list-item]
        TypeError,
        "layer 2: out must be a numpy.ndarray; got list",
    ),
    "shape of one array": (
        lambda: branch()(X, out=np.empty((5, 2, 2))),
        ValueError,
        r"out has shape \(5, 2, 2\); the layers give 6 channels on axis -3",
    ),
    "axes of one array": (
        lambda: branch()(X, out=np.empty((6, 4))),
        ValueError,
        r"out has shape \(6, 4\); the layers give 6 channels on axis -3",
    ),
    "shape of one array of layers alike": (
        lambda: branch(activation="relu")(X, out=np.empty((5, 2, 2))),
        ValueError,
        r"out has shape \(5, 2, 2\); the result has \(6, 2, 2\)",
    ),
    "threads": (lambda: branch()(X, threads=-1), ValueError, "threads must be between 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, error, match = REFUSED[case]
    with pytest.raises(error, match=match):
        call()


def test_nothing_is_written_after_an_error() -> None:
    good, bad = np.full((4, 2, 2), np.nan), np.empty((3, 2, 2))
    with pytest.raises(ValueError, match="layer 2"):
        branch()(X, out=(good, bad))
    whole = np.full((6, 2, 2), np.nan)
    with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
        branch()(X, out=(whole[:4], whole[3:5]))
    frozen = np.empty((2, 2, 2))
    frozen.flags.writeable = False
    for _ in range(3):  # a repeat notices too
        with pytest.raises(ValueError, match="layer 2: out is read-only"):
            branch()(X, out=(good, frozen))
    assert np.isnan(good).all()
    assert np.isnan(whole).all()


def test_repeats_notice_what_differs(rng: np.random.Generator) -> None:
    """Branches that were called often meet other arrays."""
    branches = branch(activation="tanh")
    x = rng.standard_normal((3, 4, 5))
    outs = np.empty((4, 4, 5)), np.empty((2, 4, 5))
    for _ in range(4):
        assert branches(x, out=outs)[1] is outs[1]
        assert branches(x, out=list(outs))[0] is outs[0]
        for y, out in zip(branches(x), outs, strict=True):
            np.testing.assert_array_equal(y, out)
    apart = np.empty((4, 5, 6))
    for order in ((0, 4), (2, 0), (0, 3)):
        slices = apart[..., order[0] : order[0] + 4], apart[..., order[1] : order[1] + 2]
        for _ in range(3):
            given = tuple(np.moveaxis(part, -1, 0) for part in slices)
            if order == (0, 3):
                with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
                    branches(x, out=given)
                continue
            branches(x, out=given)
            for y, out in zip(given, outs, strict=True):
                np.testing.assert_array_equal(y, out)
    same = np.empty((6, 4, 5))
    with pytest.raises(ValueError, match="overlaps"):
        branches(x, out=(same[:4], same[3:5]))
    other = rng.standard_normal((3, 5, 4)).astype(np.float32)
    for y, layer in zip(branches(other), branches.layers, strict=True):
        np.testing.assert_array_equal(y, layer(other))
    inside = np.concatenate([x, np.empty((1, 4, 5))])
    branches(inside[:3], out=(inside, outs[1]))
    np.testing.assert_array_equal(inside, outs[0])
    with pytest.raises(ValueError, match="there are 2 layers"):
        branches(x, out=(*outs, same))
    with pytest.raises(ValueError, match="threads"):
        branches(x, out=outs, threads=0)


def test_more_branches_than_a_repeat_takes(rng: np.random.Generator) -> None:
    found = [conv(1 + i % 3, 3) for i in range(20)]
    x = rng.standard_normal((3, 4, 5))
    branches = pf.Branches(*found)
    for _ in range(3):
        for y, layer in zip(branches(x), found, strict=True):
            np.testing.assert_array_equal(y, layer(x))


def test_branches_stand_for_their_layers(backend: Any) -> None:
    a, b, c = (conv(k, 3, backend=backend) for k in (4, 2, 1))
    found = pf.Branches(pf.Branches(a, b), c)
    assert found.layers == (a, b, c)
    assert [y.shape[0] for y in found(X)] == [4, 2, 1]
    assert found(X, out=np.empty((7, 2, 2))).shape == (7, 2, 2)
    assert (found.in_channels, found.channel_axis, found.stride) == (3, -3, 1)
    assert pf.Branches(pf.Branches(a, b)).layers == (a, b)


def test_chains_are_branches(rng: np.random.Generator) -> None:
    """As in an Inception block; with a residual of their own, a mask, an output that overlaps."""
    bottleneck = pf.Chain(conv(2, 3, activation="relu"), conv(5, 2))
    inverted = pf.Chain(*layers((3, 8, 3), rng, backend="auto"), residual=True)
    plain = conv(4, 3)
    branches = pf.Branches(plain, bottleneck, pf.Branches(inverted, plain))
    assert branches.layers == (plain, bottleneck, inverted, plain)
    x = rng.standard_normal((3, 8, 9)).astype(np.float32)
    mask = rng.random((8, 9)) < 0.3
    for given in (None, mask):
        expected = [layer(x, mask=given) for layer in branches.layers]
        for _ in range(3):
            for y, wanted in zip(branches(x, mask=given), expected, strict=True):
                assert_same_bits(y, wanted)
        whole = branches(x, mask=given, out=np.empty((16, 8, 9), np.float32))
        assert_same_bits(whole, np.concatenate(expected))
        memory = np.zeros((19, 8, 9), np.float32)
        memory[2:5] = x
        branches(memory[2:5], mask=given, out=memory[:16], threads=2)
        assert_same_bits(memory[:16], whole)
    again = pickle.loads(pickle.dumps(branches))
    assert repr(again) == repr(branches)
    with pytest.raises(ValueError, match="layer 1: x has 2 channels"):
        branches(x[:2])
    with pytest.raises(ValueError, match="layer 2 expects 2 channels, layer 1 expects 3"):
        pf.Branches(plain, pf.Chain(conv(2, 2), conv(2, 2)))


def test_repr_and_pickle(rng: np.random.Generator) -> None:
    branches = branch()
    assert repr(branches) == (
        "Branches(Conv1x1(3 -> 4, activation='relu', channel_axis=-3), "
        "Conv1x1(3 -> 2, channel_axis=-3))"
    )
    branches(X)
    branches(X, out=np.empty((6, 2, 2)))
    again = pickle.loads(pickle.dumps(branches))
    assert repr(again) == repr(branches)
    for a, b in zip(again(X), branches(X), strict=True):
        assert_same_bits(a, b)


def test_many_threads_share_branches(rng: np.random.Generator) -> None:
    found = [conv(9, 5), conv(20, 5, activation="relu")]
    branches = pf.Branches(*found)
    x = [rng.standard_normal((5, n, 60)) for n in (3, 50, 90, 400)]
    expected = [[y.tobytes() for y in alone(found, image)] for image in x]
    wrong: list[int] = []

    def work(i: int) -> None:
        results = [[y.tobytes() for y in branches(x[i], threads=2)] for _ in range(20)]
        wrong.extend([i] * sum(result != expected[i] for result in results))

    threads = [threading.Thread(target=work, args=(i % 4,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
