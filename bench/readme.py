"""``python -m bench.readme``: puts ``headline.json`` and ``suite.jsonl`` into README.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from . import ROOT
from .layers.cases import MIXED
from .report.findings import Run, aims, read_run, regime_lines
from .report.tables import RESULTS, percent, times

__all__ = ["BEGIN", "END", "fill", "main", "render", "render_suite"]

BEGIN, END = "<!-- headline:begin -->", "<!-- headline:end -->"
README = ROOT / "README.md"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    line = ["---", *("--:" for _ in header[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in (header, line, *rows)]


def _cell(row: dict[str, Any] | None, fastest: float) -> str:
    if row is None:
        return "-"
    text = f"{1e3 * row['best']:.2f}"
    if row["best"] == fastest:
        text = f"**{text}**"
    return text if row["fraction"] is None else f"{text} ({100 * row['fraction']:.0f} %)"


def _panels_table(panels: Sequence[dict[str, Any]]) -> list[str]:
    """A row for each contender that was measured, a column for each layout and threads."""
    names = list(dict.fromkeys(row["name"] for panel in panels for row in panel["rows"]))
    fastest = [min(row["best"] for row in panel["rows"]) for panel in panels]
    by_name = [{row["name"]: row for row in panel["rows"]} for panel in panels]
    modes = {panel["mode"] for panel in panels}
    header = [""] + [
        f"{panel['layout']}, {panel['threads']} thread{'s' * (panel['threads'] > 1)}"
        + (f", {panel['mode']}" if len(modes) > 1 else "")
        for panel in panels
    ]
    rows = [
        [f"`{name}`" if name.startswith("np.") else name]
        + [_cell(rows.get(name), best) for rows, best in zip(by_name, fastest, strict=True)]
        for name in names
    ]
    return _table(header, rows)


def _calls_table(calls: dict[str, Any]) -> list[str]:
    rows = sorted(calls["rows"], key=lambda row: float(row["best"]))
    return _table(
        ["a call on 4 x 4 x 4 -> 4", "us"],
        [[row["name"], f"{1e6 * row['best']:.2f}"] for row in rows],
    )


def _where(machine: dict[str, Any]) -> str:
    versions = machine["versions"]
    libraries = ", ".join(
        f"{name} {versions[name]}" for name in ("numpy", "numba") if name in versions
    )
    cpu = f"{machine['cpu']} ({machine['cpu_id']})" if machine.get("cpu_id") else machine["cpu"]
    return (
        f"{cpu}, {machine['cpus']} CPUs, {machine['isa']}; {machine['compiler']}; {libraries}, "
        f"Python {versions['python']}; {machine['threads']} threads; commit "
        f"{machine['commit'] or 'unknown'}; {machine['date'][:10]}."
    )


def render(results: dict[str, Any]) -> str:
    """The section in Markdown.

    Parameters
    ----------
    results : dict
        What `bench.headline` wrote.

    Returns
    -------
    str
    """
    lines = [
        "50 x 600 x 600 -> 20, float32: milliseconds, the fastest of interleaved rounds, and the "
        "fraction of the machine's limit (arithmetic or memory), measured in the same run. Bold: "
        "the fastest of a column.",
        "",
        *_panels_table(results["panels"]),
        "",
        *_calls_table(results["calls"]),
        "",
        _where(results["machine"]),
    ]
    disturbed = [panel["neighbours"] for panel in results["panels"] if panel["neighbours"]]
    if disturbed and max(disturbed) > 0.15:
        lines[-1] += f" Other processes used up to {max(disturbed):.1f} CPUs meanwhile."
    return "\n".join(lines)


def _aimed(figure: float | None, wanted: float | None, form: Callable[[float | None], str]) -> str:
    """A figure and its aim, in bold if it was missed."""
    if wanted is None or figure is None:
        return form(figure)
    text = f"{form(figure)} ({form(wanted)})"
    return text if figure >= wanted else f"**{text}**"


def render_suite(run: Run) -> str:
    """The section about every layer and every peer, in Markdown."""
    cases = len({m.panel.case.name for m in run.measured})
    mixed = len({m.panel.case.name for m in run.measured if m.panel.layout in MIXED})
    layouts = "planar and interleaved" + (
        f", {mixed} of them in mixed layouts too" if mixed else ""
    )
    threads = " and ".join(map(str, run.threads))
    found = "; ".join(f"{a.title}: {a.figure} (aim {a.wanted})" for a in aims(run))
    rows = [
        [
            line.name,
            str(line.panels),
            _aimed(line.fraction, line.fraction_wanted, percent),
            _aimed(line.speedup, line.speedup_wanted, times),
            str(line.behind),
        ]
        for line in regime_lines(run)
    ]
    missing = [
        f"{name} ({peer['missing']})" for name, peer in run.peers.items() if "missing" in peer
    ]
    present = [f"{name} {peer['version']}" for name, peer in run.peers.items() if "version" in peer]
    peers = f"Peers: {', '.join(present)}." + (
        f" Not here: {', '.join(missing)}." if missing else ""
    )
    return "\n".join(
        [
            f"{cases} layers, {layouts}, {threads} threads: {len(run.measured)} "
            f"panels, float32, against the fastest peer of each. {found}.",
            "",
            *_table(
                ["regime", "panels", "of the roof, median", "speedup, mean", "behind"],
                rows,
            ),
            "",
            "In brackets what is aimed at; bold: missed.",
            "",
            "![Speedup over the fastest peer, by regime](bench/results/suite-speedup.png)",
            "",
            "![Roofline of all layers](bench/results/suite-roofline.png)",
            "",
            f"{peers} {_where(run.machine)}",
        ]
    )


def fill(text: str, section: str, name: str = "headline") -> str:
    """Replace what is between the markers of `name` in `text` by `section`.

    Examples
    --------
    >>> print(fill(f"a\\n{BEGIN}\\nold\\n{END}\\nb", "new"))
    a
    <!-- headline:begin -->
    new
    <!-- headline:end -->
    b
    """
    begin, end = (marker.replace("headline", name) for marker in (BEGIN, END))
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"exactly one {begin} and one {end} are expected")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{section}\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """Rewrite README.md."""
    results = json.loads((RESULTS / "headline.json").read_text())
    text = fill(README.read_text(), render(results))
    suite = RESULTS / "suite.jsonl"
    if suite.exists():
        text = fill(text, render_suite(read_run(suite)), "suite")
    README.write_text(text)
    print(f"filled the benchmark sections of {README.name}")


if __name__ == "__main__":
    main()
