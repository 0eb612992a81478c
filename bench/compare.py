"""``python -m bench.compare BASE``: this checkout's build against that of another commit.

Three processes take turns in interleaved rounds: the base, the base again, and this build. The
base's difference from itself is the noise, which a change has to exceed.

Only the package is the base commit's. The processes run this checkout's
`bench.measure.build_worker`, so the base may have other benchmarks or none.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, median

from tqdm import tqdm

import pointwise_fast as pf

from . import ROOT
from .layers.cases import LAYOUTS, MIXED, REGIMES, Case, Layout, load_cases, quick_cases, regime_of
from .measure.build_worker import BuildWorker
from .measure.machine import describe_machine, headline_of
from .measure.placing import Placing
from .measure.rounds import measure
from .report.tables import format_table

__all__ = ["Comparison", "changed", "confirmed", "main", "pooled_noise", "regime_table"]

#: A smaller difference is never called a change.
_LEAST = 0.03
#: The standard deviation of a normal distribution over its median absolute value.
_SIGMA = 1.4826


@dataclass(frozen=True)
class Comparison:
    """Seconds of one job by round: the base, the base again and the new build."""

    case: Case
    layout: Layout
    threads: int
    base: Sequence[float]
    again: Sequence[float]
    new: Sequence[float]

    @property
    def name(self) -> str:
        return f"{self.case.name}, {self.layout}, {self.threads}"

    @property
    def gain(self) -> float:
        """Logarithm of base / new, the median of the rounds': positive where new is faster."""
        rounds = zip(self.base, self.again, self.new, strict=True)
        return median(math.log(math.sqrt(a * b) / n) for a, b, n in rounds)

    @property
    def noise(self) -> float:
        """The same figure for the base against itself."""
        return median(math.log(a / b) for a, b in zip(self.base, self.again, strict=True))


def pooled_noise(comparisons: Sequence[Comparison]) -> float:
    """Standard deviation of base against itself over all jobs, robust against outliers."""
    return _SIGMA * median(abs(c.noise) for c in comparisons)


def changed(comparisons: Sequence[Comparison], noise: float) -> list[Comparison]:
    """The jobs whose change exceeds 3%, three deviations of `noise`, and twice their own noise."""
    bound = max(math.log1p(_LEAST), 3 * noise)
    return [c for c in comparisons if abs(c.gain) > max(bound, 2 * abs(c.noise))]


def confirmed(first: Sequence[Comparison], second: Sequence[Comparison]) -> list[Comparison]:
    """The jobs that changed in both measurements, in the same direction."""
    faster = {c.name: c.gain > 0 for c in first}
    return [c for c in second if faster.get(c.name) == (c.gain > 0)]


# ---- building ------------------------------------------------------------------------------------


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise SystemExit(f"{' '.join(command[:4])} ...: {lines[-1] if lines else 'failed'}")
    return result.stdout.strip()


