"""What `conv1x1` and `Conv1x1` accept and give: shapes, axes, dtypes, options, layers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from support import DTYPES, Array, Backend, assert_conv

import pointwise_fast as pf


def normal(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> Array:
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((5,), 0),
        ((5,), -1),
        ((5, 7), 0),
        ((7, 5), -1),
        ((5, 7), -2),
        ((5, 7, 9), -3),
        ((7, 5, 9), -2),
        ((7, 9, 5), -1),
        ((3, 5, 7, 9), -3),
        ((3, 7, 9, 5), -1),
        ((3, 7, 5, 9), 2),
        ((5, 3, 7, 9), 0),
        ((2, 3, 5, 7, 9), -3),
        ((2, 3, 1, 7, 2, 5), -1),
        ((2, 1, 5, 2, 1, 3, 2), 2),
        ((1, 5, 1, 1), 1),
    ],
    ids=str,
)
def test_shapes_and_axes(
    shape: tuple[int, ...], axis: int, dtype: Any, backend: Backend, rng: np.random.Generator
) -> None:
    x, weight, bias = normal(rng, *shape, dtype=dtype), normal(rng, 4, 5), normal(rng, 4)
    y = pf.conv1x1(x, weight, bias, channel_axis=axis, backend=backend)
    assert_conv(y, x, weight, bias, channel_axis=axis)
    assert y.flags.c_contiguous
    assert y.flags.owndata
    layer = pf.Conv1x1(weight, bias, channel_axis=axis, backend=backend)
    assert np.array_equal(layer(x), y)


@pytest.mark.parametrize(
    ("shape", "axis", "K"),
    [
        ((0, 6, 7), -3, 4),  # no input channel: the bias alone
        ((5, 0, 7), -3, 4),
        ((5, 6, 0), -3, 4),
        ((0, 5, 6, 7), -3, 4),
        ((0, 7, 5), -1, 4),
        ((5, 6, 7), -3, 0),
        ((0,), 0, 4),
        ((0, 0, 0), -3, 0),
        ((4, 0, 7), -3, 4),
    ],
    ids=str,
)
def test_nothing_in_some_direction(
    shape: tuple[int, ...], axis: int, K: int, backend: Backend, rng: np.random.Generator
) -> None:
    C = shape[axis]
    x, weight, bias = np.zeros(shape, np.float32), np.zeros((K, C), np.float32), normal(rng, K)
    expected = [*shape]
    expected[axis] = K
    out = np.full(expected, np.nan, np.float32)
    for y in (
        pf.conv1x1(x, weight, bias, channel_axis=axis, backend=backend),
        pf.conv1x1(x, weight, bias, channel_axis=axis, backend=backend, out=out),
        pf.Conv1x1(weight, bias, channel_axis=axis, backend=backend)(x),
    ):
        assert y.shape == tuple(expected)
        assert np.array_equal(np.moveaxis(y, axis, -1), np.moveaxis(y * 0, axis, -1) + bias)
    if K == C:
        assert pf.conv1x1(x, weight, bias, channel_axis=axis, out=x, backend=backend) is x


def test_no_input_channels_and_no_bias(backend: Backend, rng: np.random.Generator) -> None:
    residual = normal(rng, 3, 4, 4)
    x, weight = np.zeros((0, 4, 4), np.float32), np.zeros((3, 0))
    assert np.array_equal(pf.conv1x1(x, weight, backend=backend), residual * 0)
    y = pf.conv1x1(x, weight, residual=residual, activation="relu", backend=backend)
    assert np.array_equal(y, np.maximum(residual, 0))


@pytest.mark.parametrize("trailing", [(), (1,), (1, 1)])
def test_weights_of_two_to_four_axes(
    trailing: tuple[int, ...], backend: Backend, rng: np.random.Generator
) -> None:
    x, weight = normal(rng, 5, 6, 7), normal(rng, 4, 5)
    y = pf.conv1x1(x, weight.reshape(4, 5, *trailing), backend=backend)
    assert_conv(y, x, weight)


@pytest.mark.parametrize(
    "kind", ["fortran", "strided", "reversed", "transposed", "f8", "i1", "bool"]
)
def test_weights_and_bias_of_any_strides_and_dtype(
    kind: str, backend: Backend, rng: np.random.Generator
) -> None:
    x = normal(rng, 5, 6, 7)
    base, line = normal(rng, 12, 15), normal(rng, 12)
    weight, bias = {
        "fortran": (np.asfortranarray(base[:4, :5]), line[:4]),
        "strided": (base[::3, ::3], line[::3]),
        "reversed": (base[3::-1, 4::-1], line[3::-1]),
        "transposed": (base[:5, :4].T, line[:4]),
        "f8": (base[:4, :5].astype(np.float64), line[:4].astype(np.float64)),
        "i1": (np.arange(20, dtype=np.int8).reshape(4, 5), np.arange(4, dtype=np.uint8)),
        "bool": (base[:4, :5] > 0, line[:4] > 0),
    }[kind]
    y = pf.conv1x1(x, weight, bias, backend=backend)
    assert y.dtype == np.float32
    assert_conv(y, x, weight, bias)
    assert np.array_equal(pf.Conv1x1(weight, bias, backend=backend)(x), y)


@pytest.mark.parametrize("channel_axis", [-3, -1])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_groups(groups: int, channel_axis: int, backend: Backend, rng: np.random.Generator) -> None:
    x = np.moveaxis(normal(rng, 12, 5, 7), 0, channel_axis)
    weight, bias = normal(rng, 18, 12 // groups), normal(rng, 18)
    settings: dict[str, Any] = {"channel_axis": channel_axis, "groups": groups}
    y = pf.conv1x1(x, weight, bias, backend=backend, **settings)
    assert_conv(y, x, weight, bias, **settings)


def test_depthwise(backend: Backend, rng: np.random.Generator) -> None:
    """As many groups as channels: a factor for each channel."""
    x, factors = normal(rng, 9, 5, 7), normal(rng, 9)
    y = pf.conv1x1(x, factors[:, None], groups=9, backend=backend)
    assert np.array_equal(y, x * factors[:, None, None])


@pytest.mark.parametrize(
    ("shape", "axis", "stride", "index"),
    [
        ((5, 8, 9), -3, 2, np.s_[:, ::2, ::2]),
        ((5, 8, 9), -3, (1, 3), np.s_[:, :, ::3]),
        ((5, 8, 9), -3, (3, 20), np.s_[:, ::3, ::20]),
        ((2, 5, 8, 9), -3, 2, np.s_[:, :, ::2, ::2]),
        ((8, 9, 5), -1, 2, np.s_[::2, ::2]),
        ((4, 8, 9, 5), -1, 2, np.s_[:, ::2, ::2]),
        ((4, 3, 8, 9, 5), -1, (1, 2, 3), np.s_[:, :, ::2, ::3]),
        ((4, 5, 9), -2, 2, np.s_[:, :, ::2]),
        ((4, 5, 9), -2, [4], np.s_[:, :, ::4]),
        ((3, 5, 4, 6, 8), 1, (2, 3, 4), np.s_[:, :, ::2, ::3, ::4]),
        ((5,), -1, 2, np.s_[:]),
    ],
    ids=str,
)
def test_stride(
    shape: Any, axis: int, stride: Any, index: Any, backend: Backend, rng: np.random.Generator
) -> None:
    """A stride applies to the spatial axes, not to the channels or the batch."""
    x, weight = normal(rng, *shape), normal(rng, 4, 5)
    y = pf.conv1x1(x, weight, channel_axis=axis, stride=stride, backend=backend)
    assert_conv(y, x[index], weight, channel_axis=axis)
    layer = pf.Conv1x1(weight, channel_axis=axis, stride=stride, backend=backend)
    assert np.array_equal(layer(x, out=np.empty_like(y)), y)


@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("dtype", ["float32", np.float64, np.dtype("f4"), None, float])
def test_dtype(dtype: Any, x_dtype: Any, backend: Backend, rng: np.random.Generator) -> None:
    """`dtype` is that of sums and results; x is converted as it is read, whatever its layout."""
    expected = x_dtype if dtype is None else dtype
    weight, bias = normal(rng, 4, 5, dtype=np.float64), normal(rng, 4)
    for x in (
        normal(rng, 5, 40, 41, dtype=x_dtype),
        normal(rng, 41, 40, 5, dtype=x_dtype).T,
        normal(rng, 5, 40, 82, dtype=x_dtype)[..., ::-2],
    ):
        y = pf.conv1x1(x, weight, bias, dtype=dtype, backend=backend)
        assert_conv(y, x, weight, bias, dtype=expected)


def test_residual(backend: Backend, rng: np.random.Generator) -> None:
    x, weight, bias = normal(rng, 5, 6, 7), normal(rng, 4, 5), normal(rng, 4)
    for residual in (
        normal(rng, 4, 6, 7),
        normal(rng, 6, 7, 4).transpose(2, 0, 1),
        normal(rng, 4, 6, 14)[..., ::-2],
        np.broadcast_to(np.float32(3), (4, 6, 7)),
    ):
        y = pf.conv1x1(x, weight, bias, residual=residual, backend=backend)
        assert_conv(y, x, weight, bias, residual)
        layer = pf.Conv1x1(weight, bias, backend=backend)
        assert np.array_equal(layer(x, residual=residual), y)


def test_residual_is_out_accumulates(backend: Backend, rng: np.random.Generator) -> None:
    """A convolution over more channels, in two parts."""
    x, weight, bias = normal(rng, 10, 6, 7), normal(rng, 4, 10), normal(rng, 4)
    out = pf.conv1x1(x[:5], weight[:, :5], bias, backend=backend)
    first = out.copy()
    assert pf.conv1x1(x[5:], weight[:, 5:], residual=out, out=out, backend=backend) is out
    assert_conv(out, x[5:], weight[:, 5:], None, first)
    pf.Conv1x1(weight[:, 5:], backend=backend)(x[5:], residual=first, out=first)
    assert np.array_equal(first, out)


def test_layer_is_reused(backend: Backend, rng: np.random.Generator) -> None:
    """One layer takes arrays of many shapes, layouts and dtypes, with and without options."""
    weight, bias = normal(rng, 4, 5), normal(rng, 4)
    layer = pf.Conv1x1(weight, bias, channel_axis=1, backend=backend)
    for n in range(600):
        shape = (1 + n % 3, 5, 1 + n % 301)
        dtype = np.float32 if n % 2 else np.float64
        x = rng.standard_normal(shape).astype(dtype)
        x = np.asfortranarray(x) if n % 5 == 0 else x
        residual = normal(rng, shape[0], 4, shape[2], dtype=dtype) if n % 7 == 0 else None
        assert_conv(layer(x, residual=residual), x, weight, bias, residual, channel_axis=1)


def test_layer_keeps_its_weights(backend: Backend, rng: np.random.Generator) -> None:
    """Changing the caller's arrays after construction, or a result, does not change the layer."""
    x, weight, bias = normal(rng, 5, 6, 7), normal(rng, 4, 5), normal(rng, 4)
    before = weight.copy(), bias.copy()
    layer = pf.Conv1x1(weight, bias, backend=backend)
    weight[:], bias[:] = np.nan, np.nan
    y = layer(x)
    assert_conv(y, x, *before)
    first = y.copy()
    y[:] = np.nan
    assert np.array_equal(layer(x), first)


