"""How much of the machine others used during a measurement, which reports it."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path

__all__ = ["Neighbours"]


class Neighbours:
    """Counts from its creation on. The processes in `own` do not count as others."""

    def __init__(self, own: Collection[int] = ()) -> None:
        self._own = own
        self._start = _now(own)

    def cpus(self) -> float | None:
        """CPUs that other processes, and other virtual machines on ours, used on average.

        None if the system does not report it, or after less than a tenth of a second, because its
        clock has few ticks in that time.
        """
        end = _now(self._own)
        if self._start is None or end is None:
            return None
        elapsed, busy, own = (b - a for a, b in zip(self._start, end, strict=True))
        return None if elapsed < 0.1 else max(0.0, (busy - own) / elapsed)


def _now(own: Collection[int]) -> tuple[float, float, float] | None:
    """Seconds of the clock, of all CPUs at work or taken away, and of this process and `own`."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields)
    ticks = user + nice + system + irq + softirq + steal
    second = os.sysconf("SC_CLK_TCK")
    mine = time.process_time() + sum(map(_ticks_of, own)) / second
    return time.perf_counter(), ticks / second, mine


def _ticks_of(process: int) -> int:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0
    return int(fields[11]) + int(fields[12])
