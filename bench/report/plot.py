"""Draws the headline's picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ..measure.machine import headline_of
from ..measure.panel import Panel
from .tables import BASELINE

__all__ = ["plot_headline"]

OURS, PEER, ROOF = "#1b6ca8", "#b9b4a7", "#c0392b"


def plot_headline(panels: list[Panel], machine: dict[str, Any], path: Path) -> None:
    """Draw bars for each contender, and a panel for each layout and number of threads."""
    threads = sorted({panel.threads for panel in panels})
    modes = list(dict.fromkeys(panel.mode for panel in panels))
    columns = len(threads) * len(modes)
    rows = len(panels) // columns
    bars = max(len(panel.rows) for panel in panels)
    size = (6.6 * columns, rows * (0.36 * bars + 1.2) + 1.1)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    ordered = sorted(panels, key=lambda p: (p.layout == "interleaved", p.threads, p.mode))
    for axes, panel in zip(grid.flat, ordered, strict=True):
        _draw(axes, panel, show_mode=len(modes) > 1)
    case = panels[0].case
    figure.suptitle(
        f"{case.C} x {case.H} x {case.W} \N{RIGHTWARDS ARROW} {case.K}, float32: "
        "ms per call, best of the rounds (tick: median), and speedup over np.matmul(out=)",
        fontsize=12,
        fontweight="bold",
    )
    figure.supxlabel(headline_of(machine), fontsize=8, color="#555555")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw(axes: Axes, panel: Panel, show_mode: bool) -> None:
    rows = sorted(panel.rows, key=lambda row: row.best)
    base = panel.row(BASELINE)
    best = [1e3 * row.best for row in rows]
    middle = [1e3 * row.middle for row in rows]
    colours = [OURS if row.ours else PEER for row in rows]
    places = range(len(rows))
    axes.barh(places, best, color=colours, height=0.68)
    axes.scatter(middle, places, marker="|", s=110, color="#333333", linewidths=1.1, zorder=3)
    # A disturbed run's medians must not squeeze the bars. Those outside are written as text.
    longest = max(best)
    edge = 1.4 * longest
    for place, row, low, mid in zip(places, rows, best, middle, strict=True):
        label = f"{low:.2f} ms"
        if base is not None and row.name != BASELINE:
            label += f"  {base.best / row.best:.2f}x"
        shown = mid < 1.12 * longest
        label += "" if shown else f"  (median {mid:.1f})"
        start = max(low, mid) if shown else low
        axes.text(start + 0.015 * longest, place, label, va="center", fontsize=8.5)
    axes.set_yticks(places, [row.name for row in rows], fontsize=9)
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row.ours else "normal")
    axes.invert_yaxis()
    axes.set_xlim(0, edge)
    plural = "s" if panel.threads > 1 else ""
    title = f"{panel.layout}, {panel.threads} thread{plural}"
    axes.set_title(title + (f", {panel.mode}" if show_mode else ""), fontsize=11, loc="left")
    if panel.roof is not None:
        roof = 1e3 * panel.roof
        axes.axvline(roof, color=ROOF, linestyle="--", linewidth=1.2, zorder=2)
        label = f"- - roof {roof:.2f} ms ({panel.limit})"
        axes.set_title(label, fontsize=9, color=ROOF, loc="right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
