"""OpenVINO: a compiled model of one layer, on tensors that share the arrays' memory.

float32 throughout, tuned for latency. Planar layers are a Convolution. Interleaved ones are
a MatMul with constant weights, and a Convolution whose input and output the pre-processing
declares to be NHWC. For mixed layouts it declares only one of them NHWC.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset15 as op
from openvino import Layout as Axes
from openvino.preprocess import PrePostProcessor

from ..layers.cases import MIXED
from ..layers.contenders import Call, Contender
from ..layers.job import Array, Arrays, Job

__all__ = ["contenders"]

_ACTIVATIONS: dict[str, Any] = {
    "relu": op.relu,
    "relu6": lambda y: op.clamp(y, 0.0, 6.0),
    "sigmoid": op.sigmoid,
    "silu": op.swish,
    "hardswish": op.hswish,
    "hardsigmoid": op.hsigmoid,
    "gelu": lambda y: op.gelu(y, "erf"),
}


def contenders(threads: int) -> list[Contender]:
    core = ov.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": True,
    }
    make = partial(Contender, ours=False, read=_read)
    return [
        make("OpenVINO Convolution", bind=partial(_convolution, core, settings)),
        make("OpenVINO MatMul", bind=partial(_matmul, core, settings), missing=_no_matmul),
    ]


def _read(results: Any) -> Array:
    array: Array = results[0]
    return array


def _no_matmul(job: Job) -> str | None:
    if not job.interleaved[1]:
        return "its weights would not be packed"
    if job.layout in MIXED:
        return "x would be transposed first"
    if job.case.groups > 1 or job.case.stride > 1:
        return "no groups, no stride"
    return None


def _epilogue(job: Job, value: Any, bias_shape: tuple[int, ...], residual: Any) -> Any:
    if job.bias is not None:
        value = op.add(value, op.constant(job.bias.reshape(bias_shape)))
    if residual is not None:
        value = op.add(value, residual)
    if job.case.activation is not None:
        value = _ACTIVATIONS[job.case.activation](value)
    return value


def _request(
    core: ov.Core, settings: dict[str, Any], model: ov.Model, inputs: list[Array], out: Array
) -> Call:
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    for i, array in enumerate(inputs):
        request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
    request.set_output_tensor(0, ov.Tensor(out, shared_memory=True))

    return partial(request.infer, share_inputs=True, share_outputs=True)


def _convolution(core: ov.Core, settings: dict[str, Any], job: Job, arrays: Arrays) -> Call:
    case = job.case
    x = op.parameter([case.N, case.C, case.H, case.W], np.float32, "x")
    shape = [case.N, case.K, case.rows, case.columns]
    residual = op.parameter(shape, np.float32, "r") if case.residual else None
    geometry = ([case.stride] * 2, [0, 0], [0, 0], [1, 1])
    if case.groups > 1:
        grouped = (case.groups, case.K // case.groups, case.C // case.groups, 1, 1)
        product = op.group_convolution(x, op.constant(job.weight.reshape(grouped)), *geometry)
    else:
        product = op.convolution(x, op.constant(job.weight[:, :, None, None]), *geometry)
    y = _epilogue(job, product, (1, case.K, 1, 1), residual)
    inputs = [x] if residual is None else [x, residual]
    model = ov.Model([op.result(y)], inputs, "layer")
    x_last, y_last = job.interleaved
    if x_last or y_last:
        steps = PrePostProcessor(model)
        for i, last in enumerate((x_last, y_last)[: len(inputs)]):
            steps.input(i).tensor().set_layout(Axes("NHWC" if last else "NCHW"))
            steps.input(i).model().set_layout(Axes("NCHW"))
        steps.output().model().set_layout(Axes("NCHW"))
        steps.output().tensor().set_layout(Axes("NHWC" if y_last else "NCHW"))
        model = steps.build()
    arrays = job.in_memory_order(arrays)
    given = [arrays.x] if arrays.residual is None else [arrays.x, arrays.residual]
    given = [array if array.ndim == 4 else array[np.newaxis] for array in given]
    out = arrays.out if arrays.out.ndim == 4 else arrays.out[np.newaxis]
    return _request(core, settings, model, given, out)


def _matmul(core: ov.Core, settings: dict[str, Any], job: Job, arrays: Arrays) -> Call:
    case = job.case
    x = op.parameter([case.pixels, case.C], np.float32, "x")
    residual = op.parameter([case.pixels, case.K], np.float32, "r") if case.residual else None
    product = op.matmul(x, op.constant(job.weight), False, True)
    y = _epilogue(job, product, (1, case.K), residual)
    inputs = [x] if residual is None else [x, residual]
    model = ov.Model([op.result(y)], inputs, "layer")
    given = [arrays.x.reshape(-1, case.C)]
    if arrays.residual is not None:
        given.append(arrays.residual.reshape(-1, case.K))
    return _request(core, settings, model, given, arrays.out.reshape(-1, case.K))
