"""Work that `test_threads` gives to other processes, which import this module."""

from __future__ import annotations

from typing import Any

import pointwise_fast as pf


def convolve(task: tuple[Any, pf.Conv1x1]) -> Any:
    x, layer = task
    return layer(x, threads=2)