def test_arguments_are_left_alone(backend: Backend, rng: np.random.Generator) -> None:
    x, weight, bias = normal(rng, 5, 6, 7), normal(rng, 4, 5), normal(rng, 4)
    residual = normal(rng, 4, 6, 7)
    given = x, weight, bias, residual
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False
    y = pf.conv1x1(x, weight, bias, residual=residual, activation="silu", backend=backend)
    assert not np.isnan(y).any()
    assert all(map(np.array_equal, given, before))


def test_layer_is_pickled(backend: Backend, rng: np.random.Generator) -> None:
    x = normal(rng, 6, 7, 10)
    layer = pf.Conv1x1(
        normal(rng, 4, 5),
        normal(rng, 4),
        activation=("leaky_relu", 0.2),
        channel_axis=-1,
        stride=(2, 1),
        groups=2,
        dtype="float64",
        backend=backend,
    )
    before = pickle.dumps(layer)
    y = layer(x)
    used = pickle.dumps(layer)
    assert len(used) == len(before)
    for again in (pickle.loads(before), pickle.loads(used)):
        assert np.array_equal(again(x), y)
        assert repr(again) == repr(layer)


def test_layer_representation() -> None:
    layer = pf.Conv1x1(
        np.ones((4, 5)), groups=2, activation=("elu", 0.5), stride=2, backend="numpy"
    )
    text = repr(layer)
    assert text.startswith("Conv1x1(10 -> 4, ")
    for part in ("('elu', 0.5", "channel_axis=-3", "stride=2", "groups=2", "backend='numpy'"):
        assert part in text


