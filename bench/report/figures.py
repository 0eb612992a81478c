"""The suite's pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import geometric_mean, median
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from ..layers.cases import REGIMES
from .canvas import NARROW, WIDE, canvas, ink
from .findings import Measured, Run

__all__ = ["MARKS", "Curve", "Diagram", "Scaling", "roofline", "scaling", "sorted_speedups"]

#: A colour and a shape for each regime. Only both together tell all regimes apart.
MARKS: dict[str, tuple[str, str]] = {
    "mixed layouts": ("purple", "X"),
    "headline planar": ("vermilion", "*"),
    "headline interleaved": ("vermilion", "P"),
    "colour": ("purple", "o"),
    "aliased": ("orange", "s"),
    "stream": ("orange", "^"),
    "large": ("blue", "o"),
    "deep": ("navy", "D"),
    "middle": ("sky", "v"),
    "strided": ("green", "<"),
    "grouped": ("green", ">"),
    "small": ("grey", "o"),
}


# ---- speedup -------------------------------------------------------------------------------------


def _speedup_ticks(low: float, high: float) -> list[float]:
    steps = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100, 200, 500)
    return [step for step in steps if low <= step <= high]


def sorted_speedups(run: Run, narrow: bool = False) -> Figure:
    """Draw the speedup over the fastest peer: a row for all panels, sorted, and for each regime."""
    compared = sorted(
        ((m.speedup, i) for i, m in enumerate(run.measured) if m.speedup is not None),
    )
    rows: list[tuple[str, list[tuple[float, int]], float | None]] = [("all", compared, None)]
    for name, regime in REGIMES.items():
        members = [(s, i) for s, i in compared if run.measured[i].regime == name]
        if members:
            rows.append((name, members, regime.speedup))
    width = NARROW if narrow else WIDE
    height = 0.9 + (0.56 if narrow else 0.42) * (len(rows) + 0.6)
    with canvas(1, 1, width, height) as (figure, grid):
        axes: Axes = grid[0, 0]
        low = min(0.7, compared[0][0] / 1.1)
        high = max(2.0, compared[-1][0] * 1.15)
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(len(rows) - 0.4, -0.95)
        axes.axvspan(low, 1, color=ink("shade"), zorder=0, linewidth=0)
        axes.axvline(1, color=ink("text"), linewidth=1.1, zorder=1)
        for place, (name, members, wanted) in enumerate(rows):
            _speedup_row(axes, place, members, wanted, run.measured)
            _speedup_label(axes, place, name, members, narrow)
        axes.text(0.97, -0.62, "behind ", ha="right", color=ink("behind"), fontsize=8)
        axes.text(1.03, -0.62, " ahead", ha="left", color=ink("ahead"), fontsize=8)
        ticks = _speedup_ticks(low, high)
        axes.xaxis.set_major_locator(FixedLocator(ticks[:: 2 if narrow and len(ticks) > 8 else 1]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
        parts = ["fastest peer's time / ours", "bar: geometric mean, diamond: aim"]
        axes.set_xlabel(("\n" if narrow else "; ").join(parts))
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
    return figure


def _speedup_row(
    axes: Axes,
    place: int,
    members: Sequence[tuple[float, int]],
    wanted: float | None,
    measured: Sequence[Measured],
) -> None:
    half = 0.26
    count = max(1, len(members) - 1)
    heights = {i: place + half - 2 * half * rank / count for rank, (_, i) in enumerate(members)}
    if len(members) == 1:
        heights = {members[0][1]: place}
    _marks(axes, [(s, heights[i], i) for s, i in members], measured, size=9)
    mean = geometric_mean(s for s, _ in members)
    axes.plot([mean, mean], [place - 0.34, place + 0.34], color=ink("text"), linewidth=1.6)
    if wanted is not None:
        axes.plot(
            wanted,
            place,
            linestyle="none",
            color=ink("text"),
            marker="D",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor=ink("text"),
            markeredgewidth=1.1,
            zorder=5,
        )


def _speedup_label(
    axes: Axes, place: int, name: str, members: Sequence[tuple[float, int]], narrow: bool
) -> None:
    mean = geometric_mean(s for s, _ in members)
    behind = sum(s < 1 for s, _ in members)
    counts = f"{len(members)}, {behind} behind, {mean:.2f}x"
    where = axes.get_yaxis_transform()
    if narrow:
        axes.text(1, place - 0.42, f"{name}: {counts}", transform=where, fontsize=7, ha="right")
    else:
        axes.text(-0.01, place - 0.02, name, transform=where, ha="right", fontweight="bold")
        style: dict[str, Any] = {"fontsize": 7, "color": ink("muted"), "va": "top"}
        axes.text(-0.01, place + 0.06, counts, transform=where, ha="right", **style)
    axes.set_yticks([])


def _marks(
    axes: Axes,
    points: Sequence[tuple[float, float, int]],
    measured: Sequence[Measured],
    size: float,
) -> None:
    """Draw (x, y, number of the panel) as marks that link to the panel's row."""
    for regime, (colour, shape) in MARKS.items():
        chosen = [point for point in points if measured[point[2]].regime == regime]
        if not chosen:
            continue
        scale = 5 if shape in "*P" else 1
        marks = axes.scatter(
            [x for x, _, _ in chosen],
            [y for _, y, _ in chosen],
            s=scale * size,
            color=ink(colour),
            marker=shape,
            linewidths=0,
            zorder=4 if scale > 1 else 3,
            label=regime,
        )
        marks.set_urls([f"#r{i}" for _, _, i in chosen])


