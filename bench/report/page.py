"""The suite's page, one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from ..layers.cases import REGIMES
from ..measure.machine import headline_of
from .canvas import PALETTE, as_svg
from .figures import Scaling, roofline, scaling, sorted_speedups
from .findings import Measured, Run, aims, reason_for, regime_lines
from .tables import percent, times

__all__ = ["render_page"]

HERE = Path(__file__).resolve().parent
_MISSING = "-"
#: Columns of the large table that a mark's tooltip repeats.
_HEADS = (
    ("case", "text"),
    ("layout", "text"),
    ("threads", ""),
    ("regime", "text"),
    ("standing", "text"),
    ("speedup", ""),
    ("ours us", ""),
    ("roof us", ""),
    ("of roof", ""),
    ("limit", "text"),
    ("fastest peer", "text"),
    ("its us", ""),
)


def micro(seconds: float | None) -> str:
    """Microseconds with three digits or more."""
    if seconds is None:
        return _MISSING
    us = 1e6 * seconds
    return f"{us:.0f}" if us >= 100 else f"{us:.1f}" if us >= 10 else f"{us:.2f}"


def _cell(text: str, *classes: str, title: str = "") -> str:
    names = f' class="{" ".join(filter(None, classes))}"' if any(classes) else ""
    hint = f' title="{escape(title)}"' if title else ""
    return f"<td{names}{hint}>{escape(text)}</td>"


def _word(reached: bool | None) -> tuple[str, str]:
    """A word and a class. The word shows without colours that an aim was missed."""
    if reached is None:
        return "no aim", ""
    return ("✓ reached", "reached") if reached else ("✗ missed", "missed")


# ---- verdict -------------------------------------------------------------------------------------


def _tiles(run: Run) -> str:
    tiles = []
    for aim in aims(run):
        word, name = _word(aim.reached)
        tiles.append(
            f'<div class="tile {name}"><span>{escape(aim.title)}</span><b>{escape(aim.figure)}</b>'
            f'<span class="word">{word}, aim {escape(aim.wanted)}</span></div>'
        )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _notices(run: Run) -> Iterable[str]:
    lone = sum(m.speedup is None for m in run.measured)
    if lone:
        yield f"{lone} panels have no peer, so no speedup counts them."
    for key, reason in run.failed.items():
        yield f"{key}: ours gave no time: {reason}"
    commits = {str(machine["commit"]) for machine in run.machines}
    if len(commits) > 1:
        yield f"The suite was resumed at other commits: {', '.join(sorted(commits))}."
    noise = [m.panel.neighbours for m in run.measured if m.panel.neighbours is not None]
    if noise:
        yield _disturbance(noise)


def _disturbance(noise: Sequence[float]) -> str:
    return (
        f"Other processes used {median(noise):.2f} CPUs in the median panel, at most "
        f"{max(noise):.1f}."
    )


def _regimes(run: Run) -> str:
    parts = [(layout, threads) for layout in run.layouts for threads in run.threads]
    heads = ["regime", "panels", "of roof, median", "aim", "", "speedup, geometric mean", "aim", ""]
    heads += ["behind", *(f"of roof, {layout}, {n} thr." for layout, n in parts)]
    rows = []
    for line in regime_lines(run):
        roof, gain = _word(line.fraction_reached), _word(line.speedup_reached)
        cells = [
            f'<td title="{escape(REGIMES[line.name].title)}">{escape(line.name)}</td>',
            _cell(str(line.panels)),
            _cell(percent(line.fraction), roof[1]),
            _cell(percent(line.fraction_wanted)),
            _cell(roof[0] if roof[1] else "", roof[1], "text"),
            _cell(times(line.speedup), gain[1]),
            _cell(times(line.speedup_wanted)),
            _cell(gain[0] if gain[1] else "", gain[1], "text"),
            _cell(str(line.behind), "behind" if line.behind else ""),
            *(_cell(percent(line.fractions[part])) for part in parts),
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


# ---- where ---------------------------------------------------------------------------------------


def _facts(run: Run) -> str:
    machine = run.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    peers = run.peers.items()
    present = [f"{name} {peer['version']}" for name, peer in peers if "version" in peer]
    missing = [f"{name}: {peer['missing']}" for name, peer in peers if "missing" in peer]
    caches = ", ".join(f"{size >> 10} KiB" for size in machine["caches"])
    dates = sorted({machine["date"][:16].replace("T", " ") for machine in run.machines})
    isas = sorted({m.panel.isa for m in run.measured})
    facts = {
        "CPU": f"{machine['cpu']} ({machine['cpu_id']}), {machine['cpus']} CPUs; caches {caches}",
        "instruction set": ", ".join(isas),
        "threads": ", ".join(map(str, run.threads))
        + ("; each bound to a CPU of its own" if machine["threads_bound"] else "; not bound"),
        "compiler": str(machine["compiler"]),
        "commit": str(machine["commit"]),
        "date": ", ".join(dates) + " UTC",
        "system": f"{machine['system']}; {versions}",
        "environment": ", ".join(f"{k}={v}" for k, v in machine["environment"].items()),
        "peers": ", ".join(present),
        "peers not here": "; ".join(missing) or "none",
    }
    items = "".join(f"<dt>{key}</dt><dd>{escape(text)}</dd>" for key, text in facts.items())
    return f"<dl>{items}</dl>"


# ---- pictures ------------------------------------------------------------------------------------


def _figure(name: str, draw: Callable[..., Figure], **caption: str) -> str:
    """A wide and a narrow picture. The page shows one of them."""
    pictures = []
    for kind in ("wide", "narrow"):
        svg = as_svg(draw(narrow=kind == "narrow"), f"{name}-{kind}", name)
        pictures.append(svg.replace("<svg ", f'<svg class="{kind}" ', 1))
    text = escape(_CAPTIONS[name].format(**caption))
    return f"<figure>{''.join(pictures)}<figcaption>{text}</figcaption></figure>"


# ---- panels --------------------------------------------------------------------------------------


def _standing_cell(m: Measured) -> str:
    sign = {"ahead": "▲ ", "behind": "▼ ", "far behind": "▼ "}.get(m.standing, "")
    name = {"far behind": "far"}.get(m.standing, m.standing.replace(" ", "-"))
    return _cell(sign + m.standing, "text", name)


def _peer_cell(m: Measured, name: str) -> str:
    row = m.panel.row(name)
    if row is None:
        return _cell(_MISSING, title=m.panel.skipped.get(name, ""))
    retired = name in m.retired
    text = micro(row.best) + ("*" if retired else "")
    return _cell(text, "best" if row is m.peer else "", title="retired" if retired else "")


def _row(i: int, m: Measured, names: Sequence[str], reasons: Mapping[str, str]) -> str:
    panel = m.panel
    behind = m.standing in ("behind", "far behind")
    kind = "losing" if behind else "winning" if m.standing == "ahead" else ""
    data = {
        "regime": m.regime,
        "layout": panel.layout,
        "threads": panel.threads,
        "standing": "behind|far behind" if m.standing == "far behind" else m.standing,
    }
    attributes = "".join(f' data-{k}="{escape(str(v))}"' for k, v in data.items())
    cells = [
        _cell(panel.case.name, "text"),
        _cell(panel.layout, "text"),
        _cell(str(panel.threads)),
        _cell(m.regime, "text"),
        _standing_cell(m),
        _cell(times(m.speedup)),
        _cell(micro(m.ours.best)),
        _cell(micro(panel.roof)),
        _cell(percent(m.fraction)),
        _cell(panel.limit, "text"),
        _cell(m.peer.name if m.peer else _MISSING, "text"),
        _cell(micro(m.peer.best if m.peer else None)),
        *(_peer_cell(m, name) for name in names),
        _cell(reason_for(m, reasons) if behind else "", "why", "text"),
        _cell(m.plan, "plan", "text"),
    ]
    return f'<tr id="r{i}" class="{kind}"{attributes}>{"".join(cells)}</tr>'


def _panels(run: Run, reasons: Mapping[str, str]) -> str:
    names = run.peer_names
    heads = [*_HEADS, *((f"{name} us", "") for name in names), ("why", "text"), ("plan", "text")]
    head = "".join(
        f'<th class="{kind}"><button type="button">{escape(name)}</button></th>'
        for name, kind in heads
    )
    order = sorted(enumerate(run.measured), key=lambda item: item[1].speedup or float("inf"))
    rows = "".join(_row(i, m, names, reasons) for i, m in order)
    return (
        f'<div class="scroll tall"><table id="panels" data-summary="{len(_HEADS)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _filters(run: Run) -> str:
    regimes = [name for name in REGIMES if any(m.regime == name for m in run.measured)]
    choices: dict[str, list[str]] = {
        "regime": regimes,
        "layout": [*run.layouts],
        "threads": [str(n) for n in run.threads],
        "standing": ["ahead", "behind", "far behind"],
    }
    selects = "".join(
        f'<label>{name} <select name="{name}"><option value="">all</option>'
        + "".join(f"<option>{escape(value)}</option>" for value in values)
        + "</select></label>"
        for name, values in choices.items()
    )
    return (
        '<form id="filters" class="filters"><label>case <input name="case" type="search" '
        f'placeholder="such as 56x56 or relu"></label>{selects}<output id="shown"></output></form>'
    )


def _behind(run: Run, reasons: Mapping[str, str]) -> str:
    losing = [(i, m) for i, m in enumerate(run.measured) if m.standing in ("behind", "far behind")]
    if not losing:
        return "<p>No panel is behind its fastest peer.</p>"
    rows = []
    for i, m in sorted(losing, key=lambda item: item[1].speedup or 0):
        link = f'<td><a href="#r{i}">{escape(m.panel.case.name)}</a></td>'
        cells = [
            _cell(m.panel.layout, "text"),
            _cell(str(m.panel.threads)),
            _cell(m.regime, "text"),
            _standing_cell(m),
            _cell(times(m.speedup)),
            _cell(m.peer.name if m.peer else _MISSING, "text"),
            _cell(percent(m.fraction)),
            _cell(m.panel.limit, "text"),
            _cell(reason_for(m, reasons), "why", "text"),
        ]
        rows.append(f'<tr class="losing">{link}{"".join(cells)}</tr>')
    left = ("case", "layout", "regime", "standing", "fastest peer", "limit", "why")
    names = ("case", "layout", "threads", "regime", "standing", "speedup", "fastest peer")
    head = "".join(
        f'<th class="{"text" if name in left else ""}">{name}</th>'
        for name in (*names, "of roof", "limit", "why")
    )
    return (
        f'<div class="scroll low"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


# ---- page ----------------------------------------------------------------------------------------


def _variables() -> str:
    light = "".join(f"--{name}:{ink.light};" for name, ink in PALETTE.items())
    dark = "".join(f"--{name}:{ink.dark};" for name, ink in PALETTE.items())
    return f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>"


_ABOUT = (
    "A panel is a layer in a layout with a number of threads, float32; {count} have a peer that "
    "computes the whole layer. Two layouts are mixed: 'to planar' has an interleaved x and a "
    "planar result, 'to interleaved' is the reverse. Times are the fastest of interleaved rounds "
    "on the same arrays, weights packed ahead where a system can. The roof is the larger of the "
    "time for the arithmetic and for the memory traffic at rates measured in the same run."
)
_CAPTIONS = {
    "speedup": (
        "Speedup over the fastest peer of each panel, sorted; first all, then by regime. A mark "
        "leads to its row of the table."
    ),
    "roofline": (
        "Rate over arithmetic intensity. Solid: multiply-adds in registers; dashed: streams with "
        "the cases' own mix of reads and writes, the median of the cases that fit in a cache or "
        "are over twice as large as the last one. A case's own roof, in the table, is its own "
        "stream's."
    ),
    "scaling": "One size varied at a time, from a run of its own: {where}",
    "panels": (
        "Microseconds. * retired: so far behind in the first rounds that it was timed no further. "
        "A click on a heading sorts."
    ),
}


def render_page(run: Run, reasons: Mapping[str, str], curves: Scaling | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    run : Run
    reasons : mapping of str to str
        Why panels are behind, by pattern. See `bench.report.findings.reason_for`.
    curves : Scaling, optional
        What `bench.scaling` measured.
    """
    with_peer = sum(m.peer is not None for m in run.measured)
    cases = len({m.panel.case.name for m in run.measured})
    sections = [
        f"<h1>1x1 convolution: {cases} layers against every peer</h1>",
        f'<p class="muted">{escape(headline_of(run.machine))}</p>',
        _tiles(run),
        f"<p>{_ABOUT.format(count=with_peer)}</p>",
        *(f'<p class="notice">{escape(text)}</p>' for text in _notices(run)),
        _section("Regimes", _regimes(run)),
        _section("Where and with whom", _facts(run)),
    ]
    if with_peer:
        sections.append(_section("Speedup", _figure("speedup", partial(sorted_speedups, run))))
        sections.append(_section("Behind, and why", _behind(run, reasons)))
    sections.append(_section("Roofline", _figure("roofline", partial(roofline, run))))
    if curves is not None:
        where = "; ".join(map(headline_of, curves.machines)) + "."
        where += f" {_disturbance(curves.neighbours)}" if curves.neighbours else ""
        figure = _figure("scaling", partial(scaling, curves.diagrams), where=where)
        sections.append(_section("Scaling", figure))
    note = f'<p class="muted">{_CAPTIONS["panels"]}</p>'
    sections.append(_section("All panels", _filters(run), _panels(run, reasons), note))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>pointwise_fast: every layer, every peer</title><style>{_variables()}"
        f"{(HERE / 'page.css').read_text()}</style></head><body>{''.join(sections)}"
        f"<script>{(HERE / 'page.js').read_text()}</script></body></html>\n"
    )
