"""Arrays of all kinds: views, objects that lend memory, and outputs that overlap inputs."""

from __future__ import annotations

import array
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import Array, Backend, assert_conv
from views import VIEWS, normal

import pointwise_fast as pf

WEIGHT = np.random.default_rng(5).standard_normal((4, 5)).astype(np.float32)
SQUARE = np.random.default_rng(6).standard_normal((5, 5)).astype(np.float32)


@pytest.mark.parametrize("view", VIEWS)
def test_input_views(view: str, backend: Backend, rng: np.random.Generator) -> None:
    x = VIEWS[view](rng)
    assert x.shape == (5, 6, 7)
    y = pf.conv1x1(x, WEIGHT, backend=backend)
    assert_conv(y, x, WEIGHT)
    assert np.array_equal(pf.Conv1x1(WEIGHT, backend=backend)(x), y)


@pytest.mark.parametrize("view", [v for v in VIEWS if v[:3] not in ("one", "sli")])
def test_output_views(view: str, backend: Backend, rng: np.random.Generator) -> None:
    """Elements are written where they belong; those between them are left alone."""
    x = normal(rng, 5, 6, 7)
    out = VIEWS[view](rng)
    base = out
    while isinstance(base.base, np.ndarray):
        base = base.base
    before = base.copy()
    residual = out.copy()
    y = pf.conv1x1(x, SQUARE, residual=out, out=out, backend=backend)
    assert y is out
    assert_conv(out.copy(), x, SQUARE, None, residual)
    assert not np.array_equal(out, residual)
    out[:] = residual
    assert base.tobytes() == before.tobytes()


class Interface:
    """Lends its memory by ``__array_interface__`` alone."""

    def __init__(self, owner: Array) -> None:
        self.owner = owner
        self.__array_interface__ = owner.__array_interface__


class DLPackOnly:
    """Lends its memory by DLPack alone, as other libraries' arrays do."""

    def __init__(self, owner: Array) -> None:
        self._owner = owner

    def __dlpack__(self, **options: Any) -> Any:
        return self._owner.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._owner.__dlpack_device__()


LENDERS: dict[str, Callable[[Array], Any]] = {
    "memoryview": lambda x: x.data,
    "interface": Interface,
    "dlpack": DLPackOnly,
    "subclass": lambda x: x.view(np.recarray) if x.ndim == 3 else x,
    "tuple": lambda x: tuple(x),
}


@pytest.mark.parametrize("lender", LENDERS)
def test_lenders_of_memory(lender: str, backend: Backend, rng: np.random.Generator) -> None:
    x, residual = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7)
    bias = normal(rng, 4)
    lend = LENDERS[lender]
    arguments = lend(x), lend(WEIGHT), lend(bias)
    y = pf.conv1x1(*arguments, residual=lend(residual), backend=backend)
    assert type(y) is np.ndarray
    assert_conv(y, x, WEIGHT, bias, residual)
    layer = pf.Conv1x1(*arguments[1:], backend=backend)
    assert np.array_equal(layer(lend(x), residual=lend(residual)), y)


@pytest.mark.parametrize("lender", ["memoryview", "interface", "dlpack"])
def test_lent_memory_is_not_copied(lender: str, backend: Backend) -> None:
    x = np.ones((8, 1000, 1000), np.float32)
    weight, out = np.ones((1, 8), np.float32), np.empty((1, 1000, 1000), np.float32)
    lent = LENDERS[lender](x)
    pf.conv1x1(lent, weight, out=out, backend=backend)
    tracemalloc.start()
    pf.conv1x1(lent, weight, out=out, backend=backend)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.all(out == 8)
    assert peak < 4 << 20 < x.nbytes


def test_lists_and_array_array(backend: Backend) -> None:
    y = pf.conv1x1([1.0, 2.0], [[1, 1], [1, -1]], [0, 1], channel_axis=0, backend=backend)
    assert y.tolist() == [3, 0]
    assert y.dtype == np.float64
    x = array.array("f", [1, 2])
    y = pf.conv1x1(x, [array.array("d", [1, 1])], channel_axis=0, backend=backend)
    assert y.tolist() == [3]
    assert y.dtype == np.float32


def test_memory_map(backend: Backend, tmp_path: Any, rng: np.random.Generator) -> None:
    x = normal(rng, 5, 6, 7)
    x.tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=(5, 6, 7))
    out = np.memmap(tmp_path / "y", np.float32, "w+", shape=(4, 6, 7))
    assert pf.conv1x1(mapped, WEIGHT, out=out, backend=backend) is out
    assert_conv(np.array(out), x, WEIGHT)


