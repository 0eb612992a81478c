"""``python -m bench.measure.worker``: a process that computes for one peer, or for us.

`bench.measure.remote` starts it with the right CPUs and environment, and sends the requests.
"""

from __future__ import annotations

import ctypes
import gc
import signal
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from ..layers.contenders import Contender, LocalRunner, ours
from ..layers.job import Job
from ..peers import PEERS
from .exchange import Parcel
from .placing import Placing

__all__ = ["Desk", "main"]

#: A call of this many seconds or more needs no untimed call before it: waking threads costs little
#: beside it, and its data does not stay in a cache.
_LONG = 0.05


class Desk:
    """Answers the requests, which name its public methods.

    Unless `places` is true, its threads are bound to CPUs like those of the others.
    """

    def __init__(self, contenders: list[Contender], threads: int, places: bool) -> None:
        self._contenders = {contender.name: contender for contender in contenders}
        self._placing = None if places else Placing(threads)
        self._runners: dict[str, LocalRunner] = {}
        self._last: dict[str, float] = {}
        self._parcel: Parcel | None = None
        self._job: Job | None = None

    def take(self, parcel: Parcel) -> dict[str, str | None]:
        """Copy a job's data. Returns why contenders cannot compute it. None if they can."""
        self.release()
        self._parcel, self._job = parcel, parcel.unpack()
        return {name: c.missing(self._job) for name, c in self._contenders.items()}

    def start(self, name: str) -> None:
        """Prepare a contender, and leave its first result in the parcel."""
        assert self._job is not None
        assert self._parcel is not None
        runner = self._contenders[name].start(self._job)
        with self._placed(runner):
            start = perf_counter()
            result = runner.output()
            self._last[name] = perf_counter() - start
        self._parcel.give(result)
        self._runners[name] = runner

    def seconds(self, name: str, calls: int) -> float:
        """Seconds per call, averaged over `calls`, after one call that is not timed."""
        runner = self._runners[name]
        with self._placed(runner):
            if self._last[name] < _LONG:
                runner.seconds(1)
            self._last[name] = runner.seconds(calls)
        return self._last[name]

    def _placed(self, runner: LocalRunner) -> AbstractContextManager[None]:
        return nullcontext() if self._placing is None else self._placing.of(runner)

    def plan(self) -> str:
        """The plan that the C backend makes for the job. "" for others."""
        from .plans import plan_of

        assert self._job is not None
        (name,) = self._contenders
        return plan_of(self._job, name.split()[1])

    def release(self) -> None:
        """Free the memory of the last job."""
        self._runners.clear()
        self._last.clear()
        self._parcel = self._job = None
        gc.collect()
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


def _die_with_parent() -> None:
    """End this process with its parent. Otherwise it would stay stopped for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _serve(desk: Desk, connection: Connection) -> None:
    while True:
        try:
            method, *arguments = connection.recv()
        except EOFError:
            return
        try:
            answer: Any = getattr(desk, method)(*arguments)
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            connection.send((False, f"{type(error).__name__}: {lines[0]}"[:200]))
        else:
            connection.send((True, answer))


def main(arguments: list[str]) -> None:
    """``<peer, or a backend of ours> <threads> <file descriptor>``."""
    name, threads, descriptor = arguments[0], int(arguments[1]), int(arguments[2])
    _die_with_parent()
    connection = Connection(descriptor)
    try:
        if name in PEERS:
            contenders = import_module(f"bench.peers.{PEERS[name].module}").contenders(threads)
            places = PEERS[name].places
        else:
            contenders, places = [ours(name, packed=True)], False
    except Exception as error:
        connection.send((False, f"{type(error).__name__}: {error}"))
        return
    gc.disable()
    gc.freeze()  # so that collections skip the libraries
    desk = Desk(contenders, threads, places)
    connection.send((True, [contender.name for contender in contenders]))
    _serve(desk, connection)


if __name__ == "__main__":
    main(sys.argv[1:])
