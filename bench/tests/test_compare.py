"""Tests of `bench.compare`: what it calls a change, and the processes that it times."""

from __future__ import annotations

import math
import random
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from .. import compare
from ..compare import Comparison, changed, confirmed, pooled_noise, regime_table
from ..layers.cases import quick_cases
from ..measure.build_worker import BuildWorker

CASES = quick_cases()


def _comparison(
    number: int, new: float = 1.0, noise: float = 0.005, again: float = 1.0
) -> Comparison:
    """Rounds of about a second on a machine whose speed drifts by half within them."""
    rng = random.Random(number)
    drift = [rng.uniform(1, 1.5) for _ in range(15)]

    def rounds(seconds: float) -> list[float]:
        return [seconds * d * rng.lognormvariate(0, noise) for d in drift]

    return Comparison(CASES[number], "planar", 1, rounds(1), rounds(again), rounds(new))


def test_no_change_where_there_is_none() -> None:
    same = [_comparison(number) for number in range(30)]
    noise = pooled_noise(same)
    assert 0 < noise < 0.01
    assert changed(same, noise) == []


def test_changes_in_both_directions_are_found() -> None:
    jobs = [_comparison(number) for number in range(30)]
    jobs[3], jobs[7] = _comparison(3, new=1.06), _comparison(7, new=0.9)
    found = changed(jobs, pooled_noise(jobs))
    assert found == [jobs[3], jobs[7]]
    assert math.exp(found[0].gain) == pytest.approx(1 / 1.06, rel=0.02)
    assert math.exp(found[1].gain) == pytest.approx(1 / 0.9, rel=0.02)


def test_a_noisy_machine_asks_for_larger_changes() -> None:
    jobs = [_comparison(number, noise=0.15) for number in range(30)]
    jobs[3] = _comparison(3, new=1.06, noise=0.15)
    noise = pooled_noise(jobs)
    assert noise > 0.02
    assert jobs[3] not in changed(jobs, noise)
    # A job whose base does not repeat itself shows no change, however quiet the others are.
    assert changed([_comparison(5, new=1.1, again=1.2)], 0.005) == []


def test_a_change_has_to_show_twice() -> None:
    slow, fast = _comparison(1, new=1.1), _comparison(1, new=0.9)
    assert confirmed([slow], [slow]) == [slow]
    assert confirmed([slow], [fast]) == []
    assert confirmed([slow], []) == []


def test_regimes_are_told_apart() -> None:
    slow, same = _comparison(0, new=2.0, noise=1e-6), _comparison(13, noise=1e-6)
    table = regime_table([slow, same, replace(same, layout="to planar")])
    lines = {line.split()[0]: line.split()[-5:-2] for line in table.splitlines()[2:]}
    assert lines["all"] == ["3", "0.794x", "1.000x"]
    assert lines["mixed"] == ["1", "1.000x", "1.000x"]
    assert lines["large"] == ["1", "0.500x", "1.000x"]
    assert lines["deep"] == ["1", "1.000x", "1.000x"]


class _Steady:
    """A worker whose jobs take as long as it says."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def prepare(self, *task: object) -> None: ...

    def seconds(self, calls: int) -> float:
        return self._seconds

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("new", "status", "words"),
    [(1.0, 0, "no change beyond noise"), (0.8, 0, "faster"), (1.2, 1, "SLOWER")],
)
def test_exit_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    new: float,
    status: int,
    words: str,
) -> None:
    def start(package: Path | None = None) -> _Steady:
        worker = _Steady(1.0 if package else new)
        worker.package = package / "pointwise_fast" if package else tmp_path  # type: ignore[attr-defined]
        return worker

    monkeypatch.setattr(compare, "BuildWorker", start)
    monkeypatch.setattr(compare, "built", lambda commit: nullcontext(tmp_path))
    monkeypatch.setattr(compare, "_run", lambda *command: "abc")
    assert compare.main(["HEAD", "--cases", "960x7x7-160"]) == status
    assert words in capsys.readouterr().out


def test_a_worker_times_the_installed_build() -> None:
    worker = BuildWorker()
    try:
        assert worker.package.name == "pointwise_fast"
        for threads in (1, 2):
            worker.prepare(CASES[15], "planar", threads)
            assert 0 < worker.seconds(3) < 1
    finally:
        worker.close()


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "pointwise_fast.py").write_text("raise ImportError('not built')\n")
    with pytest.raises(RuntimeError, match="not built"):
        BuildWorker(tmp_path)
