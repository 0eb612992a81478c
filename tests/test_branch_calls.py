"""Calls of branches: what is refused, repeated, nested and pickled."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from scenes import alone, assert_same_bits, conv, layers
from support import Backend

import pointwise_fast as pf


def test_empty(backend: Backend) -> None:
    branches = pf.Branches(conv(0, 3, backend=backend), conv(2, 3, backend=backend))
    for _ in range(2):
        none, two = branches(np.ones((3, 2, 2)))
        assert none.shape == (0, 2, 2)
        assert (two == 3).all()
    assert branches(np.ones((3, 0, 2)))[1].shape == (2, 0, 2)


def branch(**settings: Any) -> pf.Branches:
    """Two layers, from 3 channels to 4 and to 2."""
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
        lambda: branch()(X, out=(np.empty((4, 2, 2)), [1])),  # type: ignore[arg-type]
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
    """Branches that were called often are called with other arrays."""
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
    found: Any = pf.Branches(pf.Branches(a, b), c)
    assert found.layers == (a, b, c)
    assert [y.shape[0] for y in found(X)] == [4, 2, 1]
    assert found(X, out=np.empty((7, 2, 2))).shape == (7, 2, 2)
    assert (found.in_channels, found.channel_axis, found.stride) == (3, -3, 1)
    assert pf.Branches(pf.Branches(a, b)).layers == (a, b)


def test_chains_are_branches(rng: np.random.Generator) -> None:
    """Chains as in an Inception block, with a residual, a mask, and an output that overlaps x."""
    bottleneck = pf.Chain(conv(2, 3, activation="relu"), conv(5, 2))
    inverted = pf.Chain(*layers((3, 8, 3), rng, backend="auto"), residual=True)
    plain = conv(4, 3)
    branches: Any = pf.Branches(plain, bottleneck, pf.Branches(inverted, plain))
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
