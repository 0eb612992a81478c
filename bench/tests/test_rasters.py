"""Tests of bench.rasters: that both sides compute the same, and that its parts run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pointwise_fast as pf

from .. import rasters
from ..measure import raster_layouts, raster_sizes
from ..measure.raster_sizes import Kind


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
@pytest.mark.parametrize("axis", [0, -1])
def test_lines_of_numpy_compute_the_same(dtype: str, axis: int) -> None:
    x, mask = rasters.raster(12, 50, dtype, axis)
    weight = np.random.default_rng(1).standard_normal((10, 12)).astype(np.float32)
    options = rasters.ways(10, mask)
    assert 0.04 < mask.mean() < 0.06
    for name, line in rasters.numpy_lines(x, weight, axis).items():
        ours = pf.conv1x1(x, weight, channel_axis=axis, **options[name])
        if name == "argmax":
            assert np.mean(ours == line()) > 0.999
            continue
        # Sums cancel in NumPy's order and in ours. Softmax exponentiates their differences.
        eps = float(np.finfo(np.float32).eps)
        bound = (12 + 4) * eps * float(np.abs(weight).sum(1).max()) * rasters.NODATA
        close = np.isclose(np.asarray(ours), np.asarray(line()), 0, bound, equal_nan=True)
        assert np.mean(close) > 0.999 if name == "softmax" else close.all()


@pytest.mark.parametrize("axis", [0, -1])
def test_labels_of_scikit_learn(axis: int) -> None:
    pytest.importorskip("sklearn", reason="not installed: pip install scikit-learn")
    x, _ = rasters.raster(12, 50, "float32", axis)
    weight = np.random.default_rng(1).standard_normal((10, 12)).astype(np.float32)
    predict = rasters.predict_line(x, weight, axis)
    assert predict is not None
    labels = pf.conv1x1(x, weight, channel_axis=axis, head="argmax")
    assert np.mean(predict().reshape(50, 50) == labels) > 0.999


def test_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.report.tables.RESULTS", tmp_path)
    monkeypatch.setattr(rasters, "_BANDS", ((3, 2),))
    rasters.main(["--parts", "heads", "--rounds", "1", "--side", "50"])
    assert "3 -> 2, uint16, interleaved, 1" in capsys.readouterr().out
    cases = json.loads((tmp_path / "rasters.json").read_text())["cases"]
    assert {case["layout"] for case in cases} == {"planar", "interleaved"}
    assert all(seconds > 0 for case in cases for seconds in case["seconds"].values())


def test_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes that exceed the memory are reported and left out."""
    monkeypatch.setattr("bench.report.tables.RESULTS", tmp_path)
    kinds = (Kind(3, 2, "uint16", "planar"), Kind(3, 2, "float32", "interleaved"))
    monkeypatch.setattr(rasters, "KINDS", kinds)
    sizes = ["1000", str(raster_sizes.BASE), str(10**15)]
    rasters.main(["--parts", "sizes", "--rounds", "1", "--sizes", *sizes])
    printed = capsys.readouterr().out
    assert f"not enough memory for 3 -> 2, uint16, planar: {10**15:,} pixels" in printed
    assert "(1.00)" in printed
    points = json.loads((tmp_path / "raster-sizes.json").read_text())["points"]
    assert {point["asked"] for point in points} == {1000, raster_sizes.BASE}
    assert all(point["seconds"] > 0 for point in points)
    assert (tmp_path / "raster-sizes.png").stat().st_size > 10_000


def test_layouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every way computes the same as NumPy's line, and has its row."""
    weight = np.random.default_rng(1).standard_normal((20, 50), np.float32)
    ways = raster_layouts.layout_ways(20)
    for name, way in ways.items():
        wanted = raster_layouts.numpy_line(way, weight)()
        y = pf.conv1x1(way.x, weight, residual=way.residual, out=way.out, channel_axis=way.axis)
        planes = np.moveaxis(y, way.axis, -3)
        assert np.allclose(planes, np.asarray(wanted), rtol=0, atol=1e-3), name
    monkeypatch.setattr("bench.report.tables.RESULTS", tmp_path)
    rasters.main(["--parts", "layouts", "--rounds", "1", "--layout-side", "20"])
    assert "Fortran order to C order" in capsys.readouterr().out
    found = json.loads((tmp_path / "raster-layouts.json").read_text())["ways"]
    assert {point["way"] for point in found} == ways.keys()
