"""Arrays that end, or begin, at a page without access.

Run as a program by `test_guard`: a stray read kills the process, and the last line printed
names the case.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from exact import fma_chain
from support import Array, problem_of

from pointwise_fast.kernels import c_simd

PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Guarded:
    """Pages of memory between two pages without access."""

    def __init__(self, size: int) -> None:
        self._inside = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        pages = np.frombuffer(mmap.mmap(-1, self._inside + 2 * mmap.PAGESIZE), np.uint8)
        for start in (0, mmap.PAGESIZE + self._inside):
            address = pages.ctypes.data + start
            if _libc.mprotect(address, mmap.PAGESIZE, PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        self._pages = pages

    def array(self, values: Array, strides: tuple[int, ...], at_end: bool) -> Array:
        """`values`, flush against the page after them or the page before them."""
        reach = [(n - 1) * s for n, s in zip(values.shape, strides, strict=True)]
        below = -sum(r for r in reach if r < 0)
        size = below + sum(r for r in reach if r > 0) + values.itemsize
        start = mmap.PAGESIZE + below + (self._inside - size if at_end else 0)
        array: Array = np.ndarray(values.shape, values.dtype, self._pages, start, strides)
        array[...] = values
        return array


def strides_of(layout: str, n: int, P: int, item: int) -> tuple[int, int]:
    return {
        "planar": (P * item, item),
        "interleaved": (item, n * item),
        "strided": (2 * P * item, 2 * item),
        "backwards": (-P * item, -item),
        "padded": (P * item + 5, item),
        "records": (item, n * item + 3),
    }[layout]


LAYOUTS = ("planar", "interleaved", "strided", "backwards", "padded", "records")


def cases(isa: str, rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """K, C, P, dtype, layouts of x and y, residual: every P and every K, on both sides."""
    share = 4 if isa == "scalar" else 1
    found: list[tuple[Any, ...]] = []
    for dtype in (np.float32, np.float64):
        for x_layout in LAYOUTS:
            for y_layout in LAYOUTS:
                some = share if x_layout == y_layout else 6 * share
                for i in range(1, 71, some):
                    C = int(rng.choice([1, 2, 3, 4, 5, 8, 13, 50]))
                    K = int(rng.integers(1, 41))
                    residual = bool(rng.integers(2))
                    found.append((K, C, i, dtype, x_layout, y_layout, residual))
                    found.append((i, C, K, dtype, x_layout, y_layout, residual))
        for C, P in ((257, 65), (600, 9), (3, 4099), (1030, 3)):
            found += [(7, C, P, dtype, layout, layout, False) for layout in LAYOUTS[:2]]
    return found


def draw_dtypes(dtype: Any, rng: np.random.Generator) -> list[np.dtype[Any]]:
    """Dtypes of x, residual and out: `dtype` in either byte order; x may have a shorter one too."""
    orders = rng.choice(["=", "S"], 3) if rng.integers(2) else "==="
    kinds = [rng.choice([dtype, np.int16, np.int32]) if orders[0] == "S" else dtype, dtype, dtype]
    return [np.dtype(kind).newbyteorder(o) for kind, o in zip(kinds, orders, strict=True)]


def main(isa: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rooms = [Guarded(1 << 19) for _ in range(5)]
    done = 0
    for case in cases(isa, rng):
        K, C, P, dtype, x_layout, y_layout, has_residual = case
        item = np.dtype(dtype).itemsize
        values = [rng.standard_normal(s).astype(dtype) for s in ((C, P), (K, C), K, (K, P))]
        x_dtype, r_dtype, y_dtype = draw_dtypes(dtype, rng)
        if x_dtype.kind != "f":
            values[0] = rng.integers(-99, 99, (C, P)).astype(dtype)
        expected = fma_chain(*(values[i] for i in (1, 0, 2)))
        if has_residual:
            expected = expected + values[3]
        for at_end in (True, False):
            print(isa, *case, x_dtype, r_dtype, y_dtype, "end" if at_end else "start", flush=True)
            y_strides = strides_of(y_layout, K, P, item)
            nothing: npt.NDArray[Any] = np.full((K, P), np.nan, y_dtype)
            x_strides = strides_of(x_layout, C, P, x_dtype.itemsize)
            x = rooms[0].array(values[0].astype(x_dtype), x_strides, at_end)
            weight = rooms[1].array(values[1], (C * item, item), at_end)
            bias = rooms[2].array(values[2], (item,), at_end)
            R = values[3].astype(r_dtype)
            residual = rooms[3].array(R, y_strides, at_end) if has_residual else None
            out = rooms[4].array(nothing, y_strides, at_end)
            plan = c_simd.CPlan(problem_of(x, weight, bias, residual, out), isa)
            plan.conv(weight, bias, x, residual, out, 1 + done % 2)
            assert np.array_equal(out, expected)
            out[...] = np.nan
            plan.run(plan.pack(weight, bias), x, residual, out, 1)
            assert np.array_equal(out, expected)
            done += 1
    print("cases:", done)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
