"""Tests of the suite: its processes, what they compute, and the records."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pointwise_fast as pf

from .. import native
from ..layers.cases import LAYOUTS, MIXED, QUICK, Case, Layout
from ..layers.contenders import NUMPY_LAYER, Contender
from ..layers.job import Array, Arrays, Job, make_job
from ..measure import roof
from ..measure.exchange import Exchange
from ..measure.neighbours import Neighbours
from ..measure.panel import measure_panel
from ..measure.placing import CAN_BIND, Placing
from ..measure.remote import Worker, contenders_of
from ..measure.rounds import Lost, measure
from ..peers import PEERS, Peer
from ..report.findings import read_run
from ..suite import _parse, _tasks, main

OURS = pf.backends()[0]
SMALL = Case(C=7, H=9, W=11, K=5, bias=True, activation="relu", residual=True)
#: Every kind of layer, at sizes that are multiples of nothing.
KINDS = [
    SMALL,
    Case(C=7, H=9, W=11, K=5),
    Case(C=3, H=9, W=11, K=4, bias=True),
    Case(C=37, H=1, W=1, K=40, bias=True),
    Case(C=7, H=9, W=11, K=5, N=2, bias=True, residual=True),
    Case(C=6, H=9, W=11, K=4, N=2, stride=2, bias=True),
    Case(C=6, H=9, W=11, K=4, groups=2, bias=True),
    Case(C=6, H=9, W=11, K=4, N=2, stride=2, groups=2, activation="relu", residual=True),
    *(
        Case(C=5, H=6, W=7, K=3, bias=True, activation=name, residual=residual)
        for name in ("relu6", "sigmoid", "silu", "hardswish", "hardsigmoid", "gelu")
        for residual in (False, True)
    ),
]


@pytest.fixture
def worker() -> Iterator[Worker]:
    found = Worker("numpy", 1)
    yield found
    found.close()


@pytest.mark.parametrize("name", [OURS, *PEERS])
def test_everyone_agrees_with_float64(name: str, tmp_path: Path) -> None:
    if name in PEERS and (reason := PEERS[name].missing()):
        pytest.skip(reason)
    worker = Worker(name, 1)
    # Every contender must compute at least one case.
    computed: dict[str, int] = {}
    try:
        for case in KINDS:
            for layout in (*LAYOUTS, *MIXED):
                job = make_job(case, layout, 1)
                exchange = Exchange(tmp_path, job)
                for contender in contenders_of(worker, exchange, exchange.parcel(1)):
                    if contender.missing(job) is None:
                        error = job.error(contender.start(job).output())
                        assert error.of_promise <= (1 if contender.ours else 16), contender.name
                        computed[contender.name] = computed.get(contender.name, 0) + 1
    finally:
        worker.close()
    assert set(computed) == set(worker.known())


def test_a_missing_peer_says_how_to_install_it() -> None:
    assert Peer("none", "nothing-here", ("no_such_module",)).missing() == (
        "not installed: pip install nothing-here"
    )
    assert Peer("none", "no-such-distribution").missing() is not None
    assert PEERS["numpy"].missing() is None
    assert PEERS["numpy"].version() == np.__version__


def _state(worker: Worker) -> str:
    return Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(not CAN_BIND, reason="needs Linux")
def test_a_worker_stands_still_on_its_cpu(worker: Worker, tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, make_job(SMALL, "planar", 1))
    contender, _ = contenders_of(worker, exchange, exchange.parcel(1))
    assert worker.pid is not None
    assert _state(worker) == "T"
    assert len(os.sched_getaffinity(worker.pid)) == 1
    assert contender.start(make_job(SMALL, "planar", 1)).seconds(3) > 0
    assert _state(worker) == "T"


def test_a_lost_worker_starts_again(worker: Worker, tmp_path: Path) -> None:
    parcel = Exchange(tmp_path, make_job(SMALL, "planar", 1)).parcel(1)
    worker.ask("take", parcel)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(Lost, match="ended with -9"):
        worker.ask("take", parcel)
    assert worker.ask("take", parcel)[NUMPY_LAYER.name] is None
    patience, worker.patience = worker.patience, 0.0
    with pytest.raises(Lost, match="no answer"):
        worker.ask("take", parcel)
    worker.patience = patience
    assert worker.ask("take", parcel)[NUMPY_LAYER.name] is None


def test_an_error_is_told_and_the_worker_stays(worker: Worker, tmp_path: Path) -> None:
    parcel = Exchange(tmp_path, make_job(SMALL, "planar", 1)).parcel(1)
    worker.ask("take", parcel)
    process = worker.pid
    with pytest.raises(Lost, match="KeyError: 'nobody'"):
        worker.ask("start", "nobody")
    assert worker.ask("take", parcel)[NUMPY_LAYER.name] is None
    assert worker.pid == process


@pytest.mark.parametrize("layout", [*LAYOUTS, *MIXED])
def test_a_parcel_has_the_same_data(layout: Layout, tmp_path: Path) -> None:
    job = make_job(SMALL, layout, 1)
    exchange = Exchange(tmp_path, job)
    other = exchange.parcel(3).unpack()
    assert other.threads == 3
    pairs = [(other.weight, job.weight), (other.bias, job.bias)]
    pairs += [*zip(other.sets[0], job.sets[0], strict=True)][::2]
    for a, b in pairs:
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a, b)
        assert a.strides == b.strides
    assert other.sets[0].out.strides == job.sets[0].out.strides
    result = np.random.default_rng(1).random(job.sets[0].out.shape, np.float32)
    exchange.parcel(1).give(result)
    np.testing.assert_array_equal(exchange.result(), result)


class _Clock:
    """A runner whose calls take a given time, for a number of turns."""

    def __init__(self, seconds: float, turns: int = 1000) -> None:
        self._seconds, self._left = seconds, turns

    def seconds(self, calls: int) -> float:
        self._left -= 1
        if self._left < 0:
            raise Lost("no more")
        return self._seconds


def test_slow_peers_retire_and_ours_stays() -> None:
    runners = {"ours": _Clock(9e-3), "fast": _Clock(1e-3), "near": _Clock(2.9e-3)}
    runners |= {"far": _Clock(3.1e-3), "far and long": _Clock(4e-2)}
    retiring = runners.keys() - {"ours"}
    times = measure(runners, placing=Placing(1), rounds=6, budget=60, retiring=retiring)
    rounds = {name: len(seconds) for name, seconds in times.items()}
    assert rounds == {"ours": 6, "fast": 6, "near": 6, "far": 3, "far and long": 2}


def test_a_lost_runner_does_not_end_the_rounds() -> None:
    runners = {"stays": _Clock(1e-3), "goes": _Clock(1e-3, turns=5)}
    times = measure(runners, placing=Placing(1), rounds=6, budget=60)
    assert {name: len(seconds) for name, seconds in times.items()} == {"stays": 6}


def test_a_wrong_peer_is_skipped() -> None:
    def bind(job: Job, arrays: Arrays) -> Any:
        right = NUMPY_LAYER.bind(job, arrays)

        def call() -> Array:
            result: Array = right()
            result[0, 0, 0] += 1e-2
            return result

        return call

    wrong = Contender("wrong", False, bind)
    contenders = [replace(NUMPY_LAYER, ours=True), wrong]
    panel = measure_panel(
        SMALL, "planar", 1, "hot", contenders, rounds=1, budget=1, least=1, lenience=16
    )
    assert [row.name for row in panel.rows] == [NUMPY_LAYER.name]
    assert "wrong is wrong on" in panel.skipped["wrong"]


def test_remembered_roofs_are_of_the_same_kind() -> None:
    try:
        isa = next(iter(roof.isas()))
    except native.CompileError as error:
        pytest.skip(str(error))
    job = make_job(SMALL, "planar", 1)
    _, found = roof.roofs_for(job, isa)
    _, again = roof.roofs_for(make_job(SMALL, "interleaved", 1), isa, remember=True)
    assert [walker.traffic for walker in again] == [walker.traffic for walker in found]


@pytest.mark.skipif(not CAN_BIND, reason="needs Linux")
def test_own_processes_are_no_neighbours() -> None:
    idle, busy = Neighbours(), Neighbours([os.getppid()])
    assert idle._start is not None
    assert busy._start is not None
    assert busy._start[2] > idle._start[2]


def _lines(path: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_suite_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "suite.jsonl"
    arguments = ["--peers", "numpy", "--cases", "192x8x8-10", "--threads", "1"]
    arguments += ["--budget", "0.01", "--output", str(path)]
    assert main([*arguments, "--layout", "planar"]) == 0
    machine, panel = _lines(path)
    assert machine["peers"] == {"numpy": {"version": np.__version__}}
    assert (panel["case"], panel["layout"], panel["threads"]) == (
        "192x8x8-10 bias relu",
        "planar",
        1,
    )
    assert [row["ours"] for row in panel["rows"]] == [True, False]
    assert all(len(row["seconds"]) >= 3 for row in panel["rows"])
    first = path.read_text()
    path.write_text(first + '{"kind":"panel","case"')  # interrupted here
    assert main(arguments) == 0
    assert path.read_text().startswith(first)
    run = read_run(path)
    assert [m.panel.layout for m in run.measured] == [*LAYOUTS, *MIXED]
    assert [m.regime for m in run.measured] == ["small", "small", "mixed layouts", "mixed layouts"]
    assert all(m.speedup is not None for m in run.measured)
    assert main([*arguments, "--fresh", "--layout", "planar"]) == 0
    assert len(_lines(path)) == 2


def test_mixed_layouts_are_measured_with_the_quick_cases() -> None:
    def chosen(*arguments: str) -> set[tuple[str, str]]:
        return {(case.name, layout) for case, layout, _ in _tasks(_parse([*arguments]))}

    quick, every = chosen("--quick"), chosen()
    assert quick == {(name, layout) for name in QUICK for layout in (*LAYOUTS, *MIXED)}
    assert {name for name, layout in every if layout in MIXED} == {*QUICK}
    assert len(every) == 2 * 357 + 2 * 30
    with pytest.raises(SystemExit, match="cases of --quick only"):
        chosen("--cases", "64x56x56-64", "--layout", ",".join(MIXED))
