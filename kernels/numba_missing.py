"""Missing data for Numba: which pixels of a panel miss a channel, and what they get instead."""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic

from . import numba_loops, numba_panels, numba_tile
from .numba_loops import AHEAD, X_C, X_P, C, P, X, compile_cached, revision_of
from .numba_panels import (
    FILL,
    FLAG,
    FLAGS,
    FOUND,
    LOST,
    MASK_C,
    MASK_CHANNELS,
    MASK_HERE,
    MASK_P,
    NANS,
    OUT_CHANNELS,
    OWN_FIELDS,
    PANEL_FIELDS,
    Q_OUT_K,
    Q_OUT_P,
    TARGET,
    VALUES,
)
from .numba_tile import Vectors, call, load, store

__all__ = ["compile_fill", "compile_find", "compile_flag"]


@intrinsic
def _misses_one(typingctx, x_type, lanes, x, n, values, nans):
    """Whether any of `n` dense elements is that of `values`, or NaN where that of `nans` is not 0.

    `values` and `nans` go on to whole vectors, with NaN and 0.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    width = lanes.literal_value

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(x_type.dtype)
        size = 4 if kind == ir.FloatType() else 8
        x, n, values, nans = arguments[2:]
        byte = ir.IntType(8).as_pointer()
        x, values, nans = (builder.inttoptr(p, byte) for p in (x, values, nans))
        vectors = Vectors(builder, kind, kind, width, width)
        bits = ir.VectorType(ir.IntType(1), width)
        found = cgutils.alloca_once_value(builder, ir.Constant(bits, [0] * width))
        zeros = ir.Constant(ir.VectorType(kind, width), [0.0] * width)

        def look(at: Any, mask: Any) -> None:
            v = vectors.vector(x, at, 0, mask, kind, size)
            value, nan = (vectors.vector(p, at, 0, None, kind, size) for p in (values, nans))
            same = builder.fcmp_ordered("==", v, value)
            missing = builder.fcmp_unordered("!=", v, v)
            missing = builder.and_(missing, builder.fcmp_ordered("!=", nan, zeros))
            hit = builder.or_(same, missing)
            builder.store(builder.or_(builder.load(found), hit), found)

        step = ir.Constant(n.type, width)
        whole = builder.sdiv(n, step)
        with cgutils.for_range(builder, whole) as loop:
            look(builder.mul(loop.index, ir.Constant(n.type, width * size)), None)
        done = builder.mul(whole, step)
        left = builder.sub(n, done)
        with builder.if_then(builder.icmp_signed(">", left, ir.Constant(n.type, 0))):
            look(builder.mul(done, ir.Constant(n.type, size)), vectors.masks(left))
        whole_bits = builder.bitcast(builder.load(found), ir.IntType(width))
        return builder.icmp_unsigned("!=", whole_bits, ir.Constant(whole_bits.type, 0))

    return types.boolean(x_type, lanes, *[types.int64] * 4), codegen


@intrinsic
def _flag_vector(typingctx, x_type, lanes, whole, x, x_c, n, values, nans, flags, width, ahead):
    """Flags of `lanes` pixels side by side, or of `width` of them, by `n` channels."""
    if not all(isinstance(value, types.IntegerLiteral) for value in (lanes, whole)):
        return None
    count = lanes.literal_value

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(x_type.dtype)
        size = 4 if kind == ir.FloatType() else 8
        x, x_c, n, values, nans, flags, width, ahead = arguments[3:]
        byte = ir.IntType(8)
        x, values, nans = (builder.inttoptr(p, byte.as_pointer()) for p in (x, values, nans))
        vectors = Vectors(builder, kind, kind, count, count)
        mask = None if whole.literal_value else vectors.masks(width)
        bits = ir.VectorType(ir.IntType(1), count)
        found = cgutils.alloca_once_value(builder, ir.Constant(bits, [0] * count))
        zero = ir.Constant(kind, 0.0)
        with cgutils.for_range(builder, n) as loop:
            at = builder.mul(loop.index, x_c)
            if whole.literal_value:
                vectors.prefetch(builder.gep(x, [builder.add(at, ahead)]))
            v = vectors.vector(x, at, 0, mask, kind, size)
            place = builder.mul(loop.index, ir.Constant(n.type, size))
            value, nan = (vectors.scalar(p, place) for p in (values, nans))
            same = builder.fcmp_ordered("==", v, vectors.splat(value, count))
            is_nan = builder.fcmp_ordered("!=", nan, zero)
            missing = builder.and_(builder.fcmp_unordered("!=", v, v), vectors.splat(is_nan, count))
            hit = builder.or_(same, missing)
            builder.store(builder.or_(builder.load(found), hit), found)
        eight = ir.VectorType(byte, count)
        value = builder.zext(builder.load(found), eight)
        # Flags go on to whole vectors.
        builder.store(value, builder.inttoptr(flags, eight.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.none(x_type, lanes, whole, *[types.int64] * 8), codegen


def _revision() -> int:
    return revision_of(numba_loops, numba_panels, numba_tile)


def compile_find() -> Any:
    """Flags the pixels that miss a channel, by a function of `compile_flag` and by the mask.

    As all here, a C function of a thread's `OWN_FIELDS` and of `PANEL_FIELDS`.
    """
    revision = _revision()

    def find(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        n, step, flags, found = own[P], q[MASK_P], own[FLAGS], own[FOUND]
        for j in range(n):
            store(np.uint8(0), flags, j)
        if q[FLAG]:
            call(q[FLAG], own.ctypes.data, q.ctypes.data)
        if own[MASK_HERE]:
            for c in range(q[MASK_CHANNELS]):
                row = own[MASK_HERE] + c * q[MASK_C]
                for j in range(n):
                    masked = load(np.uint8, row, j * step) != np.uint8(0)
                    store(np.uint8(load(np.uint8, flags, j) | masked), flags, j)
        count = 0
        for j in range(n):
            store(j, found, count * 8)
            count += 1 if load(np.uint8, flags, j) else 0
        own[LOST] = count

    return compile_cached(cfunc, _SIGNATURE, find)


def compile_fill(size: int) -> Any:
    """Fills the channels of the pixels that are flagged, of so many bytes."""
    kind = np.dtype(f"u{size}").type
    revision = _revision()

    def fill(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        value, step, found = kind(q[FILL]), q[Q_OUT_P], own[FOUND]
        for k in range(q[OUT_CHANNELS]):
            row = own[TARGET] + k * q[Q_OUT_K]
            for i in range(own[LOST]):
                store(value, row, load(np.int64, found, i * 8) * step)

    return compile_cached(cfunc, _SIGNATURE, fill)


_SIGNATURE = types.void(*[types.CPointer(types.int64)] * 2)


def compile_flag(x_type: Any, lanes: int) -> Any:
    """Flags the pixels that have, in a channel, the value that stands for none."""
    size = np.dtype(x_type).itemsize
    revision = _revision()

    def flag(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        n, x, x_c, x_p = own[P], own[X], own[X_C], own[X_P]
        flags = own[FLAGS]
        if x_c == size and own[C] > 1:
            for j in range(n):
                missing = _misses_one(x_type, lanes, x + j * x_p, own[C], q[VALUES], q[NANS])
                store(np.uint8(missing), flags, j)
            return
        if x_p == size:
            whole = n // lanes * lanes
            for p in range(0, whole, lanes):
                _flag_vector(
                    x_type, lanes, 1, x + p * size, x_c, own[C], q[VALUES], q[NANS],
                    flags + p, lanes, own[AHEAD],
                )  # fmt: skip
            if whole < n:
                _flag_vector(
                    x_type, lanes, 0, x + whole * size, x_c, own[C], q[VALUES], q[NANS],
                    flags + whole, n - whole, 0,
                )  # fmt: skip
            return
        for c in range(own[C]):
            value = load(x_type, q[VALUES], c * size)
            is_nan = load(x_type, q[NANS], c * size) != x_type(0)
            if value != value and not is_nan:
                continue  # every value counts
            row = x + c * x_c
            for j in range(n):
                v = load(x_type, row, j * x_p)
                if (v != v) if is_nan else (v == value):
                    store(np.uint8(1), flags, j)

    return compile_cached(cfunc, _SIGNATURE, flag)
