"""Chains and branches of layers that use dtypes, heads, missing data, scales and PReLU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import Bounded, assert_labels, assert_stored, convolved, headed
from images import LAYOUTS, arranged, values
from support import Array, assert_within

import pointwise_fast as pf


def weights(rng: np.random.Generator, K: int, C: int) -> Array:
    return rng.standard_normal((K, C)) / C


#: Settings of the first layer and of the last, and the dtype of x.
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
    hidden = first(x)
    expected, y = last(hidden), chain(x)
    assert y.dtype == expected.dtype
    out = np.empty_like(y)
    assert chain(x, out=out) is out
    found = [y, out, *(chain(x, threads=threads) for threads in (1, 2, 5))]
    if pf.backends()[0] == "c" and case != "complex" and "nodata" not in first_settings:
        assert all(np.array_equal(one, expected) for one in found)
        return
    exact = exact_chain(x, axis, (first, first_settings), (last, last_settings), hidden.dtype)
    for one in [expected, *found]:
        if last_settings.get("head") == "argmax":
            assert_labels(one, exact, axis)
        else:
            assert_stored(one, exact)


def exact_chain(
    x: Array,
    axis: int,
    first: tuple[pf.Conv1x1, dict[str, Any]],
    last: tuple[pf.Conv1x1, dict[str, Any]],
    dtype: np.dtype[Any],
) -> Bounded:
    """Both layers in a wider dtype than `dtype`, that of the sums, and the error allowed."""
    (one, before), (two, after) = first, last
    settings: dict[str, Any] = {"channel_axis": axis, "dtype": dtype}
    gaps = x == before["nodata"] if "nodata" in before else None
    hidden = convolved(
        scaled(x, axis, before), one.weight, one.bias, activation=before.get("activation"),
        gaps=gaps, valid=before.get("valid", "all"), fill=before.get("fill", np.nan), **settings,
    )  # fmt: skip
    y = convolved(
        scaled(hidden, axis, after), two.weight, two.bias, activation=after.get("activation"),
        **settings,
    )  # fmt: skip
    head = after.get("head")
    return y if head in (None, "argmax") else headed(y, head, dtype, axis)


def scaled(x: Any, axis: int, settings: dict[str, Any]) -> Any:
    """`x` times scale plus offset; the bound allows for the rounding of both."""
    if not {"scale", "offset"} & settings.keys():
        return x
    value, error = x if isinstance(x, Bounded) else (x, np.zeros(x.shape))
    scale = np.reshape(settings.get("scale", 1.0), (-1, 1, 1))
    offset = np.reshape(settings.get("offset", 0.0), (-1, 1, 1))
    return Bounded(
        np.moveaxis(scale * np.moveaxis(value, axis, 0) + offset, 0, axis),
        np.moveaxis(abs(scale) * np.moveaxis(error, axis, 0), 0, axis),
    )


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_mask(batch: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.standard_normal((*batch, 7, 20, 31)).astype(np.float32)
    mask = rng.random((*batch, 20, 31)) < 0.2
    first = pf.Conv1x1(weights(rng, 12, 7), activation="relu")
    last = pf.Conv1x1(weights(rng, 5, 12), head="argmax")
    plain = pf.Conv1x1(last.weight)
    gaps = np.broadcast_to(np.expand_dims(mask, -3), x.shape)
    hidden = convolved(x, first.weight, activation="relu", gaps=gaps, dtype=x.dtype)
    assert_within(
        pf.Chain(first, plain)(x, mask=mask), *convolved(hidden, plain.weight, dtype=x.dtype)
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
    """A chain computes with the dtypes of its layers, or refuses."""
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
