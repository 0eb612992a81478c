"""Makes diagrams of what `bench.scaling` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..layers.contenders import BARE_MATMUL
from ..measure.machine import headline_of
from .figures import Curve, Diagram, Scaling

__all__ = ["PARTS", "Part", "read_scaling"]


class Part(NamedTuple):
    """A kind of diagram: its axes, and the y of a case and its seconds."""

    x_label: str
    y_label: str
    log: bool
    y: Callable[[dict[str, Any], float], float]


def _per_pixel(case: dict[str, Any], seconds: float) -> float:
    return 1e9 * seconds / int(case["H"] * case["W"])


def _rate(case: dict[str, Any], seconds: float) -> float:
    return float(case["flops"]) / seconds / 1e9


PARTS: dict[str, Part] = {
    "pixels": Part("pixels P", "ns per pixel", True, _per_pixel),
    "channels": Part("channels, P = 3136", "GFLOP/s", True, _rate),
    "threads": Part("threads", "GFLOP/s", False, _rate),
}


def _curves(part: Part, panels: Sequence[dict[str, Any]]) -> list[Curve]:
    def curve(label: str, kind: str, seconds: Callable[[dict[str, Any]], float | None]) -> Curve:
        points = sorted(
            (float(p["x"]), part.y(p["case"], s)) for p in panels if (s := seconds(p)) is not None
        )
        return Curve(label, kind, [x for x, _ in points], [y for _, y in points])

    def best(mine: bool) -> Callable[[dict[str, Any]], float | None]:
        return lambda p: next((row["best"] for row in p["rows"] if row["ours"] is mine), None)

    curves = [
        curve("ours", "ours", best(True)),
        curve(BARE_MATMUL.name, "peer", best(False)),
        curve("roof", "roof", lambda p: p["roof"]["seconds"]),
    ]
    return [c for c in curves if c.x]


def read_scaling(path: Path) -> Scaling:
    """Return the diagrams of what `bench.scaling` wrote."""
    content = json.loads(path.read_text())
    machines: list[dict[str, Any]] = []
    diagrams: list[Diagram] = []
    noise: list[float] = []
    for name in (name for name in PARTS if name in content):
        part, panels = PARTS[name], content[name]["panels"]
        if headline_of(content[name]["machine"]) not in map(headline_of, machines):
            machines.append(content[name]["machine"])
        noise += [p["neighbours"] for p in panels if p["neighbours"] is not None]
        for title in dict.fromkeys(p["diagram"] for p in panels):
            curves = _curves(part, [p for p in panels if p["diagram"] == title])
            diagrams.append(Diagram(title, part.x_label, part.y_label, part.log, curves))
    return Scaling(machines, diagrams, noise)