def overlapping(name: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """x and out, both ``(5, 6, 7)``, in one block of memory."""
    # Any four of these bytes are a number of moderate size.
    block = rng.integers(0x3C, 0x41, 8000, np.uint8).view(np.float32)
    image = block[:210].reshape(5, 6, 7)
    later = block[7:217].reshape(5, 6, 7)
    records = block[:420].reshape(5, 6, 14)
    rows = block[:420].reshape(5, 12, 7)
    repeated = np.broadcast_to(block[100:105, None, None], (5, 6, 7))
    return {
        "identical": (image, image),
        "identical, another view": (image, block[:210].reshape(5, 42).reshape(5, 6, 7)),
        "identical, channels last": (image.reshape(6, 7, 5).transpose(2, 0, 1),) * 2,
        "identical, misaligned": (block.view(np.uint8)[1:841].view("f4").reshape(5, 6, 7),) * 2,
        "identical, every second": (records[..., ::2],) * 2,
        "one row ahead": (image, later),
        "one row behind": (later, image),
        "one pixel ahead": (image, block[1:211].reshape(5, 6, 7)),
        "one channel ahead": (image, block[42:252].reshape(5, 6, 7)),
        "one byte ahead": (image, block.view(np.uint8)[1:841].view("f4").reshape(5, 6, 7)),
        "rows reversed": (image, image[:, ::-1]),
        "channels reversed": (image, image[::-1]),
        "all reversed": (image, image[::-1, ::-1, ::-1]),
        "other layout": (image, image.reshape(6, 7, 5).transpose(2, 0, 1)),
        "last layout": (image.reshape(6, 7, 5).transpose(2, 0, 1), image),
        "interleaved, disjoint": (records[..., ::2], records[..., 1::2]),
        "rows interleaved": (rows[:, ::2], rows[:, 1::2]),
        "input read again and again": (repeated, image),
    }[name]  # fmt: skip


OVERLAPS = (
    "identical",
    "identical, another view",
    "identical, channels last",
    "identical, misaligned",
    "identical, every second",
    "one row ahead",
    "one row behind",
    "one pixel ahead",
    "one channel ahead",
    "one byte ahead",
    "rows reversed",
    "channels reversed",
    "all reversed",
    "other layout",
    "last layout",
    "interleaved, disjoint",
    "rows interleaved",
    "input read again and again",
)


@pytest.mark.parametrize("layer", [False, True], ids=["conv1x1", "Conv1x1"])
@pytest.mark.parametrize("accumulate", [False, True], ids=["", "accumulate"])
@pytest.mark.parametrize("name", OVERLAPS)
def test_out_overlaps_x(
    name: str, accumulate: bool, layer: bool, backend: Backend, rng: np.random.Generator
) -> None:
    x, out = overlapping(name, rng)
    x_before, out_before = x.copy(), out.copy()
    residual = out if accumulate else None
    if layer:
        y = pf.Conv1x1(SQUARE, backend=backend)(x, residual=residual, out=out)
    else:
        y = pf.conv1x1(x, SQUARE, residual=residual, out=out, backend=backend)
    assert y is out
    assert_conv(out.copy(), x_before, SQUARE, None, out_before if accumulate else None)


@pytest.mark.parametrize("shift", [1, 7, 42, -1, -7])
def test_out_overlaps_residual(shift: int, backend: Backend, rng: np.random.Generator) -> None:
    """A residual that is `out` shifted by a pixel, row or channel is not accumulation."""
    block, x = normal(rng, 300), normal(rng, 5, 6, 7)
    residual = block[45:255].reshape(5, 6, 7)
    out = block[45 + shift : 255 + shift].reshape(5, 6, 7)
    before = residual.copy()
    pf.conv1x1(x, SQUARE, residual=residual, out=out, backend=backend)
    assert_conv(out.copy(), x, SQUARE, None, before)


def test_large_overlap(backend: Backend, rng: np.random.Generator) -> None:
    """Arrays that are cut into many chunks, by several threads."""
    block = normal(rng, 6 * 300 * 301)
    for start in (0, 1, 301, 300 * 301):
        memory = block.copy()
        x = memory[: 5 * 300 * 301].reshape(5, 300, 301)
        out = memory[start : start + x.size].reshape(x.shape)
        before = x.copy()
        pf.conv1x1(x, SQUARE, out=out, backend=backend, threads=3)
        assert_conv(out.copy(), before, SQUARE)


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 400, 401), (400, 401, 5)], ids=str)
def test_weights_overlap_out(shape: Any, backend: Backend, rng: np.random.Generator) -> None:
    """Weights or bias that lie inside `out` are read before they are overwritten."""
    axis = shape.index(5)
    x, out = normal(rng, *shape), normal(rng, *shape)
    weight, bias = out.reshape(-1)[7:32].reshape(5, 5), out.reshape(-1)[-45:-40]
    before = weight.copy(), bias.copy()
    pf.conv1x1(x, weight, bias, out=out, channel_axis=axis, backend=backend, threads=3)
    assert_conv(out, x, *before, channel_axis=axis)


def test_more_overlap_than_can_be_decided(backend: Backend, rng: np.random.Generator) -> None:
    """Windows into one block in seven axes, where NumPy gives up on an exact answer."""
    block = normal(rng, 60_000)
    shape = (5, 4, 3, 3, 3, 4, 2)
    as_strided = np.lib.stride_tricks.as_strided
    x = as_strided(block, shape, [4 * n for n in (1358, 317, 2369, 1609, 2762, 1459, 2708)])
    out = as_strided(block, shape, (8640, 1440, 4, 20, 60480, 60, 360))
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(x, out, max_work=10_000)  # type: ignore[arg-type]
    before = x.copy()
    pf.conv1x1(x, SQUARE, out=out, channel_axis=0, backend=backend)
    assert_conv(out.copy(), before, SQUARE, channel_axis=0)
