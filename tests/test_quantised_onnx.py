"""`qconv1x1` has the bits of ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from quantised import BYTES, any_bytes, random_case
from support import WITHOUT_NUMBA

import pointwise_fast as pf


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
        for name in WITHOUT_NUMBA:
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
        for name in WITHOUT_NUMBA:
            y = pf.qconv1x1(*case, groups=groups, stride=strides, backend=name)
            assert np.array_equal(y, wanted)
