"""The suite's page shows what its records say, above all where we lose."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from .. import scaling
from ..layers.cases import LAYOUTS, MIXED, quick_cases
from ..measure.machine import describe_machine
from ..readme import fill, render_suite
from ..report.canvas import PALETTE, as_svg
from ..report.curves import PARTS, read_scaling
from ..report.figures import MARKS, roofline, sorted_speedups
from ..report.findings import (
    NOT_EXPLAINED,
    Run,
    aims,
    read_run,
    reason_for,
    regime_lines,
    thread_gains,
    unused_reasons,
)
from ..suite_report import main

CASES = quick_cases()
PEERS = {
    "NumPy": {"version": "2"},
    "Fast & Co": {"version": "1"},
    "Absent": {"missing": "no wheel"},
}


def _machine(**changes: Any) -> dict[str, Any]:
    return {"kind": "machine", **describe_machine(), "peers": PEERS, **changes}


def _panel(number: int, layout: str, threads: int, **changes: Any) -> dict[str, Any]:
    """Ours at 80% of the roof, and 1.5 times as fast as the faster peer."""
    case = CASES[number]
    roof = case.flops / 1e11 / threads
    rows = [
        {"name": "ours c packed", "ours": True, "seconds": [1.3 * roof, 1.25 * roof]},
        {"name": "NumPy", "ours": False, "seconds": [9 * roof], "retired": True},
        {"name": "Fast & Co", "ours": False, "seconds": [1.875 * roof, 2 * roof]},
    ]
    error = {"absolute": 1e-6, "of_promise": 0.1}
    return {
        "kind": "panel",
        "case": case.name,
        "layout": layout,
        "threads": threads,
        "isa": "avx2",
        "fma_seconds": roof,
        "stream_seconds": roof / 2,
        "rows": [{"error": error, "retired": False} | row for row in rows],
        "skipped": {"Other": "C > 4"},
        "plan": "stream",
        "others": 0.1,
    } | changes


def _all_panels() -> list[dict[str, Any]]:
    return [
        _panel(number, layout, threads)
        for number in range(len(CASES))
        for layout in (*LAYOUTS, *MIXED)
        for threads in (1, 2)
    ]


def _slow(panel: dict[str, Any], speedup: float) -> dict[str, Any]:
    """The panel with our time changed so that the fastest peer takes `speedup` times as long."""
    ours, *peers = panel["rows"]
    best = min(min(row["seconds"]) for row in peers)
    return panel | {"rows": [ours | {"seconds": [best / speedup]}, *peers]}


def _write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def _run(tmp_path: Path, panels: list[dict[str, Any]]) -> Run:
    return read_run(_write(tmp_path / "suite.jsonl", [_machine(), *panels]))


@dataclass
class _Table:
    attributes: list[dict[str, str | None]] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)


class _Page(HTMLParser):
    """The rows of the large table, and all addresses in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.table = _Table()
        self.addresses: list[str] = []
        self._inside = self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]
        if tag == "tr" and (found.get("id") or "").startswith("r"):
            self._inside = True
            self.table.attributes.append(found)
            self.table.cells.append([])
        elif tag == "td" and self._inside:
            self._in_cell = True
            self.table.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self._inside = False
        elif tag == "td":
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.table.cells[-1][-1] += data


def _page(tmp_path: Path, panels: list[dict[str, Any]], why: dict[str, str] | None = None) -> str:
    records = _write(tmp_path / "suite.jsonl", [_machine(), *panels])
    (tmp_path / "why.json").write_text(json.dumps(why or {}))
    options = ["--why", str(tmp_path / "why.json"), "--scaling", str(tmp_path / "none.json")]
    main([str(records), *options])
    return (tmp_path / "suite.html").read_text()


def test_figures_of_a_panel(tmp_path: Path) -> None:
    (m,) = _run(tmp_path, [_panel(1, "planar", 1)]).measured
    assert m.speedup == pytest.approx(1.5)
    assert m.fraction == pytest.approx(0.8)
    assert m.panel.limit == "arithmetic"
    assert m.peer is not None
    assert m.peer.name == "Fast & Co"
    assert m.retired == {"NumPy"}


