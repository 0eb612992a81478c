"""What Numba compiles for problems with heads or missing data: the loop over panels of pixels.

A panel is so small that its sums stay in cache. A worker of `numba_loops` computes them as it does
those of any problem: into scratch where there is a head, which then makes the output of them, else
into the output itself. Pixels of which data are missing are found before and filled after that. All
that depends on dtypes is called by address, so that this loop is compiled once.
"""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, cfunc, types

from . import numba_loops, numba_tile
from .numba_loops import (
    CHUNK_STRIPS,
    CLAIMED,
    FIELDS,
    OUT,
    RESIDUAL,
    STRIPS,
    WEIGHTS,
    P,
    X,
    compile_cached,
    revision_of,
)
from .numba_tile import call, claim, pointer

__all__ = ["OWN_FIELDS", "PANEL_FIELDS", "ROUND", "compile_panels"]

#: Panels have room for a multiple of so many pixels: whole vectors. A pixel is always part of one,
#: and so has the same bits wherever a panel ends.
ROUND = 64

#: What the loop is told: an array of int64. The outer axes follow: extents, then steps of x, of the
#: output, of the residual and of the mask.
PANEL_FIELDS = (
    "claimed", "chunk_panels", "x", "weights", "residual", "out", "mask", "scratch",
    "panels", "row_pixels", "room", "strip_pixels", "scratch_bytes", "flags_at", "sums_at",
    "template", "worker", "head", "find", "flag", "put_fill", "values", "nans", "fill",
    "out_channels", "x_p", "residual_p", "out_k", "out_p", "mask_c", "mask_p", "mask_channels",
    "sums_row", "sums_p", "buffer_at", "outer_axes",
)  # fmt: skip
(
    Q_CLAIMED, CHUNK_PANELS, Q_X, Q_WEIGHTS, Q_RESIDUAL, Q_OUT, MASK, SCRATCH,
    PANELS, ROW_PIXELS, ROOM, STRIP_PIXELS, SCRATCH_BYTES, FLAGS_AT, SUMS_AT,
    TEMPLATE, WORKER, HEAD, FIND, FLAG, PUT_FILL, VALUES, NANS, FILL,
    OUT_CHANNELS, Q_X_P, Q_RESIDUAL_P, Q_OUT_K, Q_OUT_P, MASK_C, MASK_P, MASK_CHANNELS,
    SUMS_ROW, SUMS_P, BUFFER_AT, Q_OUTER_AXES,
) = range(len(PANEL_FIELDS))  # fmt: skip

#: What a thread has of its own at the start of its scratch: the fields of the worker for one panel;
#: addresses of the flags of pixels, bytes, and of the numbers of the flagged ones; of sums and
#: of a buffer for a head; of the output and the mask of the panel; how many pixels are flagged.
OWN_FIELDS = (*FIELDS, "flags", "found", "sums", "buffer", "target", "mask", "lost")
FLAGS, FOUND, SUMS, BUFFER, TARGET, MASK_HERE, LOST = range(len(FIELDS), len(OWN_FIELDS))


def compile_panels() -> Any:
    """The loop over panels: a C function of `PANEL_FIELDS` and the number of a thread."""
    revision = revision_of(numba_loops, numba_tile)
    n_fields, n_own = len(FIELDS), len(OWN_FIELDS)

    def panels(fields, thread):
        _ = revision
        q = carray(fields, (len(PANEL_FIELDS) + 320,))
        scratch = q[SCRATCH] + thread * q[SCRATCH_BYTES]
        own = carray(pointer(np.int64, scratch), (n_own,))
        template = carray(pointer(np.int64, q[TEMPLATE]), (n_fields,))
        for i in range(n_fields):
            own[i] = template[i]
        own[WEIGHTS] = q[Q_WEIGHTS]
        own[FLAGS], own[SUMS] = scratch + q[FLAGS_AT], scratch + q[SUMS_AT]
        own[FOUND], own[BUFFER] = own[FLAGS] + q[ROOM], scratch + q[BUFFER_AT]
        row_panels = (q[ROW_PIXELS] + q[ROOM] - 1) // q[ROOM]
        while True:
            first = claim(q.ctypes.data) * q[CHUNK_PANELS]
            if first >= q[PANELS]:
                break
            for panel in range(first, min(first + q[CHUNK_PANELS], q[PANELS])):
                p = panel % row_panels * q[ROOM]
                n = min(q[ROOM], q[ROW_PIXELS] - p)
                x, y = q[Q_X] + p * q[Q_X_P], q[Q_OUT] + p * q[Q_OUT_P]
                r, mask = q[Q_RESIDUAL] + p * q[Q_RESIDUAL_P], q[MASK] + p * q[MASK_P]
                index = panel // row_panels
                axes = q[Q_OUTER_AXES]
                for i in range(axes):
                    at = len(PANEL_FIELDS) + axes - 1 - i
                    place = index % q[at]
                    index //= q[at]
                    x += place * q[at + axes]
                    y += place * q[at + 2 * axes]
                    r += place * q[at + 3 * axes]
                    mask += place * q[at + 4 * axes]
                own[X], own[P], own[TARGET] = x, n, y
                own[OUT] = own[SUMS] if q[HEAD] else y
                own[RESIDUAL] = r if q[Q_RESIDUAL] else 0
                own[LOST] = 0
                if q[FIND]:
                    own[MASK_HERE] = mask if q[MASK] else 0
                    call(q[FIND], scratch, q.ctypes.data)
                if own[LOST] < n:
                    strips = (n + q[STRIP_PIXELS] - 1) // q[STRIP_PIXELS]
                    own[CLAIMED], own[CHUNK_STRIPS], own[STRIPS] = 0, strips, strips
                    call(q[WORKER], scratch, 0)
                    if q[HEAD]:
                        call(q[HEAD], scratch, q.ctypes.data)
                if own[LOST] > 0:
                    call(q[PUT_FILL], scratch, q.ctypes.data)

    return compile_cached(cfunc, types.void(types.CPointer(types.int64), types.int64), panels)
