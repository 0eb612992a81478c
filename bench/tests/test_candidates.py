"""Tests of `bench.candidates`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pointwise_fast.kernels import c_simd

from .. import candidates
from ..candidates import Measured, measure_candidates
from ..layers.cases import Case

pytestmark = pytest.mark.skipif(c_simd.available() is not None, reason="the C kernels are missing")


def test_all_candidates_are_timed() -> None:
    found = measure_candidates(Case(13, 9, 40, 10), ("window", "planar"), "f4", budget=0.0)
    assert found.name == "13x9x40-10 window -> planar f4"
    assert len(found.seconds) == len(found.descriptions) > 2
    assert min(found.seconds) > 0
    assert len(set(found.descriptions)) > 2


def test_loss_is_that_of_the_first() -> None:
    found = Measured("a", [3.0, 2.0, 5.0], ["x", "y", "z"])
    assert found.loss == 1.5
    assert found.quickest == 1


def test_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(candidates, "quick_cases", lambda: [Case(5, 6, 7, 8)])
    file = tmp_path / "candidates.json"
    candidates.main(["--budget", "0", "--least", "1", "--dtypes", "f4", "--json", str(file)])
    printed = capsys.readouterr().out
    assert f"table of costs: {c_simd.tuning()}" in printed
    assert "5 problems:" in printed
    assert "5x6x7-8 planar -> interleaved f4" in printed
    assert len(json.loads(file.read_text())["problems"]) == 5
