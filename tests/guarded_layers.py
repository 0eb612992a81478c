"""Chains and branches on arrays between pages without access.

Run as a program by `test_chain_calls`; the last line printed names the case.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from guarded import LAYOUTS, Guarded, strides_of
from support import Array

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd


def place(room: Guarded, values: Array, layout: str, at_end: bool) -> Array:
    n, P = values.shape
    return room.array(values, strides_of(layout, n, P, values.itemsize), at_end)


def main(isa: str, seed: int) -> None:
    c_simd.select_isa(isa)
    rng = np.random.default_rng(seed)
    rooms = [Guarded(1 << 22) for _ in range(4)]
    done = 0

    def draw(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    for dtype in (np.float32, np.float64):
        for layout in LAYOUTS:
            for P in (1, 5, 47, 2304 + int(rng.integers(200)), 3001):
                C, hidden, K = (int(n) for n in rng.integers(1, 40, 3))
                first = pf.Conv1x1(
                    draw(hidden, C), draw(hidden), activation="relu", channel_axis=-2, backend="c"
                )
                last = pf.Conv1x1(draw(K, hidden), channel_axis=-2, backend="c")
                beside = pf.Conv1x1(draw(K, C), channel_axis=-2, backend="c")
                values, nothing = draw(C, P), np.full((K, P), np.nan, dtype)
                y_layout = str(rng.choice(LAYOUTS))
                for at_end in (True, False):
                    print(isa, C, hidden, K, P, layout, y_layout, "end" if at_end else "start")
                    sys.stdout.flush()
                    x = place(rooms[0], values, layout, at_end)
                    residual = place(rooms[1], draw(K, P), y_layout, at_end)
                    out = place(rooms[2], nothing, y_layout, at_end)
                    pf.Chain(first, last)(x, residual=residual, out=out, threads=1 + done % 2)
                    assert np.array_equal(out, last(first(x), residual=residual))
                    wide = np.full((hidden, P), np.nan, dtype)
                    side = place(rooms[3], wide, y_layout, at_end)
                    out[...] = np.nan
                    pf.Branches(first, beside)(x, out=(side, out), threads=1 + done % 2)
                    assert np.array_equal(side, first(x))
                    assert np.array_equal(out, beside(x))
                    done += 2
    print("cases:", done)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
