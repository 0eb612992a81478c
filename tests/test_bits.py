"""The bits of some thousand results, which no change of structure, kernels or threads may change.

Each subject has a digest, the same on every machine, instruction set and number of threads. Where a
change is meant to give other bits, a failure's message has the new digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support import Array, needs_c

import pointwise_fast as pf

pytestmark = needs_c

# Channels, channels out, rows, columns.
SHAPES = [(1, 1, 3, 5), (3, 4, 20, 31), (12, 10, 13, 40), (50, 20, 9, 37), (7, 33, 5, 5),
          (130, 40, 3, 31), (300, 8, 3, 20), (8, 70, 1, 90)]  # fmt: skip
LAYOUTS: dict[str, Callable[[Array], tuple[Array, int]]] = {
    "planar": lambda a: (a, 0),
    "interleaved": lambda a: (np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1),
    "interleaved to planar": lambda a: (np.moveaxis(np.moveaxis(a, 0, -1).copy(), -1, 0), 0),
    "flipped": lambda a: (a[:, ::-1, ::-1].copy()[:, ::-1, ::-1], 0),
    "upside down": lambda a: (a[:, ::-1].copy()[:, ::-1], 0),
    "window": lambda a: (np.pad(a, ((0, 0), (1, 2), (3, 2)))[:, 1:-2, 3:-2], 0),
    "every second pixel": lambda a: (np.repeat(a, 2, axis=2)[..., ::2], 0),
    "Fortran order": lambda a: (np.asfortranarray(a), 0),
}
DTYPES = ["f4", "f8", "f2", "u1", "i1", "u2", "i2", "u4", "i4", "i8", ">f4", ">u2", "c8"]


def draw(rng: np.random.RandomState, shape: tuple[int, ...], dtype: str = "f4") -> Array:
    """Numbers of a generator whose stream NumPy keeps."""
    kind = np.dtype(dtype).kind
    if kind == "c":
        return (draw(rng, shape) + 1j * draw(rng, shape)).astype(dtype)
    if kind == "f":
        return (rng.randint(-4096, 4096, shape) / 512).astype(dtype)
    return rng.randint(0, 100, shape).astype(dtype)


def calls(rng: np.random.RandomState) -> Iterator[Array]:
    for C, K, H, W in SHAPES:
        for dtype in DTYPES:
            a = draw(rng, (C, H, W), dtype)
            weight, bias = draw(rng, (K, C), "f8"), draw(rng, (K,), "f8")
            for number, layout in enumerate(LAYOUTS.values()):
                x, axis = layout(a)
                given: dict[str, Any] = {"channel_axis": axis, "backend": "c"}
                y = pf.conv1x1(x, weight, bias, threads=1 + number % 3, **given)
                yield y
                if dtype != "c8":
                    act: Any = ["relu", "gelu", "silu", ("clip", -1, 2)][number % 4]
                    yield pf.conv1x1(x, weight, activation=act, residual=y, threads=2, **given)
                if number < 2:
                    yield pf.conv1x1(x, weight, bias, stride=2, threads=2, **given)


def layouts(rng: np.random.RandomState) -> Iterator[Array]:
    """Every layout of x to every one of y, past the size from which x is fetched ahead."""
    a = draw(rng, (50, 60, 90))
    for K in (4, 20, 70):
        weight, bias = draw(rng, (K, 50)), draw(rng, (K,))
        for layout in LAYOUTS.values():
            x, axis = layout(a)
            for to in (0, -1):
                out = np.moveaxis(np.empty((60, 90, K), "f4"), -1, 0) if to else None
                y = pf.conv1x1(np.moveaxis(x, axis, 0), weight, bias, out=out, backend="c")
                yield y


def heads(rng: np.random.RandomState) -> Iterator[Array]:
    """Not log_softmax, whose logarithm is the C library's."""
    for C, K, H, W in SHAPES:
        for dtype in ("f4", "f8", "u2"):
            a = draw(rng, (C, H, W), dtype)
            weight, bias = draw(rng, (K, C), "f8"), draw(rng, (K,), "f8")
            mask = rng.randint(0, 10, (H, W)) == 0
            for number, layout in enumerate(LAYOUTS.values()):
                x, axis = layout(a)
                given: dict[str, Any] = {"channel_axis": axis, "backend": "c"}
                given |= {"threads": 1 + number % 3}
                head: Any
                for head in ("argmax", "softmax", "l2_normalize"):
                    yield pf.conv1x1(x, weight, bias, head=head, **given)
                for head in (None, "argmax"):
                    yield pf.conv1x1(x, weight, bias, head=head, nodata=7, fill=3, **given)
                    yield pf.conv1x1(x, weight, bias, head=head, mask=mask, fill=3, **given)
                yield pf.conv1x1(x, weight, bias, nodata=7, valid="any", **given)
                slopes = np.linspace(0, 1, K)
                yield pf.conv1x1(x, weight, bias, activation=("prelu", slopes), **given)