ACTIVATIONS: list[tuple[Any, Any]] = [
    (None, None),
    ("relu6", "relu6"),
    ("elu", ("elu", 1.0)),
    (["clip", 0, None], ("clip", 0.0, np.inf)),
    (("clip", 0, 0), ("clip", 0.0, 0.0)),
    (("prelu", 0.5), ("leaky_relu", 0.5)),
    (("prelu", np.arange(4)), ("prelu", (0.0, 1.0, 2.0, 3.0))),
]


@pytest.mark.parametrize(("given", "kept"), ACTIVATIONS, ids=str)
def test_properties_of_a_layer(given: Any, kept: Any) -> None:
    """Properties make the same layer again, and cannot be set."""
    settings: dict[str, Any] = {
        "channel_axis": -1,
        "stride": [1, 2],
        "groups": 2,
        "dtype": "float32",
        "nodata": -1,
    }
    layer = pf.Conv1x1(np.ones((4, 3)), activation=given, **settings)
    assert (layer.in_channels, layer.out_channels, layer.groups) == (6, 4, 2)
    assert (layer.channel_axis, layer.stride, layer.head) == (-1, (1, 2), None)
    assert layer.activation == kept
    assert layer.dtype == np.dtype(np.float32)
    assert layer.nodata == (-1,) * 6
    names = ("activation", "channel_axis", "stride", "groups", "dtype", "head", "nodata")
    again: Any = pf.Conv1x1(layer.weight, **{name: getattr(layer, name) for name in names})
    for one in (again, pickle.loads(pickle.dumps(layer))):
        assert repr(one) == repr(layer)
    for name in (*names, "in_channels", "out_channels"):
        with pytest.raises(AttributeError):
            setattr(layer, name, 1)


