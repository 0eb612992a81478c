"""Plain-text tables and JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import ROOT
from ..measure.panel import Panel, Row

__all__ = ["BASELINE", "RESULTS", "format_panel", "format_table", "write_json"]

RESULTS = ROOT / "bench" / "results"
#: Speedups are over this contender.
BASELINE = "np.matmul(out=)"
#: CPUs that other processes may use before the table mentions it.
_QUIET = 0.15


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns, the first to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in others)]).rstrip()

    return "\n".join([line(header), line(["-" * w for w in widths]), *map(line, rows)])


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def format_panel(panel: Panel, unit: str = "ms") -> str:
    """The title, the table and the skipped contenders of a panel."""
    scale = {"ms": 1e3, "us": 1e6}[unit]
    case, base = panel.case, panel.row(BASELINE)

    def cells(row: Row) -> list[str]:
        return [
            row.name,
            f"{scale * row.best:.3f}",
            f"{scale * row.middle:.3f}",
            f"{case.flops / row.best / 1e9:.1f}",
            f"{case.bytes / row.best / 1e9:.1f}",
            percent(panel.fraction(row)),
            percent(panel.middle_fraction(row)),
            times(base.best / row.best if base else None),
            f"{row.error.absolute:.1e}",
            f"{row.error.of_promise:.3f}",
        ]

    header = [
        case.name,
        f"{unit} min",
        "median",
        "GFLOP/s",
        "GB/s",
        "% roof",
        "median",
        "speedup",
        "max error",
        "/promise",
    ]
    threads = f"{panel.threads} thread{'s' * (panel.threads > 1)}"
    lines = [
        f"{panel.layout}, {threads}, {panel.mode}: {_roof_line(panel, unit)}",
        format_table(header, [cells(row) for row in panel.rows]),
    ]
    if panel.neighbours is not None and panel.neighbours > _QUIET:
        lines.append(f"disturbed: other processes used {panel.neighbours:.1f} CPUs meanwhile")
    lines += [f"not measured: {name}: {reason}" for name, reason in panel.skipped.items()]
    return "\n".join(lines)


def _roof_line(panel: Panel, unit: str) -> str:
    if panel.roof is None:
        return "no roof (it needs a C compiler)"
    case, scale = panel.case, {"ms": 1e3, "us": 1e6}[unit]
    stream = min(map(min, panel.streams.values()))
    return (
        f"roof {scale * panel.roof:.3f} {unit} ({panel.limit}); "
        f"{panel.isa} peak {case.flops / min(panel.fma) / 1e9:.1f} GFLOP/s, "
        f"stream {case.C}:{case.K} {case.bytes / stream / 1e9:.1f} GB/s"
    )


def write_json(name: str, content: dict[str, Any]) -> Path:
    """Write ``bench/results/<name>.json``; lists of numbers stay on one line."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(_dump(content) + "\n")
    return path


def _dump(value: Any, indent: int = 0) -> str:
    """Write JSON with dicts and lists of dicts broken into lines, and floats of 6 digits."""
    pad = "\n" + " " * (indent + 1)
    end = "\n" + " " * indent
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(str(k))}: {_dump(v, indent + 1)}" for k, v in value.items()]
        return "{" + pad + ("," + pad).join(items) + end + "}"
    if isinstance(value, list | tuple):
        if any(isinstance(item, dict) for item in value):
            return "[" + pad + ("," + pad).join(_dump(v, indent + 1) for v in value) + end + "]"
        return "[" + ", ".join(_dump(v) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < float("inf") else "null"
    return json.dumps(value)
