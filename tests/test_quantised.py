"""`qconv1x1`: the definition, and memory that x, weights and output share."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from quantised import BYTES, Case, any_bytes, backend, expected, random_case
from support import Backend

import pointwise_fast as pf

__all__ = ["backend"]  # a fixture


@pytest.mark.parametrize("dtypes", [*itertools.product(BYTES, repeat=3)])
@pytest.mark.parametrize("weight_zero", [True, False, None], ids=["each", "middle", "one"])
def test_the_definition(
    backend: Backend, dtypes: Any, weight_zero: bool | None, rng: np.random.Generator
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
def test_axes(
    backend: Backend, shape: tuple[int, ...], axis: int, rng: np.random.Generator
) -> None:
    for K in (1, 5, 40):
        case = random_case(rng, shape, K, axis=axis)
        y = pf.qconv1x1(*case, channel_axis=axis, backend=backend)
        assert np.array_equal(y, expected(case, axis))
        assert y.flags.c_contiguous


def test_views(backend: Backend, rng: np.random.Generator) -> None:
    """Strides of x, weights and bias may have both signs, and the output may have gaps."""
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
def test_weights_of_checkpoints(backend: Backend, extra: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, (9, 4, 5), 6)
    wide = case._replace(weight=case.weight.reshape(6, 9, *extra))
    assert np.array_equal(pf.qconv1x1(*wide, backend=backend), expected(case))


def test_ties_and_saturation(backend: Backend) -> None:
    """Halves round to even before the zero point is added; results saturate."""
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
def test_extreme_scales(backend: Backend, exponent: int, rng: np.random.Generator) -> None:
    """Products may be 0, subnormal, or far beyond int32 and float32."""
    for dtypes in itertools.product(BYTES, BYTES, BYTES):
        case = random_case(rng, (20, 6, 7), 30, dtypes)
        scales = np.exp2(rng.uniform(-3, 3, 30)).astype(np.float32)
        case = case._replace(x_scale=np.ldexp(1.0, exponent // 2), weight_scale=scales)
        case = case._replace(out_scale=np.ldexp(1.0, -(exponent - exponent // 2)))
        assert np.array_equal(pf.qconv1x1(*case, backend=backend), expected(case))


def test_sums_wrap_around(backend: Backend, rng: np.random.Generator) -> None:
    """Sums wrap around as int32 does, from the bias on or past 34000 channels of large bytes."""
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
def test_many_channels(backend: Backend, channels: int, rng: np.random.Generator) -> None:
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
    backend: Backend, activation: Any, lo: float, hi: float, rng: np.random.Generator
) -> None:
    """Bounds are real numbers, quantised as ONNX's QuantizeLinear does."""
    for dtypes in itertools.product(BYTES, BYTES, BYTES):
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
    """A Python int as zero point takes the dtype of x; a NumPy scalar or array brings its own."""
    case = random_case(rng, (5, 3, 4), 2, (BYTES[1], BYTES[1], BYTES[0]))
    assert pf.qconv1x1(*case).dtype == np.uint8
    assert pf.qconv1x1(*case._replace(out_zero_point=-7)).dtype == np.int8
    array = np.array([4], np.uint8)
    assert pf.qconv1x1(*case._replace(out_zero_point=array)).dtype == np.uint8


@pytest.mark.parametrize("shape", [(5, 0, 4), (0, 3, 4), (0, 0, 0)])
def test_nothing(backend: Backend, shape: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, shape, 3)
    assert np.array_equal(pf.qconv1x1(*case, backend=backend), expected(case))
    none = case._replace(
        weight=case.weight[:0], weight_scale=case.weight_scale[:0], weight_zero_point=0, bias=None
    )
    assert pf.qconv1x1(*none, backend=backend).shape == (0, *shape[1:])


@pytest.mark.parametrize("channels", [3, 20, 70, 2048, 2049])
@pytest.mark.parametrize("axis", [0, -1])
def test_in_place(backend: Backend, channels: int, axis: int, rng: np.random.Generator) -> None:
    """The output is the input, or overlaps it in another way."""
    shape = (channels, 5, 9) if axis == 0 else (5, 9, channels)
    case = random_case(rng, shape, channels, (BYTES[0],) * 3, axis=axis)
    wanted = expected(case, axis)
    for flip in (False, True):
        x = case.x.copy()
        out = np.flip(x) if flip else x
        assert pf.qconv1x1(*case._replace(x=x), channel_axis=axis, out=out, backend=backend) is out
        assert np.array_equal(out, wanted)


def test_weights_in_the_output(backend: Backend, rng: np.random.Generator) -> None:
    case = random_case(rng, (64, 8, 8), 64, (BYTES[0], BYTES[1], BYTES[1]))
    out = np.zeros((64, 8, 8), np.int8)
    weight = out.reshape(64, 64)[::-1]  # the first output overwrites its last row
    weight[...] = case.weight
    pf.qconv1x1(*case._replace(weight=weight), out=out, backend=backend)
    assert np.array_equal(out, expected(case))


def test_any_number_of_threads(backend: Backend, rng: np.random.Generator) -> None:
    for shape, K, axis in (((60, 90, 100), 33, 0), ((90, 100, 60), 33, -1), ((900, 49), 160, 0)):
        case = random_case(rng, shape, K, axis=axis)
        one = pf.qconv1x1(*case, channel_axis=axis, backend=backend, threads=1)
        for threads in (2, 3, 7):
            y = pf.qconv1x1(*case, channel_axis=axis, backend=backend, threads=threads)
            assert np.array_equal(y, one)


def test_bias_in_the_output(backend: Any, rng: np.random.Generator) -> None:
    case = random_case(rng, (8, 4, 4), 8, (BYTES[0], BYTES[1], BYTES[1]))
    values = rng.integers(-(2**17), 2**17, 8, np.int32)
    case = case._replace(bias=values)
    out = np.zeros((8, 4, 4), np.int8)
    bias = out.reshape(-1)[:32].view(np.int32)
    bias[...] = values
    wanted = expected(case)
    pf.qconv1x1(*case._replace(bias=bias), out=out, backend=backend, groups=1)
    assert np.array_equal(out, wanted)
