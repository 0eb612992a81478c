"""Measures the machine's limits: multiply-adds per second and bytes per second.

``t_roof = max(flops / peak_fma, bytes / stream_bandwidth)``. Both limits are timed like a
`Runner`, in the same rounds as the contenders: they return the seconds of a job at the limit.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import native
from ..layers.job import Job
from .caches import cache_bytes

__all__ = ["FmaRoof", "StreamRoof", "isas", "peak_flops", "roofs_for"]

_LINE = 64
_REPEATS = 4
_CHAINS = (8, 10, 12, 16)
#: Rounds of a register loop. They take about 150 us.
_ROUNDS = 50_000


class Traffic(NamedTuple):
    """A way to walk memory. It is ``struct traffic`` in roof.c."""

    streams: int
    burst: int
    ahead: int
    bypass: int

    def __str__(self) -> str:
        stores = "non-temporal" if self.bypass else "plain"
        ahead = f"prefetch {self.ahead} B" if self.ahead else "no prefetch"
        return f"{self.streams} streams, bursts of {self.burst}, {ahead}, {stores} stores"


class _Traffic(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in Traffic._fields)


@cache
def _library() -> ctypes.CDLL:
    flags = ("-std=gnu11", "-O3", "-fno-tree-vectorize", "-fno-tree-slp-vectorize")
    library = native.load("roof.c", *flags)
    library.roof_isa.restype = ctypes.c_char_p
    library.roof_fma.restype = ctypes.c_double
    library.roof_stream.restype = ctypes.c_double
    return library


@cache
def isas() -> dict[str, int]:
    """The instruction sets of this CPU that roof.c knows, best first, with their numbers."""
    found: dict[str, int] = {}
    i = 0
    while (name := _library().roof_isa(i)) is not None:
        if name:
            found[name.decode()] = i
        i += 1
    return found


def _timed(run: Callable[..., float], *arguments: object, threads: int, repeats: int) -> float:
    """Seconds of a unit of `run` (an operation, a byte) in the best repeat."""
    seconds = (ctypes.c_double * repeats)()
    amount = run(*arguments, ctypes.c_int(threads), ctypes.c_int(repeats), seconds)
    if amount < 0:
        raise MemoryError("roof.c: not enough memory")
    best: float = min(seconds)
    return best / amount


def _fma_seconds(isa: str, chains: int, threads: int) -> float:
    """Seconds of a float32 operation. A multiply-add is two of them."""
    number = ctypes.c_int(isas()[isa])
    rounds = ctypes.c_int64(_ROUNDS)
    run = _library().roof_fma
    return _timed(run, number, ctypes.c_int(chains), rounds, threads=threads, repeats=_REPEATS)


@cache
def _best_chains(isa: str, threads: int) -> int:
    return min(_CHAINS, key=lambda chains: min(_fma_seconds(isa, chains, threads) for _ in "123"))


def peak_flops(isa: str, threads: int) -> float:
    """float32 operations per second, the best of a few dozen milliseconds."""
    chains = _best_chains(isa, threads)
    return 1 / min(_fma_seconds(isa, chains, threads) for _ in range(20))


class FmaRoof:
    """Seconds of a job at full multiply-add rate."""

    binds = True

    def __init__(self, job: Job, isa: str) -> None:
        self.name = f"peak {isa}"
        self._flops = job.case.flops
        self._isa, self._threads = isa, job.threads
        self._chains = _best_chains(isa, job.threads)

    def seconds(self, calls: int) -> float:
        return self._flops * _fma_seconds(self._isa, self._chains, self._threads)


class _Buffers(NamedTuple):
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    x_address: int
    y_address: int


class StreamRoof:
    """Seconds of a job's reads and writes alone, in one way to walk memory.

    It reads and writes as many bytes as the job does, in buffers of its own. The walkers of a job
    share these buffers.
    """

    binds = True

    def __init__(self, job: Job, traffic: Traffic, buffers: list[_Buffers]) -> None:
        self.traffic = traffic
        self.name = f"stream: {traffic}"
        self._case = job.case
        self._threads = job.threads
        self._buffers = buffers
        self._turn = 0
        self._lines = [ctypes.c_int64(n) for n in _lines(job)]
        # A walk that is too short for the clock is repeated, unless it must be cold.
        self._passes = max(1, (1 << 20) // job.case.bytes) if len(buffers) == 1 else 1

    def seconds(self, calls: int) -> float:
        """The best of two to four runs."""
        number = ctypes.c_int(next(iter(isas().values())))
        best = np.inf
        for _ in self._buffers:
            buffers = self._buffers[self._turn]
            self._turn = (self._turn + 1) % len(self._buffers)
            arguments = (
                number,
                ctypes.byref(_Traffic(*self.traffic)),
                ctypes.c_void_p(buffers.x_address),
                self._lines[0],
                ctypes.c_void_p(buffers.y_address),
                self._lines[1],
                ctypes.c_int64(self._passes),
            )
            repeats = min(calls + 1, _REPEATS) if len(self._buffers) == 1 else 1
            run = _library().roof_stream
            best = min(best, _timed(run, *arguments, threads=self._threads, repeats=repeats))
        return best * self._case.bytes


def _lines(job: Job) -> tuple[int, int]:
    case = job.case
    return max(1, case.bytes_read // _LINE), max(1, case.bytes_written // _LINE)


def _make_buffers(job: Job) -> list[_Buffers]:
    def touched(lines: int) -> tuple[npt.NDArray[np.float32], int]:
        array = np.full((lines + 1) * (_LINE // 4), 1, np.float32)
        return array, -(-array.ctypes.data // _LINE) * _LINE

    found = []
    for _ in job.sets:
        (x, x_address), (y, y_address) = (touched(n) for n in _lines(job))
        found.append(_Buffers(x, y, x_address, y_address))
    return found


def _walks(job: Job) -> list[Traffic]:
    """Ways to walk memory that may be the fastest at this size."""
    last = cache_bytes()[-1]
    total = job.case.bytes * len(job.sets)
    bypass = (0,) if total < last // 4 else (0, 1)
    walks = [Traffic(*walk) for walk in product((1, 4, 8), (4, 16, 64), (0, 512, 2048), bypass)]
    if total > 2 * last:  # plain stores first read the lines that they write
        walks = [walk for walk in walks if walk.bypass or walk.burst == 64]
    return walks


#: The fastest ways to walk memory, by the properties of jobs that decide.
_fastest: dict[tuple[int, ...], list[Traffic]] = {}


def roofs_for(
    job: Job, isa: str, keep: int = 3, remember: bool = False
) -> tuple[FmaRoof, list[StreamRoof]]:
    """Return the multiply-add limit of `isa`, and the `keep` fastest ways to walk memory.

    With `remember`, a job with about as many bytes in about the same proportion as an earlier one
    takes that one's ways. Finding them takes dozens of passes.
    """
    reads, writes = _lines(job)
    key = (job.threads, len(job.sets), _octaves(reads + writes), _octaves(reads / writes), keep)
    walks = _fastest.get(key) if remember else None
    buffers = _make_buffers(job)
    walkers = [StreamRoof(job, walk, buffers) for walk in walks or _walks(job)]
    if walks is None:
        walkers = sorted(walkers, key=lambda walker: walker.seconds(1))[:keep]
        _fastest[key] = [walker.traffic for walker in walkers]
    return FmaRoof(job, isa), walkers


def _octaves(value: float) -> int:
    return round(math.log2(value))
