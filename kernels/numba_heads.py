"""Heads in LLVM's IR: what is made of all channels of a pixel, from sums in scratch.

A vector of pixels is taken at a time, each channel of which is a vector; where the sums have the
channels of a pixel side by side, it is turned. Each pixel has its channels summed in their order.
"""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from . import numba_activations, numba_loops, numba_panels, numba_tile, numba_turn
from .numba_activations import LOG2_E, NUMBERS
from .numba_loops import K, P, compile_cached, revision_of
from .numba_panels import (
    BUFFER,
    OWN_FIELDS,
    PANEL_FIELDS,
    Q_OUT_K,
    Q_OUT_P,
    SUMS,
    SUMS_P,
    SUMS_ROW,
    TARGET,
)
from .numba_tile import Vectors, load, stack, store
from .numba_turn import turn_block

__all__ = ["compile_argmax", "compile_head"]

#: Least norm that l2_normalize divides by; PyTorch's.
_LEAST_NORM = 1e-12


class _Planes(Vectors):
    """Writes what is done with one vector of pixels in each of `n` planes."""

    def __init__(self, builder: Any, T: Any, element: Any, lanes: int, y: Any, row: Any, n: Any):
        super().__init__(builder, element, element, lanes, lanes)
        self.lanes, self.y, self.row, self.n = lanes, y, row, n
        self.m = NUMBERS[T]
        self.kind = ir.VectorType(element, lanes)
        self.size = np.dtype(T).itemsize
        self.whole = ir.VectorType(ir.IntType(8 * self.size), lanes)

    def constant(self, value: float) -> Any:
        return ir.Constant(self.kind, [float(value)] * self.lanes)

    def whole_constant(self, value: int) -> Any:
        return ir.Constant(self.whole, [int(value)] * self.lanes)

    def plane(self, k: Any) -> Any:
        address = self.builder.gep(self.y, [self.builder.mul(k, self.row)])
        return self.builder.bitcast(address, self.kind.as_pointer())

    def of(self, k: Any) -> Any:
        return self.builder.load(self.plane(k), align=1)

    def put(self, value: Any, k: Any) -> None:
        self.builder.store(value, self.plane(k), align=1)

    def each(self) -> Any:
        """A loop over the planes."""
        return cgutils.for_range(self.builder, self.n)

    def variable(self, value: Any) -> Any:
        return cgutils.alloca_once_value(self.builder, value)

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        return self.builder.select(condition, yes, no)

    def less(self, a: Any, b: Any) -> Any:
        return self.builder.fcmp_ordered("<", a, b)

    def polynomial(self, x: Any, terms: tuple[float, ...]) -> Any:
        total = self.constant(terms[0])
        for term in terms[1:]:
            total = self.multiply_add(total, x, self.constant(term))
        return total

    def largest(self) -> Any:
        """NaN may get lost, but not in what follows: a sum over all channels has it."""
        most = self.variable(self.of(ir.Constant(self.n.type, 0)))
        with self.each() as loop:
            v, best = self.of(loop.index), self.builder.load(most)
            self.builder.store(self.where(self.less(best, v), v, best), most)
        return self.builder.load(most)

    def exp(self, x: Any) -> Any:
        """exp(x) for x <= 0 or NaN, down to 0 through the subnormal numbers."""
        b, m = self.builder, self.m
        is_far = self.less(x, self.constant(-m[6] / 2))
        least, none = self.constant(-m[15]), self.constant(0)
        is_0 = self.less(x, least)
        x = self.where(is_0, least, x)
        magic = self.constant(m[1])
        rounded = self.multiply_add(x, self.constant(LOG2_E), magic)
        n = b.fsub(rounded, magic)
        r = self.multiply_add(n, self.constant(-m[4]), x)
        r = self.multiply_add(n, self.constant(-m[5]), r)
        # 2**shift times the result, where that itself may not be normal.
        shift = self.where(is_far, self.constant(m[14]), none)
        exponent = b.add(b.bitcast(b.fadd(rounded, shift), self.whole), self.whole_constant(m[2]))
        power = b.bitcast(b.shl(exponent, self.whole_constant(m[3])), self.kind)
        found = self.multiply_add(power, b.fmul(r, self.polynomial(r, m[8])), power)
        back = self.where(is_far, self.constant(2.0 ** -m[14]), self.constant(1))
        # A product that underflows takes some hundred cycles.
        return b.fmul(found, self.where(is_0, none, back))

    def log(self, x: Any) -> Any:
        """log(x) for normal x >= 1; NaN for NaN and infinity."""
        b, m = self.builder, self.m
        size, places = b.bitcast(x, self.whole), self.whole_constant(m[3])
        # x = 2**n * f with f between the roots of 1/2 and 2, for which log(f) = 2 atanh(z).
        n = b.ashr(b.sub(size, self.whole_constant(m[16])), places)
        f = b.bitcast(b.sub(size, b.shl(n, places)), self.kind)
        one, n = self.constant(1), b.sitofp(n, self.kind)
        z = b.fdiv(b.fsub(f, one), b.fadd(f, one))
        series = self.polynomial(b.fmul(z, z), m[9])
        rest = self.multiply_add(n, self.constant(m[5]), b.fsub(x, x))
        rest = self.multiply_add(b.fmul(self.constant(2), z), series, rest)
        return self.multiply_add(n, self.constant(m[4]), rest)

    def divide_all(self, by: Any, to: _Planes) -> None:
        with self.each() as loop:
            to.put(self.builder.fdiv(self.of(loop.index), by), loop.index)


