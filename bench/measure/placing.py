"""Which CPU a thread runs on.

Schedulers may leave the threads of a process on one CPU for longer than a call takes while others
are idle; some virtual machines do so on purpose. Whether two threads are then faster than one is
luck, for everyone alike, and luck is not what is to be measured: where more than one thread works,
the threads of every contender are bound, each to a CPU of its own.

The threads of our C backend look after themselves: they use the CPUs that the caller may use, but
for the one on which it is. To bind the caller would bind them all to its CPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

__all__ = ["CAN_BIND", "Placing"]

#: Linux alone lets a process bind the threads of its libraries.
CAN_BIND = sys.platform == "linux"

_cpus = sorted(os.sched_getaffinity(0)) if CAN_BIND else []


class Placing:
    """Binds the threads of this process while a contender has its turn.

    The threads that appeared together are a pool. One with a thread for each CPU leaves the calling
    thread idle, and gets all CPUs; a smaller one gets all but the caller's.
    """

    _known: ClassVar[set[int]] = set()

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._bind_pools()

    @contextmanager
    def of(self, runner: object) -> Iterator[None]:
        """While this lasts, the calling thread keeps to its CPU; pools do from their first call on.

        A runner with a true `binds` looks after its own threads.
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
    """Whether it is a worker of our C backend, which bears its name."""
    with suppress(OSError), open(f"/proc/self/task/{thread}/comm") as file:
        return file.read().strip() == "pointwise"
    return False
