"""``python -m bench.layers``: real layers, ours against NumPy and the roof."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from statistics import median

from tqdm import tqdm

import pointwise_fast as pf
from pointwise_fast.call import Settings, describe, geometry

from .cases import LAYOUTS, Case, Layout, load_cases, quick_cases
from .contenders import layer_contenders
from .job import Job, make_job
from .machine import describe_machine, headline_of
from .panel import Mode, Panel, WrongResult, measure_panel, modes_for, sets_for
from .report import write_json
from .summary import summarise, worst

__all__ = ["main", "plan_of"]


def plan_of(job: Job, backend: str) -> str:
    """What the C backend decides for `job`; "" for other backends."""
    case, arrays = job.case, job.sets[0]
    settings = Settings(
        job.weight.shape,
        None if job.bias is None else job.bias.shape,
        case.activation,
        job.channel_axis,
        case.stride,
        case.groups,
        None,
        backend,
    )
    residual = None if arrays.residual is None else geometry(arrays.residual)
    call = describe(settings, *geometry(arrays.x), residual, geometry(arrays.out))
    tell = getattr(call.plan, "describe", None)
    return "" if tell is None else str(tell())


def measure_layers(
    cases: Sequence[Case],
    layouts: Sequence[Layout],
    threads: Sequence[int],
    modes: Sequence[Mode],
    backend: str,
    budget: float,
) -> tuple[list[Panel], dict[tuple[str, str], str], list[str]]:
    """Panels, plans by case and layout, and what was wrong."""
    panels: list[Panel] = []
    plans: dict[tuple[str, str], str] = {}
    wrong: list[str] = []
    contenders = layer_contenders(backend)
    tqdm.monitor_interval = 0  # a thread less
    chosen = [c for c in product(cases, layouts, modes) if c[2] in modes_for(c[0])]
    with tqdm(total=len(chosen) * len(threads), unit="panel", smoothing=0) as bar:
        for case, layout, mode in chosen:
            job = make_job(case, layout, 1, sets_for(case, mode), sample=16_000)
            plans[case.name, layout] = plan_of(job, backend)
            for n in threads:
                bar.set_description(f"{case.name}, {layout}, {n}")
                job = job.with_threads(n)
                try:
                    panel = measure_panel(
                        case,
                        layout,
                        n,
                        mode,
                        contenders,
                        rounds=15,
                        budget=budget,
                        least=3,
                        job=job,
                        backend=backend,
                    )
                except WrongResult as error:
                    wrong.append(str(error))
                else:
                    panels.append(panel)
                bar.update()
    return panels, plans, wrong


def _listed(choices: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        for value in text.split(","):
            if value not in choices:
                raise argparse.ArgumentTypeError(f"{value!r}: choose from {', '.join(choices)}")
        return text.split(",")

    return parse


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.layers", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="30 cases that stand for all (default)")
    which.add_argument("--full", action="store_true", help="all cases")
    parser.add_argument("--cases", help="only cases whose name contains this, of all cases")
    parser.add_argument("--limit", type=int, help="so many cases at most")
    parser.add_argument("--layout", type=_listed(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--threads", help="such as 1,2; one and all by default")
    parser.add_argument("--mode", type=_listed(("hot", "rotating")), default=["hot"])
    parser.add_argument("--isa", help="force an instruction set; POINTWISE_FAST_ISA does the same")
    backends = pf.backends()
    backend = "c" if "c" in backends else backends[0]
    parser.add_argument("--backend", default=backend, choices=backends)
    parser.add_argument("--budget", type=float, default=0.3, help="seconds for a case's rounds")
    parser.add_argument("--worst", type=int, default=15, help="so many of the worst are listed")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a summary and write layers.json; 1 if a result was wrong."""
    options = _parse(arguments)
    if options.isa and options.isa != pf.config()["isa"]:
        # The instruction set is chosen when the package is imported.
        os.environ["POINTWISE_FAST_ISA"] = options.isa
        given = sys.argv[1:] if arguments is None else arguments
        os.execv(sys.executable, [sys.executable, "-m", "bench.layers", *given])
    cases = load_cases() if options.full or options.cases else quick_cases()
    cases = [case for case in cases if (options.cases or "") in case.name][: options.limit]
    if not cases:
        raise SystemExit(f"no case has {options.cases!r} in its name")
    if options.threads:
        threads = [int(n) for n in options.threads.split(",")]
    else:
        threads = sorted({1, pf.get_num_threads()})
    start = time.perf_counter()
    panels, plans, wrong = measure_layers(
        cases, options.layout, threads, options.mode, options.backend, options.budget
    )
    machine = describe_machine()
    print(headline_of(machine) + f", backend {options.backend}")
    noise = [panel.neighbours for panel in panels if panel.neighbours is not None]
    if noise:
        print(f"other processes used {median(noise):.2f} CPUs meanwhile, at most {max(noise):.1f}")
    print(f"{len(cases)} cases, {len(panels)} panels, {time.perf_counter() - start:.0f} s")
    for mode in options.mode:
        chosen = [panel for panel in panels if panel.mode == mode]
        if chosen:
            print(f"\n{mode}:\n{summarise(chosen)}")
            print(f"\n{mode}, furthest from the aim:\n{worst(chosen, plans, options.worst)}")
    content = [panel.as_json() | {"plan": plans[panel.case.name, panel.layout]} for panel in panels]
    path = write_json("layers", {"machine": machine, "backend": options.backend, "panels": content})
    print(f"\nwrote {path.relative_to(path.parents[2])}")
    for message in wrong:
        print(f"WRONG: {message}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
