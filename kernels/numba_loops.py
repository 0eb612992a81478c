"""What Numba compiles and keeps in its cache: the loops round a tile of `numba_tile`, their launch.

Compiling takes 0.6 to 1.3 s for a worker (one for each pair of dtypes and kind of tile), 0.1 to
0.4 s for an activation and 0.2 s for the parallel loop, and the first of them 0.5 s more to import
Numba. From the cache each takes about 10 ms.
"""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, prange, types
from numba.extending import register_jitable

from . import numba_tile
from .numba_tile import call, claim, load, multiply_add_tile, stack, store, whole_row

__all__ = [
    "FIELDS",
    "OPTIONS",
    "compile_cached",
    "compile_launch",
    "compile_worker",
    "revision_of",
]

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

#: What a worker is told: an array of int64. The outer axes follow: extents, then steps of x, of
#: the output and of the residual. `claimed` counts the chunks that threads have taken.
FIELDS = (
    "claimed", "chunk_strips", "x", "weights", "residual", "out",
    "strips", "C", "K", "P", "groups", "blocks", "block_bytes",
    "x_c", "x_p", "out_k", "out_p", "residual_k", "residual_p",
    "direct", "ahead", "activation", "a", "b", "scale", "offset", "outer_axes",
)  # fmt: skip
(
    CLAIMED, CHUNK_STRIPS, X, WEIGHTS, RESIDUAL, OUT,
    STRIPS, C, K, P, GROUPS, BLOCKS, BLOCK_BYTES,
    X_C, X_P, OUT_K, OUT_P, RESIDUAL_K, RESIDUAL_P,
    DIRECT, AHEAD, ACTIVATION, A, B, SCALE, OFFSET, OUTER_AXES,
) = range(len(FIELDS))  # fmt: skip

#: Tiles between two looks at the outer axes.
STRIP = 16


@register_jitable(forceinline=True)
def _add_row(kind, size, n, source, step, target):
    for j in range(n):
        store(load(kind, target, j * size) + load(kind, source, j * step), target, j * size)


@register_jitable(forceinline=True)
def _copy_row(kind, size, n, source, target, step):
    for j in range(n):
        store(load(kind, source, j * size), target, j * step)


def revision_of(*modules: ModuleType) -> int:
    """A number that changes with the sources of `modules`.

    Numba renews a cached function if the file that holds it has changed, or a value that it takes
    from the function around it; it does not look at other files.
    """
    try:
        return zlib.crc32(b"".join(Path(str(one.__file__)).read_bytes() for one in modules))
    except OSError:  # without sources nothing is cached
        return 0


def _revision() -> int:
    return revision_of(numba_tile)


