"""Views of float32 numbers, of shape (5, 6, 7), with strides of all kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from support import Array


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32)


def record_field(rng: np.random.Generator) -> Array:
    """A field of floats in records of 7 bytes: strides are odd, most elements misaligned."""
    records = np.zeros((5, 6, 7), np.dtype([("flag", "u1"), ("value", "f4"), ("rest", "u2")]))
    assert records.itemsize == 7
    records["value"] = normal(rng, 5, 6, 7)
    return records["value"]


def misaligned(rng: np.random.Generator) -> Array:
    raw = np.empty(5 * 6 * 7 * 4 + 1, np.uint8)[1:]
    x = raw.view(np.float32).reshape(5, 6, 7)
    x[:] = normal(rng, 5, 6, 7)
    assert not x.flags.aligned
    return x


VIEWS: dict[str, Callable[[np.random.Generator], Array]] = {
    "fortran": lambda rng: np.asfortranarray(normal(rng, 5, 6, 7)),
    "rows reversed": lambda rng: normal(rng, 5, 6, 7)[:, ::-1],
    "columns reversed": lambda rng: normal(rng, 5, 6, 7)[..., ::-1],
    "channels reversed": lambda rng: normal(rng, 5, 6, 7)[::-1],
    "all reversed": lambda rng: normal(rng, 5, 6, 7)[::-1, ::-1, ::-1],
    "every second": lambda rng: normal(rng, 10, 12, 14)[::2, ::2, ::2],
    "cropped": lambda rng: normal(rng, 7, 9, 12)[1:6, 2:8, 3:10],
    "transposed": lambda rng: normal(rng, 7, 6, 5).T,
    "channels last": lambda rng: np.moveaxis(normal(rng, 6, 7, 5), -1, 0),
    "channels in the middle": lambda rng: np.moveaxis(normal(rng, 6, 5, 7), 1, 0),
    "one image for all": lambda rng: np.broadcast_to(normal(rng, 5, 6, 1), (5, 6, 7)),
    "one channel for all": lambda rng: np.broadcast_to(normal(rng, 1, 6, 7), (5, 6, 7)),
    "one number": lambda rng: np.broadcast_to(np.float32(2), (5, 6, 7)),
    "sliding window": lambda rng: np.lib.stride_tricks.sliding_window_view(
        normal(rng, 11, 6), 5, axis=0
    ).transpose(2, 1, 0),
    "real part": lambda rng: (normal(rng, 5, 6, 7) + 1j * normal(rng, 5, 6, 7)).real,
    "record field": record_field,
    "misaligned": misaligned,
}