def test_verdict_counts_what_is_behind(tmp_path: Path) -> None:
    panels = [_panel(n, "planar", 1) for n in range(8)]
    panels[0], panels[1] = _slow(panels[0], 0.97), _slow(panels[1], 0.5)
    run = _run(tmp_path, panels)
    mean, ahead, far = aims(run)
    assert mean.figure == f"{(1.5**6 * 0.97 * 0.5) ** (1 / 8):.3f}x"
    assert (ahead.figure, ahead.reached) == ("75.0 %", False)
    assert (far.figure, far.reached) == ("1", False)
    assert [m.standing for m in run.measured[:3]] == ["behind", "far behind", "ahead"]
    assert sum(line.behind for line in regime_lines(run)) == 2
    good = aims(_run(tmp_path, [_slow(panel, 1.7) for panel in panels]))
    assert all(aim.reached for aim in good)


def test_regimes_stand_beside_their_aims(tmp_path: Path) -> None:
    lines = {line.name: line for line in regime_lines(_run(tmp_path, _all_panels()))}
    deep = lines["deep"]
    assert deep.fraction == pytest.approx(0.8)
    assert deep.speedup == pytest.approx(1.5)
    assert (deep.fraction_reached, deep.speedup_reached) == (False, True)
    assert lines["middle"].fraction_reached is None
    assert sum(line.panels for line in lines.values()) == 8 * len(CASES)


def test_threads_are_compared_where_arithmetic_limits(tmp_path: Path) -> None:
    by_memory = [_panel(2, "planar", n, stream_seconds=1.0) for n in (1, 2)]
    panels = [_panel(1, "planar", 1), _panel(1, "planar", 2), *by_memory]
    assert thread_gains(_run(tmp_path, panels).measured) == [pytest.approx(2.0)]


def test_a_panel_measured_again_replaces_the_first(tmp_path: Path) -> None:
    again = _slow(_panel(0, "planar", 1), 0.5)
    run = _run(tmp_path, [_panel(0, "planar", 1), _panel(1, "planar", 1), again])
    assert sorted(round(m.speedup or 0, 3) for m in run.measured) == [0.5, 1.5]


def test_ours_without_a_time_is_told(tmp_path: Path) -> None:
    failed = _panel(0, "planar", 1, skipped={"ours c packed": "wrong result"})
    failed["rows"] = failed["rows"][1:]
    page = _page(tmp_path, [failed, _panel(1, "planar", 1)])
    assert f"{CASES[0].name}|planar|1: ours gave no time: wrong result" in page


def test_unknown_cases_and_empty_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no case 'x'"):
        _run(tmp_path, [_panel(0, "planar", 1, case="x")])
    with pytest.raises(ValueError, match="no panels"):
        _run(tmp_path, [])


