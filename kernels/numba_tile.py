"""The tile of multiply-adds in LLVM's IR, and the intrinsics that loops round it are made of."""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "Vectors",
    "call",
    "claim",
    "load",
    "multiply_add_tile",
    "pointer",
    "stack",
    "store",
    "whole_row",
    "widths",
]

_BYTE = ir.IntType(8)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


def widths(N: int, lanes: int) -> list[int]:
    """The vectors that cover `N` elements: full ones, then ever smaller powers of two.

    Examples
    --------
    >>> widths(20, 16), widths(44, 16)
    ([16, 4], [16, 16, 8, 4])
    """
    found = [lanes] * (N // lanes)
    rest = N % lanes
    while rest:
        lanes //= 2
        if rest >= lanes:
            found.append(lanes)
            rest -= lanes
    return found


class Vectors:
    """Writes LLVM's IR for rows of N elements as vectors; see `multiply_add_tile`."""

    def __init__(self, builder: Any, a: Any, t: Any, N: int, lanes: int) -> None:
        self.builder = builder
        self.a, self.t = a, t
        self.widths = widths(N, lanes)
        self.starts = [sum(self.widths[:j]) for j in range(len(self.widths))]

    def pointer(self, base: Any, offset: Any, to: Any) -> Any:
        address = self.builder.gep(base, [offset])
        return self.builder.bitcast(address, to.as_pointer())

    def convert(self, value: Any, source: Any, target: Any) -> Any:
        return value if source == self.t else self.change(value, source, target)

    def change(self, value: Any, source: Any, target: Any) -> Any:
        if value.type == target:
            return value
        change = self.builder.fpext if source == ir.FloatType() else self.builder.fptrunc
        return change(value, target)

    def affine(self, value: Any, source: Any, by: Any, plus: Any) -> Any:
        """``by * value + plus``, rounded once in the dtype of `by`, then to that of the sums."""
        wide, narrow = by.type, self.t
        if hasattr(value.type, "count"):
            width = value.type.count
            wide, narrow = (ir.VectorType(kind, width) for kind in (wide, narrow))
            by, plus = self.splat(by, width), self.splat(plus, width)
        value = self.change(value, source, wide)
        f = self.declare(f"llvm.fma.{_mangled(wide)}", wide, [wide] * 3)
        return self.change(self.builder.call(f, [by, value, plus]), plus.type, narrow)

    def splat(self, scalar: Any, width: int) -> Any:
        vector = ir.VectorType(scalar.type, width)
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, width), [0] * width)
        return self.builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    def scalar(self, base: Any, offset: Any) -> Any:
        value = self.builder.load(self.pointer(base, offset, self.a), align=1)
        return self.convert(value, self.a, self.t)

    def vector(
        self, base: Any, offset: Any, j: int, mask: Any, element: Any, size: int, raw: bool = False
    ) -> Any:
        kind = ir.VectorType(element, self.widths[j])
        offset = self.builder.add(offset, _I64(self.starts[j] * size))
        address = self.pointer(base, offset, kind)
        if mask is None:
            value = self.builder.load(address, align=1)
        else:
            zeros = ir.Constant(kind, [0.0] * self.widths[j])
            load = self.masked("load", kind, [kind.as_pointer(), _I32, mask[j].type, kind])
            value = self.builder.call(load, [address, _I32(1), mask[j], zeros])
        if raw:
            return value
        return self.convert(value, element, ir.VectorType(self.t, self.widths[j]))

    def store(self, value: Any, base: Any, offset: Any, mask: Any) -> None:
        address = self.pointer(base, offset, value.type)
        if mask is None:
            self.builder.store(value, address, align=1)
        else:
            kind = value.type
            arguments = [kind, kind.as_pointer(), _I32, mask.type]
            call = self.masked("store", kind, arguments)
            self.builder.call(call, [value, address, _I32(1), mask])

    def masks(self, width: Any) -> list[Any]:
        """For each vector, which of its lanes lie below `width`."""
        found = []
        limit = self.builder.trunc(width, _I32)
        for start, n in zip(self.starts, self.widths, strict=True):
            lane = ir.Constant(ir.VectorType(_I32, n), [start + i for i in range(n)])
            found.append(self.builder.icmp_signed("<", lane, self.splat(limit, n)))
        return found

    def masked(self, what: str, kind: Any, arguments: list[Any]) -> Any:
        result = kind if what == "load" else ir.VoidType()
        name = f"llvm.masked.{what}.{_mangled(kind)}.p0"
        return self.declare(name, result, arguments)

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        f = self.declare(f"llvm.fmuladd.{_mangled(x.type)}", x.type, [x.type] * 3)
        return self.builder.call(f, [x, y, z])

    def square_root(self, x: Any) -> Any:
        f = self.declare(f"llvm.sqrt.{_mangled(x.type)}", x.type, [x.type])
        return self.builder.call(f, [x])

    def prefetch(self, address: Any) -> None:
        f = self.declare("llvm.prefetch.p0", ir.VoidType(), [_BYTE.as_pointer(), _I32, _I32, _I32])
        self.builder.call(f, [address, _I32(0), _I32(3), _I32(1)])

    def declare(self, name: str, result: Any, arguments: list[Any]) -> Any:
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)