def compile_worker(
    x_type: Any, t_type: Any, planar: int, dense: int, R: int, N: int, lanes: int, affine: int
) -> Any:
    """The loops round one kind of tile: a C function of `FIELDS` and the number of a thread.

    It works off chunks of strips until none is left unclaimed; a strip is `STRIP` tiles wide.
    """
    size = np.dtype(t_type).itemsize
    x_size = np.dtype(x_type).itemsize
    affine_size = max(size, x_size)
    row_bytes, tile_bytes = N * size, R * N * size
    pixels_of_tile, filters_of_tile = (N, R) if planar else (R, N)
    strip_pixels = STRIP * pixels_of_tile
    revision = _revision()

    def worker(fields, _):
        _ = revision
        q = carray(fields, (len(FIELDS) + 256,))
        scratch = stack(tile_bytes)
        C_group, K_group = q[C] // q[GROUPS], q[K] // q[GROUPS]
        outer_axes = q[OUTER_AXES]
        # A constant, where it can be, lets LLVM unroll without more pointers.
        x_c = x_size if dense else q[X_C]
        row_strips = (q[P] + strip_pixels - 1) // strip_pixels
        strips_of_group = q[STRIPS] // q[GROUPS]
        while True:
            first = claim(q.ctypes.data) * q[CHUNK_STRIPS]
            if first >= q[STRIPS]:
                break
            for strip in range(first, min(first + q[CHUNK_STRIPS], q[STRIPS])):
                group = strip // strips_of_group
                index = strip % strips_of_group
                p_first = index % row_strips * strip_pixels
                index //= row_strips
                x = q[X] + group * C_group * q[X_C]
                y = q[OUT] + group * K_group * q[OUT_K]
                r = q[RESIDUAL] + group * K_group * q[RESIDUAL_K]
                scale = q[SCALE] + group * C_group * affine_size
                offset = q[OFFSET] + group * C_group * affine_size
                for i in range(outer_axes):
                    at = len(FIELDS) + outer_axes - 1 - i
                    place = index % q[at]
                    index //= q[at]
                    x += place * q[at + outer_axes]
                    y += place * q[at + 2 * outer_axes]
                    r += place * q[at + 3 * outer_axes]
                for p in range(p_first, min(p_first + strip_pixels, q[P]), pixels_of_tile):
                    pixels = min(pixels_of_tile, q[P] - p)
                    for block in range(q[BLOCKS]):
                        k = block * filters_of_tile
                        filters = min(filters_of_tile, K_group - k)
                        weights = q[WEIGHTS] + (group * q[BLOCKS] + block) * q[BLOCK_BYTES]
                        xt = x + p * q[X_P]
                        yt = y + k * q[OUT_K] + p * q[OUT_P]
                        if planar:
                            rows, width, out_row, out_step = filters, pixels, q[OUT_K], q[OUT_P]
                        else:
                            rows, width, out_row, out_step = pixels, filters, q[OUT_P], q[OUT_K]
                        if q[DIRECT]:
                            target, target_row = yt, out_row
                        else:
                            target, target_row = scratch, row_bytes
                        if rows < R or width < N:
                            multiply_add_tile(
                                x_type, t_type, planar, affine, R, N, lanes, 0, 0, xt, q[X_P], x_c,
                                weights, C_group, 0, target, target_row, rows, width,
                                scale, offset,
                            )  # fmt: skip
                        elif planar and block == 0:
                            multiply_add_tile(
                                x_type, t_type, planar, affine, R, N, lanes, 1, 1, xt, q[X_P], x_c,
                                weights, C_group, q[AHEAD], target, target_row, rows, width,
                                scale, offset,
                            )  # fmt: skip
                        else:
                            multiply_add_tile(
                                x_type, t_type, planar, affine, R, N, lanes, 1, 0, xt, q[X_P], x_c,
                                weights, C_group, 0, target, target_row, rows, width,
                                scale, offset,
                            )  # fmt: skip
                        if q[DIRECT]:
                            continue
                        if q[RESIDUAL]:
                            rt = r + k * q[RESIDUAL_K] + p * q[RESIDUAL_P]
                            r_row = q[RESIDUAL_K] if planar else q[RESIDUAL_P]
                            r_step = q[RESIDUAL_P] if planar else q[RESIDUAL_K]
                            for i in range(rows):
                                target, source = scratch + i * row_bytes, rt + i * r_row
                                if width == N and r_step == size:
                                    whole_row(t_type, N, lanes, 1, source, target)
                                else:
                                    _add_row(t_type, size, width, source, r_step, target)
                        if q[ACTIVATION]:
                            call(q[ACTIVATION], scratch, q.ctypes.data)
                        for i in range(rows):
                            source, target = scratch + i * row_bytes, yt + i * out_row
                            if width == N and out_step == size:
                                whole_row(t_type, N, lanes, 0, source, target)
                            else:
                                _copy_row(t_type, size, width, source, target, out_step)

    return compile_cached(cfunc, types.void(types.CPointer(types.int64), types.int64), worker)


def compile_launch() -> Any:
    """Run a worker `n` times at once on Numba's threads."""

    revision = _revision()

    def launch(worker, fields, n):
        _ = revision
        for i in prange(n):
            call(worker, fields, i)

    return compile_cached(njit, types.void(*[types.int64] * 3), launch, parallel=True)


def compile_cached(
    decorator: Callable[..., Any], signature: Any, function: Any, **options: Any
) -> Any:
    """Compile, or load from Numba's cache, which is not to be had where no folder is writable."""
    try:
        return decorator(signature, cache=True, **OPTIONS, **options)(function)
    except (RuntimeError, OSError):
        return decorator(signature, **OPTIONS, **options)(function)