# ---- roofline ------------------------------------------------------------------------------------


def _bandwidths(members: Sequence[Measured], caches: Sequence[int]) -> dict[str, float]:
    """Bytes per second by the level that holds a case's arrays, the median of the cases."""
    levels = [f"L{i}" for i in range(1, len(caches) + 1)] + ["memory"]
    found: dict[str, list[float]] = {level: [] for level in levels}
    for m in members:
        case = m.panel.case
        # A case near a cache's size lies in two levels, and counts for neither.
        fits = [i for i, size in enumerate(caches) if 4 * case.bytes <= 3 * size]
        beyond = case.bytes > 2 * caches[-1]
        if m.panel.streams and (fits or beyond):
            level = levels[fits[0]] if fits else "memory"
            found[level].append(case.bytes / m.panel.streams["stream"][0])
    return {level: median(rates) for level, rates in found.items() if rates}


def roofline(run: Run, narrow: bool = False) -> Figure:
    """Draw GFLOP/s over flops per byte, a diagram for each number of threads."""
    threads = run.threads
    rows, columns = (len(threads), 1) if narrow else (1, len(threads))
    width = NARROW if narrow else WIDE
    height = 3.5 * rows + 1.3 if narrow else 4.9
    with canvas(rows, columns, width, height, sharex=True, sharey=True) as (figure, grid):
        for axes, n in zip(grid.flat, threads, strict=True):
            indexes = [i for i, m in enumerate(run.measured) if m.panel.threads == n]
            _roofline(axes, run, indexes)
            axes.set_title(f"{n} thread{'s' * (n > 1)}", loc="left", fontweight="bold")
        figure.supylabel("GFLOP/s", fontsize=8.5)
        for axes in grid[-1, :]:
            axes.set_xlabel("flops per byte, each array counted once")
        handles, labels = [], []
        for axes in grid.flat:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                if label not in labels:
                    handles.append(handle)
                    labels.append(label)
        columns = 2 if narrow else 6
        legend = figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=columns,
            fontsize=7.5,
            handlelength=1.2,
            handletextpad=0.5,
        )
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([34])
                handle.set_urls([None])
    return figure


