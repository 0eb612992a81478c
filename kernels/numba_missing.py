"""Missing data for Numba: which pixels of a panel miss a channel, by the values of x."""

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

from . import numba_tile
from .numba_loops import AHEAD, X_C, X_P, C, P, X, compile_cached, revision_of
from .numba_panels import FLAGS, NANS, OWN_FIELDS, PANEL_FIELDS, VALUES
from .numba_tile import Vectors, load, pointer

__all__ = ["compile_flag"]


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


def compile_flag(x_type: Any, lanes: int) -> Any:
    """A C function of a thread's `OWN_FIELDS` and of `PANEL_FIELDS`."""
    size = np.dtype(x_type).itemsize
    revision = revision_of(numba_tile)

    def flag(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        n, x, x_c, x_p = own[P], own[X], own[X_C], own[X_P]
        flags = carray(pointer(np.uint8, own[FLAGS]), (1,))
        if x_c == size and own[C] > 1:
            for j in range(n):
                flags[j] = _misses_one(x_type, lanes, x + j * x_p, own[C], q[VALUES], q[NANS])
            return
        if x_p == size:
            whole = n // lanes * lanes
            for p in range(0, whole, lanes):
                _flag_vector(
                    x_type, lanes, 1, x + p * size, x_c, own[C], q[VALUES], q[NANS],
                    own[FLAGS] + p, lanes, own[AHEAD],
                )  # fmt: skip
            if whole < n:
                _flag_vector(
                    x_type, lanes, 0, x + whole * size, x_c, own[C], q[VALUES], q[NANS],
                    own[FLAGS] + whole, n - whole, 0,
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
                flags[j] |= (v != v) if is_nan else (v == value)

    return compile_cached(cfunc, types.void(*[types.CPointer(types.int64)] * 2), flag)
