"""Measures one job: checks the contenders, then times them in rounds with the roof."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, NamedTuple, Protocol

from threadpoolctl import threadpool_limits

import pointwise_fast as pf

from .. import native
from ..layers.cases import Case, Layout
from ..layers.contenders import Runner
from ..layers.job import Error, Job, make_job
from . import roof
from .caches import cache_bytes
from .neighbours import Neighbours
from .placing import Placing
from .rounds import Lost, Timed, measure

__all__ = ["Mode", "Panel", "Row", "WrongResult", "current_isa", "measure_panel", "modes_for"]

Mode = Literal["hot", "rotating"]


class WrongResult(AssertionError):
    """A contender computed a wrong result."""


class Entrant(Protocol):
    """A participant: a `bench.layers.contenders.Contender`, in this process or another."""

    @property
    def name(self) -> str: ...
    @property
    def ours(self) -> bool: ...
    @property
    def whole(self) -> bool: ...
    def missing(self, job: Job) -> str | None: ...
    def start(self, job: Job) -> Runner: ...


@dataclass(frozen=True)
class Row:
    """A contender's times (seconds per call, by round) and error.

    `whole` is False for what leaves out a part of the layer.
    """

    name: str
    ours: bool
    whole: bool
    seconds: list[float]
    error: Error

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def middle(self) -> float:
        return median(self.seconds)


@dataclass(frozen=True)
class Panel:
    """The measurements of one job.

    `fma` and `streams` are the seconds of the job at the machine's limits, by round. `neighbours`
    is how many CPUs other processes used meanwhile.
    """

    case: Case
    layout: Layout
    threads: int
    mode: Mode
    isa: str
    rows: list[Row]
    skipped: dict[str, str]
    fma: list[float]
    streams: dict[str, list[float]]
    neighbours: float | None = None

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    @property
    def roof(self) -> float | None:
        """Seconds at the machine's limit, from the best rounds. None if it was not measured."""
        if not self.fma:
            return None
        return max(min(self.fma), min(map(min, self.streams.values())))

    @property
    def limit(self) -> str:
        """Which of the two limits the roof is."""
        if self.roof is None:
            return "not measured"
        return "arithmetic" if self.roof == min(self.fma) else "bandwidth"

    def fraction(self, row: Row) -> float | None:
        """The fraction of the roof, from the best rounds of both."""
        roof = self.roof
        return None if roof is None else roof / row.best

    def middle_fraction(self, row: Row) -> float | None:
        """The median of each round's fraction of the roof."""
        if not self.fma:
            return None
        streams = [min(times) for times in zip(*self.streams.values(), strict=True)]
        roofs = [max(pair) for pair in zip(self.fma, streams, strict=True)]
        fractions = [limit / t for limit, t in zip(roofs, row.seconds, strict=True)]
        return float(median(fractions))

    def fastest_peer(self) -> Row | None:
        """The fastest peer that computes the whole layer."""
        peers = [row for row in self.rows if row.whole and not row.ours]
        return min(peers, key=lambda row: row.best, default=None)

    def as_json(self) -> dict[str, Any]:
        rows = [
            asdict(row)
            | {
                "error": row.error._asdict(),
                "best": row.best,
                "median": row.middle,
                "fraction": self.fraction(row),
                "median_fraction": self.middle_fraction(row),
            }
            for row in self.rows
        ]
        case = {k: v for k, v in asdict(self.case).items() if k not in ("used_in", "count")}
        return {
            "name": self.case.name,
            "case": case | {"flops": self.case.flops, "bytes": self.case.bytes},
            "layout": self.layout,
            "threads": self.threads,
            "mode": self.mode,
            "roof": {
                "isa": self.isa,
                "seconds": self.roof,
                "limit": self.limit,
                "peak_fma": self.case.flops / min(self.fma) if self.fma else None,
                "stream_bandwidth": (
                    self.case.bytes / min(map(min, self.streams.values())) if self.fma else None
                ),
                "fma_seconds": self.fma,
                "stream_seconds": self.streams,
            },
            "neighbours": self.neighbours,
            "rows": rows,
            "skipped": self.skipped,
        }


