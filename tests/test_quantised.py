"""`qconv1x1`: the definition, its arguments, and ONNX Runtime's bits."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import pytest
from quantised import BYTES, Case, any_bytes, expected, random_case
from support import BACKENDS, Array, run_python

import pointwise_fast as pf

QUANTISED = [name for name in BACKENDS if name != "numba"]


@pytest.fixture(params=QUANTISED)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("dtypes", [*itertools.product(BYTES, repeat=3)])
@pytest.mark.parametrize("weight_zero", [True, False, None], ids=["each", "middle", "one"])
def test_the_definition(
    backend: str, dtypes: Any, weight_zero: bool | None, rng: np.random.Generator
) -> None:
    for _ in range(12):
        C, K, H, W = (int(n) for n in rng.integers(1, (70, 40, 9, 30)))
        case = random_case(rng, (C, H, W), K, dtypes, weight_zero=weight_zero)
        y = pf.qconv1x1(*case, backend=backend)
        assert y.dtype == dtypes[2]
        assert np.array_equal(y, expected(case))


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((7, 20), 0), ((7, 20), -2), ((20, 7), -1), ((2, 7, 3, 4), -3), ((2, 3, 4, 7), -1),
        ((2, 7, 3, 4, 5), 1), ((7,), 0), ((7, 1, 1), -3), ((3, 100, 1, 1), -3), ((1, 70), -1),
    ],
)  # fmt: skip
def test_axes(backend: str, shape: tuple[int, ...], axis: int, rng: np.random.Generator) -> None:
    for K in (1, 5, 40):
        case = random_case(rng, shape, K, axis=axis)
        y = pf.qconv1x1(*case, channel_axis=axis, backend=backend)
        assert np.array_equal(y, expected(case, axis))
        assert y.flags.c_contiguous


def test_views(backend: str, rng: np.random.Generator) -> None:
    """Strides of both signs, weights and bias too, and an output with gaps."""
    big = random_case(rng, (20, 30, 40), 16, axis=0)
    x = big.x[::2, ::-1, 3::2]
    weight = any_bytes(rng, (30, 32), big.weight.dtype)[::-2, ::-3][:15, :10]
    bias = np.arange(45, dtype=np.int32)[::-3]
    case = big._replace(x=x, weight=weight, bias=bias, weight_scale=0.004, weight_zero_point=3)
    gaps = np.full((16, 30, 40), 77, case.out_zero_point.dtype)
    out = gaps[1:, :, 2:36:2][:, ::-1]
    assert out.shape == (15, 30, 17)
    case = case._replace(x=x[..., :17])
    assert pf.qconv1x1(*case, out=out, backend=backend) is out
    assert np.array_equal(out, expected(case))
    out[...] = 77
    assert np.all(gaps == 77)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_weights_of_checkpoints(backend: str, extra: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, (9, 4, 5), 6)
    wide = case._replace(weight=case.weight.reshape(6, 9, *extra))
    assert np.array_equal(pf.qconv1x1(*wide, backend=backend), expected(case))


def test_ties_and_saturation(backend: str) -> None:
    """Halves go to the even step, before the zero point is added; bounds are those of the dtype."""
    x = np.arange(256, dtype=np.uint8).reshape(1, 1, -1)
    weight = np.array([[1], [-1], [127]], np.int8)
    for zero in (np.uint8(0), np.uint8(7), np.int8(-128), np.int8(-3)):
        case = Case(x, 1.0, 128, weight, 1.0, 0, 2.0, zero)
        y = pf.qconv1x1(*case, backend=backend).astype(int)
        limits = np.iinfo(zero.dtype)
        for k, w in enumerate((1, -1, 127)):
            steps = [round((v - 128) * w / 2) + int(zero) for v in range(256)]
            assert np.array_equal(y[k, 0], np.clip(steps, limits.min, limits.max))


@pytest.mark.parametrize("exponent", [-140, -100, -40, 0, 40, 120])
def test_extreme_scales(backend: str, exponent: int, rng: np.random.Generator) -> None:
    """Products that are 0, subnormal, or far beyond int32 and float32."""
    for dtypes in itertools.product(BYTES, repeat=3):
        case = random_case(rng, (20, 6, 7), 30, dtypes)
        scales = np.exp2(rng.uniform(-3, 3, 30)).astype(np.float32)
        case = case._replace(x_scale=np.ldexp(1.0, exponent // 2), weight_scale=scales)
        case = case._replace(out_scale=np.ldexp(1.0, -(exponent - exponent // 2)))
        assert np.array_equal(pf.qconv1x1(*case, backend=backend), expected(case))


def test_sums_wrap_around(backend: str, rng: np.random.Generator) -> None:
    """As int32 does: from the bias on, or from 34000 channels of the largest bytes."""
    case = random_case(rng, (9, 4, 50), 11)
    bias = np.array([2**31 - 1, -(2**31)] * 6, np.int32)[:11]
    case = case._replace(bias=bias, out_scale=np.float32(1e6))
    assert np.array_equal(pf.qconv1x1(*case, backend=backend), expected(case))
    x = np.full((40000, 2), 255, np.uint8)
    many = Case(x, 1.0, 0, np.full((3, 40000), 255, np.uint8), 1.0, 0, 2.0**24, np.int8(0))
    y = pf.qconv1x1(*many, channel_axis=-2, backend=backend)
    assert np.array_equal(y, expected(many, -2))
    assert np.all(y < 0)


@pytest.mark.parametrize("channels", [2000, 2100, 5000, 9000])
def test_many_channels(backend: str, channels: int, rng: np.random.Generator) -> None:
    for K, shape, axis in ((3, (channels, 5, 14), -3), (20, (3, 5, channels), -1)):
        case = random_case(rng, shape, K, axis=axis)
        y = pf.qconv1x1(*case, channel_axis=axis, backend=backend)
        assert np.array_equal(y, expected(case, axis))


@pytest.mark.parametrize(
    ("activation", "lo", "hi"),
    [
        ("relu", 0, np.inf),
        ("relu6", 0, 6),
        (("clip", -1.25, 2.5), -1.25, 2.5),
        (("clip", -np.inf, -3), -np.inf, -3),
        (("clip", 1e9, 1e10), 1e9, 1e10),
    ],
)
def test_activations(
    backend: str, activation: Any, lo: float, hi: float, rng: np.random.Generator
) -> None:
    """Bounds in real units, quantised as ONNX's QuantizeLinear does."""
    for dtypes in itertools.product(BYTES, repeat=3):
        case = random_case(rng, (30, 5, 9), 17, dtypes)
        case = case._replace(
            out_scale=np.float32(0.11), x_scale=np.float32(0.11 / case.weight_scale.mean() / 9000)
        )
        limits = np.iinfo(dtypes[2])
        steps = np.rint(np.array([lo, hi], np.float32) / np.float32(0.11)) + int(
            case.out_zero_point
        )
        ends = np.clip(steps, limits.min, limits.max)
        y = pf.qconv1x1(*case, activation, backend=backend)
        assert np.array_equal(y, np.clip(expected(case), *ends))


