"""Numba backend: to be written."""
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from pointwise_fast.problem import Problem
    from . import Plan
NAME = "numba"
def available() -> str | None:
    return "not written yet"
def unsupported(problem: Problem) -> str | None:
    return "anything"
def plan(problem: Problem) -> Plan:
    raise NotImplementedError
