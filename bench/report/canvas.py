"""Colours and canvases, which become inline SVG in the page's colours, or PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ..measure.machine import headline_of

__all__ = ["NARROW", "PALETTE", "WIDE", "Ink", "as_svg", "canvas", "ink", "save_png"]


class Ink(NamedTuple):
    """A colour in a light page and in a dark one."""

    light: str
    dark: str


#: Every colour of pictures and page. The data's are Okabe and Ito's, which the colour-blind can
#: tell apart, brightened for dark pages. Light colours are distinct, because SVG names them by it.
PALETTE: dict[str, Ink] = {
    "paper": Ink("#ffffff", "#14171a"),
    "panel": Ink("#f5f6f7", "#1e2226"),
    "text": Ink("#1b1f23", "#e8eaed"),
    "muted": Ink("#57606a", "#a3abb3"),
    "grid": Ink("#dfe2e5", "#363c43"),
    "peer": Ink("#9aa1a9", "#7a838c"),
    "ahead": Ink("#00694d", "#3fcfa0"),
    "behind": Ink("#b34700", "#ffa04d"),
    "shade": Ink("#fdeee2", "#33241a"),
    "vermilion": Ink("#d55e00", "#ff8a3d"),
    "purple": Ink("#b4568e", "#e39ac6"),
    "orange": Ink("#cc8b00", "#f2b93b"),
    "blue": Ink("#0072b2", "#55b4ee"),
    "navy": Ink("#31408f", "#9aa8ff"),
    "sky": Ink("#3a9fd6", "#8fd3f7"),
    "green": Ink("#009e73", "#3fcf9f"),
    "grey": Ink("#6e7781", "#c3cad1"),
}

WIDE, NARROW = 8.0, 3.7  # inches
_STYLE: Any = {
    "font.size": 8.5,
    "axes.edgecolor": PALETTE["peer"].light,
    "axes.labelcolor": PALETTE["text"].light,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "grid.color": PALETTE["grid"].light,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": PALETTE["text"].light,
    "xtick.color": PALETTE["muted"].light,
    "ytick.color": PALETTE["muted"].light,
}


def ink(name: str) -> str:
    """The light colour, which stands for both."""
    return PALETTE[name].light


@contextmanager
def canvas(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure of `width` x `height` inches and its axes, with their style in force."""
    with plt.rc_context(_STYLE):
        figure, grid = plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
        )
        yield figure, grid


def as_svg(figure: Figure, name: str, label: str) -> str:
    """Return `figure` as an element of a page, with the page's colours and font.

    `name` makes its identifiers differ from those of other pictures.
    """
    target = io.StringIO()
    with plt.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf"<svg \1 {_role(label)}>", text)
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 inherit", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = text.replace("xlink:href", "href").replace(' target="_blank"', "")
    for name, colours in PALETTE.items():
        text = text.replace(colours.light, f"var(--{name})")
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", text)  # points to a hundredth
    return re.sub(r">\s+<", "><", text).strip()


def _role(label: str) -> str:
    return f'role="img" aria-label="{label}"'


def save_png(figure: Figure, machine: Mapping[str, Any], path: Path) -> None:
    """Save it for a width of 800 pixels, at twice the resolution, with the machine below."""
    with plt.rc_context(_STYLE):
        line = fill(headline_of(dict(machine)), 150)
        figure.supxlabel(line, fontsize=6.5, color=ink("muted"))
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, dpi=200, facecolor=ink("paper"))
    plt.close(figure)
