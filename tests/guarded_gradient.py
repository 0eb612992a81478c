"""Gradients of arrays that end, or begin, at a page without access.

Run as a program by `test_gradient_calls`: a stray read kills the process, and the last line printed
names the case.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from guarded import LAYOUTS, Guarded, strides_of
from support import DTYPES, problem_of

from pointwise_fast.kernels import c_simd


def main(isa: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rooms = [Guarded(1 << 20) for _ in range(4)]
    done = 0
    for x_layout in LAYOUTS:
        for y_layout in LAYOUTS:
            for i in range(5 if isa == "scalar" else 12):
                dtype: Any = np.dtype(DTYPES[i % 2])
                C, K = (int(rng.integers(1, most)) for most in (70, 30))
                P = int(rng.integers(1, (150, 150, 900)[i % 3]))
                item = dtype.itemsize
                X, DY = (rng.standard_normal((n, P)).astype(dtype) for n in (C, K))
                ones = np.concatenate([X, np.ones((1, P), dtype)]).astype(float)
                expected = DY.astype(float) @ ones.T
                # For any order of the sum; if dtype is float64, `expected` is off by as much.
                bound = 2 * (P + 4) * float(np.finfo(dtype).eps) * (abs(DY) @ abs(ones.T))
                for at_end in (True, False):
                    print(isa, C, K, P, dtype, x_layout, y_layout, at_end, flush=True)
                    x = rooms[0].array(X, strides_of(x_layout, C, P, item), at_end)
                    y = rooms[1].array(DY, strides_of(y_layout, K, P, item), at_end)
                    nothing = np.full((K, C), np.nan, dtype)
                    weight = rooms[2].array(nothing, (C * item, item), at_end)
                    bias = rooms[3].array(nothing[:, 0].copy(), (item,), at_end)
                    gradient = c_simd.CGradient(problem_of(x, weight, None, None, y), isa)
                    gradient.run(y, x, weight, bias, 1 + done % 2)
                    found = np.column_stack([weight, bias])
                    assert np.all(abs(found - expected) <= bound)
                    done += 1
    print("cases:", done)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
