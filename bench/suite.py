"""``python -m bench.suite``: every layer against every peer, with the roof beside it.

Ours and each peer live in processes of their own (`bench.measure.remote`) and take turns in
interleaved rounds on the same data: float32, one thread and all. The cases of ``--quick`` are
measured in mixed layouts too, where x is interleaved and the result planar, or the reverse. Each
panel is written to ``bench/results/suite.jsonl`` at once, so that an interrupted run continues
where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

import pointwise_fast as pf

from .layers.cases import LAYOUTS, MIXED, QUICK, Case, Layout, load_cases, quick_cases, regime_of
from .layers.job import Job, make_job
from .measure.exchange import Exchange
from .measure.machine import describe_machine, headline_of, same_machine
from .measure.panel import Panel, WrongResult, measure_panel
from .measure.remote import RemoteContender, Worker, contenders_of
from .measure.rounds import Lost
from .peers import PEERS
from .report.findings import read_run
from .report.summary import overview, summarise, worst
from .report.tables import RESULTS

__all__ = ["main", "panel_record"]

#: Peers promise no accuracy. Their errors may exceed our promise by this factor.
_LENIENCE = 16.0
#: Files in this folder stay in memory.
_SHARED = Path("/dev/shm")
_ROUNDS = 10
#: How many pixels are compared with float64.
_SAMPLE = 4000

Task = tuple[Case, Layout, int]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def panel_record(panel: Panel, plan: str) -> dict[str, Any]:
    """The record of a panel."""
    longest = max((len(row.seconds) for row in panel.rows), default=0)
    return {
        "kind": "panel",
        "case": panel.case.name,
        "layout": panel.layout,
        "threads": panel.threads,
        "isa": panel.isa,
        "regime": regime_of(panel.case, panel.layout),
        "flops": panel.case.flops,
        "bytes": panel.case.bytes,
        "count": panel.case.count,
        "roof": _rounded(panel.roof),
        "limit": panel.limit,
        "fma_seconds": _rounded(min(panel.fma, default=None)),
        "stream_seconds": _rounded(min(map(min, panel.streams.values()), default=None)),
        "rows": [
            {
                "name": row.name,
                "ours": row.ours,
                "seconds": [_rounded(t) for t in row.seconds],
                "error": float(f"{row.error.absolute:.2g}"),
                "retired": len(row.seconds) < longest,
            }
            for row in panel.rows
        ],
        "skipped": panel.skipped,
        "plan": plan,
        "others": None if panel.neighbours is None else round(panel.neighbours, 2),
    }


class Team:
    """The workers of all contenders, by number of threads. They start when they are first needed.

    Parameters
    ----------
    names : sequence of str
        One of our backends, and the peers.
    """

    def __init__(self, names: Sequence[str], patience: float) -> None:
        self._names, self._patience = names, patience
        self._workers: dict[int, list[Worker]] = {}

    def of(self, threads: int) -> list[Worker]:
        if threads not in self._workers:
            self._workers[threads] = [Worker(name, threads, self._patience) for name in self._names]
        return self._workers[threads]

    def close(self) -> None:
        for worker in [worker for group in self._workers.values() for worker in group]:
            worker.close()


def _measure(
    team: Team, job: Job, exchange: Exchange, backend: str, budget: float
) -> dict[str, Any]:
    """Measure one panel and return its record."""
    workers = team.of(job.threads)
    parcel = exchange.parcel(job.threads)
    contenders: list[RemoteContender] = []
    for worker in workers:
        contenders += contenders_of(worker, exchange, parcel)
    processes = [worker.pid for worker in workers if worker.pid is not None]
    panel = measure_panel(
        job.case,
        job.layout,
        job.threads,
        "hot",
        contenders,
        rounds=_ROUNDS,
        budget=budget,
        least=3,
        job=job,
        backend=backend,
        lenience=_LENIENCE,
        processes=processes,
    )
    try:
        plan = str(workers[0].ask("plan"))
    except Lost:
        plan = ""
    for worker in workers:
        worker.release()
    return panel_record(panel, plan)


# ---- the run -------------------------------------------------------------------------------------


class Records:
    """The file of the records.

    Parameters
    ----------
    path : Path
    machine : dict
        The run's first record. Earlier records of the file are kept if they are of the same commit,
        machine and instruction set, and `fresh` is false.
    """

    def __init__(self, path: Path, machine: dict[str, Any], fresh: bool) -> None:
        self.path = path
        self.done: set[tuple[str, str, int]] = set()
        kept = [] if fresh else _kept(path, machine)
        self.done = {
            (record["case"], record["layout"], record["threads"])
            for record in kept
            if record["kind"] == "panel"
        }
        path.parent.mkdir(exist_ok=True)
        if not self.done:
            path.write_text("")
        if machine | {"date": ""} not in [record | {"date": ""} for record in kept]:
            self.add(machine)

    def add(self, record: Mapping[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def _kept(path: Path, machine: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of `path` that `machine` can continue. An unfinished last line is cut off."""
    if not path.exists():
        return []
    content = path.read_text()
    whole, _, rest = content.rpartition("\n")
    if rest:
        path.write_text(whole + "\n" if whole else "")
    records = [json.loads(line) for line in whole.splitlines()]
    for record in records:
        if record["kind"] == "machine" and not (
            same_machine(record, machine)
            and all(record[key] == machine[key] for key in ("commit", "backend"))
        ):
            return []
    return records


def _shared_folder() -> str | None:
    return str(_SHARED) if _SHARED.is_dir() and os.access(_SHARED, os.W_OK) else None


