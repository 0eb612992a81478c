"""Time per pixel over the size of a raster: does a large one cost more a pixel than a small one?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import FuncFormatter
from tqdm import tqdm

import pointwise_fast as pf

from ..report.canvas import NARROW, WIDE, canvas, ink, save_png
from ..report.tables import format_table
from .machine import free_memory
from .placing import Placing
from .rounds import measure
from .turn import Turn

__all__ = ["BASE", "KINDS", "SIZES", "Kind", "draw_sizes", "measure_sizes", "size_table"]

#: Pixels: of a scene, of Landsat's bands (60 M) and of Sentinel-2's (120 M).
SIZES = (100_000, 300_000, 1_000_000, 4_000_000, 16_000_000, 60_000_000, 120_000_000)
#: What the others are a multiple of.
BASE = 1_000_000
#: The share of free memory that arrays may take.
_SHARE = 0.85
_INKS = ("blue", "vermilion", "green", "purple", "grey", "orange")


class Kind(NamedTuple):
    """What is computed of a raster of any size."""

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
    """The call, and its result's array."""
    rng = np.random.default_rng(0)
    pixels += 16  # a line, so that planes are no multiple of a page apart, as hardly any are
    shape = (kind.C, pixels) if kind.layout == "planar" else (pixels, kind.C)
    x = np.empty(shape, kind.dtype)
    # To draw every number anew would take longer than all that is measured.
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
    """Seconds of each kind, size and number of threads that there is memory for."""
    points = [(kind, pixels) for kind in kinds for pixels in sizes]
    limit = int(_SHARE * free_memory())
    fitting = [(kind, pixels) for kind, pixels in points if kind.bytes(pixels) <= limit]
    for kind, pixels in points:
        if kind.bytes(pixels) > limit:
            print(f"no memory for {kind}: {pixels:,} pixels")
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
            del call, out  # before the next ones, which may need their memory
            bar.update()
    return found


def _curves(found: Sequence[Mapping[str, Any]], threads: int) -> dict[Kind, dict[int, float]]:
    """ns a pixel by the pixels that were asked for, of each kind."""
    curves: dict[Kind, dict[int, float]] = {}
    for point in found:
        if point["threads"] == threads:
            kind = Kind(*(point[name] for name in Kind._fields))
            curve = curves.setdefault(kind, {})
            curve[point["asked"]] = 1e9 * point["seconds"] / point["pixels"]
    return curves


def _millions(pixels: float) -> str:
    return f"{pixels / 1e6:g} M"


def size_table(found: Sequence[Mapping[str, Any]], threads: int) -> str:
    """A row for each kind: ns a pixel, and in brackets that over the time at a million pixels."""
    curves = _curves(found, threads)
    sizes = sorted({pixels for curve in curves.values() for pixels in curve})

    def cell(curve: Mapping[int, float], pixels: int) -> str:
        if pixels not in curve:
            return "-"
        base = curve.get(BASE)
        return f"{curve[pixels]:.2f}" + (f" ({curve[pixels] / base:.2f})" if base else "")

    header = [f"ns a pixel, {threads} thread{'s' * (threads > 1)}", *map(_millions, sizes)]
    rows = [[str(kind), *(cell(curve, n) for n in sizes)] for kind, curve in curves.items()]
    return format_table(header, rows)


def draw_sizes(found: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], path: Path) -> None:
    """A panel for each number of threads: flat lines are what one wants to see."""
    threads = sorted({point["threads"] for point in found})
    height = 0.85 * NARROW + 0.6
    with canvas(1, len(threads), WIDE, height, sharex=True, sharey=True) as (figure, grid):
        for axes, count in zip(grid.flat, threads, strict=True):
            for (kind, curve), colour in zip(_curves(found, count).items(), _INKS, strict=False):
                axes.plot(
                    list(curve),
                    list(curve.values()),
                    color=ink(colour),
                    marker="o",
                    markersize=3.5,
                    linewidth=1.4,
                    label=str(kind).replace("->", "\N{RIGHTWARDS ARROW}"),
                )
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _millions(value)))
            axes.set_title(f"{count} thread{'s' * (count > 1)}", loc="left")
            axes.set_xlabel("pixels")
            axes.grid(axis="y")
        grid.flat[0].set_ylabel("ns a pixel")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        save_png(figure, machine, path)