def current_isa(backend: str = "c") -> str:
    """The instruction set whose peak is the limit. "" if the roof cannot be compiled.

    For the C backend it is that of its kernels, which may be forced. For other backends it is the
    best that this CPU has.
    """
    try:
        known = roof.isas()
    except native.CompileError:
        return ""
    ours = str(pf.config()["isa"])
    return ours if backend == "c" and ours in known else next(iter(known))


def modes_for(case: Case) -> tuple[Mode, ...]:
    """Hot, and also rotating unless the arrays exceed twice the last cache anyway."""
    return ("hot",) if case.bytes > 2 * cache_bytes()[-1] else ("hot", "rotating")


def sets_for(case: Case, mode: Mode) -> int:
    """How many sets of arrays. In rotating mode they exceed twice the last cache together."""
    return 1 if mode == "hot" else 1 + math.ceil(2 * cache_bytes()[-1] / case.bytes)


def measure_panel(
    case: Case,
    layout: Layout,
    threads: int,
    mode: Mode,
    contenders: Sequence[Entrant],
    *,
    rounds: int,
    budget: float,
    least: int = 5,
    progress: Callable[[], object] = lambda: None,
    job: Job | None = None,
    backend: str = "c",
    lenience: float | None = None,
    processes: Collection[int] = (),
) -> Panel:
    """Check every contender against float64, then time all of them and the roof.

    `job`, if given, has the data for the case, layout, threads and mode. `backend` decides whose
    instruction set the roof is for. Peers promise no accuracy: with `lenience` their errors may
    exceed our promise by that factor, a wrong peer is skipped, and one that is far behind takes
    part in the first rounds only. `processes` are those of the contenders.

    Raises
    ------
    WrongResult
        If a contender's result is further from float64 than promised.
    """
    job = job or make_job(case, layout, threads, sets_for(case, mode))
    isa = current_isa(backend)
    placing = Placing(threads)
    with threadpool_limits(limits=threads, user_api="blas"):
        entered, skipped = _enter(contenders, job, placing, lenience)
        fma, streams = _start_roof(job, isa, remember=lenience is not None)
        timed: dict[str, Timed] = {name: one.runner for name, one in entered.items()}
        timed |= {limit.name: limit for limit in streams} | {limit.name: limit for limit in fma}
        peers = [name for name, one in entered.items() if not one.entrant.ours]
        neighbours = Neighbours(processes)
        times = measure(
            timed,
            placing=placing,
            rounds=rounds,
            budget=budget,
            least=least,
            progress=progress,
            retiring=[] if lenience is None else peers,
        )
        others = neighbours.cpus()
    skipped |= dict.fromkeys(entered.keys() - times.keys(), "lost while it was timed")
    rows = [
        Row(name, one.entrant.ours, one.entrant.whole, times[name], one.error)
        for name, one in entered.items()
        if name in times
    ]
    fma_times = [t for runner in fma for t in times[runner.name]]
    stream_times = {runner.name: times[runner.name] for runner in streams}
    return Panel(case, layout, threads, mode, isa, rows, skipped, fma_times, stream_times, others)


class _Entered(NamedTuple):
    entrant: Entrant
    runner: Runner
    error: Error


def _enter(
    contenders: Sequence[Entrant], job: Job, placing: Placing, lenience: float | None
) -> tuple[dict[str, _Entered], dict[str, str]]:
    """Return the contenders whose result is right, and why the others are skipped."""
    entered: dict[str, _Entered] = {}
    skipped: dict[str, str] = {}
    for contender in contenders:
        reason = contender.missing(job)
        if reason is not None:
            skipped[contender.name] = reason
            continue
        try:
            runner = contender.start(job)
            with placing.of(runner):
                result = runner.output()
        except Lost as loss:
            skipped[contender.name] = str(loss)
            continue
        error = job.error(result, whole=contender.whole)
        bound = 1.0 if lenience is None or contender.ours else lenience
        if not error.of_promise <= bound:
            message = f"{contender.name} is wrong on {job.case.name}, {job.layout}: {error}"
            if lenience is None or contender.ours:
                raise WrongResult(message)
            skipped[contender.name] = message
            continue
        entered[contender.name] = _Entered(contender, runner, error)
    return entered, skipped


def _start_roof(
    job: Job, isa: str, remember: bool
) -> tuple[list[roof.FmaRoof], list[roof.StreamRoof]]:
    if not isa:
        return [], []
    fma, streams = roof.roofs_for(job, isa, remember=remember)
    return [fma], streams
