"""``python -m bench.scaling``: one size varied at a time, ours beside matmul and the roof."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

import pointwise_fast as pf

from .layers.cases import HEADLINE, LAYOUTS, Case, Layout
from .layers.contenders import BARE_MATMUL, ours
from .layers.job import make_job
from .measure.machine import describe_machine, free_memory, headline_of, same_machine
from .measure.panel import Panel, measure_panel
from .report.tables import RESULTS, write_json

__all__ = ["POINTS", "main"]

#: The share of free memory that a case's arrays may take. The roof's take as many bytes.
_SHARE = 0.4
#: Cases for the curves over threads: on the ridge, large and deep.
_THREADED = (HEADLINE, Case(C=256, H=56, W=56, K=64), Case(C=512, H=14, W=14, K=512))
_PIXELS = tuple(16 * 4**i for i in range(11))
_CHANNELS = tuple(2**i for i in range(12))


class Point(NamedTuple):
    """A case to measure, at the `x` of a diagram."""

    diagram: str
    x: int
    case: Case
    layout: Layout
    threads: int


def _plural(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _pixels(most: int) -> Iterable[Point]:
    for layout, size in product(LAYOUTS, _PIXELS):
        title = f"50 to 20 channels, {layout}, {_plural(most)}"
        case = Case(C=50, H=1, W=size, K=20) if size < 1024 else Case(50, size // 1024, 1024, 20)
        yield Point(title, size, case, layout, most)


def _channels(most: int) -> Iterable[Point]:
    base = Case(C=64, H=56, W=56, K=64)
    for layout, size in product(LAYOUTS, _CHANNELS):
        yield Point(f"C to 64 channels, {layout}, 1 thread", size, replace(base, C=size), layout, 1)
    for layout, size in product(LAYOUTS, _CHANNELS):
        yield Point(f"64 to K channels, {layout}, 1 thread", size, replace(base, K=size), layout, 1)


def _threads(most: int) -> Iterable[Point]:
    for case, layout, n in product(_THREADED, LAYOUTS, range(1, most + 1)):
        yield Point(f"{case.name}, {layout}", n, case, layout, n)


#: The points of each part, of which `bench.report.curves` makes diagrams.
POINTS: dict[str, Callable[[int], Iterable[Point]]] = {
    "pixels": _pixels,
    "channels": _channels,
    "threads": _threads,
}


def measure_points(
    points: Sequence[Point], rounds: int, budget: float, progress: Callable[[], object]
) -> list[tuple[Point, Panel]]:
    """Measure a panel for each point. Points of the same case and layout share their data."""
    backend = pf.backends()[0]
    contenders = [ours(backend, packed=True), BARE_MATMUL]
    found = []
    for (case, layout), same in groupby(points, key=lambda point: (point.case, point.layout)):
        job = make_job(case, layout, 1, sample=16_000)
        for point in same:
            panel = measure_panel(
                case,
                layout,
                point.threads,
                "hot",
                contenders,
                rounds=rounds,
                budget=budget,
                least=3,
                job=job.with_threads(point.threads),
                backend=backend,
            )
            found.append((point, panel))
            progress()
    return found


def _measure_part(name: str, rounds: int, budget: float) -> dict[str, Any]:
    points = list(POINTS[name](pf.get_num_threads()))
    limit = int(_SHARE * free_memory())
    chosen = [point for point in points if point.case.bytes <= limit]
    left_out = sorted({p.case.name for p in points if p.case.bytes > limit})
    if left_out:
        print(f"not enough memory for {', '.join(left_out)}")
    with tqdm(total=len(chosen), unit="panel", desc=name, smoothing=0) as bar:
        found = measure_points(chosen, rounds, budget, bar.update)
    panels = [{"diagram": point.diagram, "x": point.x} | panel.as_json() for point, panel in found]
    return {"machine": describe_machine(), "left_out": left_out, "panels": panels}


def _kept(path: Path, machine: Mapping[str, Any], again: Collection[str]) -> dict[str, Any]:
    """The parts of `path` that are not measured `again` and were measured on this machine."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    kept = {}
    for name, part in content.items():
        if name in again:
            continue
        if same_machine(part["machine"], machine):
            kept[name] = part
        else:
            print(f"{name}: left out, measured elsewhere: {headline_of(part['machine'])}")
    return kept


def main(arguments: list[str] | None = None) -> None:
    """Measure and write scaling.json. Other parts are kept if they are this machine's."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=POINTS, default=list(POINTS))
    parser.add_argument("--rounds", type=int, default=15, help="of each panel (%(default)s)")
    parser.add_argument(
        "--budget", type=float, default=0.4, help="seconds of a panel's rounds (%(default)s)"
    )
    options = parser.parse_args(arguments)
    tqdm.monitor_interval = 0  # one thread fewer
    start = time.perf_counter()
    path = RESULTS / "scaling.json"
    content = _kept(path, describe_machine(), options.parts)
    for name in options.parts:
        content[name] = _measure_part(name, options.rounds, options.budget)
        path = write_json("scaling", content)
    print(headline_of(content[options.parts[0]]["machine"]))
    print(f"wrote {path.relative_to(path.parents[2])} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
