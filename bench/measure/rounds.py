"""Interleaved rounds. In each, every runner has a turn, in an order that changes."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from .placing import Placing

__all__ = ["Lost", "Timed", "measure", "settle"]

#: Seconds that a turn should last at least, so that the clock's resolution does not matter.
_TURN = 1e-3
#: The wait for idle threads ends after this many seconds.
_PATIENCE = 0.3
#: A contender that is slower than the fastest by this factor retires.
_FAR = 3.0
#: For calls of this many seconds or more, two rounds decide and not three: noise is short.
_LONG = 0.01


class Lost(RuntimeError):
    """A runner cannot continue."""


class Timed(Protocol):
    """An object that can be timed. See `bench.layers.contenders.Runner`.

    If its `warms` is true, it makes the untimed call itself.
    """

    def seconds(self, calls: int) -> float: ...


def settle() -> None:
    """Wait until no thread of this process works. Some spin for a while after a call."""
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
    retiring: Collection[str] = (),
) -> dict[str, list[float]]:
    """Return the seconds per call of each runner in each round, without runners that raised `Lost`.

    A turn is one call that is not timed, which wakes threads and warms caches, and then enough
    calls for a millisecond.

    Parameters
    ----------
    runners : mapping of str to Timed
    placing : Placing
        With more than one thread, each turn waits until the threads of the last one sleep.
    rounds : int
        How many are wanted.
    budget : float
        No round begins after this many seconds, once `least` rounds are done.
    progress : callable
        Called after each round.
    retiring : collection of str
        Runners that have no more turns once they are far behind the fastest of them.
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
        for name in list(order):
            if placing.threads > 1:
                settle()
            try:
                found[name].append(_turn(runners[name], name, placing, calls))
            except Lost:
                order.remove(name)
                del found[name]
        rivals = {name: min(found[name]) for name in order if name in retiring}
        bound = _FAR * min(rivals.values(), default=0)
        for name, best in rivals.items():
            if best > bound and len(found[name]) >= (2 if best > _LONG else 3):
                order.remove(name)
        progress()
    return found


def _turn(runner: Timed, name: str, placing: Placing, calls: dict[str, int]) -> float:
    """Take a turn of `runner`. Its first turn also decides how many calls a turn has."""
    with placing.of(runner):
        if not getattr(runner, "warms", False):
            runner.seconds(1)
        if name not in calls:
            first = runner.seconds(1)
            calls[name] = math.ceil(_TURN / max(first, 1e-8))
            if calls[name] == 1:
                return first
        return runner.seconds(calls[name])