@contextmanager
def built(commit: str) -> Iterator[Path]:
    """Yield a folder with the package of `commit`. It and its worktree are deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="pointwise_fast-compare-") as folder:
        tree, target = Path(folder) / "tree", Path(folder) / "package"
        git = ("git", "-C", str(ROOT), "worktree")
        _run(*git, "add", "--quiet", "--detach", str(tree), commit)
        try:
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
            _run(*pip, "--no-deps", "--target", str(target), str(tree))
        finally:
            _run(*git, "remove", "--force", str(tree))
        yield target


# ---- measuring -----------------------------------------------------------------------------------

Task = tuple[Case, Layout, int]


def compare(
    workers: tuple[BuildWorker, BuildWorker, BuildWorker],
    tasks: Sequence[Task],
    rounds: int,
    budget: float,
) -> list[Comparison]:
    """Measure every task with the base, the base again and the new build."""
    found = []
    runners = dict(zip(("base", "again", "new"), workers, strict=True))
    tqdm.monitor_interval = 0  # one thread fewer
    for case, layout, threads in tqdm(tasks, unit="job", smoothing=0):
        for worker in workers:
            worker.prepare(case, layout, threads)
        # The workers place their own threads; this process only waits.
        times = measure(runners, placing=Placing(1), rounds=rounds, budget=budget)
        found.append(Comparison(case, layout, threads, times["base"], times["again"], times["new"]))
    return found


# ---- reporting -----------------------------------------------------------------------------------


def _ratio(gain: float) -> str:
    return f"{math.exp(gain):.3f}x"


def regime_table(comparisons: Sequence[Comparison]) -> str:
    """The geometric mean of base / new by regime, and of base against itself beside it."""
    groups: dict[str, list[Comparison]] = {"all": list(comparisons)}
    for c in comparisons:
        groups.setdefault(regime_of(c.case, c.layout), []).append(c)
    rows = [
        [
            name,
            str(len(groups[name])),
            _ratio(fmean(c.gain for c in groups[name])),
            _ratio(fmean(c.noise for c in groups[name])),
            _ratio(min(c.gain for c in groups[name])),
            _ratio(max(c.gain for c in groups[name])),
        ]
        for name in ["all", *REGIMES]
        if name in groups
    ]
    header = ["regime", "jobs", "base / new", "base / base", "least", "most"]
    return format_table(header, rows)


def _changes_table(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            c.name,
            f"{1e6 * median([*c.base, *c.again]):.1f}",
            f"{1e6 * median(c.new):.1f}",
            _ratio(c.gain),
            _ratio(c.noise),
            "faster" if c.gain > 0 else "SLOWER",
        ]
        for c in sorted(comparisons, key=lambda c: c.gain)
    ]
    header = ["changed", "base us", "new us", "base / new", "base / base", ""]
    return format_table(header, rows)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Compare this checkout's build with another's.",
    )
    parser.add_argument("base", help="a commit, branch or tag")
    parser.add_argument("--cases", help="only cases whose name contains this, of all cases")
    parser.add_argument("--threads", help="such as 1,2; one and all by default")
    parser.add_argument("--rounds", type=int, default=15, help="of each job (%(default)s)")
    parser.add_argument(
        "--budget", type=float, default=0.4, help="seconds of a job's rounds (%(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns 1 if something became slower than noise explains."""
    options = _parse(arguments)
    cases = quick_cases()
    if options.cases:
        cases = [case for case in load_cases() if options.cases in case.name]
    if not cases:
        raise SystemExit(f"no case has {options.cases!r} in its name")
    counts = options.threads.split(",") if options.threads else {1, pf.get_num_threads()}
    tasks = list(product(cases, (*LAYOUTS, *MIXED), sorted(map(int, counts))))
    commit = _run("git", "-C", str(ROOT), "rev-parse", "--short=12", f"{options.base}^{{commit}}")
    with built(commit) as package, ExitStack() as stack:
        workers = (BuildWorker(package), BuildWorker(package), BuildWorker())
        for worker in workers:
            stack.callback(worker.close)
        if package not in workers[0].package.parents:
            raise SystemExit(f"the base was imported from {workers[0].package}")
        found = compare(workers, tasks, options.rounds, options.budget)
        noise = pooled_noise(found)
        suspects = changed(found, noise)
        if suspects:
            print(f"{len(suspects)} jobs seem changed; they are measured once more")
            again = [(c.case, c.layout, c.threads) for c in suspects]
            second = compare(workers, again, 2 * options.rounds, 2 * options.budget)
            suspects = confirmed(suspects, changed(second, noise))
    print(f"{headline_of(describe_machine())}; base {commit}")
    print(f"\n{regime_table(found)}\n")
    print(f"noise, the base against itself: {100 * noise:.1f}% (standard deviation over the jobs)")
    if not suspects:
        bound = 100 * max(_LEAST, 3 * noise)
        print(f"no change beyond noise: no job changed by more than {bound:.1f}% twice")
        return 0
    print(f"\n{_changes_table(suspects)}")
    return int(any(c.gain < 0 for c in suspects))


if __name__ == "__main__":
    raise SystemExit(main())
