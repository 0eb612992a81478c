"""PyTorch in `torch.inference_mode`, on tensors that share the arrays' memory.

Results are new tensors where the function has no ``out=``. Interleaved arrays are tensors in
channels_last format, without a copy. A convolution of an interleaved x copies its result if that
has to be planar. The "packed" contenders call the operators that `torch.compile` emits for frozen
weights: oneDNN's own weight format and fused epilogue.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers.cases import MIXED
from ..layers.contenders import Call, Contender
from ..layers.job import Array, Arrays, Job
from ..layers.numpy_layer import numpy_layer

__all__ = ["contenders"]

_IN_PLACE: dict[str, Callable[[Tensor], Any]] = {
    "relu": F.relu_,
    "relu6": lambda y: F.hardtanh_(y, 0.0, 6.0),
    "sigmoid": torch.sigmoid_,
    "silu": partial(F.silu, inplace=True),
    "hardswish": partial(F.hardswish, inplace=True),
    "hardsigmoid": partial(F.hardsigmoid, inplace=True),
    "gelu": F.gelu,
}
#: How oneDNN's operators call them: name, parameters, algorithm.
_FUSED: dict[str | None, tuple[str, list[float], str]] = {
    None: ("none", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
    "sigmoid": ("sigmoid", [], ""),
    "silu": ("swish", [], ""),
    "hardswish": ("hardswish", [], ""),
    "hardsigmoid": ("hardsigmoid", [], ""),
    "gelu": ("gelu", [], "none"),
}


def contenders(threads: int) -> list[Contender]:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_float32_matmul_precision("highest")
    # It holds for the whole process. Entering it around each call would cost a microsecond.
    torch.inference_mode().__enter__()
    make = partial(Contender, ours=False, read=Tensor.numpy)
    return [
        make("torch conv2d", bind=_conv),
        make("torch conv2d packed", bind=_packed_conv, missing=_interleaved_only),
        make("torch linear", bind=_linear, missing=_no_linear),
        make("torch linear packed", bind=_packed_linear, missing=_no_linear),
        make("torch matmul", bind=_matmul, missing=_no_matmul),
    ]


def _interleaved_only(job: Job) -> str | None:
    return None if job.interleaved[1] else "its result is channels_last"


def _no_linear(job: Job) -> str | None:
    if job.layout != "interleaved":
        return "linear is for channels-last arrays"
    return _no_matmul(job)


def _no_matmul(job: Job) -> str | None:
    case = job.case
    if case.groups > 1 or case.stride > 1:
        return "no groups, no stride"
    return None


def _image(array: Array, job: Job) -> Tensor:
    """A tensor (N, channels, rows, columns). Interleaved arrays make it channels_last."""
    tensor = torch.from_numpy(array)
    tensor = tensor if tensor.dim() == 4 else tensor[None]
    return tensor if job.channel_axis == -3 else tensor.permute(0, 3, 1, 2)


def _weight(job: Job) -> Tensor:
    weight = torch.from_numpy(job.weight)[:, :, None, None]
    if job.layout == "planar":
        return weight.contiguous()
    return weight.contiguous(memory_format=torch.channels_last)


def _bias(job: Job) -> Tensor | None:
    return None if job.bias is None else torch.from_numpy(job.bias)


def _epilogue(product: Callable[[], Tensor], job: Job, residual: Tensor | None) -> Call:
    """`product`, followed by the rest of the layer in place."""
    activate = _IN_PLACE.get(job.case.activation or "")
    if residual is None and activate is None:
        return product
    if residual is None and activate is not None:
        return lambda: activate(product())
    if activate is None:
        return lambda: product().add_(residual)
    return lambda: activate(product().add_(residual))


def _back(call: Call, job: Job) -> Call:
    """The same with a view that has the channels where the job has them."""
    return call if job.channel_axis == -3 else lambda: call().permute(0, 2, 3, 1)


def _residual_image(job: Job, arrays: Arrays) -> Tensor | None:
    return None if arrays.residual is None else _image(arrays.residual, job)


def _conv(job: Job, arrays: Arrays) -> Call:
    case, x, weight, bias = job.case, _image(arrays.x, job), _weight(job), _bias(job)
    product: Call = partial(F.conv2d, x, weight, bias, stride=case.stride, groups=case.groups)
    if job.layout in MIXED:
        # The result is channels_last if x or the weights are; else this copies it.
        wanted = torch.channels_last if job.interleaved[1] else torch.contiguous_format
        result = product
        product = lambda: result().contiguous(memory_format=wanted)  # noqa: E731
    return _back(_epilogue(product, job, _residual_image(job, arrays)), job)


def _packed_conv(job: Job, arrays: Arrays) -> Call:
    case, x, bias = job.case, _image(arrays.x, job), _bias(job)
    ones, zeros, strides = [1, 1], [0, 0], [case.stride] * 2
    pack = torch._C._nn.mkldnn_reorder_conv2d_weight
    weight = pack(_weight(job).to_mkldnn(), zeros, strides, ones, case.groups, list(x.shape))
    shape = (zeros, strides, ones, case.groups)
    name, scalars, algorithm = _FUSED[case.activation]
    residual = _residual_image(job, arrays)
    operator = torch.ops.mkldnn._convolution_pointwise
    if residual is None:
        run = partial(operator.default, x, weight, bias, *shape, name, scalars, algorithm)
        return _back(run, job)
    relu = case.activation == "relu"
    unary: tuple[str | None, list[float], str] = ("relu" if relu else None, [], "")
    run = partial(operator.binary, x, residual, weight, bias, *shape, "add", 1.0, *unary)
    activate = None if relu else _IN_PLACE.get(case.activation or "")
    return _back(run if activate is None else lambda: activate(run()), job)


def _linear(job: Job, arrays: Arrays) -> Call:
    x, weight = torch.from_numpy(arrays.x), torch.from_numpy(job.weight)
    residual = None if arrays.residual is None else torch.from_numpy(arrays.residual)
    return _epilogue(partial(F.linear, x, weight, _bias(job)), job, residual)


def _packed_linear(job: Job, arrays: Arrays) -> Call:
    case, x = job.case, torch.from_numpy(arrays.x).view(-1, job.case.C)
    packed = torch.ops.mkldnn._reorder_linear_weight(torch.from_numpy(job.weight), len(x))
    operator = torch.ops.mkldnn._linear_pointwise
    shape = arrays.out.shape
    if arrays.residual is None:
        run = partial(operator.default, x, packed, _bias(job), *_FUSED[case.activation])
        return lambda: run().view(shape)
    residual = torch.from_numpy(arrays.residual).view(-1, case.K)
    run = partial(operator.binary, x, residual, packed, _bias(job), "add")
    activate = _IN_PLACE.get(case.activation or "", lambda y: y)
    return lambda: activate(run()).view(shape)


def _multiply(left: Array, right: Array, out: Array) -> Callable[[], Tensor]:
    tensors = (torch.from_numpy(left), torch.from_numpy(right))
    return partial(torch.matmul, *tensors, out=torch.from_numpy(out))


def _matmul(job: Job, arrays: Arrays) -> Call:
    product = numpy_layer(job, arrays, epilogue=False, multiply=_multiply)
    out = torch.from_numpy(arrays.out)
    bias, residual = _bias(job), arrays.residual
    if bias is not None and job.channel_axis == -3:
        bias = bias[:, None, None]

    def whole() -> Tensor:
        product()
        return out if bias is None else out.add_(bias)

    return _epilogue(whole, job, None if residual is None else torch.from_numpy(residual))
