"""Summaries of many layers: a line for each regime, and the worst cases."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import geometric_mean, median

from ..layers.cases import REGIMES, regime_of
from ..measure.panel import Panel, Row
from .tables import format_table, percent, times

__all__ = ["ours_of", "overview", "speedup", "summarise", "worst"]

#: The aim where no figure was set.
_FRACTION = 0.85
#: Speedups below which a panel is listed.
_BEHIND = 0.95


def ours_of(panel: Panel) -> Row:
    return next(row for row in panel.rows if row.ours)


def speedup(panel: Panel) -> float | None:
    """The speedup over the fastest peer that computes the whole layer."""
    peer = panel.fastest_peer()
    return None if peer is None else peer.best / ours_of(panel).best


def summarise(panels: list[Panel]) -> str:
    """A line for each regime, layout and number of threads."""
    groups: dict[tuple[str, str, int], list[Panel]] = {}
    for panel in panels:
        regime = regime_of(panel.case, panel.layout)
        groups.setdefault((regime, panel.layout, panel.threads), []).append(panel)
    order = list(REGIMES)
    lines = []
    for (regime, layout, threads), members in sorted(
        groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1:])
    ):
        fractions = [f for p in members if (f := p.fraction(ours_of(p))) is not None]
        whole = [s for p in members if (s := speedup(p)) is not None]
        lines.append(
            [
                regime.removesuffix(f" {layout}"),
                layout,
                str(threads),
                str(len(members)),
                percent(median(fractions) if fractions else None),
                percent(REGIMES[regime].fraction),
                percent(min(fractions, default=None)),
                times(geometric_mean(whole) if whole else None),
                times(min(whole, default=None)),
            ]
        )
    header = ["regime", "layout", "threads", "cases", "roof, median", "aim", "least"]
    return format_table([*header, "speedup, mean", "least"], lines)


def overview(panels: list[Panel]) -> str:
    """How often ours is ahead of the fastest peer, by how much, and where it is far behind."""
    found = [(s, panel) for panel in panels if (s := speedup(panel)) is not None]
    if not found:
        return "no peer was measured"
    ahead = sum(s >= 1 for s, _ in found) / len(found)
    behind = sorted((pair for pair in found if pair[0] < _BEHIND), key=lambda pair: pair[0])
    mean = times(geometric_mean(s for s, _ in found))
    lines = [
        f"fastest peer / ours over {len(found)} panels: {mean} (geometric mean); "
        f"1 or better in {percent(ahead)}, below {_BEHIND} in {len(behind)}"
    ]
    rows = [
        [
            panel.case.name,
            panel.layout,
            str(panel.threads),
            regime_of(panel.case, panel.layout),
            times(s),
            peer.name,
            f"{1e6 * peer.best:.1f}",
            f"{1e6 * ours_of(panel).best:.1f}",
            percent(panel.fraction(ours_of(panel))),
        ]
        for s, panel in behind
        if (peer := panel.fastest_peer()) is not None
    ]
    if rows:
        header = ["behind", "layout", "threads", "regime", "speedup", "fastest peer", "us"]
        lines.append(format_table([*header, "ours us", "roof"], rows))
    return "\n".join(lines)


def shortfall(panel: Panel) -> float:
    """The fraction of the roof over its aim. The speedup if there is no roof."""
    fraction = panel.fraction(ours_of(panel))
    if fraction is None:
        return speedup(panel) or 1.0
    return fraction / (REGIMES[regime_of(panel.case, panel.layout)].fraction or _FRACTION)


def worst(panels: list[Panel], plans: Mapping[tuple[str, str], str], count: int = 15) -> str:
    """A table of the cases that are furthest from the aim."""
    lines = []
    for panel in sorted(panels, key=shortfall)[:count]:
        row = ours_of(panel)
        lines.append(
            [
                panel.case.name,
                panel.layout,
                str(panel.threads),
                regime_of(panel.case, panel.layout),
                f"{1e6 * row.best:.1f}",
                "-" if panel.roof is None else f"{1e6 * panel.roof:.1f}",
                panel.limit,
                percent(panel.fraction(row)),
                times(speedup(panel)),
                plans.get((panel.case.name, panel.layout), ""),
            ]
        )
    header = ["case", "layout", "threads", "regime", "us", "roof us", "limit", "fraction"]
    return format_table([*header, "speedup", "plan"], lines)
