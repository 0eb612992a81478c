"""Masks of every shape, and masks of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from images import weights
from support import Backend, numbers

import pointwise_fast as pf


@pytest.mark.parametrize("nothing", [False, np.False_, np.ma.nomask, np.array(False)])
@pytest.mark.parametrize("where", ["conv1x1", "layer", "chain", "branches"])
def test_a_scalar_mask_of_nothing(
    where: str, nothing: Any, backend: Backend, rng: np.random.Generator
) -> None:
    x, W = rng.standard_normal((5, 6, 7)), weights(rng, 4, 5)
    layer = pf.Conv1x1(W, backend=backend)
    calls: dict[str, Any] = {
        "conv1x1": lambda **m: pf.conv1x1(x, W, backend=backend, **m),
        "layer": lambda **m: layer(x, **m),
        "chain": lambda **m: pf.Chain(pf.Conv1x1(W), pf.Conv1x1(np.eye(4)))(x, **m),
        "branches": lambda **m: pf.Branches(layer, layer)(x, **m)[1],
    }
    expected = calls[where]()
    assert not np.isnan(expected).any()
    assert np.array_equal(calls[where](mask=nothing), expected)
    assert np.isnan(calls[where](mask=True)).all()


def test_a_mask_of_nothing_needs_no_backend_for_masks(rng: np.random.Generator) -> None:
    """A mask of nothing goes to every backend that takes the call without one."""
    if "numba" in pf.backends():
        y = pf.conv1x1(np.ones((2, 3, 4)), np.ones((1, 2)), mask=np.False_, backend="numba")
        assert np.all(y == 2)
    layer = pf.Conv1x1(np.ones((2, 1)), groups=2, backend=pf.backends()[0])
    assert np.all(layer(np.ones((2, 3, 4)), mask=False) == 1)


#: The shape of x, channel axis, shape of the mask, and the same with the axes of x.
MASKS: list[tuple[tuple[int, ...], int, tuple[int, ...], tuple[int, ...]]] = [
    ((5, 6, 7), -3, (6, 7), (1, 6, 7)),
    ((5, 6, 7), -3, (1, 6, 7), (1, 6, 7)),
    ((5, 6, 7), -3, (7,), (1, 1, 7)),
    ((5, 6, 7), -3, (6, 1), (1, 6, 1)),
    ((5, 6, 7), -3, (5, 1, 1), (5, 1, 1)),
    ((6, 7, 5), -1, (6, 7), (6, 7, 1)),
    ((6, 7, 5), -1, (6, 7, 1), (6, 7, 1)),
    ((6, 7, 5), -1, (5,), (1, 1, 5)),
    ((6, 7, 5), -1, (6, 1), (6, 1, 1)),
    ((2, 5, 6, 7), -3, (6, 7), (1, 1, 6, 7)),
    ((2, 5, 6, 7), -3, (2, 1, 1), (2, 1, 1, 1)),
    ((2, 5, 6, 7), -3, (2, 5, 1, 1), (2, 5, 1, 1)),
    ((2, 5, 6, 7), -3, (2, 1, 6, 7), (2, 1, 6, 7)),
    ((2, 5, 6, 7), -3, (1, 1, 1), (1, 1, 1, 1)),
    ((2, 6, 7, 5), -1, (6, 7), (1, 6, 7, 1)),
    ((2, 6, 7, 5), -1, (6, 7, 1), (1, 6, 7, 1)),
    # The mask fits the pixels and x: a mask as long as the last axes of pixels is of pixels.
    ((6, 6, 6), -1, (6, 6), (6, 6, 1)),
    ((5, 5, 6, 7), -3, (5, 6, 7), (5, 1, 6, 7)),
    ((2, 6, 6, 6), -1, (6, 6), (1, 6, 6, 1)),
]


@pytest.mark.parametrize(("shape", "axis", "of", "means"), MASKS, ids=str)
def test_a_mask_is_broadcast(
    shape: Any, axis: int, of: Any, means: Any, backend: Backend, rng: np.random.Generator
) -> None:
    x = numbers(rng, backend, *shape)
    mask = rng.random(of) < 0.3
    mask.flat[0] = True
    missing = np.broadcast_to(mask.reshape(means), shape).any(axis=axis, keepdims=True)
    W = weights(rng, 3, shape[axis])
    expected = np.where(missing, np.nan, pf.conv1x1(x, W, channel_axis=axis, backend=backend))
    for given in (mask, np.asfortranarray(mask), np.repeat(mask, 2, axis=-1)[..., ::2]):
        y = pf.conv1x1(x, W, channel_axis=axis, mask=given, backend=backend)
        assert np.array_equal(y, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("shape", "axis", "of"),
    [((5, 5, 6, 7), -3, (5, 1, 1)), ((2, 6, 5, 5), -1, (1, 5)), ((4, 5, 5), -1, (5,))],
)
def test_an_ambiguous_mask(shape: Any, axis: int, of: Any) -> None:
    x, C = np.ones(shape), shape[axis]
    if of == (5,):  # as long as the last axis of pixels
        assert pf.conv1x1(x, np.ones((1, C)), channel_axis=axis, mask=np.zeros(of, bool)).size
        return
    pixels = tuple(np.delete(shape, axis % len(shape)).tolist())
    with pytest.raises(ValueError, match="with another meaning") as caught:
        pf.conv1x1(x, np.ones((1, C)), channel_axis=axis, mask=np.zeros(of, bool))
    assert f"numpy.broadcast_to(mask, {pixels})" in str(caught.value)
    assert f"numpy.broadcast_to(mask, {shape})" in str(caught.value)


def test_masks_that_do_not_fit() -> None:
    x, W = np.ones((3, 5, 6)), np.ones((1, 3))
    for shape in ((5, 7), (2, 5, 6), (1, 3, 5, 6), (3,), (0,)):
        with pytest.raises(ValueError, match=r"\(5, 6\), as the pixels of x, or \(3, 5, 6\)"):
            pf.conv1x1(x, W, mask=np.zeros(shape, bool))
    valid = np.full((5, 6), 255, np.uint8)
    valid[2, 3] = 0
    with pytest.raises(TypeError, match="mask has dtype uint8; bool is expected") as caught:
        pf.conv1x1(x, W, mask=valid)
    for way in ("mask=src.dataset_mask() == 0", "mask.astype(bool)"):
        assert way in str(caught.value)
    assert np.argwhere(np.isnan(pf.conv1x1(x, W, mask=valid == 0)[0])).tolist() == [[2, 3]]
    with pytest.raises(TypeError, match=r"mask is a masked array.*mask.filled\(True\)"):
        pf.conv1x1(x, W, mask=np.ma.zeros((5, 6), dtype=bool))
