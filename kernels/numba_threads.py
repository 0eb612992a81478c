"""What the Numba backend has of threads and of compiled functions: one home for locks and forks."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import threading
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

__all__ = ["CFunction", "address", "compiling", "launch"]

Array = npt.NDArray[Any]


def address(array: Array) -> int:
    if array.flags.carray and array.size:  # then this way takes a third of the time
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    address: int = array.__array_interface__["data"][0]
    return address


class CFunction:
    """A compiled worker or activation, which must outlive its address."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.address: int = compiled.address
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        #: Releases the GIL.
        self.call = prototype(self.address)


#: Held while something is compiled and while Numba's threads start: neither may be forked.
compiling = threading.RLock()

#: Held by a running loop where Numba's own "workqueue" threads serve: two at once end the process.
_one_at_a_time = threading.Lock()

#: Whether Numba's threads can be used; False in a child whose parent started them, as OpenMP
#: ends a process that goes on using them.
_threads_work = True


def _after_fork_in_child() -> None:
    global _threads_work
    layer = sys.modules.get("numba.np.ufunc.parallel")
    if layer is not None and getattr(layer, "_is_initialized", True):
        _threads_work = False
    compiling.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=compiling.acquire,
        after_in_parent=compiling.release,
        after_in_child=_after_fork_in_child,
    )


@cache
def _launcher() -> tuple[Any, Any]:
    """The parallel loop, and Numba's module for its threads, which it starts."""
    from .numba_loops import compile_launch

    parallel: Any = importlib.import_module("numba.np.ufunc.parallel")
    tasks = Path("/proc/self/task")
    alive = len(list(tasks.iterdir())) if tasks.exists() else parallel.get_thread_count()
    if parallel._is_initialized and alive < parallel.get_thread_count():
        # Others started them before this module was imported, and a fork has ended them.
        raise ValueError("Numba's threads are those of a parent process")
    parallel.get_num_threads()
    return compile_launch(), parallel


def _threads() -> tuple[Any, Any] | None:
    """What `_launcher` returns; None where there can be no threads."""
    global _threads_work
    if not _threads_work:
        return None
    with compiling:
        try:
            return _launcher()
        except (ImportError, ValueError):  # or no threading layer can be loaded
            _threads_work = False
            return None


def thread_count() -> int:
    """How many threads a call can have: Numba's, or 1 where there can be none."""
    found = _threads()
    return 1 if found is None else int(found[1].get_thread_count())


def launch(worker: int, fields: int, n: int) -> bool:
    """Run a worker on up to `n` threads; False where there can be none."""
    found = _threads()
    if found is None:
        return False
    launch, numba = found
    n = min(n, numba.get_thread_count())
    before = numba.get_num_threads()
    with _one_at_a_time if numba.threading_layer() == "workqueue" else nullcontext():
        numba.set_num_threads(n)
        try:
            launch(worker, fields, n)
        finally:
            numba.set_num_threads(before)
    return True
