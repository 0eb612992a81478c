"""Imports go one way: `bench` says which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

from .. import ROOT

#: Who may import whom: those further down. Entry points are in no folder.
ORDER = ["tests", "", "report", "measure", "peers", "layers", "native"]


def _modules() -> dict[str, Path]:
    """The files of `bench` by the names of their modules."""
    found = {}
    for path in (ROOT / "bench").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = _modules()


def _imports(name: str, path: Path) -> Iterator[str]:
    """The modules of `bench` that one imports, inside functions too."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                if inner in MODULES or source in MODULES:
                    yield inner if inner in MODULES else source


def _folder(name: str) -> str:
    """The folder of a module; "" for those at the top."""
    parts = MODULES[name].relative_to(ROOT / "bench").parts
    return parts[0] if len(parts) > 1 else ""


def test_no_circle() -> None:
    graph = {name: {*_imports(name, path)} - {name} for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 100
    TopologicalSorter(graph).prepare()  # which raises CycleError


def test_folders_import_those_below() -> None:
    seen = set()
    for name, path in MODULES.items():
        for other in _imports(name, path):
            if other != "bench":
                ours, theirs = ORDER.index(_folder(name)), ORDER.index(_folder(other))
                seen.add((ours, theirs))
                assert ours <= theirs, f"{name} imports {other}"
                # Entry points leave each other alone.
                assert theirs > 1 or ours == 0, f"{name} imports {other}"
    assert len(seen) > 10
