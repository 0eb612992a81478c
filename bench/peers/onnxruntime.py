"""ONNX Runtime: a model of one layer, all graph optimisations, inputs and outputs bound in place.

Planar layers are a Conv, whose weights ONNX Runtime packs and whose activation and sum it fuses
when it builds the session. It has no channels-last Conv for float32: interleaved layers are a Gemm
(MatMul without a bias).
"""

from __future__ import annotations

from functools import partial

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from ..layers.contenders import Call, Contender
from ..layers.job import Array, Arrays, Job

__all__ = ["contenders"]


def contenders(threads: int) -> list[Contender]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return [
        Contender("ORT Conv", False, partial(_bind, options), _no_conv),
        Contender("ORT Gemm", False, partial(_bind, options), _no_gemm),
    ]


def _no_conv(job: Job) -> str | None:
    return None if job.layout == "planar" else "Conv is for channels-first arrays"


def _no_gemm(job: Job) -> str | None:
    if job.layout != "interleaved":
        return "Gemm is for channels-last arrays"
    if job.case.groups > 1 or job.case.stride > 1:
        return "no groups, no stride"
    return None


def _nodes(job: Job, product: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes of the layer. `product` writes "p", the last node "y"."""
    activation, value, nodes = job.case.activation, "p", [product]

    def then(operator: str, *others: str, **attributes: float) -> None:
        nonlocal value
        inputs, value = [value, *others], f"v{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [value], **attributes))

    if job.case.residual:
        then("Add", "r")
    if activation == "relu6":
        then("Clip", "zero", "six")
    elif activation == "silu":
        gated = value
        then("Sigmoid")
        then("Mul", gated)
    elif activation == "hardsigmoid":
        then("HardSigmoid", alpha=1 / 6, beta=0.5)
    elif activation is not None:
        then("HardSwish" if activation == "hardswish" else activation.capitalize())
    nodes[-1].output[0] = "y"
    return nodes


def _model(job: Job, weight: Array, product: onnx.NodeProto, shapes: list[list[int]]) -> bytes:
    tensor = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    constants = [numpy_helper.from_array(weight, "w")]
    if job.bias is not None:
        constants.append(numpy_helper.from_array(job.bias, "b"))
    if job.case.activation == "relu6":
        constants += [
            helper.make_tensor(name, TensorProto.FLOAT, [], [value])
            for name, value in (("zero", 0.0), ("six", 6.0))
        ]
    inputs = [tensor("x", shape=shapes[0])]
    if job.case.residual:
        inputs.append(tensor("r", shape=shapes[1]))
    outputs = [tensor("y", shape=shapes[1])]
    graph = helper.make_graph(_nodes(job, product), "layer", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def _bind(options: ort.SessionOptions, job: Job, arrays: Arrays) -> Call:
    case, inputs = job.case, ["x", "w", *(["b"] if job.bias is not None else [])]
    if job.layout == "planar":
        weight = job.weight[:, :, None, None]
        strides = [case.stride] * 2
        product = helper.make_node("Conv", inputs, ["p"], strides=strides, group=case.groups)
        shapes = [[case.N, case.C, case.H, case.W], [case.N, case.K, case.rows, case.columns]]
    else:
        weight = job.weight.T.copy()
        product = helper.make_node("Gemm" if case.bias else "MatMul", inputs, ["p"])
        shapes = [[case.pixels, case.C], [case.pixels, case.K]]
    session = ort.InferenceSession(
        _model(job, weight, product, shapes), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()

    def value(array: Array, shape: list[int]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(array.reshape(shape))

    binding.bind_ortvalue_input("x", value(arrays.x, shapes[0]))
    if arrays.residual is not None:
        binding.bind_ortvalue_input("r", value(arrays.residual, shapes[1]))
    binding.bind_ortvalue_output("y", value(arrays.out, shapes[1]))
    return partial(session.run_with_iobinding, binding)