def _roofline(axes: Axes, run: Run, indexes: Sequence[int]) -> None:
    members = [run.measured[i] for i in indexes]
    flops = [m.panel.case.flops for m in members]
    intensity = [m.panel.case.flops / m.panel.case.bytes for m in members]
    axes.set_xscale("log")
    axes.set_yscale("log")
    every = zip(intensity, flops, members, strict=True)
    of_peers = [(x, n / m.peer.best / 1e9) for x, n, m in every if m.peer]
    # The dashes are one line with gaps. A page draws it much faster than as many marks.
    axes.plot(
        [x * side for x, _ in of_peers for side in (0.96, 1.04, math.nan)],
        [y for _, y in of_peers for _ in range(3)],
        color=ink("peer"),
        linewidth=1,
        zorder=2,
        label="fastest peer",
    )
    rates = [n / m.ours.best / 1e9 for n, m in zip(flops, members, strict=True)]
    _marks(axes, list(zip(intensity, rates, indexes, strict=True)), run.measured, size=8)
    peaks = [m.panel.case.flops / m.panel.fma[0] / 1e9 for m in members if m.panel.fma]
    left, right = 0.8 * min(intensity), 1.6 * max(intensity)
    axes.set_xlim(left, right)
    if not peaks:
        return
    peak = median(peaks)
    axes.set_ylim(top=2.2 * peak)
    axes.plot([left, right], [peak, peak], color=ink("text"), linewidth=1.2, zorder=1)
    label = f"{members[0].panel.isa} multiply-adds {peak:.0f}"
    axes.text(right, 1.06 * peak, label, ha="right", va="bottom", fontsize=7, in_layout=False)
    _draw_bandwidths(axes, _bandwidths(members, run.machine["caches"]), left, peak)
    axes.grid()
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(10))
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _draw_bandwidths(axes: Axes, rates: Mapping[str, float], left: float, peak: float) -> None:
    """Draw a named diagonal for each level. Those too close to another are left out."""
    taken: list[float] = []
    for level, rate in sorted(rates.items(), key=lambda item: item[1]):
        if any(rate < 1.5 * other for other in taken):
            continue
        taken.append(rate)
        axes.plot(
            [left, peak * 1e9 / rate],
            [left * rate / 1e9, peak],
            color=ink("text"),
            linewidth=0.8,
            linestyle="--",
            zorder=1,
        )
        axes.text(
            1.15 * left,
            1.35 * left * rate / 1e9,
            f"{level} {rate / 1e9:.0f} GB/s",
            rotation=math.degrees(math.atan(rate / 1e9)),  # the line's angle in the data's units
            rotation_mode="anchor",
            transform_rotates_text=True,
            fontsize=7,
            color=ink("muted"),
            zorder=6,
            in_layout=False,
        )


# ---- scaling -------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """A line of a diagram. Its kind, "ours", "peer" or "roof", decides how it looks."""

    label: str
    kind: str
    x: list[float]
    y: list[float]


class Diagram(NamedTuple):
    title: str
    x_label: str
    y_label: str
    log: bool
    curves: list[Curve]


class Scaling(NamedTuple):
    """The results of `bench.scaling`: machines, diagrams, and the CPUs that others used."""

    machines: list[dict[str, Any]]
    diagrams: list[Diagram]
    neighbours: list[float]


_LINES: dict[str, dict[str, Any]] = {
    "ours": {"color": ink("blue"), "marker": "o", "linewidth": 1.6},
    "peer": {"color": ink("vermilion"), "marker": "s", "linewidth": 1.2},
    "roof": {"color": ink("text"), "linestyle": "--", "linewidth": 1.0},
}


def scaling(diagrams: Sequence[Diagram], narrow: bool = False) -> Figure:
    """Draw small diagrams, two in a row, or one if `narrow`."""
    columns = 1 if narrow else 2
    rows = -(-len(diagrams) // columns)
    width = NARROW if narrow else WIDE
    with canvas(rows, columns, width, 2.5 * rows + 0.4) as (figure, grid):
        for axes, diagram in zip(grid.flat, diagrams, strict=False):
            _diagram(axes, diagram)
        for axes in list(grid.flat)[len(diagrams) :]:
            axes.set_visible(False)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=8)
    return figure


def _diagram(axes: Axes, diagram: Diagram) -> None:
    for curve in diagram.curves:
        axes.plot(curve.x, curve.y, markersize=3.5, label=curve.label, **_LINES[curve.kind])
    axes.set_title(diagram.title, loc="left")
    axes.set_xlabel(diagram.x_label)
    axes.set_ylabel(diagram.y_label)
    if diagram.log:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        whole = sorted({x for curve in diagram.curves for x in curve.x})
        axes.xaxis.set_major_locator(FixedLocator(whole[:: -(-len(whole) // 6)]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _short(x)))
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(FixedLocator(diagram.curves[0].x))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid()
    axes.set_axisbelow(True)


def _short(x: float) -> str:
    for unit, size in (("M", 1 << 20), ("K", 1 << 10)):
        if x >= max(4096, size) and x % size == 0:
            return f"{x / size:g}{unit}"
    return f"{x:g}"
