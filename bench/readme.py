"""``python -m bench.readme``: README.md's benchmark section, from ``results/headline.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .report import RESULTS

__all__ = ["BEGIN", "END", "fill", "main", "render"]

BEGIN, END = "<!-- headline:begin -->", "<!-- headline:end -->"
README = Path(__file__).resolve().parent.parent / "README.md"


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
    """Contenders down, layouts and threads across; every contender that was measured."""
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


def fill(text: str, section: str) -> str:
    """`text` with what is between the markers replaced by `section`.

    Examples
    --------
    >>> print(fill(f"a\\n{BEGIN}\\nold\\n{END}\\nb", "new"))
    a
    <!-- headline:begin -->
    new
    <!-- headline:end -->
    b
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"exactly one {BEGIN} and one {END} are expected")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{section}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Rewrite README.md."""
    results = json.loads((RESULTS / "headline.json").read_text())
    README.write_text(fill(README.read_text(), render(results)))
    print(f"filled the benchmark section of {README.name}")


if __name__ == "__main__":
    main()