def test_properties_by_default_and_of_chains() -> None:
    plain, last = pf.Conv1x1(np.ones((4, 3))), pf.Conv1x1(np.ones((2, 4)), head="argmax")
    for layer in (plain, last):
        assert (layer.stride, layer.groups, layer.dtype, layer.nodata) == (1, 1, None, None)
        assert layer.activation is None
    first = pf.Conv1x1(np.ones((4, 3)), stride=2, dtype="float64", nodata=[1, 2, 3])
    chain = pf.Chain(first, last)
    assert (chain.in_channels, chain.out_channels, chain.channel_axis) == (3, 2, -3)
    assert (chain.stride, chain.head, chain.nodata) == (2, "argmax", (1, 2, 3))
    assert pf.Chain(first, pf.Conv1x1(np.ones((2, 4)))).dtype == np.float64
    assert pf.Chain(first, pf.Conv1x1(np.ones((2, 4)), dtype="int8")).dtype == np.int8
    assert pf.Chain(plain, pf.Conv1x1(np.ones((2, 4)))).dtype is None
    # Each layer has its own.
    assert not hasattr(chain, "groups")
    assert not hasattr(chain, "activation")


def test_special_values_stay_in_their_pixel(backend: Backend, rng: np.random.Generator) -> None:
    """NaN and infinities come out at the pixels where they went in, as IEEE arithmetic has them."""
    for axis in (0, -1):
        x, weight = normal(rng, 5, 7, 9), normal(rng, 20, 5)
        weight[3, 2] = 0
        x[2, 3, 4], x[1, 5, 6], x[2, 0, 0] = np.nan, np.inf, -np.inf
        x[0, 6, 8], x[1, 6, 8] = np.inf, -np.inf
        given = np.ascontiguousarray(np.moveaxis(x, 0, axis))
        y = np.moveaxis(pf.conv1x1(given, weight, channel_axis=axis, backend=backend), axis, 0)
        with np.errstate(invalid="ignore"):
            expected = np.einsum("kc,chw->khw", weight.astype(np.float64), x)
        assert np.array_equal(np.isnan(y), np.isnan(expected))
        assert np.array_equal(np.isposinf(y), np.isposinf(expected))
        assert np.array_equal(np.isneginf(y), np.isneginf(expected))
        assert np.isnan(y[3, 0, 0])  # 0 * -inf
        assert np.isfinite(y).sum() >= 20 * (63 - 4)