def test_zero_point_of_python(rng: np.random.Generator) -> None:
    """It takes the dtype of x; a scalar or an array of NumPy brings its own."""
    case = random_case(rng, (5, 3, 4), 2, (BYTES[1], BYTES[1], BYTES[0]))
    assert pf.qconv1x1(*case).dtype == np.uint8
    assert pf.qconv1x1(*case._replace(out_zero_point=-7)).dtype == np.int8
    array = np.array([4], np.uint8)
    assert pf.qconv1x1(*case._replace(out_zero_point=array)).dtype == np.uint8


@pytest.mark.parametrize("shape", [(5, 0, 4), (0, 3, 4), (0, 0, 0)])
def test_nothing(backend: str, shape: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, shape, 3)
    assert np.array_equal(pf.qconv1x1(*case, backend=backend), expected(case))
    none = case._replace(
        weight=case.weight[:0], weight_scale=case.weight_scale[:0], weight_zero_point=0, bias=None
    )
    assert pf.qconv1x1(*none, backend=backend).shape == (0, *shape[1:])


@pytest.mark.parametrize("channels", [3, 20, 70, 2048, 2049])
@pytest.mark.parametrize("axis", [0, -1])
def test_in_place(backend: str, channels: int, axis: int, rng: np.random.Generator) -> None:
    """The output is the input, or overlaps it in another way."""
    shape = (channels, 5, 9) if axis == 0 else (5, 9, channels)
    case = random_case(rng, shape, channels, (BYTES[0],) * 3, axis=axis)
    wanted = expected(case, axis)
    for flip in (False, True):
        x = case.x.copy()
        out = np.flip(x) if flip else x
        assert pf.qconv1x1(*case._replace(x=x), channel_axis=axis, out=out, backend=backend) is out
        assert np.array_equal(out, wanted)


