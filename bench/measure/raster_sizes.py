"""Time per pixel over the size of a raster: do large rasters cost more per pixel?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import pointwise_fast as pf

from .machine import free_memory
from .placing import Placing
from .rounds import measure
from .turn import Turn

__all__ = ["BASE", "KINDS", "SIZES", "Kind", "measure_sizes"]

#: Pixels. Landsat's bands have 60 M, Sentinel-2's 120 M.
SIZES = (100_000, 300_000, 1_000_000, 4_000_000, 16_000_000, 60_000_000, 120_000_000)
#: The size that the others are compared with.
BASE = 1_000_000
#: The share of free memory that arrays may take.
_SHARE = 0.85


class Kind(NamedTuple):
    """A computation on a raster of any size."""

    C: int
    K: int
    dtype: str
    layout: str

    def __str__(self) -> str:
        return f"{self.C} -> {self.K}, {self.dtype}, {self.layout}"

    def bytes(self, pixels: int) -> int:
        return pixels * (self.C * np.dtype(self.dtype).itemsize + self.K * 4)


KINDS = (
    Kind(50, 20, "float32", "planar"),
    Kind(50, 20, "uint16", "planar"),
    Kind(50, 20, "float32", "interleaved"),
    Kind(12, 8, "float32", "planar"),
    Kind(12, 8, "uint16", "planar"),
)


def _layer_call(kind: Kind, pixels: int) -> tuple[Callable[..., object], npt.NDArray[Any]]:
    """Return the call and the array of its result."""
    rng = np.random.default_rng(0)
    pixels += 16  # so that, as usual, planes are not a multiple of a page apart
    shape = (kind.C, pixels) if kind.layout == "planar" else (pixels, kind.C)
    x = np.empty(shape, kind.dtype)
    # Drawing every number anew would take longer than all measurements.
    some = rng.integers(0, 10_000, 1 << 16).astype(kind.dtype)
    flat = x.reshape(-1)
    for start in range(0, flat.size, some.size):
        part = flat[start : start + some.size]
        part[...] = some[: part.size]
    axis = -2 if kind.layout == "planar" else -1
    weight = rng.standard_normal((kind.K, kind.C)).astype(np.float32)
    layer = pf.Conv1x1(weight, channel_axis=axis)
    out = layer(x)
    return partial(layer, x, out=out), out


def measure_sizes(
    kinds: Sequence[Kind], sizes: Sequence[int], threads: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    """Measure each kind, size and number of threads that there is memory for, in seconds."""
    points = [(kind, pixels) for kind in kinds for pixels in sizes]
    limit = int(_SHARE * free_memory())
    fitting = [(kind, pixels) for kind, pixels in points if kind.bytes(pixels) <= limit]
    for kind, pixels in points:
        if kind.bytes(pixels) > limit:
            print(f"not enough memory for {kind}: {pixels:,} pixels")
    found = []
    with tqdm(total=len(fitting), unit="size", desc="sizes", smoothing=0) as bar:
        for kind, pixels in fitting:
            call, out = _layer_call(kind, pixels)
            for count in threads:
                runner = Turn(partial(call, threads=count), binds=True)
                seconds = measure(
                    {"ours": runner}, placing=Placing(count), rounds=rounds, budget=2.0, least=3
                )
                found.append(
                    {**kind._asdict(), "pixels": out.size // kind.K, "asked": pixels,
                     "threads": count, "seconds": min(seconds["ours"])}
                )  # fmt: skip
            del call, out  # the next ones may need their memory
            bar.update()
    return found
