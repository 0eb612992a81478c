"""Reads the suite's records: panels, the fastest peers, and the aims reached and missed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any, Literal, NamedTuple

from ..layers.cases import HEADLINE, LAYOUTS, MIXED, REGIMES, Case, Layout, load_cases, regime_of
from ..layers.job import Error
from ..measure.panel import Panel, Row
from .summary import ours_of, speedup

__all__ = [
    "NOT_EXPLAINED",
    "Aim",
    "Measured",
    "RegimeLine",
    "Run",
    "aims",
    "read_run",
    "reason_for",
    "regime_lines",
    "thread_gains",
    "unused_reasons",
]

#: A panel is ahead from the first speedup on, and far behind below the second.
LEVEL, FAR_BEHIND = 1.0, 0.95
NOT_EXPLAINED = "not explained yet"

Standing = Literal["ahead", "behind", "far behind", "no peer"]


@dataclass(frozen=True)
class Measured:
    """A panel of the suite and the rest of its record.

    `retired` are peers so slow that they were timed in the first rounds only.
    """

    panel: Panel
    plan: str = ""
    retired: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        return f"{self.panel.case.name}|{self.panel.layout}|{self.panel.threads}"

    @cached_property
    def regime(self) -> str:
        return regime_of(self.panel.case, self.panel.layout)

    @cached_property
    def ours(self) -> Row:
        return ours_of(self.panel)

    @cached_property
    def peer(self) -> Row | None:
        """The fastest peer."""
        return self.panel.fastest_peer()

    @cached_property
    def speedup(self) -> float | None:
        return speedup(self.panel)

    @cached_property
    def fraction(self) -> float | None:
        """The fraction of the roof."""
        return self.panel.fraction(self.ours)

    @property
    def standing(self) -> Standing:
        if self.speedup is None:
            return "no peer"
        if self.speedup >= LEVEL:
            return "ahead"
        return "behind" if self.speedup >= FAR_BEHIND else "far behind"


@dataclass(frozen=True)
class Run:
    """All records of a suite.

    Attributes
    ----------
    machines : list of dict
        What `bench.measure.machine.describe_machine` returned when the suite was started, and each
        time it was resumed.
    peers : dict of str to dict
        ``{"version": ...}`` or ``{"missing": reason}`` by name.
    measured : list of Measured
    failed : dict of str to str
        Panels in which ours gave no time, and why.
    """

    machines: list[dict[str, Any]]
    peers: dict[str, dict[str, str]]
    measured: list[Measured]
    failed: dict[str, str]

    @property
    def machine(self) -> dict[str, Any]:
        return self.machines[-1]

    @property
    def threads(self) -> list[int]:
        return sorted({m.panel.threads for m in self.measured})

    @property
    def layouts(self) -> list[Layout]:
        """The layouts that have panels."""
        found = {m.panel.layout for m in self.measured}
        return [layout for layout in (*LAYOUTS, *MIXED) if layout in found]

    @property
    def peer_names(self) -> list[str]:
        """The peers that have a time in some panel, the most often fastest first."""
        wins = dict.fromkeys(
            (row.name for m in self.measured for row in m.panel.rows if not row.ours), 0
        )
        for m in self.measured:
            if m.peer is not None:
                wins[m.peer.name] += 1
        return sorted(wins, key=lambda name: -wins[name])


# ---- reading -------------------------------------------------------------------------------------


def _row(record: Mapping[str, Any]) -> Row:
    error = record["error"]
    found = Error(**error) if isinstance(error, dict) else Error(float(error), math.nan)
    return Row(record["name"], record["ours"], record.get("whole", True), record["seconds"], found)


def _measured(record: Mapping[str, Any], cases: Mapping[str, Case]) -> Measured:
    rows = [_row(row) for row in record["rows"] if row["seconds"]]
    fma, stream = record["fma_seconds"], record["stream_seconds"]
    limited = fma is not None and stream is not None
    panel = Panel(
        cases[record["case"]],
        record["layout"],
        record["threads"],
        "hot",
        record["isa"],
        rows,
        record["skipped"],
        [fma] if limited else [],
        {"stream": [stream]} if limited else {},
        record.get("others"),
    )
    retired = frozenset(row["name"] for row in record["rows"] if row.get("retired"))
    return Measured(panel, record.get("plan") or "", retired)


def read_run(path: Path) -> Run:
    """Read the records of `path`, one JSON object per line. The last one of a panel counts.

    Raises
    ------
    ValueError
        If nothing was measured, or a record names an unknown case.
    """
    cases = {case.name: case for case in [*load_cases(), HEADLINE]}
    machines: list[dict[str, Any]] = []
    peers: dict[str, dict[str, str]] = {}
    measured: dict[str, Measured] = {}
    failed: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        record = json.loads(line)
        if record["kind"] == "machine":
            machines.append(record)
            peers |= record["peers"]
        elif record["kind"] == "panel":
            if record["case"] not in cases:
                raise ValueError(f"{path.name}, line {number}: no case {record['case']!r}")
            found = _measured(record, cases)
            for kept in (measured, failed):
                kept.pop(found.key, None)
            if any(row.ours for row in found.panel.rows):
                measured[found.key] = found
            else:
                failed[found.key] = "; ".join(found.panel.skipped.values()) or "no time"
    if not machines or not measured:
        raise ValueError(f"{path.name} has no machine or no panels")
    return Run(machines, peers, list(measured.values()), failed)


# ---- what was reached ----------------------------------------------------------------------------


class Aim(NamedTuple):
    """A figure beside its aim. `reached` is None if there is no figure."""

    title: str
    figure: str
    wanted: str
    reached: bool | None


def thread_gains(measured: Iterable[Measured]) -> list[float]:
    """Speedups of all threads over one, of the cases that arithmetic limits with both."""
    found: dict[tuple[str, str], dict[int, Measured]] = {}
    for m in measured:
        if m.panel.limit == "arithmetic" and m.regime != "small":
            found.setdefault((m.panel.case.name, m.panel.layout), {})[m.panel.threads] = m
    return [
        by[1].ours.best / by[most].ours.best
        for by in found.values()
        if 1 in by and (most := max(by)) > 1
    ]


def aims(run: Run) -> list[Aim]:
    """The figures of the whole suite beside their aims."""
    speedups = [s for m in run.measured if (s := m.speedup) is not None]
    found: list[Aim] = []
    if speedups:
        mean = geometric_mean(speedups)
        ahead = sum(s >= LEVEL for s in speedups) / len(speedups)
        far = sum(s < FAR_BEHIND for s in speedups)
        found += [
            Aim("fastest peer / ours, geometric mean", f"{mean:.3f}x", "1.6x", mean >= 1.6),
            Aim("panels at 1.0 or better", f"{100 * ahead:.1f} %", "90 %", ahead >= 0.9),
            Aim(f"panels below {FAR_BEHIND}", str(far), "0", far == 0),
        ]
    most = max(run.threads)
    gains = thread_gains(run.measured)
    # An aim was set for two threads only.
    gain, wanted = (median(gains) if gains else None), 1.85 if most == 2 else None
    if gain is not None:
        title = f"{most} threads against 1, limited by arithmetic, median"
        reached = None if wanted is None else gain >= wanted
        found.append(Aim(title, f"{gain:.2f}x", f"{wanted}x" if wanted else "-", reached))
    return found


class RegimeLine(NamedTuple):
    """The figures of a regime. None if there is no figure or no aim was set."""

    name: str
    panels: int
    fraction: float | None
    fractions: dict[tuple[Layout, int], float | None]
    fraction_wanted: float | None
    speedup: float | None
    speedup_wanted: float | None
    behind: int

    @property
    def fraction_reached(self) -> bool | None:
        return _reached(self.fraction, self.fraction_wanted)

    @property
    def speedup_reached(self) -> bool | None:
        return _reached(self.speedup, self.speedup_wanted)


def _reached(figure: float | None, wanted: float | None) -> bool | None:
    return None if figure is None or wanted is None else figure >= wanted


def _of(statistic: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistic(present) if present else None


def regime_lines(run: Run) -> list[RegimeLine]:
    """Median fraction of the roof and geometric mean of the speedup, by regime."""
    lines = []
    for name, regime in REGIMES.items():
        members = [m for m in run.measured if m.regime == name]
        if not members:
            continue
        parts: dict[tuple[Layout, int], list[float | None]]
        parts = {(layout, threads): [] for layout in run.layouts for threads in run.threads}
        for m in members:
            parts[m.panel.layout, m.panel.threads].append(m.fraction)
        lines.append(
            RegimeLine(
                name,
                len(members),
                _of(median, (m.fraction for m in members)),
                {part: _of(median, values) for part, values in parts.items()},
                regime.fraction,
                _of(geometric_mean, (m.speedup for m in members)),
                regime.speedup,
                sum(m.standing in ("behind", "far behind") for m in members),
            )
        )
    return lines


# ---- why -----------------------------------------------------------------------------------------


def _matches(pattern: str, m: Measured) -> bool:
    subject = f"@{m.regime}|{m.panel.layout}|{m.panel.threads}" if pattern[:1] == "@" else m.key
    return fnmatchcase(subject, pattern)


def reason_for(m: Measured, reasons: Mapping[str, str]) -> str:
    """The reason of the first pattern that fits, ``case|layout|threads`` or ``@regime|...``."""
    fitting = (text for pattern, text in reasons.items() if _matches(pattern, m))
    return next(fitting, NOT_EXPLAINED)


def unused_reasons(measured: Sequence[Measured], reasons: Mapping[str, str]) -> list[str]:
    """Patterns that fit no panel that is behind. They may be out of date."""
    behind = [m for m in measured if m.standing in ("behind", "far behind")]
    return [pattern for pattern in reasons if not any(_matches(pattern, m) for m in behind)]
