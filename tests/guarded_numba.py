"""Heads and missing data of the Numba backend, with scratch and arrays beside guard pages.

Run as a program by `test_guard`, as `guarded.py` is.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np
from guarded import Guarded

import pointwise_fast as pf
from pointwise_fast.kernels import numba_finish

SCRATCH = Guarded(1 << 20)


class GuardedNumpy:
    """NumPy, but memory for scratch ends at the page without access."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, size: int, dtype: Any) -> Any:
        return SCRATCH.array(np.zeros(size, dtype), (1,), True)


def placed(room: Guarded, values: Any, channels_last: bool, at_end: bool) -> Any:
    n, P = values.shape
    strides = (4, 4 * n) if channels_last else (4 * P, 4)
    return room.array(values, strides, at_end)


def main(seed: int) -> None:
    numba_finish.np = GuardedNumpy()  # type: ignore[assignment, attr-defined]
    rng = np.random.default_rng(seed)
    x_room, y_room = Guarded(1 << 20), Guarded(1 << 20)
    n = 0
    for K, P, x_last, y_last, head, at_end in product(
        (1, 10, 17),
        (1, 15, 130, 1040),
        (False, True),
        (False, True),
        ("softmax", None),
        (True, False),
    ):
        values = rng.integers(-3, 4, (5, P)).astype(np.float32)
        weight = rng.integers(-3, 4, (K, 5)).astype(np.float32)
        print(K, P, x_last, y_last, head, at_end, flush=True)
        x = placed(x_room, values, x_last, at_end)
        out = placed(y_room, np.zeros((K, P), np.float32), y_last, at_end)
        settings: dict[str, Any] = {"head": head, "nodata": 3.0, "channel_axis": 0}
        pf.conv1x1(x, weight, out=out, threads=1, backend="numba", **settings)
        expected = pf.conv1x1(values, weight, backend="numpy", **settings)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
        n += 1
    print("cases:", n)


if __name__ == "__main__":
    main(int(sys.argv[1]))
