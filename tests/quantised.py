"""Quantised cases and their expected results, computed with NumPy's integers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from support import WITHOUT_NUMBA, Array, Backend

from pointwise_fast.problem import QuantisedProblem
from pointwise_fast.quantisation import Quantisation

BYTES = (np.dtype(np.uint8), np.dtype(np.int8))


@pytest.fixture(params=WITHOUT_NUMBA)
def backend(request: pytest.FixtureRequest) -> Backend:
    name: Backend = request.param
    return name


class Case(NamedTuple):
    """Arguments of `qconv1x1`, in its order."""

    x: Array
    x_scale: Any
    x_zero_point: Any
    weight: Array
    weight_scale: Any
    weight_zero_point: Any
    out_scale: Any
    out_zero_point: Any
    bias: Array | None = None


def any_bytes(rng: np.random.Generator, shape: Any, dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def random_case(
    rng: np.random.Generator,
    x_shape: tuple[int, ...],
    K: int,
    dtypes: tuple[Any, Any, Any] | None = None,
    *,
    axis: int = -3,
    per_channel: bool = True,
    weight_zero: bool | None = None,
) -> Case:
    """Arrays that contain all bytes, and scales with which the output contains them too."""
    x_dtype, w_dtype, out_dtype = dtypes or (BYTES[i] for i in rng.integers(0, 2, 3))
    C = x_shape[axis]
    scales = np.exp2(rng.uniform(-9, -7, K if per_channel else ())).astype(np.float32)
    zeros: dict[bool | None, Any] = {
        True: any_bytes(rng, K, w_dtype),
        False: 0 if w_dtype == np.int8 else 128,
        None: any_bytes(rng, (), w_dtype)[()],
    }
    zero = zeros[weight_zero]
    return Case(
        any_bytes(rng, x_shape, x_dtype),
        np.float32(0.03),
        any_bytes(rng, (), x_dtype)[()],
        any_bytes(rng, (K, C), w_dtype),
        scales,
        zero,
        np.float32(0.03 * scales.mean() * 110 * 110 * np.sqrt(C + 1) / 70),
        any_bytes(rng, (), out_dtype)[()],
        rng.integers(-(2**17), 2**17, K, np.int32) if rng.integers(4) else None,
    )


def expected(case: Case, axis: int = -3) -> Array:
    """ONNX's QLinearConv: sums in int64, their product with the scale in float32."""
    K, C = case.weight.shape[:2]
    weight = case.weight.reshape(K, C).astype(np.int64)
    weight -= np.asarray(case.weight_zero_point, np.int64).reshape(-1, 1)
    x = np.moveaxis(case.x, axis, -1).astype(np.int64) - int(case.x_zero_point)
    sums = np.einsum("...c,kc->...k", x, weight)
    if case.bias is not None:
        sums = sums + case.bias
    sums = (sums + 2**31) % 2**32 - 2**31
    scale = np.float32(case.x_scale) * np.asarray(case.weight_scale, np.float32)
    with np.errstate(over="ignore"):
        steps = np.rint(sums.astype(np.float32) * (scale / np.float32(case.out_scale)))
    limits = np.iinfo(case.out_zero_point.dtype)
    y = np.clip(steps.astype(np.float64) + int(case.out_zero_point), limits.min, limits.max)
    return np.moveaxis(y.astype(limits.dtype), -1, axis)


def problem_of(case: Case, out: Array, **changes: Any) -> QuantisedProblem:
    """The `QuantisedProblem` of arrays of shape ``(*outer, channels, P)``."""
    K, C = case.weight.shape
    quantisation = Quantisation(
        (case.x_scale, case.weight_scale, case.out_scale),
        (case.x_zero_point, case.weight_zero_point, case.out_zero_point),
        (case.x.dtype, case.weight.dtype),
        K,
    )
    limits = np.iinfo(out.dtype)
    settings: dict[str, Any] = {
        "x_dtype": case.x.dtype,
        "weight_dtype": case.weight.dtype,
        "out_dtype": out.dtype,
        "outer": case.x.shape[:-2],
        "C": C,
        "K": K,
        "P": case.x.shape[-1],
        "x_strides": case.x.strides,
        "out_strides": out.strides,
        "x_zero": quantisation.x_zero,
        "weight_zero": quantisation.weight_zero,
        "multiplier": quantisation.multiplier,
        "out_zero": quantisation.out_zero,
        "lo": limits.min,
        "hi": limits.max,
    }
    return QuantisedProblem(**{**settings, **changes})