def test_overflow_is_infinite(backend: Backend) -> None:
    x = np.full((2, 3), np.finfo(np.float32).max)
    y = pf.conv1x1(x, [[1, 1], [-1, -1]], channel_axis=0, backend=backend)
    assert np.array_equal(y, [[np.inf] * 3, [-np.inf] * 3])


@pytest.mark.parametrize("threads", [1, 2, 5, 300])
def test_threads(threads: int, backend: Backend, rng: np.random.Generator) -> None:
    x, weight = normal(rng, 30, 100, 101), normal(rng, 20, 30)
    y = pf.conv1x1(x, weight, backend=backend, threads=threads)
    assert_conv(y, x, weight)
    assert np.array_equal(pf.Conv1x1(weight, backend=backend)(x, threads=threads), y)


def test_set_num_threads() -> None:
    before = pf.get_num_threads()
    try:
        pf.set_num_threads(3)
        assert pf.get_num_threads() == pf.config()["threads"] == 3
    finally:
        pf.set_num_threads(before)


def test_auto_is_the_best(rng: np.random.Generator) -> None:
    x, weight = normal(rng, 13, 9, 9), normal(rng, 7, 13)
    best = pf.conv1x1(x, weight, backend=pf.backends()[0])
    assert np.array_equal(pf.conv1x1(x, weight), best)


def test_weight_and_bias_of_a_layer() -> None:
    weight, bias = np.arange(6).reshape(3, 2, 1, 1), np.ones(3)
    layer = pf.Conv1x1(weight, bias)
    for one in (layer, pickle.loads(pickle.dumps(layer))):
        assert one.weight.shape == (3, 2, 1, 1)
        assert one.weight.dtype == weight.dtype
        assert one.bias is not None
        for given, kept in ((weight, one.weight), (bias, one.bias)):
            assert np.array_equal(given, kept)
            assert not np.shares_memory(given, kept)
            with pytest.raises(ValueError, match="read-only"):
                kept[0] = 1
        with pytest.raises(AttributeError):
            one.weight = weight  # type: ignore[misc]
    assert pf.Conv1x1(weight).bias is None
