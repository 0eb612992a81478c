"""Includes of C files: no circle of units, and folders in one order.

A unit is a header and the source of its name.
"""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

from support import ROOT

C_SRC = ROOT / "c_src"

#: Each folder includes from those before it, and from itself; files at the top are the contract.
ORDER = ["base", "cpu", "threads", "isa", "conv", "chain", "branches", "gradient", "quantised"]


def included(file: Path) -> list[Path]:
    """The project's own files that a file includes: neighbours, or from c_src/ on."""
    names = re.findall(r'^#include "([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE)
    found = []
    for name in names:
        places = [path for path in (file.parent / name, C_SRC / name) if path.exists()]
        assert places, f"{file} includes {name}"
        found.append(places[0])
    return found


def sources() -> list[Path]:
    found = sorted(C_SRC.rglob("*.[ch]"))
    assert len(found) > 80
    return found


def test_no_circle_of_units() -> None:
    units: dict[str, set[str]] = {}
    for file in sources():
        unit = str(file.with_suffix(""))
        others = {str(path.with_suffix("")) for path in included(file)}
        units.setdefault(unit, set()).update(others - {unit})
    TopologicalSorter(units).prepare()  # raises CycleError


def test_folders_in_one_order() -> None:
    for file in sources():
        if file.parent == C_SRC:
            continue
        for path in included(file):
            if path.parent != C_SRC and path.parent.name in ORDER:
                assert ORDER.index(path.parent.name) <= ORDER.index(file.parent.name), (
                    f"{file.relative_to(C_SRC)} includes {path.relative_to(C_SRC)}"
                )