def _mangled(vector: Any) -> str:
    """How LLVM names a type, a vector or not."""
    lanes = f"v{vector.count}" if hasattr(vector, "count") else ""
    return f"{lanes}f{32 if getattr(vector, 'element', vector) == ir.FloatType() else 64}"


@intrinsic
def multiply_add_tile(
    typingctx, x_type, t_type, planar, affine, R, N, lanes, whole, fetch,
    x, x_row, x_c, weights, C, ahead, out, out_row, rows, width, scale, offset,
):  # fmt: skip
    """``out[i, j] = bias + sum over c``, R x N sums held in registers.

    Each step in c is an outer product of R scalars and N elements of vectors.

    ========== ======================= ===========================
    ..         planar                  interleaved
    ========== ======================= ===========================
    scalars    weights of R filters    x of R pixels
    vectors    x of N pixels           weights of N filters
    ========== ======================= ===========================

    Packed weights hold the bias, then C rows; addresses and steps are in bytes. The rows of
    `out` are dense. Unless the tile is `whole`, only `rows` rows of `width` elements exist, and no
    more is read or written. If `fetch`, cache lines of x are prefetched `ahead` bytes on. If
    `affine`, ``scale[c] * x + offset[c]`` takes the place of x, in the wider of the two dtypes.
    """
    literal = [planar, affine, R, N, lanes, whole, fetch]
    if not all(isinstance(value, types.IntegerLiteral) for value in literal):
        return None
    is_planar, is_affine, R_, N_, lanes_, is_whole, fetches = (
        value.literal_value for value in literal
    )

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x_element = context.get_value_type(x_type.dtype)
        t = context.get_value_type(t_type.dtype)
        x_size, t_size = (4 if e == ir.FloatType() else 8 for e in (x_element, t))
        x, x_row, x_c, weights, C, ahead, out, out_row, rows, width, scale, offset = arguments[9:]
        x, weights, out, scale, offset = (
            builder.inttoptr(p, _BYTE.as_pointer()) for p in (x, weights, out, scale, offset)
        )
        tile = Vectors(builder, t if is_planar else x_element, t, N_, lanes_)
        wide, wide_size = (t, t_size) if t_size > x_size else (x_element, x_size)
        vectors = range(len(tile.widths))
        mask = None if is_whole else tile.masks(width)
        zero = _I64(0)

        if is_planar:
            bias = [tile.scalar(weights, _I64(i * t_size)) for i in range(R_)]
            start = [[tile.splat(b, w) for w in tile.widths] for b in bias]
            bases, steps = [weights] * R_, [_I64(i * t_size) for i in range(R_)]
        else:
            row = [tile.vector(weights, zero, j, None, t, t_size) for j in vectors]
            start = [row] * R_
            # Rows past the last read it again, and are not written.
            last = builder.sub(rows, _I64(1))
            index = [_I64(i) for i in range(R_)]
            if not is_whole:
                index = [builder.select(builder.icmp_signed("<", i, last), i, last) for i in index]
            bases, steps = [x] * R_, [builder.mul(i, x_row) for i in index]

        # LLVM keeps them in registers.
        sums = [[cgutils.alloca_once_value(builder, s) for s in row] for row in start]
        with cgutils.for_range(builder, C) as loop:
            x_at = builder.mul(loop.index, x_c)
            row_bytes = _I64((R_ if is_planar else N_) * t_size)
            w_at = builder.mul(builder.add(loop.index, _I64(1)), row_bytes)
            if fetches:
                for line in range(0, N_ * x_size, 64):
                    at = builder.add(builder.add(x_at, ahead), _I64(line))
                    tile.prefetch(builder.gep(x, [at]))
            if is_affine:
                at = builder.mul(loop.index, _I64(wide_size))
                by, plus = (
                    builder.load(tile.pointer(p, at, wide), align=1) for p in (scale, offset)
                )
            if is_planar:
                vs = [
                    tile.vector(x, x_at, j, mask, x_element, x_size, bool(is_affine))
                    for j in vectors
                ]
                if is_affine:
                    vs = [tile.affine(v, x_element, by, plus) for v in vs]
            else:
                vs = [tile.vector(weights, w_at, j, None, t, t_size) for j in vectors]
            for i in range(R_):
                at = builder.add(w_at if is_planar else x_at, steps[i])
                if is_affine and not is_planar:
                    value = builder.load(tile.pointer(bases[i], at, x_element), align=1)
                    s = tile.affine(value, x_element, by, plus)
                else:
                    s = tile.scalar(bases[i], at)
                for j, w in enumerate(tile.widths):
                    old = builder.load(sums[i][j])
                    builder.store(tile.multiply_add(tile.splat(s, w), vs[j], old), sums[i][j])

        for i in range(R_):
            exists = builder.icmp_signed("<", _I64(i), rows)
            with nullcontext() if is_whole else builder.if_then(exists):
                base = builder.gep(out, [builder.mul(_I64(i), out_row)])
                for j in vectors:
                    at = _I64(tile.starts[j] * t_size)
                    tile.store(
                        builder.load(sums[i][j]), base, at, None if mask is None else mask[j]
                    )
        return context.get_dummy_value()

    integers = [types.int64] * 12
    return types.none(x_type, t_type, *literal, *integers), codegen