def chains(rng: np.random.RandomState) -> Iterator[Array]:
    for C, K, H, W in SHAPES:
        for axis in (0, -1):
            a = draw(rng, (C, H, W))
            x = a if axis == 0 else LAYOUTS["interleaved"](a)[0]
            given: dict[str, Any] = {"channel_axis": axis, "backend": "c"}
            first = pf.Conv1x1(draw(rng, (K, C)), draw(rng, (K,)), activation="relu", **given)
            last = pf.Conv1x1(draw(rng, (5, K)), activation="silu", **given)
            yield pf.Chain(first, last)(x, threads=1)
            yield pf.Chain(first, last)(x, threads=3)
            yield from pf.Branches(first, pf.Conv1x1(draw(rng, (3, C)), **given))(x, threads=2)


def gradients(rng: np.random.RandomState) -> Iterator[Array]:
    """Whole numbers: every kernel set sums pixels in an order of its own."""
    for C, K, H, W in SHAPES:
        for dtype in ("f4", "f8"):
            shapes = (K, H, W), (C, H, W), (K, C)
            grad, x, weight = (rng.randint(-20, 20, shape).astype(dtype) for shape in shapes)
            for threads in (1, 3):
                found = pf.conv1x1_backward(grad, x, weight, backend="c", threads=threads)
                yield from (g for g in found if g is not None)


def quantised(rng: np.random.RandomState) -> Iterator[Array]:
    for C, K, H, W in SHAPES:
        for sign in ("u1", "i1"):
            x = rng.randint(0, 200, (C, H, W)).astype(sign)
            weight = rng.randint(-100, 100, (K, C)).astype("i1")
            bias = rng.randint(-1000, 1000, K).astype("i4")
            for axis in (0, -1):
                here = x if axis == 0 else LAYOUTS["interleaved"](x)[0]
                zero: Any = np.dtype(sign).type
                yield pf.qconv1x1(
                    here, 0.02, zero(3), weight, 0.01, np.int8(0), 0.1, zero(5), bias,
                    channel_axis=axis, backend="c", threads=2,
                )  # fmt: skip


EXPECTED: dict[Callable[[np.random.RandomState], Iterator[Array]], tuple[int, str]] = {
    calls: (1808, "7d44f92e70b19d0176f728d6"),
    layouts: (48, "ccb91378013d511dc95894e3"),
    heads: (1728, "0652df761b09b99d1c9f99e5"),
    chains: (64, "9b1975adfe3203d252ba9d1b"),
    gradients: (96, "cb9014084eab3d0b88065f7f"),
    quantised: (32, "b8b21a2caba26fff47e99da2"),
}


@pytest.mark.parametrize("subject", EXPECTED, ids=lambda subject: subject.__name__)
def test_bits(subject: Callable[[np.random.RandomState], Iterator[Array]]) -> None:
    digest, count = hashlib.sha256(), 0
    for y in subject(np.random.RandomState(11)):
        little = np.ascontiguousarray(y, dtype=y.dtype.newbyteorder("<"))
        if little.dtype.kind in "fc":
            little = np.where(np.isnan(little), little.dtype.type(np.nan), little)
        digest.update(f"{y.shape} {little.dtype.str}".encode() + little.tobytes())
        count += 1
    found = count, digest.hexdigest()[:24]
    assert found == EXPECTED[subject], f"{subject.__name__}: {found}"
