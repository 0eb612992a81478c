"""LiteRT (TensorFlow Lite) with XNNPACK, its default on CPUs: a CONV_2D on channels-last arrays.

The model is written without TensorFlow, with the package's own schema. Input and output are the
interpreter's buffers, which are filled ahead, so no copy is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ..layers.contenders import Call, Contender
from ..layers.job import Array, Arrays, Job

__all__ = ["contenders"]

_FUSED = {"relu": "RELU", "relu6": "RELU6"}
_ALONE = {"sigmoid": "LOGISTIC", "hardswish": "HARD_SWISH", "gelu": "GELU"}


def contenders(threads: int) -> list[Contender]:
    def bind(job: Job, arrays: Arrays) -> Call:
        interpreter = Interpreter(model_content=_Model(job).content(), num_threads=threads)
        interpreter.allocate_tensors()
        given = [arrays.x] if arrays.residual is None else [arrays.x, arrays.residual]
        for detail, array in zip(interpreter.get_input_details(), given, strict=True):
            interpreter.set_tensor(detail["index"], array.reshape(detail["shape"]))
        result: Callable[[], Array] = interpreter.tensor(
            interpreter.get_output_details()[0]["index"]
        )

        def call() -> Callable[[], Array]:
            interpreter.invoke()
            return result

        return call

    return [Contender("LiteRT", False, bind, _missing, read=_copy)]


def _copy(result: Callable[[], Array]) -> Array:
    # The interpreter refuses to continue while a view of its memory exists.
    return np.array(result())


def _missing(job: Job) -> str | None:
    return None if job.layout == "interleaved" else "for channels-last arrays"


class _Model:
    """A graph of one layer that grows. Each operation takes the result of the last one."""

    def __init__(self, job: Job) -> None:
        case = job.case
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first one is empty
        self._operators: list[Any] = []
        self._codes: list[Any] = []
        self._shape = (case.N, case.rows, case.columns, case.K)
        self._inputs = [self._tensor((case.N, case.H, case.W, case.C))]
        self._last = self._inputs[0]
        fused = _FUSED.get(case.activation or "", "NONE")
        weight = self._constant(job.weight.reshape(case.K, 1, 1, -1))
        bias = self._constant(np.zeros(case.K, np.float32) if job.bias is None else job.bias)
        options = {"strideH": case.stride, "strideW": case.stride, "padding": schema.Padding.VALID}
        alone = "NONE" if case.residual else fused
        self._then("CONV_2D", [weight, bias], alone, schema.Conv2DOptionsT, options)
        if case.residual:
            self._inputs.append(self._tensor(self._shape))
            self._then("ADD", [self._inputs[1]], fused, schema.AddOptionsT)
        self._activate(case.activation)

    def content(self) -> bytes:
        """The model's file."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = self._inputs, [self._last]
        model = schema.ModelT()
        model.version, model.subgraphs = 3, [graph]
        model.operatorCodes, model.buffers = self._codes, self._buffers
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _activate(self, name: str | None) -> None:
        value = self._last
        if name == "silu":
            self._then("LOGISTIC")
            self._then("MUL", [value], "NONE", schema.MulOptionsT)
        elif name == "hardsigmoid":
            three, sixth = (self._constant(np.array([c], np.float32)) for c in (3, 1 / 6))
            self._then("ADD", [three], "RELU6", schema.AddOptionsT)
            self._then("MUL", [sixth], "NONE", schema.MulOptionsT)
        elif name == "gelu":
            self._then("GELU", [], None, schema.GeluOptionsT, {"approximate": False})
        elif name in _ALONE:
            self._then(_ALONE[name])

    def _tensor(self, shape: tuple[int, ...], buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), schema.TensorType.FLOAT32, buffer
        tensor.name = f"t{len(self._tensors)}"
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _constant(self, array: Array) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._buffers.append(buffer)
        return self._tensor(array.shape, len(self._buffers) - 1)

    def _then(
        self,
        name: str,
        others: Sequence[int] = (),
        fused: str | None = None,
        kind: Callable[[], Any] | None = None,
        settings: Mapping[str, Any] = {},
    ) -> None:
        number = getattr(schema.BuiltinOperator, name)
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        # The first field has no room for numbers from 127 on.
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        operator.opcodeIndex = len(self._codes)
        operator.inputs = [self._last, *others]
        self._last = self._tensor(self._shape)
        operator.outputs = [self._last]
        if kind is not None:
            options = kind()
            for key, value in settings.items():
                setattr(options, key, value)
            if fused is not None:
                options.fusedActivationFunction = getattr(schema.ActivationFunctionType, fused)
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(
                schema.BuiltinOptions, kind.__name__.removesuffix("T")
            )
        self._codes.append(code)
        self._operators.append(operator)
