"""The files around the code agree with one another."""

from __future__ import annotations

import re
import tomllib

import pytest
from support import ROOT


@pytest.mark.parametrize(
    ("tool", "hooks"), [("ruff", "ruff-pre-commit"), ("clang-format", "mirrors-clang-format")]
)
def test_pre_commit_runs_the_versions_of_make_lint(tool: str, hooks: str) -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    found = re.search(rf"/{hooks}\n    rev: v(\S+)$", text, re.M)
    assert found is not None
    assert f"{tool}=={found[1]}" in extras["dev"]
