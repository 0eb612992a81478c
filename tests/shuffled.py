"""``--shuffle-sums``: `numpy.matmul` in a random order, as another BLAS might sum.

The order in which a BLAS adds depends on the CPU and on the shapes, layouts and dtypes of a call.
A test that holds in one order only fails on other machines; with this it fails on every machine.
As with a BLAS, the same call sums in the same order again.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from support import Array

#: Rows and columns that share one order of summation; operands are copied one such part at a time.
_BLOCK = 4096

_matmul = np.matmul


class ShuffledMatmul:
    """Sums in orders that `seed` decides, one for each kind of call and block of its result."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, a: Any, b: Any, out: Array | None = None, **options: Any) -> Array:
        a, b = np.asanyarray(a), np.asanyarray(b)
        kind = [None if x is None else (x.shape, x.strides, x.dtype.str) for x in (a, b, out)]
        if a.ndim == 1 or b.ndim == 1:
            order = self._order(a.shape[-1], kind)
            b = b[order] if b.ndim == 1 else b[..., order, :]
            return _matmul(a[..., order], b, out, **options)
        if out is None:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            out = np.empty((*batch, a.shape[-2], b.shape[-1]), np.result_type(a, b))
        elif np.may_share_memory(out, a) or np.may_share_memory(out, b):
            a, b = a.copy(), b.copy()
        for i in range(0, a.shape[-2], _BLOCK):
            for j in range(0, b.shape[-1], _BLOCK):
                order = self._order(a.shape[-1], [*kind, i, j])
                rows = a[..., i : i + _BLOCK, order]
                columns = b[..., order, j : j + _BLOCK]
                _matmul(rows, columns, out[..., i : i + _BLOCK, j : j + _BLOCK], **options)
        return out

    def _order(self, n: int, kind: list[Any]) -> Array:
        rng = np.random.default_rng([self._seed, zlib.crc32(repr(kind).encode())])
        return rng.permutation(n)
