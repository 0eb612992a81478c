"""Tables and pictures of `bench.rasters`: arrays in other layouts, and rasters of all sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter

from ..measure.raster_layouts import CHANNELS
from ..measure.raster_sizes import BASE, Kind
from .canvas import NARROW, WIDE, canvas, ink, save_png
from .tables import format_table, times

__all__ = ["draw_sizes", "layout_table", "size_table"]

_INKS = ("blue", "vermilion", "green", "purple", "grey", "orange")


def layout_table(found: Sequence[Mapping[str, Any]], threads: int) -> str:
    """Milliseconds, and their multiple of the plain layouts' time beside the aim."""
    x, y = CHANNELS
    rows = [
        [
            point["way"],
            f"{1e3 * point['seconds']:.2f}",
            times(point["seconds"] / point["beside"]),
            f"{point['most']:.2f}" if point["most"] else "",
            f"{1e3 * point['numpy']:.2f}",
        ]
        for point in found
        if point["threads"] == threads
    ]
    title = f"{x} -> {y}, float32, {threads} thread{'s' * (threads > 1)}"
    return format_table([title, "ms", "of plain", "at most", "NumPy, ms"], rows)


def _curves(found: Sequence[Mapping[str, Any]], threads: int) -> dict[Kind, dict[int, float]]:
    """ns per pixel of each kind, by the pixels that were asked for."""
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
    """A row for each kind: ns per pixel, and in brackets its multiple of a million pixels' time."""
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
    """Draw a panel for each number of threads. Flat lines are good."""
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
