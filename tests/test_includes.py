"""Includes of C files: no circle of units, and folders that include what they may.

A unit is a header and the source of its name.
"""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

from support import ROOT

C_SRC = ROOT / "c_src"

#: What each folder may include besides itself and the contract, as docs/architecture.md has it.
ALLOWED = {
    "c_src": {"chain", "conv"},
    "base": set(),
    "cpu": {"base"},
    "threads": {"base"},
    "isa": {"cpu"},
    "tuning": {"cpu"},
    "conv": {"base", "cpu", "threads", "isa", "tuning"},
    "chain": {"base", "cpu", "threads", "conv"},
    "branches": {"base", "cpu", "threads", "conv"},
    "gradient": {"base", "threads", "isa", "conv"},
    "quantised": {"base", "cpu", "threads", "isa"},
}


def included(file: Path) -> list[Path]:
    """The project's own files that a file includes: neighbours, or from c_src/ on."""
    names = re.findall(r'^ *# *include "([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE)
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


def test_folders_include_what_they_may() -> None:
    for file in sources():
        folder = file.parent.name
        for path in included(file):
            other = path.parent.name
            assert other in {folder, "c_src", *ALLOWED[folder]}, (
                f"{file.relative_to(C_SRC)} includes {path.relative_to(C_SRC)}"
            )


def test_static_functions_have_names_of_their_own() -> None:
    """A profile shows names without files. Templates and sets of isa/ share names on purpose."""
    found: dict[str, list[str]] = {}
    for file in sources():
        if file.suffix == ".c" and file.parent.name != "isa":
            text = file.read_text(encoding="utf-8")
            for name in set(
                re.findall(r"^static [\w *]*?\b(\w+)\([^;]*?\) \{", text, re.MULTILINE)
            ):
                found.setdefault(name, []).append(file.name)
    assert len(found) > 150
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
