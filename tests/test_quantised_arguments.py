"""Arguments of `qconv1x1`: their forms, and messages for wrong ones."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from quantised import backend, expected, random_case
from support import BACKENDS, Array, run_python

import pointwise_fast as pf

__all__ = ["backend"]  # a fixture


def test_shapes_of_parameters(backend: Any, rng: np.random.Generator) -> None:
    """Parameters may have the shapes of ONNX's and PyTorch's, and be lists."""
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


def test_parameters_are_read_each_time(rng: np.random.Generator) -> None:
    """Calls are remembered by values: changes in place, or of the type alone, are seen."""
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
        {"out": np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), (4, 6, 7), (6, 1, 1))},
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


def test_complex_scales_are_refused() -> None:
    x, weight = np.ones((3, 2, 2), np.uint8), np.ones((4, 3), np.int8)
    with pytest.raises(TypeError, match="x_scale has dtype complex128; real numbers"):
        pf.qconv1x1(x, 1j, 0, weight, 1.0, 0, 1.0, 0)  # type: ignore[arg-type]
