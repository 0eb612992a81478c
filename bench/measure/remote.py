"""Contenders in processes of their own, which are stopped while it is not their turn.

Runtimes that spin between calls are faster for it, but take the CPUs of the next contender. A
stopped process takes no CPU, and continues as it was.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .. import ROOT
from ..layers.job import Array, Job
from ..peers import PEERS, environment
from .exchange import Exchange, Parcel
from .placing import CAN_BIND
from .rounds import Lost

__all__ = ["RemoteContender", "Worker", "contenders_of"]

_CAN_STOP = hasattr(os, "waitid")
#: How many seconds a process may take to end.
_FAREWELL = 5.0


class Worker:
    """A process that computes for `name`, a peer or one of our backends.

    With one thread it has one CPU, the same one as all others. After a `Lost` it starts again at
    the next request.

    Parameters
    ----------
    name : str
    threads : int
    patience : float
        Seconds after which a request counts as lost.
    """

    def __init__(self, name: str, threads: int, patience: float = 60.0) -> None:
        self.name, self.threads, self.patience = name, threads, patience
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._open = ExitStack()
        self._names: list[str] = []

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def known(self) -> list[str]:
        """The names of its contenders. Its own name if it never started."""
        return self._names or [self.name]

    def ask(self, method: str, *arguments: Any) -> Any:
        """Return what that method of `bench.measure.worker.Desk` returns.

        Raises
        ------
        Lost
            If it failed, did not answer in time or died.
        """
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._connection is not None
        self._go_on()
        try:
            self._connection.send((method, *arguments))
        except OSError:
            raise Lost(self._obituary()) from None
        done, answer = self._receive()
        self._stop()
        if not done:
            raise Lost(answer)
        return answer

    def release(self) -> None:
        """Make the process forget its job, if it runs."""
        if self._process is not None:
            with suppress(Lost):
                self.ask("release")

    def close(self, patience: float = _FAREWELL) -> None:
        """End the process. It is killed if it does not end by itself in `patience` seconds."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._go_on()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._open.close()
        self._process = self._connection = None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        variables = dict(os.environ)
        if self.name in PEERS:
            variables |= environment(PEERS[self.name], self.threads)
        command = [sys.executable, "-m", "bench.measure.worker", self.name, str(self.threads)]
        cpus = os.sched_getaffinity(0) if CAN_BIND else set()
        self._errors = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        try:
            if CAN_BIND and self.threads == 1:
                os.sched_setaffinity(0, {min(cpus)})  # the process inherits it
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(theirs.fileno(),),
            )
        finally:
            if CAN_BIND:
                os.sched_setaffinity(0, cpus)
        theirs.close()
        self._connection = Connection(ours.detach())
        done, answer = self._receive()
        if not done:
            self.close()
            raise Lost(answer)
        self._names = answer
        self._stop()

    def _receive(self) -> tuple[bool, Any]:
        assert self._connection is not None
        if not self._connection.poll(self.patience):
            self.close(0)
            raise Lost(f"no answer in {self.patience:.0f} s")
        try:
            done, answer = self._connection.recv()
        except (EOFError, OSError):
            raise Lost(self._obituary()) from None
        return done, answer

    def _obituary(self) -> str:
        assert self._process is not None
        try:
            status: int | str = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = "unknown"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        return f"the process ended with {status}" + (f": {lines[-1][:150]}" if lines else "")

    def _go_on(self) -> None:
        if _CAN_STOP and self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _stop(self) -> None:
        """Stop the process, and return when all its threads are stopped."""
        if _CAN_STOP and self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class RemoteRunner:
    """A contender in a worker. See `bench.layers.contenders.Runner`."""

    binds = True
    warms = True

    def __init__(self, worker: Worker, name: str, exchange: Exchange) -> None:
        self._worker, self._name, self._exchange = worker, name, exchange
        worker.ask("start", name)

    def seconds(self, calls: int) -> float:
        return float(self._worker.ask("seconds", self._name, calls))

    def output(self) -> Array:
        """The result that `start` computed."""
        return self._exchange.result()


@dataclass(frozen=True)
class RemoteContender:
    """A contender of a worker that has the job, for `bench.measure.panel.measure_panel`."""

    name: str
    ours: bool
    worker: Worker
    exchange: Exchange
    reason: str | None = None
    whole: bool = True

    def missing(self, job: Job) -> str | None:
        return self.reason

    def start(self, job: Job) -> RemoteRunner:
        return RemoteRunner(self.worker, self.name, self.exchange)


def contenders_of(worker: Worker, exchange: Exchange, parcel: Parcel) -> list[RemoteContender]:
    """Give a job to a worker, and return its contenders."""
    reasons: dict[str, str | None]
    # The worker makes copies of its own, and a library may copy them once more.
    needed, free = 2 * exchange.bytes, _free_memory()
    try:
        if free is not None and free < needed:
            raise Lost(f"too little memory: {free >> 20} of {needed >> 20} MiB")
        reasons = worker.ask("take", parcel)
    except Lost as error:
        reasons = dict.fromkeys(worker.known(), str(error))
    is_ours = worker.name not in PEERS
    return [
        RemoteContender(name, is_ours, worker, exchange, reason) for name, reason in reasons.items()
    ]


def _free_memory() -> int | None:
    """Free memory in bytes. None if the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable")), None)
