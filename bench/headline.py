"""``python -m bench.headline``: 50 x 600 x 600 -> 20, everyone against everyone."""

from __future__ import annotations

import argparse
import time
from itertools import product

from tqdm import tqdm

import pointwise_fast as pf

from .layers.cases import HEADLINE, LAYOUTS, Case
from .layers.contenders import call_contenders, headline_contenders
from .layers.job import make_job
from .measure.machine import describe_machine, headline_of
from .measure.panel import Panel, measure_panel, modes_for, sets_for
from .report.plot import plot_headline
from .report.tables import RESULTS, format_panel, format_table, write_json

__all__ = ["CALL", "main"]

#: A layer so small that the call itself is the cost.
CALL = Case(C=4, H=4, W=4, K=4)


def measure_headline(rounds: int, budget: float) -> list[Panel]:
    """Measure a panel for each layout, number of threads and mode."""
    panels = []
    tqdm.monitor_interval = 0  # one thread fewer
    modes = modes_for(HEADLINE)
    counts = sorted({1, pf.get_num_threads()})
    contenders = headline_contenders()
    total = len(LAYOUTS) * len(modes) * len(counts) * rounds
    with tqdm(total=total, unit="round") as bar:
        for layout, mode in product(LAYOUTS, modes):
            job = make_job(HEADLINE, layout, 1, sets_for(HEADLINE, mode))
            for threads in counts:
                bar.set_description(f"{layout}, {threads} threads, {mode}")
                job = job.with_threads(threads)
                panel = measure_panel(
                    HEADLINE,
                    layout,
                    threads,
                    mode,
                    contenders,
                    rounds=rounds,
                    budget=budget,
                    progress=bar.update,
                    job=job,
                )
                panels.append(panel)
                bar.update(rounds - len(panel.rows[0].seconds))
    return panels


def format_calls(panel: Panel) -> str:
    """Format the microseconds of a call on a tiny layer."""
    rows = [
        [row.name, f"{1e6 * row.best:.2f}", f"{1e6 * row.middle:.2f}", f"{row.error.absolute:.1e}"]
        for row in panel.rows
    ]
    table = format_table([f"{panel.case.name}, 1 thread", "us min", "median", "max error"], rows)
    skipped = [f"not measured: {name}: {reason}" for name, reason in panel.skipped.items()]
    return "\n".join([table, *skipped])


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write headline.json and headline.png."""
    parser = argparse.ArgumentParser(prog="python -m bench.headline", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of each panel (%(default)s)")
    parser.add_argument(
        "--budget", type=float, default=22, help="seconds of a panel's rounds (%(default)s)"
    )
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    panels = measure_headline(options.rounds, options.budget)
    calls = measure_panel(CALL, "planar", 1, "hot", call_contenders(), rounds=30, budget=5)
    machine = describe_machine()
    print(headline_of(machine))
    if modes_for(HEADLINE) == ("hot",):
        print(
            f"The arrays ({HEADLINE.bytes / 1e6:.0f} MB) are more than twice the last-level cache "
            f"({machine['caches'][-1] >> 20} MiB): hot repeat and rotating buffers are the same."
        )
    for panel in panels:
        print("\n" + format_panel(panel))
    print("\n" + format_calls(calls))
    content = {
        "machine": machine,
        "panels": [panel.as_json() for panel in panels],
        "calls": calls.as_json(),
    }
    write_json("headline", content)
    plot_headline(panels, machine, RESULTS / "headline.png")
    print(
        f"\n{time.perf_counter() - start:.0f} s; speedup: over np.matmul(out=); max error: against "
        "float64; /promise: largest error in units of the promised bound"
    )
    print(f"wrote {RESULTS.relative_to(RESULTS.parent.parent)}/headline.json and headline.png")


if __name__ == "__main__":
    main()