def test_weights_in_the_output(backend: str, rng: np.random.Generator) -> None:
    case = random_case(rng, (64, 8, 8), 64, (BYTES[0], BYTES[1], BYTES[1]))
    out = np.zeros((64, 8, 8), np.int8)
    weight = out.reshape(64, 64)[::-1]  # whose last row the first output takes
    weight[...] = case.weight
    pf.qconv1x1(*case._replace(weight=weight), out=out, backend=backend)
    assert np.array_equal(out, expected(case))


def test_any_number_of_threads(backend: str, rng: np.random.Generator) -> None:
    for shape, K, axis in (((60, 90, 100), 33, 0), ((90, 100, 60), 33, -1), ((900, 49), 160, 0)):
        case = random_case(rng, shape, K, axis=axis)
        one = pf.qconv1x1(*case, channel_axis=axis, backend=backend, threads=1)
        for threads in (2, 3, 7):
            y = pf.qconv1x1(*case, channel_axis=axis, backend=backend, threads=threads)
            assert np.array_equal(y, one)


def grouped(rng: np.random.Generator, shape: tuple[int, ...], K: int, G: int, axis: int) -> Case:
    """A case with weights of G groups, and scales and zero points of each output."""
    case = random_case(rng, shape, K, axis=axis, weight_zero=True)
    return case._replace(weight=any_bytes(rng, (K, shape[axis] // G), case.weight.dtype))


def by_group(case: Case, G: int, axis: int) -> Array:
    """What each group gives by itself."""
    results = []
    for x, *parts in zip(
        np.split(case.x, G, axis),
        *(np.split(part, G) for part in (case.weight, case.weight_scale, case.weight_zero_point)),
        np.split(case.bias, G) if case.bias is not None else [None] * G,
        strict=True,
    ):
        weight, scale, zero, bias = parts
        part = case._replace(
            x=x, weight=weight, weight_scale=scale, weight_zero_point=zero, bias=bias
        )
        results.append(expected(part, axis))
    return np.concatenate(results, axis)


@pytest.mark.parametrize(
    ("shape", "axis", "K", "groups"),
    [
        ((6, 5, 9), -3, 9, 3), ((4, 7, 12), -1, 6, 6), ((2, 8, 3, 5), 1, 20, 2),
        ((64, 30), 0, 64, 4),
        ((10,), 0, 5, 5), ((0, 3, 4), -3, 4, 2), ((6, 0, 4), -3, 4, 2),
    ],
)  # fmt: skip
def test_groups(
    backend: Any, shape: Any, axis: int, K: int, groups: int, rng: np.random.Generator
) -> None:
    for _ in range(3):
        case = grouped(rng, shape, K, groups, axis)
        settings: Any = {"channel_axis": axis, "groups": groups, "backend": backend}
        wanted = by_group(case, groups, axis)
        for threads in (1, 3):
            y = pf.qconv1x1(*case, **settings, threads=threads)
            assert np.array_equal(y, wanted)
        relu = pf.qconv1x1(*case, "relu", **settings)
        assert np.array_equal(relu, np.maximum(wanted, case.out_zero_point))
        gaps = np.full((*wanted.shape, 2), 77, wanted.dtype)
        pf.qconv1x1(*case, **settings, out=gaps[..., 0])
        assert np.array_equal(gaps[..., 0], wanted)
        assert np.all(gaps[..., 1] == 77)


@pytest.mark.parametrize("groups", [1, 2, 4, 64])
@pytest.mark.parametrize("axis", [0, -1])
def test_groups_in_place(backend: Any, groups: int, axis: int, rng: np.random.Generator) -> None:
    """The output is the input, reversed input, or shifted by a channel and by a pixel."""
    shape = (64, 7, 9) if axis == 0 else (7, 9, 64)
    settings: Any = {"channel_axis": axis, "groups": groups, "backend": backend}
    for way in ("same", "reversed", "channel", "pixel"):
        case = grouped(rng, shape, 64, groups, axis)
        case = case._replace(
            x=case.x.view(np.int8), x_zero_point=3, out_zero_point=np.int8(case.out_zero_point % 99)
        )
        wanted = by_group(case, groups, axis)
        memory = np.zeros(64 * 7 * 9 + 100, np.int8)
        step = {"channel": 63 if axis == 0 else 1, "pixel": 1 if axis == 0 else 64}.get(way, 0)
        x = memory[step : step + wanted.size].reshape(shape)
        out = memory[: wanted.size].reshape(shape)
        x[...] = case.x
        out = np.flip(out) if way == "reversed" else out
        assert pf.qconv1x1(*case._replace(x=x), **settings, out=out) is out
        assert np.array_equal(out, wanted), way


def test_many_channels_in_groups_in_place(backend: Any, rng: np.random.Generator) -> None:
    """More than one kernel writes over its input, each of few enough."""
    case = grouped(rng, (4200, 3, 5), 4200, 3, 0)
    case = case._replace(x=case.x.view(np.uint8), x_zero_point=3, out_zero_point=np.uint8(9))
    wanted = by_group(case, 3, 0)
    x = case.x.copy()
    pf.qconv1x1(*case._replace(x=x), groups=3, out=x, backend=backend)
    assert np.array_equal(x, wanted)


@pytest.mark.parametrize(
    ("shape", "axis", "stride", "index"),
    [
        ((6, 7, 9), -3, 2, np.s_[:, ::2, ::2]),
        ((2, 7, 9, 6), -1, (3, 1), np.s_[:, ::3]),
        ((3, 6, 11), -2, [4], np.s_[:, :, ::4]),
        ((6, 1, 1), -3, 5, np.s_[:]),
    ],
    ids=str,
)
def test_stride(
    backend: Any, shape: Any, axis: int, stride: Any, index: Any, rng: np.random.Generator
) -> None:
    case = grouped(rng, shape, 10, 2, axis)
    wanted = by_group(case._replace(x=case.x[index]), 2, axis)
    y = pf.qconv1x1(*case, channel_axis=axis, stride=stride, groups=2, backend=backend)
    assert np.array_equal(y, wanted)
    # Over the input that it passes by.
    x = np.concatenate([case.x.view(wanted.dtype)] * 2, axis)
    out = x[tuple(slice(n) for n in wanted.shape)]
    if out.shape == wanted.shape:
        case = case._replace(x=x.view(case.x.dtype)[tuple(slice(n) for n in shape)])
        pf.qconv1x1(*case, channel_axis=axis, stride=stride, groups=2, out=out, backend=backend)
        assert np.array_equal(out, wanted)


def test_shapes_of_parameters(backend: Any, rng: np.random.Generator) -> None:
    """As ONNX, PyTorch and lists have them."""
    case = random_case(rng, (5, 6, 7), 4, weight_zero=True)._replace(bias=np.arange(4, dtype="i4"))
    wanted = expected(case)
    for shape in ((4, 1, 1, 1), (4, 1), (1, 4, 1, 1)):
        given = case._replace(
            weight=case.weight.reshape(4, 5, 1, 1, 1),
            weight_scale=case.weight_scale.reshape(shape),
            weight_zero_point=case.weight_zero_point.reshape(shape),
            bias=case.bias.reshape(shape) if case.bias is not None else None,
            x_scale=np.full((1, 1, 1, 1), case.x_scale),
            x_zero_point=np.full((1, 1), case.x_zero_point),
            out_scale=[float(case.out_scale)],
            out_zero_point=np.array([[case.out_zero_point]]),
        )
        assert np.array_equal(pf.qconv1x1(*given, backend=backend), wanted)
    lists = case._replace(
        weight_scale=case.weight_scale.tolist(),
        weight_zero_point=case.weight_zero_point.tolist(),
        bias=[0, 1, 2, 3],  # type: ignore[arg-type]
    )
    assert np.array_equal(pf.qconv1x1(*lists, backend=backend), wanted)
    one = pf.qconv1x1(*case._replace(bias=7), backend=backend)  # type: ignore[arg-type]
    assert np.array_equal(one, expected(case._replace(bias=np.full(4, 7, np.int32))))
    row = case._replace(weight=case.weight[0], weight_scale=0.01, weight_zero_point=2, bias=None)
    matrix = row._replace(weight=case.weight[:1])
    assert np.array_equal(pf.qconv1x1(*row, backend=backend), expected(matrix))


def test_bias_in_the_output(backend: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, (8, 4, 4), 8, (BYTES[0], BYTES[1], BYTES[1]))
    case = case._replace(bias=rng.integers(-(2**17), 2**17, 8, np.int32))
    out = np.zeros((8, 4, 4), np.int8)
    bias = out.reshape(-1)[:32].view(np.int32)
    bias[...] = case.bias
    wanted = expected(case)
    pf.qconv1x1(*case._replace(bias=bias), out=out, backend=backend, groups=1)
    assert np.array_equal(out, wanted)


def test_parameters_are_read_each_time(rng: np.random.Generator) -> None:
    """Calls are remembered by values: what changes in place, or only in type, is seen."""
    case = random_case(rng, (8, 3, 4), 5, weight_zero=True)
    for _ in range(3):
        assert np.array_equal(pf.qconv1x1(*case), expected(case))
        case.weight_scale[2] *= 2
        case.weight_zero_point[1] ^= 5
    assert pf.qconv1x1(*case._replace(x_zero_point=1)) is not None
    for wrong in (True, 1.0, np.float32(1)):
        with pytest.raises(TypeError, match="x_zero_point must be an integer"):
            pf.qconv1x1(*case._replace(x_zero_point=wrong))
    case.weight_scale[2] = 0
    with pytest.raises(ValueError, match="weight_scale must be positive"):
        pf.qconv1x1(*case)


X = np.ones((5, 6, 7), np.uint8)
GOOD: dict[str, Any] = {
    "x": X,
    "x_scale": 0.5,
    "x_zero_point": 3,
    "weight": np.ones((4, 5), np.int8),
    "weight_scale": np.full(4, 0.1),
    "weight_zero_point": 0,
    "out_scale": 0.25,
    "out_zero_point": np.int8(4),
}
MASKED = np.ma.masked_array


def read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


WRONG: list[tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = [
    ({"x": X.astype(np.float32)}, TypeError, ("x has dtype float32", "uint8 or int8")),
    ({"x": X.astype(bool)}, TypeError, ("x has dtype bool", "uint8 or int8")),
    ({"x": MASKED(X)}, TypeError, ("x is a masked array",)),
    ({"x": None}, TypeError, ("x is not an array",)),
    ({"x": X[:4]}, ValueError, ("x has 4 channels on axis -3", "weight expects 5")),
    ({"x": np.moveaxis(X, 0, -1)}, ValueError, ("x has 6 channels", "pass channel_axis=-1")),
    ({"x_scale": 0}, ValueError, ("x_scale must be positive and finite", "got 0")),
    ({"x_scale": -1.0}, ValueError, ("x_scale must be positive and finite", "got -1.0")),
    ({"x_scale": np.nan}, ValueError, ("x_scale must be positive and finite", "nan")),
    ({"x_scale": np.inf}, ValueError, ("x_scale must be positive and finite", "inf")),
    ({"x_scale": 1e-60}, ValueError, ("x_scale must be positive", "float32", "1e-60")),
    ({"x_scale": np.ones(2)}, ValueError, ("x_scale has shape (2,)", "single number")),
    ({"x_scale": "half"}, TypeError, ("x_scale has dtype",)),
    ({"x_scale": None}, TypeError, ("x_scale is not an array of numbers",)),
    ({"x_zero_point": 256}, ValueError, ("x_zero_point", "0 and 255", "x has dtype uint8", "256")),
    ({"x_zero_point": -1}, ValueError, ("x_zero_point", "0 and 255", "got -1")),
    ({"x_zero_point": 0.5}, TypeError, ("x_zero_point must be an integer", "0.5")),
    ({"x_zero_point": [1, 2]}, ValueError, ("x_zero_point has shape (2,)", "single")),
    ({"weight": np.ones((4, 5))}, TypeError, ("weight has dtype float64", "uint8 or int8")),
    ({"weight": np.ones(4, np.int8)}, ValueError, ("x has 5 channels", "weight expects 4")),
    ({"weight": np.ones((5, 4), np.int8)}, ValueError, ("weight expects 4", "pass weight.T")),
    ({"weight": np.ones((4, 5, 3, 3), np.int8)}, ValueError, ("weight has shape (4, 5, 3, 3)",)),
    ({"weight": MASKED(np.ones((4, 5), np.int8))}, TypeError, ("weight is a masked array",)),
    ({"weight_scale": np.ones(5)}, ValueError, ("weight_scale has shape (5,)", "(4,)", "weight")),
    ({"weight_scale": np.ones((4, 4))}, ValueError, ("weight_scale has shape (4, 4)", "(4,)")),
    ({"weight_scale": [1, 1, 0.0, 1]}, ValueError, ("weight_scale must be positive", "got 0.0")),
    ({"weight_scale": 0.0}, ValueError, ("weight_scale must be positive", "got 0.0")),
    ({"weight_scale": MASKED(np.ones(4))}, TypeError, ("weight_scale is a masked array",)),
    ({"weight_scale": 3e38}, ValueError, ("x_scale * weight_scale / out_scale", "beyond float32")),
    (
        {"weight_zero_point": 128},
        ValueError,
        ("weight_zero_point", "-128 and 127", "weight", "128"),
    ),
    ({"weight_zero_point": [0, 0, -129, 0]}, ValueError, ("weight_zero_point", "got -129")),
    ({"weight_zero_point": [0] * 3}, ValueError, ("weight_zero_point has shape (3,)", "(4,)")),
    ({"weight_zero_point": np.zeros(4)}, TypeError, ("weight_zero_point must be an integer",)),
    ({"out_scale": 0.0}, ValueError, ("out_scale must be positive", "0.0")),
    ({"out_scale": [0.1, 0.1]}, ValueError, ("out_scale has shape (2,)", "single")),
    ({"out_zero_point": np.int32(4)}, TypeError, ("out_zero_point has dtype int32", "int8")),
    ({"out_zero_point": 256}, ValueError, ("out_zero_point", "0 and 255", "x has dtype uint8")),
    ({"out_zero_point": 1.0}, TypeError, ("out_zero_point must be an integer",)),
    ({"bias": np.ones(4)}, TypeError, ("bias has dtype float64", "int32")),
    ({"bias": np.ones(4, np.int64)}, TypeError, ("bias has dtype int64", "int32")),
    ({"bias": np.ones(5, np.int32)}, ValueError, ("bias has shape (5,)", "(4,), fits")),
    ({"bias": [1.0, 2, 3, 4]}, TypeError, ("bias has dtype float64", "int32")),
    ({"bias": [0, 0, 0, 2**31]}, ValueError, ("bias must be between", "2147483648")),
    ({"bias": MASKED(np.ones(4, np.int32))}, TypeError, ("bias is a masked array",)),
    ({"activation": "sigmoid"}, ValueError, ("activation 'sigmoid'", "relu, relu6, clip")),
    ({"activation": "leaky_relu"}, ValueError, ("activation 'leaky_relu'", "relu, relu6, clip")),
    ({"activation": "rleu"}, ValueError, ("activation 'rleu' is unknown",)),
    ({"activation": ("clip", [1], 2)}, TypeError, ("activation 'clip'", "numbers")),
    ({"channel_axis": 3}, ValueError, ("channel_axis=3 does not exist",)),
    ({"channel_axis": -3.0}, TypeError, ("channel_axis must be an integer",)),
    ({"out": np.zeros((4, 7, 6), np.int8)}, ValueError, ("out has shape (4, 7, 6)", "(4, 6, 7)")),
    ({"out": np.zeros((4, 6, 7), np.uint8)}, TypeError, ("out has dtype uint8", "int8")),
    ({"out": read_only(np.zeros((4, 6, 7), np.int8))}, ValueError, ("out is read-only",)),
    ({"out": MASKED(np.zeros((4, 6, 7), np.int8))}, TypeError, ("out is a masked array",)),
    ({"out": [0]}, TypeError, ("out must be a numpy.ndarray",)),
    (
        {"out": np.lib.stride_tricks.as_strided(np.int8([0]), (4, 6, 7), (6, 1, 1))},
        ValueError,
        ("out has elements that share memory",),
    ),
    ({"stride": 0}, ValueError, ("stride must be at least 1",)),
    ({"stride": (1, 2, 1)}, ValueError, ("stride=(1, 2, 1)", "2 spatial axes")),
    ({"groups": 3}, ValueError, ("groups=3", "4 output channels")),
    ({"groups": 2}, ValueError, ("x has 5 channels", "weight expects 10 (2 groups of 5)")),
    ({"backend": "fast"}, ValueError, ("backend 'fast' is unknown",)),
    ({"threads": 0}, ValueError, ("threads must be between 1",)),
]


@pytest.mark.parametrize(
    ("wrong", "error", "says"), WRONG, ids=[f"{next(iter(w[0]))}-{i}" for i, w in enumerate(WRONG)]
)
def test_wrong_argument(wrong: dict[str, Any], error: type[Exception], says: Any) -> None:
    out = np.full((4, 6, 7), 17, np.int8)
    for _ in range(2):  # it is not remembered
        with pytest.raises(error) as caught:
            pf.qconv1x1(**{**GOOD, "out": out, **wrong})
        for words in says:
            assert words in str(caught.value)
    assert np.all(out == 17)
    assert np.array_equal(pf.qconv1x1(**GOOD, out=out), pf.qconv1x1(**GOOD, backend="numpy"))
    assert not np.all(out == 17)


def test_every_argument_is_tested() -> None:
    assert {next(iter(w[0])) for w in WRONG} == set(inspect.signature(pf.qconv1x1).parameters)


@pytest.mark.skipif("numba" not in BACKENDS, reason="Numba is not there")
def test_numba_refuses() -> None:
    with pytest.raises(ValueError, match=r"backend 'numba' does not support.*'c', 'numpy'"):
        pf.qconv1x1(**GOOD, backend="numba")
    code = """
        import numpy as np, pointwise_fast as pf
        try:
            pf.qconv1x1(np.ones((1, 1, 1), np.uint8), 1, 0, np.ones((1, 1), np.int8), 1, 0, 1, 0)
        except ValueError as error:
            print(error)
    """
    assert "'numba' does not support" in run_python(code, POINTWISE_FAST_BACKEND="numba").stdout


@pytest.mark.parametrize("kind", ["u8 s8", "s8 s8", "u8 u8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_bits_of_onnx_runtime(kind: str, per_channel: bool, rng: np.random.Generator) -> None:
    pytest.importorskip("onnx", reason="needs onnx and onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime")
    from onnx_peer import qlinear_conv

    x_dtype, w_dtype = (BYTES[half == "s8"] for half in kind.split())
    for i in range(25):
        C, K, H, W = (int(n) for n in rng.integers(1, (300, 70, 9, 40)))
        case = random_case(
            rng, (2, C, H, W), K, (x_dtype, w_dtype, x_dtype), per_channel=per_channel
        )
        if i % 4 == 0:  # ties
            case = case._replace(x_scale=1.0, weight_scale=np.float32(0.5), out_scale=64.0)
        if i % 5 == 0:
            case = case._replace(out_scale=np.float32(2.0 ** rng.integers(-100, 30)))
        if i % 6 == 0:
            case = case._replace(bias=np.full(K, 2**31 - 100, np.int32))
        wanted = qlinear_conv(case)
        for name in QUANTISED:
            assert np.array_equal(pf.qconv1x1(*case, backend=name), wanted), (i, name)


@pytest.mark.parametrize("groups", [2, 4, 12])
def test_bits_of_onnx_runtime_with_groups_and_strides(
    groups: int, rng: np.random.Generator
) -> None:
    pytest.importorskip("onnx", reason="needs onnx and onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime")
    from onnx_peer import qlinear_conv

    for strides in ((1, 1), (2, 3)):
        case = random_case(rng, (2, 12, 7, 8), 24, (BYTES[0], BYTES[1], BYTES[0]))
        case = case._replace(weight=any_bytes(rng, (24, 12 // groups), BYTES[1]))
        case = case._replace(weight_zero_point=0)
        wanted = qlinear_conv(case, groups, strides)
        for name in QUANTISED:
            y = pf.qconv1x1(*case, groups=groups, stride=strides, backend=name)  # type: ignore[arg-type]
            assert np.array_equal(y, wanted)


def test_complex_scales_are_refused() -> None:
    x, weight = np.ones((3, 2, 2), np.uint8), np.ones((4, 3), np.int8)
    with pytest.raises(TypeError, match="x_scale has dtype complex128; real numbers"):
        pf.qconv1x1(x, 1j, 0, weight, 1.0, 0, 1.0, np.uint8(0))
