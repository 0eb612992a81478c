"""The CPU that a thread runs on.

Schedulers may leave the threads of a process on one CPU for longer than a call takes, while other
CPUs are idle. Some virtual machines do so on purpose. Whether two threads are then faster than one
is luck for every contender, and luck must not be measured. Where more than one thread works, the
threads of every contender are therefore bound, each to a CPU of its own.

The threads of our C backend place themselves: they use the CPUs that the caller may use, except the
one it is on. Binding the caller would bind them all to its CPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

__all__ = ["CAN_BIND", "Placing"]

#: Only Linux lets a process bind the threads of its libraries.
CAN_BIND = sys.platform == "linux"

_cpus = sorted(os.sched_getaffinity(0)) if CAN_BIND else []


class Placing:
    """Binds the threads of this process while a contender has its turn.

    Threads that appeared together are a pool. A pool with a thread for each CPU leaves the calling
    thread idle, and gets all CPUs. A smaller pool gets all CPUs but the caller's.
    """

    _known: ClassVar[set[int]] = set()

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._bind_pools()

    @contextmanager
    def of(self, runner: object) -> Iterator[None]:
        """Keep the calling thread on its CPU. Pools stay on theirs from the first call on.

        A runner whose `binds` is true places its own threads.
        """
        self._bind_pools()
        bind = CAN_BIND and self.threads > 1 and not getattr(runner, "binds", False)
        if bind:
            os.sched_setaffinity(0, _cpus[:1])
        try:
            yield
        finally:
            if bind:
                os.sched_setaffinity(0, _cpus)
            self._bind_pools()

    def _bind_pools(self) -> None:
        if len(_cpus) < 2:
            return
        threads = {int(name) for name in os.listdir("/proc/self/task")} - {os.getpid()}
        new = sorted(threads - self._known)
        cpus = _cpus if len(new) >= len(_cpus) else _cpus[1:]
        self._known.update(new)
        for i, thread in enumerate(new):
            with suppress(ProcessLookupError):  # it has ended
                if not _is_ours(thread):
                    os.sched_setaffinity(thread, {cpus[i % len(cpus)]})


def _is_ours(thread: int) -> bool:
    """Whether the thread is a worker of our C backend. Their name tells."""
    with suppress(OSError), open(f"/proc/self/task/{thread}/comm") as file:
        return file.read().strip() == "pointwise"
    return False
