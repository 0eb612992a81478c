"""What the C code is handed: a `Problem` as it has it, arrays, weights."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .c_library import ffi, lib

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem

__all__ = ["address", "integer", "memory", "pointer", "real_parts", "to_c", "weights"]

Array = npt.NDArray[Any]

# Looked up once: small calls are all overhead.
_NULL: Any = None if ffi is None else ffi.NULL
_from_buffer: Any = None if ffi is None else ffi.from_buffer

#: Alignment of packed weights: a cache line.
_LINE = 64

#: The C names of dtypes.
_CODES = {
    "float32": "F32",
    "float64": "F64",
    "bool": "U8",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
}


def to_c(problem: Problem) -> tuple[Any, list[Any]]:
    """The problem, and what it points to."""
    c, keep = ffi.new("pw_problem *"), []
    x, out = _part_dtype(problem.x_dtype), _part_dtype(problem.out_dtype)
    c.dtype = _dtype_code(_part_dtype(problem.dtype))
    c.x_dtype, c.y_dtype = _dtype_code(x), _dtype_code(out)
    residual = problem.out_dtype if problem.residual_dtype is None else problem.residual_dtype
    c.x_swapped, c.y_swapped = not problem.x_dtype.isnative, not problem.out_dtype.isnative
    c.r_swapped = not residual.isnative
    numbers = 2 if problem.dtype.kind == "c" else 1
    c.components = parts = 1 if _is_contiguous(problem) else numbers
    c.x_component, c.y_component, c.r_component = x.itemsize, out.itemsize, out.itemsize
    c.C, c.K, c.P, c.groups = problem.C * numbers, problem.K * numbers, problem.P, problem.groups
    c.outer = len(problem.outer)
    c.outer_n = problem.outer
    *c.x_outer, c.x_c, c.x_p = problem.x_strides
    *c.y_outer, c.y_k, c.y_p = problem.out_strides
    if problem.residual_strides is not None:
        c.has_residual = True
        *c.r_outer, c.r_k, c.r_p = problem.residual_strides
    if numbers > parts:  # real and imaginary parts are contiguous channels
        c.x_c, c.y_k, c.r_k = x.itemsize, out.itemsize, out.itemsize
    c.in_place = problem.in_place
    c.bf16 = problem.precision == "bf16"
    activation = problem.activation
    if activation is not None and activation.name == "prelu":
        keep.append(ffi.new("double[]", activation.slopes))
        c.slopes = keep[-1]
    elif activation is not None:
        c.activation = getattr(lib, f"PW_ACT_{activation.name.upper()}")
        c.a, c.b = activation.a, activation.b
    if problem.head is not None:
        c.head = getattr(lib, f"PW_HEAD_{problem.head.upper()}")
    if problem.missing is not None:
        c.fill = problem.missing.fill
        c.valid_any = problem.missing.valid == "any"
        c.min_valid = problem.missing.min_valid
        if problem.missing.nodata is not None:
            keep.append(_nodata_to_c(problem.missing.nodata, x))
            c.nodata = keep[-1]
    if problem.scale is not None:
        # Real and imaginary parts are channels of their own; an offset is real.
        shifts = np.zeros((problem.C, numbers))
        shifts[:, 0] = problem.offset
        keep.append(ffi.new("double[]", np.repeat(problem.scale, numbers).tolist()))
        keep.append(ffi.new("double[]", shifts.ravel().tolist()))
        c.scale, c.offset = keep[-2:]
    if problem.mask_strides is not None:
        c.has_mask = True
        *c.m_outer, c.m_c, c.m_p = problem.mask_strides
    return c, keep


def _nodata_to_c(values: tuple[float | None, ...], x: np.dtype[Any]) -> Any:
    found = ffi.new("pw_nodata[]", len(values))
    for slot, value in zip(found, values, strict=True):
        if value is not None:
            slot.given = True
            ffi.memmove(slot.value, x.type(value).tobytes(), x.itemsize)
    return found


@cache
def _dtype_code(dtype: np.dtype[Any]) -> int:
    return int(getattr(lib, f"PW_{_CODES[dtype.name]}"))


def _is_contiguous(problem: Problem) -> bool:
    """Whether the channels of a pixel are contiguous, in each array."""
    strides = [(problem.x_strides, problem.x_dtype), (problem.out_strides, problem.out_dtype)]
    if problem.residual_strides is not None:
        strides.append((problem.residual_strides, problem.out_dtype))
    return all(steps[-2] == dtype.itemsize for steps, dtype in strides)


def _part_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.type(0).real.dtype if dtype.kind == "c" else dtype


def pointer(array: Array) -> Any:
    """The address of the first element, as a cffi pointer that keeps `array` alive."""
    try:
        return _from_buffer(array)
    except (ValueError, BufferError):  # not C-contiguous
        return ffi.cast("char *", address(array))


def memory(size: int) -> Any:
    """A pointer to memory for packed weights, which lives as long as the pointer."""
    buffer = np.empty(size + _LINE, np.uint8)
    start = -address(buffer) % _LINE
    return ffi.from_buffer(buffer[start : start + size])


def integer(pointer: Any) -> int:
    return int(ffi.cast("intptr_t", pointer))


def address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def weights(weight: Array, bias: Array | None) -> tuple[Any, ...]:
    w_k, w_c = weight.strides
    if bias is None:
        return pointer(weight), w_k, w_c, _NULL, 0
    return pointer(weight), w_k, w_c, pointer(bias), bias.strides[0]


def real_parts(weight: Array, bias: Array | None) -> tuple[Array, Array | None]:
    """Complex weights as those of twice the channels, real and imaginary parts in turn."""
    K, C = weight.shape
    pairs = np.empty((K, 2, C, 2), weight.real.dtype)
    pairs[:, 0, :, 0] = pairs[:, 1, :, 1] = weight.real
    pairs[:, 1, :, 0] = weight.imag
    pairs[:, 0, :, 1] = -weight.imag
    parts = None if bias is None else np.ascontiguousarray(bias).view(bias.real.dtype)
    return pairs.reshape(2 * K, 2 * C), parts