@intrinsic
def whole_row(typingctx, t_type, N, lanes, adds, source, target):
    """Copy N dense elements, or add them to `target`, as vectors: LLVM fears that they overlap."""
    literal = [N, lanes, adds]
    if not all(isinstance(value, types.IntegerLiteral) for value in literal):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        t = context.get_value_type(t_type.dtype)
        size = 4 if t == ir.FloatType() else 8
        tile = Vectors(builder, t, t, N.literal_value, lanes.literal_value)
        source, target = (builder.inttoptr(p, _BYTE.as_pointer()) for p in arguments[4:])
        for j, start in enumerate(tile.starts):
            value = tile.vector(source, _I64(0), j, None, t, size)
            if adds.literal_value:
                value = builder.fadd(tile.vector(target, _I64(0), j, None, t, size), value)
            tile.store(value, target, _I64(start * size), None)
        return context.get_dummy_value()

    return types.none(t_type, *literal, types.int64, types.int64), codegen


@intrinsic
def stack(typingctx, size):
    """The address of `size` bytes on the stack, aligned to a cache line."""
    if not isinstance(size, types.IntegerLiteral):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = cgutils.alloca_once(builder, ir.ArrayType(_BYTE, size.literal_value))
        memory.align = 64
        return builder.ptrtoint(memory, _I64)

    return types.int64(size), codegen


@intrinsic
def pointer(typingctx, kind, address):
    """An address as one of elements of type `kind`."""
    found = types.CPointer(kind.dtype)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[1], context.get_value_type(found))

    return found(kind, types.int64), codegen


@intrinsic
def load(typingctx, kind, base, offset):
    """The element of type `kind` at any address."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.gep(builder.inttoptr(arguments[1], _BYTE.as_pointer()), [arguments[2]])
        element = context.get_value_type(signature.return_type)
        return builder.load(builder.bitcast(address, element.as_pointer()), align=1)

    return kind.dtype(kind, types.int64, types.int64), codegen


@intrinsic
def store(typingctx, value, base, offset):
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, base, offset = arguments
        address = builder.gep(builder.inttoptr(base, _BYTE.as_pointer()), [offset])
        builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.none(value, types.int64, types.int64), codegen


@intrinsic
def claim(typingctx, counter):
    """The value at an address, which goes up by one: no other thread gets the same."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.atomic_rmw("add", pointer, _I64(1), "monotonic")

    return types.int64(types.int64), codegen


@intrinsic
def call(typingctx, function, first, second):
    """Call a compiled ``void f(int64, int64)`` by its address."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64, _I64])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), codegen
