"""README.md: its Python runs, its links lead somewhere, and its lists match the code."""

from __future__ import annotations

import doctest
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from pointwise_fast.activation import ACTIVATIONS

README = (ROOT / "README.md").read_text()
#: Fenced Python.
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_snippets_run() -> None:
    assert len(SNIPPETS) >= 2
    names: dict[str, Any] = {}
    examples = 0
    for snippet in SNIPPETS:
        if not snippet.startswith(">>>"):
            exec(compile(snippet, "README.md", "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(snippet, names, "README.md", "README.md", 0)
        runner = doctest.DocTestRunner(verbose=False)
        runner.run(test, clear_globs=False)
        assert runner.summarize(verbose=False).failed == 0
        examples += len(test.examples)
    assert examples > 0
    assert names["y"].shape == (20, 60, 80)
    assert names["toned"].shape == (60, 80, 3)


def test_blocks_about_arrays_run() -> None:
    """The blocks of docs/arrays.md run; those that need a missing library are skipped."""
    text = (ROOT / "docs" / "arrays.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 9
    names: dict[str, Any] = {}
    for block in blocks:
        needed = re.findall(r"^import (\w+)", block, re.MULTILINE)
        known = {name.partition(".")[0] for name in (*needed, *re.findall(r"xarray", block))}
        if all(importlib.util.find_spec(name) for name in known):
            exec(compile(block, "docs/arrays.md", "exec"), names)
    assert {"y", "tile", "some"} <= set(names)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text())
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_activations_are_complete() -> None:
    assert {name for name in ACTIVATIONS if f"`{name}`" not in README} == set()


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", (ROOT / document).read_text(), re.M))
        assert named
        assert named <= targets


def test_environment_variables_exist() -> None:
    sources = [*ROOT.glob("pointwise_fast/*.py"), *ROOT.glob("kernels/*.py")]
    code = "".join(path.read_text() for path in sources)
    for variable in re.findall(r"POINTWISE_FAST_[A-Z_]+", README):
        assert variable in code


def test_benchmark_section_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("matplotlib", "threadpoolctl", "tqdm"):  # the bench extra
        pytest.importorskip(needed)
    monkeypatch.syspath_prepend(str(ROOT))
    readme = importlib.import_module("bench.readme")
    row = {"name": "ours c", "best": 0.002, "fraction": 0.5}
    slower = {"name": "np.matmul", "best": 0.001, "fraction": None}
    panel = {"layout": "planar", "threads": 2, "mode": "hot", "neighbours": 0.5}
    results = {
        "machine": {
            "cpu": "A CPU",
            "cpus": 2,
            "isa": "avx2",
            "compiler": "gcc 12",
            "threads": 2,
            "commit": "abc",
            "date": "2024-01-02T03:04",
            "versions": {"python": "3.11", "numpy": "2"},
        },
        "panels": [panel | {"rows": [row, slower]}],
        "calls": {"rows": [row, slower]},
    }
    section = readme.render(json.loads(json.dumps(results)))
    assert "| ours c | 2.00 (50 %) |" in section
    assert "| `np.matmul` | **1.00** |" in section  # cells where we lose are shown too
    assert "A CPU" in section
    assert "abc" in section
    assert "2024-01-02" in section
    assert "0.5 CPUs" in section
    filled = readme.fill(README, section)
    assert filled.count(section) == 1
    assert readme.fill(filled, section) == filled
