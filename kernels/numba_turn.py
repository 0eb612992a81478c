"""Transposed blocks in LLVM's IR: pixels of channels side by side to planes, and back."""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .numba_tile import Vectors

__all__ = ["turn_block"]


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of as many vectors as each has elements: halves change places, then quarters."""
    n = len(rows)
    step = n // 2
    kind = ir.VectorType(ir.IntType(32), n)
    while step:
        upper = [c if not c & step else n + c - step for c in range(n)]
        lower = [c + step if not c & step else n + c for c in range(n)]
        for i in range(n):
            if not i & step:
                a, b = rows[i], rows[i + step]
                rows[i] = builder.shuffle_vector(a, b, ir.Constant(kind, upper))
                rows[i + step] = builder.shuffle_vector(a, b, ir.Constant(kind, lower))
        step //= 2
    return rows


@intrinsic
def turn_block(typingctx, T, lanes, whole, source, source_row, target, target_row, rows, columns):
    """Elements (i, j) of `source` to (j, i) of `target`, `lanes` rows of as many.

    All of them exist in `source`. Unless the block is `whole`, only `columns` rows of `rows`
    elements exist in `target`.
    """
    if not all(isinstance(value, types.IntegerLiteral) for value in (lanes, whole)):
        return None
    n = lanes.literal_value

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(T.dtype)
        size = 4 if kind == ir.FloatType() else 8
        source, source_row, target, target_row, rows, columns = arguments[3:]
        source, target = (builder.inttoptr(p, ir.IntType(8).as_pointer()) for p in (source, target))
        vectors = Vectors(builder, kind, kind, n, n)
        numbers = [ir.Constant(rows.type, i) for i in range(n)]
        read = [
            vectors.vector(source, builder.mul(i, source_row), 0, None, kind, size) for i in numbers
        ]
        turned = _transposed(builder, read)
        mask = None if whole.literal_value else vectors.masks(rows)[0]
        for j, value in zip(numbers, turned, strict=True):
            at = builder.mul(j, target_row)
            if mask is None:
                vectors.store(value, target, at, None)
            else:
                with builder.if_then(builder.icmp_signed("<", j, columns)):
                    vectors.store(value, target, at, mask)
        return context.get_dummy_value()

    return types.none(T, lanes, whole, *[types.int64] * 6), codegen
