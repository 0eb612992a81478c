"""Times one call, of ours or of NumPy, as `bench.measure.rounds.Timed`."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Turn"]


class Turn:
    """Times a call that needs nothing before or after it.

    `binds` says whether the C backend computes, which places its own threads: see
    `bench.measure.placing`.
    """

    def __init__(self, call: Callable[[], object], binds: bool = False) -> None:
        self._call = call
        self.binds = binds

    def seconds(self, calls: int) -> float:
        self._call()
        start = time.perf_counter()
        for _ in range(calls):
            self._call()
        return (time.perf_counter() - start) / calls
