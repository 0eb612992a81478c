"""ONNX Runtime's QLinearConv, for the tests that compare with it."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from quantised import Case
from support import Array

TYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
}


def qlinear_conv(case: Case, groups: int = 1, strides: tuple[int, int] = (1, 1)) -> Array:
    """The result of ONNX Runtime for `case`, whose x is (N, C, H, W)."""
    K, C = case.weight.shape
    # It wants as many zero points as scales.
    zeros = np.broadcast_to(np.asarray(case.weight_zero_point), np.shape(case.weight_scale))
    constants = {
        "x_scale": np.float32(case.x_scale),
        "x_zero": case.x.dtype.type(case.x_zero_point),
        "w": case.weight.reshape(K, C, 1, 1),
        "w_scale": np.asarray(case.weight_scale, np.float32),
        "w_zero": zeros.astype(case.weight.dtype),
        "y_scale": np.float32(case.out_scale),
        "y_zero": case.out_zero_point,
    }
    if case.bias is not None:
        constants["bias"] = case.bias
    tensors = [
        helper.make_tensor(name, TYPES[a.dtype.name], a.shape, a.tobytes(), raw=True)
        for name, a in constants.items()
    ]
    ends = [
        helper.make_tensor_value_info("x", TYPES[case.x.dtype.name], case.x.shape),
        helper.make_tensor_value_info("y", TYPES[case.out_zero_point.dtype.name], None),
    ]
    node = helper.make_node(
        "QLinearConv", ["x", *constants], ["y"], group=groups, strides=[*strides]
    )
    graph = helper.make_graph([node], "one", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    if case.x.dtype == np.uint8:
        # Where the CPU has no VNNI, two products of uint8 and int8 saturate at 16 bits otherwise.
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    y: Array = session.run(None, {"x": case.x})[0]
    return y
