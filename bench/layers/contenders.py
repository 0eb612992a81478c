"""Who computes: our backends, NumPy, and plain C."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from time import perf_counter
from typing import Any, Protocol

import numpy as np

import pointwise_fast as pf
from pointwise_fast.dispatch import BACKENDS

from .. import native
from .cases import MIXED
from .job import Array, Arrays, Job
from .numpy_layer import numpy_layer

__all__ = [
    "BARE_MATMUL",
    "NUMPY_COPY",
    "NUMPY_LAYER",
    "Contender",
    "LocalRunner",
    "Runner",
    "call_contenders",
    "headline_contenders",
    "ours",
]

#: Computes once. It writes into the arrays it was made for (and may return None), or into new ones.
Call = Callable[[], Any]


class Runner(Protocol):
    """A contender that is ready to compute a job; it may live in another process."""

    def seconds(self, calls: int) -> float:
        """Seconds per call, averaged over `calls`."""

    def output(self) -> Array:
        """The result of one call on the job's first set. Its `out` is filled with NaN before."""


class LocalRunner:
    """A `Runner` in this process. Its calls cycle through the sets of a job."""

    def __init__(
        self,
        job: Job,
        bind: Callable[[Job, Arrays], Call],
        binds: bool = False,
        read: Callable[[Any], Array] = np.asarray,
    ) -> None:
        self.binds = binds
        self._out, self._read = job.sets[0].out, read
        self._calls = [bind(job, arrays) for arrays in job.sets]
        self._turn: Iterator[Call] = cycle(self._calls)

    @property
    def call(self) -> Call:
        """One call on the first set."""
        return self._calls[0]

    def seconds(self, calls: int) -> float:
        if len(self._calls) == 1:
            call = self._calls[0]
            start = perf_counter()
            for _ in range(calls):
                call()
            return (perf_counter() - start) / calls
        total = 0.0
        for _ in range(calls):
            call = next(self._turn)
            start = perf_counter()
            call()
            total += perf_counter() - start
        return total / calls

    def output(self) -> Array:
        self._out.fill(np.nan)
        result = self._calls[0]()
        if result is None:
            return self._out
        array = self._read(result)
        # The result may be a view of `out` with other axes.
        return self._out if np.may_share_memory(array, self._out) else array


@dataclass(frozen=True)
class Contender:
    """A way to compute a layer.

    Attributes
    ----------
    name : str
    ours : bool
    bind : callable
        Prepares a job and one of its sets, which is not timed, and returns the call that is.
    missing : callable
        Returns None, or the reason why it cannot compute this job here.
    whole : bool
        Whether it applies bias, residual and activation where the job has them.
    binds : bool
        Whether it binds its threads to CPUs itself.
    read : callable
        Turns what a call returns into an array.
    """

    name: str
    ours: bool
    bind: Callable[[Job, Arrays], Call]
    missing: Callable[[Job], str | None] = lambda job: None
    whole: bool = True
    binds: bool = False
    read: Callable[[Any], Array] = np.asarray

    def start(self, job: Job) -> LocalRunner:
        return LocalRunner(job, self.bind, self.binds, self.read)


# ---- ours ----------------------------------------------------------------------------------------


def _layer_settings(job: Job, backend: str) -> dict[str, Any]:
    """Only the settings that are not the default, as a user would write them."""
    case = job.case
    settings: dict[str, Any] = {"backend": backend}
    if job.bias is not None:
        settings["bias"] = job.bias
    if case.activation:
        settings["activation"] = case.activation
    if job.channel_axis != -3:
        settings["channel_axis"] = job.channel_axis
    if case.stride != 1:
        settings["stride"] = case.stride
    if case.groups != 1:
        settings["groups"] = case.groups
    return settings


def _call_settings(job: Job, arrays: Arrays, allocate: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"threads": job.threads}
    if arrays.residual is not None:
        settings["residual"] = arrays.residual
    if not allocate:
        settings["out"] = arrays.out
    return settings


def _one_shot(backend: str, allocate: bool = False) -> Callable[[Job, Arrays], Call]:
    def bind(job: Job, arrays: Arrays) -> Call:
        settings = _layer_settings(job, backend) | _call_settings(job, arrays, allocate)
        return partial(pf.conv1x1, arrays.x, job.weight, **settings)

    return bind