def _run(
    tasks: Sequence[Task], names: Sequence[str], records: Records, options: argparse.Namespace
) -> list[str]:
    """Measure all `tasks` and return what was wrong."""
    wrong: list[str] = []
    team = Team(names, options.patience)
    tqdm.monitor_interval = 0  # one thread fewer
    job: Job | None = None
    exchange: Exchange | None = None
    try:
        with tempfile.TemporaryDirectory(prefix="pw-bench-", dir=_shared_folder()) as folder:
            for case, layout, threads in (bar := tqdm(tasks, unit="panel", smoothing=0.05)):
                bar.set_description(f"{case.name}, {layout}, {threads}")
                if job is None or exchange is None or (job.case, job.layout) != (case, layout):
                    job = exchange = None  # the next one may need their memory
                    job = make_job(case, layout, threads, sample=_SAMPLE)
                    exchange = Exchange(Path(folder), job)
                job = job.with_threads(threads)
                try:
                    records.add(_measure(team, job, exchange, options.ours, options.budget))
                except WrongResult as error:
                    wrong.append(str(error))
    finally:
        team.close()
    return wrong


# ---- what is wanted ------------------------------------------------------------------------------


def _listed(choices: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        for value in text.split(","):
            if value not in choices:
                raise argparse.ArgumentTypeError(f"{value!r}: choose from {', '.join(choices)}")
        return text.split(",")

    return parse


def _counts(text: str) -> list[int]:
    found = sorted({int(n) for n in text.split(",")})
    most = pf.get_num_threads()
    if not all(1 <= n <= most for n in found):
        raise argparse.ArgumentTypeError(f"{text!r}: from 1 to {most} threads")
    return found


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.suite", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="30 cases that stand for all")
    parser.add_argument("--cases", help="only cases whose name contains this")
    parser.add_argument("--limit", type=int, help="at most this many cases")
    parser.add_argument("--peers", type=_listed(list(PEERS)), default=list(PEERS))
    layouts = (*LAYOUTS, *MIXED)
    parser.add_argument(
        "--layout",
        type=_listed(layouts),
        default=list(layouts),
        help=f"some of {', '.join(layouts)}; the last two with the cases of --quick only",
    )
    parser.add_argument("--threads", type=_counts, help="such as 1,2; one and all by default")
    parser.add_argument("--isa", help="force an instruction set; POINTWISE_FAST_ISA does the same")
    backends = pf.backends()
    backend = "c" if "c" in backends else backends[0]
    parser.add_argument("--ours", default=backend, choices=backends, help="(%(default)s)")
    parser.add_argument(
        "--budget", type=float, default=0.4, help="seconds of a panel's rounds (%(default)s)"
    )
    parser.add_argument(
        "--patience", type=float, default=60, help="seconds to wait for a process (%(default)s)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS / "suite.jsonl")
    parser.add_argument(
        "--worst", type=int, default=15, help="how many of the worst to list (%(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured")
    return parser.parse_args(arguments)


def _tasks(options: argparse.Namespace) -> list[Task]:
    cases = quick_cases() if options.quick else load_cases()
    cases = [case for case in cases if (options.cases or "") in case.name][: options.limit]
    if not cases:
        raise SystemExit(f"no case has {options.cases!r} in its name")
    threads = options.threads or sorted({1, pf.get_num_threads()})
    tasks = product(cases, options.layout, threads)
    chosen = [task for task in tasks if task[1] in LAYOUTS or task[0].name in QUICK]
    if not chosen:
        raise SystemExit("mixed layouts are measured with the cases of --quick only")
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Measure, keep the records and print a summary. Returns 1 if a result of ours was wrong."""
    options = _parse(arguments)
    if options.isa and options.isa != pf.config()["isa"]:
        # The instruction set is chosen when the package is imported.
        os.environ["POINTWISE_FAST_ISA"] = options.isa
        given = sys.argv[1:] if arguments is None else arguments
        os.execv(sys.executable, [sys.executable, "-m", "bench.suite", *given])
    tasks = _tasks(options)
    start = time.perf_counter()
    machine: dict[str, Any] = {"kind": "machine", **describe_machine(), "backend": options.ours}
    missing = {name: PEERS[name].missing() for name in options.peers}
    machine["peers"] = {
        name: {"version": PEERS[name].version()} if reason is None else {"missing": reason}
        for name, reason in missing.items()
    }
    print(headline_of(machine))
    for name, peer in machine["peers"].items():
        print(f"  {name}: {peer.get('version') or peer['missing']}")
    records = Records(options.output, machine, options.fresh)
    left = [task for task in tasks if (task[0].name, *task[1:]) not in records.done]
    if len(left) < len(tasks):
        print(f"{len(tasks) - len(left)} of {len(tasks)} panels were measured before")
    present = [name for name, reason in missing.items() if reason is None]
    wrong = _run(left, [options.ours, *present], records, options)
    chosen = {(case.name, layout, threads) for case, layout, threads in tasks}
    found = [
        (m.panel, m.plan)
        for m in read_run(options.output).measured
        if (m.panel.case.name, m.panel.layout, m.panel.threads) in chosen
    ]
    panels = [panel for panel, _ in found]
    plans: dict[tuple[str, str], str] = {
        (panel.case.name, panel.layout): plan for panel, plan in found
    }
    print(f"\n{len(left)} panels in {time.perf_counter() - start:.0f} s")
    print(f"\n{summarise(panels)}\n\nfurthest from the aim:\n{worst(panels, plans, options.worst)}")
    print(f"\n{overview(panels)}")
    for message in wrong:
        print(f"WRONG: {message}")
    return 1 if wrong else 0


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)  # so that files are removed and processes end
    raise SystemExit(main())