def _softmax(planes: _Planes, to: _Planes) -> None:
    b = planes.builder
    most, total = planes.largest(), planes.variable(planes.constant(0))
    with planes.each() as loop:
        power = planes.exp(b.fsub(planes.of(loop.index), most))
        planes.put(power, loop.index)
        b.store(b.fadd(b.load(total), power), total)
    planes.divide_all(b.load(total), to)


def _log_softmax(planes: _Planes, to: _Planes) -> None:
    b = planes.builder
    most, total = planes.largest(), planes.variable(planes.constant(0))
    with planes.each() as loop:
        power = planes.exp(b.fsub(planes.of(loop.index), most))
        b.store(b.fadd(b.load(total), power), total)
    log_total = planes.log(b.load(total))
    with planes.each() as loop:
        to.put(b.fsub(b.fsub(planes.of(loop.index), most), log_total), loop.index)


def _l2_normalize(planes: _Planes, to: _Planes) -> None:
    b = planes.builder
    total = planes.variable(planes.constant(0))
    with planes.each() as loop:
        v = planes.of(loop.index)
        b.store(planes.multiply_add(v, v, b.load(total)), total)
    norm, least = planes.square_root(b.load(total)), planes.constant(_LEAST_NORM)
    # Written so that NaN passes.
    planes.divide_all(planes.where(planes.less(norm, least), least, norm), to)


_FUNCTIONS = {"softmax": _softmax, "log_softmax": _log_softmax, "l2_normalize": _l2_normalize}


@intrinsic
def _head_of_vector(typingctx, name, T, lanes, y, row, n, target, target_row):
    """A head but argmax of `lanes` pixels in `n` planes, written to `target`, which may be `y`."""
    if not isinstance(name, types.StringLiteral) or not isinstance(lanes, types.IntegerLiteral):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = context.get_value_type(T.dtype)
        dtype = np.float32 if element == ir.FloatType() else np.float64
        y, row, n, target, target_row = arguments[3:]
        y, target = (builder.inttoptr(p, ir.IntType(8).as_pointer()) for p in (y, target))
        planes, to = (
            _Planes(builder, dtype, element, lanes.literal_value, at, step, n)
            for at, step in ((y, row), (target, target_row))
        )
        _FUNCTIONS[name.literal_value](planes, to)
        return context.get_dummy_value()

    return types.none(name, T, lanes, *[types.int64] * 5), codegen