def _packed(backend: str) -> Callable[[Job, Arrays], Call]:
    def bind(job: Job, arrays: Arrays) -> Call:
        layer = pf.Conv1x1(job.weight, **_layer_settings(job, backend))
        return partial(layer, arrays.x, **_call_settings(job, arrays, False))

    return bind


def _backend_missing(backend: str) -> Callable[[Job], str | None]:
    return lambda job: BACKENDS[backend].available()


def ours(backend: str, *, packed: bool = False, allocate: bool = False) -> Contender:
    """One of our backends: `conv1x1` with ``out=`` or without it, or a packed `Conv1x1`."""
    how = " packed" if packed else " new out" if allocate else ""
    bind = _packed(backend) if packed else _one_shot(backend, allocate)
    missing = _backend_missing(backend)
    return Contender(f"ours {backend}{how}", True, bind, missing, binds=backend == "c")


# ---- NumPy, on plain layers ----------------------------------------------------------------------


def _matmul(job: Job, arrays: Arrays) -> Call:
    x, out, w = arrays.x, arrays.out, job.weight
    if job.layout == "planar":
        X = x.reshape(job.case.C, -1)
        return lambda: np.matmul(w, X).reshape(out.shape)
    return lambda: np.matmul(x, w.T)


def _tensordot(job: Job, arrays: Arrays) -> Call:
    x, w = arrays.x, job.weight
    if job.layout == "planar":
        return lambda: np.tensordot(w, x, axes=1)
    return lambda: np.tensordot(x, w, axes=([-1], [1]))


def _einsum(job: Job, arrays: Arrays) -> Call:
    x, w = arrays.x, job.weight
    if job.layout == "planar":
        return lambda: np.einsum("kc,chw->khw", w, x, optimize=True)
    return lambda: np.einsum("hwc,kc->hwk", x, w, optimize=True)


# ---- plain C -------------------------------------------------------------------------------------


def _load_plain() -> ctypes.CDLL:
    return native.load("plain.c", "-std=c11", "-O3", "-march=native")


def _plain_missing(job: Job) -> str | None:
    try:
        _load_plain()
    except native.CompileError as error:
        return str(error)
    return None


def _plain(job: Job, arrays: Arrays) -> Call:
    case, out = job.case, arrays.out
    work = getattr(_load_plain(), f"plain_{job.layout}")
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (job.weight, arrays.x, out)]
    sizes = [ctypes.c_int64(n) for n in (case.C, case.K, case.pixels)]
    threads = ctypes.c_int(job.threads)

    def call() -> Array:
        if work(*pointers, *sizes, threads):
            raise MemoryError("plain.c: not enough memory or threads")
        return out

    return call


BARE_MATMUL = Contender("np.matmul(out=)", False, partial(numpy_layer, epilogue=False), whole=False)


def headline_contenders() -> list[Contender]:
    """Contenders for a layer without bias, activation, residual, stride, groups or batch."""
    return [
        ours("c"),
        ours("c", allocate=True),
        ours("numba"),
        ours("numpy"),
        replace(BARE_MATMUL, whole=True),
        Contender("np.matmul", False, _matmul),
        Contender("np.tensordot", False, _tensordot),
        Contender("np.einsum(optimize)", False, _einsum),
        Contender("plain C, vectorised", False, _plain, _plain_missing, binds=True),
    ]


def call_contenders() -> list[Contender]:
    """Contenders for layers so small that the call itself is the cost."""
    backends = ("c", "numba", "numpy")
    return [
        *(ours(backend) for backend in backends),
        *(ours(backend, packed=True) for backend in backends),
        ours("c", allocate=True),
        replace(BARE_MATMUL, whole=True),
        Contender("np.matmul", False, _matmul),
    ]


# ---- whole layers --------------------------------------------------------------------------------


def _numpy_missing(job: Job) -> str | None:
    return "NumPy has no erf" if job.case.activation == "gelu" else None


#: It computes any layer.
NUMPY_LAYER = Contender("np.matmul(out=) + epilogue", False, numpy_layer, _numpy_missing)


def _copy_missing(job: Job) -> str | None:
    return _numpy_missing(job) if job.layout in MIXED else "x and the result lie alike"


#: It computes mixed layouts, where BLAS may be faster if both its matrices lie alike.
NUMPY_COPY = Contender(
    "np.matmul(out=), copy + epilogue", False, partial(numpy_layer, copies=True), _copy_missing
)
