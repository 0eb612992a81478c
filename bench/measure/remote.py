"""Contenders in processes of their own, which stand still while it is not their turn.

Runtimes that spin between calls would take the CPUs of whoever comes next, and are faster for it
themselves: a process that is stopped does neither, and goes on as it was.
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
#: Seconds that a process may take to end.
_FAREWELL = 5.0


class Worker:
    """A process that computes for `name`, a peer or a backend of ours.

    With one thread it has one CPU, the same as all others. After a `Lost` it starts anew at the
    next request.

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
        """The names of its contenders; its own, if it never started."""
        return self._names or [self.name]

    def ask(self, method: str, *arguments: Any) -> Any:
        """What that method of `bench.worker.Desk` returns.

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
        """Let it forget its job, if it lives."""
        if self._process is not None:
            with suppress(Lost):
                self.ask("release")

    def close(self, patience: float = _FAREWELL) -> None:
        """End the process: it leaves by itself in `patience` seconds, or is killed."""
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
                os.sched_setaffinity(0, {min(cpus)})  # which the process inherits
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
        """Return when all its threads stand still."""
        if _CAN_STOP and self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class RemoteRunner:
    """A contender in a worker; see `bench.contenders.Runner`."""

    binds = True
    warms = True

    def __init__(self, worker: Worker, name: str, exchange: Exchange) -> None:
        self._worker, self._name, self._exchange = worker, name, exchange
        worker.ask("start", name)

    def seconds(self, calls: int) -> float:
        return float(self._worker.ask("seconds", self._name, calls))

    def output(self) -> Array:
        """What `start` computed."""
        return self._exchange.result()


@dataclass(frozen=True)
class RemoteContender:
    """A contender of a worker that has taken the job, as `bench.panel.measure_panel` wants it."""

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
    """Give a job to a worker."""
    reasons: dict[str, str | None]
    # Its own copies, and what a library may copy once more.
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
    """Bytes; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable")), None)
