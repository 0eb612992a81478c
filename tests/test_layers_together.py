"""Chains and branches of layers that use dtypes, heads, missing data, scales and PReLU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Array
from test_dtypes import LAYOUTS, arranged, values

import pointwise_fast as pf


def weights(rng: np.random.Generator, K: int, C: int) -> Array:
    return rng.standard_normal((K, C)) / C


#: Settings of the first layer, of the last, dtype of x.
CHAINS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "uint8": ({"activation": "relu"}, {}, "u1"),
    "int16 scaled": ({"scale": 0.01, "offset": 2.0, "activation": "relu"}, {}, "i2"),
    "to uint8": ({"activation": "relu"}, {"dtype": "u1", "bias": np.full(5, 9.0)}, "f4"),
    "float16 both": ({}, {"dtype": "f2", "activation": "silu"}, "f2"),
    "int32": ({}, {}, "i4"),
    "prelu": ({"activation": ("prelu", np.linspace(-1, 1, 12))}, {"activation": "tanh"}, "f4"),
    "prelu last": ({}, {"activation": ("prelu", np.linspace(-1, 1, 5))}, "f8"),
    "softmax": ({"activation": "relu"}, {"head": "softmax"}, "f4"),
    "argmax": ({"activation": "relu"}, {"head": "argmax"}, "u2"),
    "argmax wide": ({"activation": "relu"}, {"head": "argmax", "dtype": "i4"}, "f4"),
    "offset last": ({}, {"offset": np.arange(12.0), "head": "l2_normalize"}, "f4"),
    "nodata": ({"nodata": 3}, {"activation": "relu"}, "i2"),
    "nodata filled": ({"nodata": 3, "fill": 0.5}, {"dtype": "u1"}, "u1"),
    "nodata any": ({"nodata": 3, "valid": "any"}, {}, "u1"),
    "complex": ({}, {}, "c8"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CHAINS)
def test_a_chain_is_its_layers(case: str, layout: str, rng: np.random.Generator) -> None:
    first_settings, last_settings, dtype = CHAINS[case]
    x, axis = arranged(values(rng, dtype, 7, 40, 61), layout)
    if "nodata" in first_settings:
        x[...] = np.where(rng.random(x.shape) < 0.03, 3, x)
    first = pf.Conv1x1(weights(rng, 12, 7), channel_axis=axis, **first_settings)
    last = pf.Conv1x1(weights(rng, 5, 12), channel_axis=axis, **last_settings)
    chain = pf.Chain(first, last)
    expected, y = last(first(x)), chain(x)
    assert y.dtype == expected.dtype
    by_numpy = case == "complex" or "nodata" in first_settings
    if pf.backends()[0] == "c" and not by_numpy:
        assert np.array_equal(y, expected)
    else:
        kind = np.complex128 if y.dtype.kind == "c" else np.float64
        step = 1 if y.dtype.kind in "ui" else 0  # a sum may be on the other side of a half
        assert np.allclose(
            y.astype(kind), expected.astype(kind), rtol=1e-5, atol=1e-5 + step, equal_nan=True
        )
    same_nan = y.dtype.kind == "f"
    for threads in (1, 2, 5):
        assert np.array_equal(chain(x, threads=threads), y, equal_nan=same_nan)
    out = np.empty_like(y)
    assert chain(x, out=out) is out
    assert np.array_equal(out, y, equal_nan=same_nan)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_mask(batch: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.standard_normal((*batch, 7, 20, 31)).astype(np.float32)
    mask = rng.random((*batch, 20, 31)) < 0.2
    first = pf.Conv1x1(weights(rng, 12, 7), activation="relu")
    last = pf.Conv1x1(weights(rng, 5, 12), head="argmax")
    plain = pf.Conv1x1(last.weight)
    assert np.allclose(
        pf.Chain(first, plain)(x, mask=mask), plain(first(x, mask=mask)), atol=1e-5, equal_nan=True
    )
    assert not np.isnan(pf.Chain(first, plain)(x)).any()
    assert pf.Chain(first, last)(x, mask=mask).shape == mask.shape


@pytest.mark.parametrize("layout", LAYOUTS)
def test_branches(layout: str, rng: np.random.Generator) -> None:
    x, axis = arranged(rng.integers(0, 50, (9, 60, 71)).astype(np.uint8), layout)
    layers = [
        pf.Conv1x1(weights(rng, 4, 9), channel_axis=axis, activation="relu"),
        pf.Conv1x1(weights(rng, 30, 9), channel_axis=axis, head="softmax"),
        pf.Conv1x1(weights(rng, 6, 9), channel_axis=axis, head="argmax"),
        pf.Conv1x1(weights(rng, 3, 9), channel_axis=axis, dtype="u1", nodata=7),
        pf.Conv1x1(weights(rng, 3, 9), channel_axis=axis, activation=("prelu", [1.0, 0.0, 0.5])),
        pf.Conv1x1(weights(rng, 2, 9), channel_axis=axis, dtype="c8"),
    ]
    branches = pf.Branches(*layers)
    for _ in range(3):
        for y, layer in zip(branches(x), layers, strict=True):
            assert np.array_equal(y, layer(x))
    outs = tuple(layer(x) * 0 for layer in layers)
    for y, out, layer in zip(branches(x, out=outs), outs, layers, strict=True):
        assert y is out
        assert np.array_equal(y, layer(x))


@pytest.mark.parametrize("same", [True, False])
def test_branches_into_one(same: bool, rng: np.random.Generator) -> None:
    x = rng.standard_normal((9, 30, 41)).astype(np.float32)
    first = pf.Conv1x1(weights(rng, 4, 9), offset=1.0)
    second = pf.Conv1x1(weights(rng, 3, 9), nodata=None if same else 2.0)
    out = np.zeros((7, 30, 41), np.float32)
    pf.Branches(first, second)(x, out=out)
    assert np.array_equal(out, np.concatenate([first(x), second(x)]))


def test_branches_with_a_mask(rng: np.random.Generator) -> None:
    x, mask = rng.standard_normal((9, 30, 41)), rng.random((30, 41)) < 0.2
    layers = [pf.Conv1x1(weights(rng, 4, 9)), pf.Conv1x1(weights(rng, 3, 9), fill=7)]
    branches = pf.Branches(*layers)
    for _ in range(2):
        for y, layer in zip(branches(x, mask=mask), layers, strict=True):
            assert np.array_equal(y, layer(x, mask=mask), equal_nan=True)
        for y, layer in zip(branches(x), layers, strict=True):
            assert np.array_equal(y, layer(x))
    out = np.zeros((7, 30, 41))
    branches(x, mask=mask, out=out)
    assert np.isnan(out[0][mask]).all()
    assert np.all(out[5][mask] == 7)
    same = pf.Branches(layers[0], layers[0])
    same(x, mask=mask, out=(both := np.zeros((8, 30, 41))))
    assert np.array_equal(both[4:], layers[0](x, mask=mask), equal_nan=True)


@pytest.mark.parametrize("x", ["u1", "f4", "f8", "i4"])
@pytest.mark.parametrize("first", [None, "f4", "f8"])
@pytest.mark.parametrize("last", [None, "f4", "f8", "u1", "i4", "f2"])
def test_one_dtype_of_sums(x: str, first: Any, last: Any, rng: np.random.Generator) -> None:
    """A chain computes as its layers do, or refuses."""
    X = values(rng, x, 3, 5, 7)
    layers = pf.Conv1x1(weights(rng, 4, 3), dtype=first), pf.Conv1x1(weights(rng, 2, 4), dtype=last)
    expected = layers[1](layers[0](X))
    try:
        y = pf.Chain(*layers)(X)
    except TypeError as error:
        assert "a chain has one dtype of sums" in str(error)  # noqa: PT017
    except ValueError as error:
        assert "all compute in one dtype" in str(error)  # noqa: PT017
    else:
        assert np.array_equal(y, expected)


WRONG = {
    "head": (
        lambda: pf.Chain(pf.Conv1x1(np.eye(3), head="softmax"), pf.Conv1x1(np.eye(3))),
        "layer 1 has head='softmax'; only the last layer may have one",
    ),
    "nodata": (
        lambda: pf.Chain(pf.Conv1x1(np.eye(3)), pf.Conv1x1(np.eye(3), nodata=0)),
        "layer 2 has nodata=, fill=, valid= or min_valid=; they are for the first",
    ),
    "dtype": (
        lambda: pf.Chain(pf.Conv1x1(np.eye(3), dtype="u1"), pf.Conv1x1(np.eye(3))),
        "layer 1 has dtype=uint8; hidden channels are float32",
    ),
    "activation": (
        lambda: pf.Chain(pf.Conv1x1(np.eye(3), activation="relu"), pf.Conv1x1(np.eye(3)))(
            np.ones((3, 2, 2), np.complex64)
        ),
        "activation 'relu' is not defined for complex numbers",
    ),
    "residual": (
        lambda: pf.Chain(
            pf.Conv1x1(np.eye(3)), pf.Conv1x1(np.eye(3), head="argmax"), residual=True
        ),
        "residual=True cannot be added to the labels",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case: str) -> None:
    call, says = WRONG[case]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert says in str(caught.value)
