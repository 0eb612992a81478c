"""Interleaved rounds: in each, every runner has its turn, in an order that changes."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from .placing import Placing

__all__ = ["Timed", "measure", "settle"]

#: Seconds that one turn of a runner should last at least, so that the clock is no matter.
_TURN = 1e-3
#: Seconds after which waiting for idle threads is given up.
_PATIENCE = 0.3


class Timed(Protocol):
    """What can be timed: see `bench.contenders.Runner`."""

    def seconds(self, calls: int) -> float: ...


def settle() -> None:
    """Wait until no thread of this process works: some spin for a while when a call is over."""
    start = time.perf_counter()
    while time.perf_counter() - start < _PATIENCE:
        busy, began = time.process_time(), time.perf_counter()
        time.sleep(1e-3)
        if time.process_time() - busy < 0.3 * (time.perf_counter() - began):
            return


def measure(
    runners: Mapping[str, Timed],
    *,
    placing: Placing,
    rounds: int,
    budget: float,
    least: int = 5,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds per call of each runner in each round.

    A turn is one call that is not timed, which wakes threads and warms what can be warm, and
    then as many as make a millisecond.

    Parameters
    ----------
    runners : mapping of str to Timed
    placing : Placing
        With more than one thread, each turn waits until those of the last one sleep.
    rounds : int
        As many as are wanted.
    budget : float
        Seconds after which no round begins, once `least` are done.
    progress : callable
        Called after each round.
    """
    calls: dict[str, int] = {}
    found: dict[str, list[float]] = {name: [] for name in runners}
    order = list(runners)
    shuffle = random.Random(0).shuffle
    start = time.perf_counter()
    for done in range(rounds):
        if done >= least and time.perf_counter() - start > budget:
            break
        shuffle(order)
        for name in order:
            runner = runners[name]
            if placing.threads > 1:
                settle()
            with placing.of(runner):
                runner.seconds(1)
                if name not in calls:
                    calls[name] = math.ceil(_TURN / max(runner.seconds(1), 1e-8))
                found[name].append(runner.seconds(calls[name]))
        progress()
    return found