@intrinsic
def _argmax_of_vector(typingctx, T, label_type, lanes, y, row, n, target):
    """Dense labels of `lanes` pixels: the first of equal channels, or the first that is NaN."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        b, element = builder, context.get_value_type(T.dtype)
        dtype = np.float32 if element == ir.FloatType() else np.float64
        y, row, n, target = arguments[3:]
        y = b.inttoptr(y, ir.IntType(8).as_pointer())
        planes = _Planes(b, dtype, element, lanes.literal_value, y, row, n)
        best = planes.variable(planes.of(ir.Constant(n.type, 0)))
        label = planes.variable(planes.whole_constant(0))
        number = planes.variable(planes.whole_constant(0))
        with planes.each() as loop:
            v, before, k = planes.of(loop.index), b.load(best), b.load(number)
            # Not (v <= before), but for a NaN that is not the first.
            better = b.and_(b.fcmp_unordered(">", v, before), b.fcmp_ordered("==", before, before))
            b.store(planes.where(better, v, before), best)
            b.store(planes.where(better, k, b.load(label)), label)
            b.store(b.add(k, planes.whole_constant(1)), number)
        found = b.load(label)
        kind = ir.VectorType(context.get_value_type(label_type.dtype), lanes.literal_value)
        change = b.zext if kind.element.width > planes.whole.element.width else b.trunc
        found = found if kind == planes.whole else change(found, kind)
        b.store(found, b.inttoptr(target, kind.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.none(T, label_type, lanes, *[types.int64] * 4), codegen


@register_jitable(forceinline=True)
def _planes_at(T, size, lanes, own, q, p):
    """Where the planes of a vector of pixels lie, and the step between them.

    Pixels whose channels lie side by side are turned first.
    """
    if not q[SUMS_P]:
        return own[SUMS] + p * size, q[SUMS_ROW]
    buffer, row = own[BUFFER], lanes * size
    for k in range(0, own[K], lanes):
        source = own[SUMS] + p * q[SUMS_P] + k * size
        turn_block(T, lanes, 1, source, q[SUMS_P], buffer + k * row, row, lanes, lanes)
    return buffer, row


@register_jitable(forceinline=True)
def _put(T, size, lanes, y, row, channels, target, q, n):
    """`n` pixels of planes to an output that has no such planes."""
    step = q[Q_OUT_P]
    if q[Q_OUT_K] == size:
        for k in range(0, channels, lanes):
            there = min(lanes, channels - k)
            turn_block(T, lanes, 0, y + k * row, row, target + k * size, step, there, n)
    else:
        for k in range(channels):
            for j in range(n):
                store(load(T, y, k * row + j * size), target, k * q[Q_OUT_K] + j * step)


def _revision() -> int:
    return revision_of(numba_activations, numba_loops, numba_panels, numba_tile, numba_turn)


def compile_head(name: str, T: Any, lanes: int) -> Any:
    """A C function of a thread's `OWN_FIELDS` and of `PANEL_FIELDS`: a head but argmax."""
    size = np.dtype(T).itemsize
    revision = _revision()

    def head(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        n, channels, step = own[P], own[K], q[Q_OUT_P]
        for p in range(0, n, lanes):
            y, row = _planes_at(T, size, lanes, own, q, p)
            target, target_row, left = own[TARGET] + p * step, q[Q_OUT_K], min(lanes, n - p)
            in_place = step != size or left < lanes
            if in_place:
                target, target_row = y, row
            _head_of_vector(name, T, lanes, y, row, channels, target, target_row)
            if in_place:
                _put(T, size, lanes, y, row, channels, own[TARGET] + p * step, q, left)

    return compile_cached(cfunc, _SIGNATURE, head)


def compile_argmax(T: Any, lanes: int, label_type: Any) -> Any:
    """`compile_head` of argmax, for labels of unsigned integers of their size."""
    size, label_size = np.dtype(T).itemsize, np.dtype(label_type).itemsize
    buffer_size = lanes * label_size
    revision = _revision()

    def argmax(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        n, step = own[P], q[Q_OUT_P]
        buffer = stack(buffer_size)
        for p in range(0, n, lanes):
            y, row = _planes_at(T, size, lanes, own, q, p)
            target, left = own[TARGET] + p * step, min(lanes, n - p)
            if step == label_size and left == lanes:
                _argmax_of_vector(T, label_type, lanes, y, row, own[K], target)
            else:
                _argmax_of_vector(T, label_type, lanes, y, row, own[K], buffer)
                for j in range(left):
                    store(load(label_type, buffer, j * label_size), target, j * step)

    return compile_cached(cfunc, _SIGNATURE, argmax)


_SIGNATURE = types.void(types.CPointer(types.int64), types.CPointer(types.int64))