def test_every_panel_has_a_row_and_losing_ones_say_so(tmp_path: Path) -> None:
    panels = _all_panels()
    panels[5], panels[6] = _slow(panels[5], 0.9), _slow(panels[6], 0.96)
    found = _Page(_page(tmp_path, panels)).table
    assert len(found.cells) == len(panels)
    losing = [
        (cells, attributes["class"])
        for cells, attributes in zip(found.cells, found.attributes, strict=True)
        if NOT_EXPLAINED in cells
    ]
    assert [name for _, name in losing] == ["losing", "losing"]
    assert "▼ far behind" in losing[0][0]
    assert "0.90x" in losing[0][0]
    assert "▼ behind" in losing[1][0]
    assert sum(attributes["class"] == "winning" for attributes in found.attributes) == 238


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page = _page(tmp_path, _all_panels())
    addresses = _Page(page).addresses
    rows = {f"#r{i}" for i in range(8 * len(CASES))}
    assert rows <= set(addresses)
    assert all(address.startswith("#") for address in addresses)
    assert not re.search(r"url\((?!#)|@import|<link|<img", page)
    assert "Absent: no wheel" in page
    assert "Fast &amp; Co 1" in page
    for picture in ("suite-roofline.png", "suite-speedup.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_pictures_follow_the_page_s_colours(tmp_path: Path) -> None:
    run = _run(tmp_path, _all_panels())
    assert len({ink.light for ink in PALETTE.values()}) == len(PALETTE)
    assert {m.regime for m in run.measured} == MARKS.keys()
    for draw in (roofline, sorted_speedups):
        svg = as_svg(draw(run), "name", "label")
        assert not re.search(r"#[0-9a-f]{6}\b(?!\")", svg)
        for ink, _ in MARKS.values():
            assert f"var(--{ink})" in svg


def test_reasons_go_from_the_first_that_fits(tmp_path: Path) -> None:
    slow = _slow(_panel(13, "planar", 2), 0.8)  # deep
    run = _run(tmp_path, [slow, _panel(1, "planar", 1)])
    m = run.measured[0]
    reasons = {f"{m.panel.case.name}|*|1": "a", "@deep|planar|*": "b", "*": "c"}
    assert reason_for(m, reasons) == "b"
    assert reason_for(m, {}) == NOT_EXPLAINED
    assert unused_reasons(run.measured, reasons) == [f"{m.panel.case.name}|*|1"]
    assert "weights are the traffic" in _page(
        tmp_path, [slow], {"@deep|*": "weights are the traffic"}
    )


def test_readme_s_section_keeps_what_was_missed(tmp_path: Path) -> None:
    panels = [_slow(panel, 0.9) if panel["threads"] == 2 else panel for panel in _all_panels()]
    section = render_suite(_run(tmp_path, panels))
    assert "30 layers, planar and interleaved, 30 of them in mixed layouts too" in section
    assert "1 and 2 threads: 240 panels" in section
    assert "panels below 0.95: 120 (aim 0)" in section
    assert re.search(r"\| deep \| \d+ \| \*\*64% \(90%\)\*\* \| 1\.16x \(1\.05x\) \|", section)
    assert "Absent (no wheel)" in section
    text = "a\n<!-- suite:begin -->\nold\n<!-- suite:end -->\nb"
    assert fill(text, section, "suite").count(section) == 1


def test_scaling_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "_PIXELS", (16, 1024))
    assert scaling.POINTS.keys() == PARTS.keys()
    points = list(scaling.POINTS["pixels"](1))
    assert [point.case.pixels for point in points] == [16, 1024] * 2
    measured = scaling.measure_points(points, 3, 0.1, lambda: None)
    panels = [{"diagram": p.diagram, "x": p.x} | panel.as_json() for p, panel in measured]
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps({"pixels": {"machine": describe_machine(), "panels": panels}}))
    found = read_scaling(path)
    assert len(found.diagrams) == 2
    ours = found.diagrams[0].curves[0]
    assert (ours.kind, ours.x) == ("ours", [16, 1024])
    best = min(measured[1][1].rows[0].seconds)
    assert ours.y[1] == pytest.approx(1e9 * best / 1024)


def test_scaling_keeps_parts_of_this_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = describe_machine()
    older = {"machine": machine | {"date": "2024-01-02T03:04", "commit": "abc"}, "panels": []}
    elsewhere = {"machine": machine | {"cpu_id": "family 0", "date": "2024-01-02"}, "panels": []}
    (tmp_path / "scaling.json").write_text(
        json.dumps({"pixels": elsewhere, "channels": elsewhere, "threads": older})
    )
    monkeypatch.setattr(scaling, "RESULTS", tmp_path)
    monkeypatch.setattr("bench.report.tables.RESULTS", tmp_path)
    monkeypatch.setattr(scaling, "_PIXELS", (16,))
    scaling.main(["--parts", "pixels", "--rounds", "3", "--budget", "0.01"])
    assert "channels: left out, measured elsewhere" in capsys.readouterr().out
    content = json.loads((tmp_path / "scaling.json").read_text())
    assert content.keys() == {"threads", "pixels"}
    assert content["pixels"]["machine"]["cpu_id"] == machine["cpu_id"]
    assert len(read_scaling(tmp_path / "scaling.json").diagrams) == 2
