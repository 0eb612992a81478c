"""``python -m bench.suite_report``: makes a page and pictures of the suite's records."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from .report.canvas import save_png
from .report.curves import read_scaling
from .report.figures import roofline, sorted_speedups
from .report.findings import aims, read_run, unused_reasons
from .report.page import render_page
from .report.tables import RESULTS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Write the page and the PNGs beside the records."""
    parser = argparse.ArgumentParser(prog="python -m bench.suite_report", description=__doc__)
    parser.add_argument(
        "records", nargs="?", type=Path, default=RESULTS / "suite.jsonl", help="(%(default)s)"
    )
    parser.add_argument("--out", type=Path, help="the page; by default beside the records")
    parser.add_argument("--why", type=Path, default=RESULTS / "why.json", help="(%(default)s)")
    parser.add_argument(
        "--scaling", type=Path, default=RESULTS / "scaling.json", help="(%(default)s)"
    )
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    run = read_run(options.records)
    reasons = json.loads(options.why.read_text()) if options.why.exists() else {}
    curves = read_scaling(options.scaling) if options.scaling.exists() else None
    page = options.out or options.records.with_suffix(".html")
    page.write_text(render_page(run, reasons, curves))
    written = [page]
    pictures = {"roofline": roofline(run)}
    if any(m.peer for m in run.measured):
        pictures["speedup"] = sorted_speedups(run)
    for name, figure in pictures.items():
        written.append(page.with_name(f"{page.stem}-{name}.png"))
        save_png(figure, run.machine, written[-1])
    for aim in aims(run):
        state = {None: "", True: "reached", False: "MISSED"}[aim.reached]
        print(f"{aim.title}: {aim.figure} (aim {aim.wanted}) {state}".rstrip())
    for pattern in unused_reasons(run.measured, reasons):
        print(f"{options.why.name}: {pattern!r} fits no panel that is behind")
    sizes = ", ".join(f"{path.name} ({path.stat().st_size / 1e6:.1f} MB)" for path in written)
    print(f"wrote {sizes} in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
