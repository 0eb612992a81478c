"""Threads, instruction set and backend: what the environment asks for and what is here."""

from __future__ import annotations

import operator
import os
import platform
import sys
import weakref
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import partial
from typing import Any

from ._version import __version__
from .dispatch import BACKENDS, backends
from .environment import shortened, usable_cpus
from .kernels import c_simd

__all__ = [
    "config",
    "default",
    "get_num_threads",
    "limit_threads",
    "num_threads",
    "resolve_threads",
    "set_num_threads",
    "show_config",
]

#: More than any machine's CPUs; a larger number is a mistake.
MAX_THREADS = 4096


def set_num_threads(n: int) -> None:
    """Set how many threads a call uses where it does not pass ``threads=``, in all of the process.

    Parameters
    ----------
    n : int
        At least 1; the calling thread is one of them.

    See Also
    --------
    num_threads : For a block of code.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> before = pf.get_num_threads()
    >>> pf.set_num_threads(1)
    >>> pf.get_num_threads()
    1
    >>> pf.set_num_threads(before)
    """
    global _num_threads, _limit
    n = _check_threads(n, "n")
    _num_threads, _limit = n, MAX_THREADS
    _publish()


class num_threads(ContextDecorator):
    """How many threads a call uses within a ``with`` block, where it does not pass ``threads=``.

    For the thread of Python, or the asyncio task, that runs the block, and for no other. Blocks may
    be nested, and the innermost counts. What was before holds again after the block, however it
    ends. A limit that threadpoolctl has set holds inside too.

    Parameters
    ----------
    n : int
        At least 1; the calling thread is one of them.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> with pf.num_threads(1):
    ...     pf.get_num_threads()
    1
    """

    def __init__(self, n: int) -> None:
        self._n = _check_threads(n, "n")

    def __enter__(self) -> None:
        block = _Block(self._n, _inside.get())
        _blocks[id(block)] = weakref.ref(block, partial(_leave, id(block)))
        _inside.set(block)
        _publish()

    def __exit__(self, *error: object) -> None:
        block = _inside.get()
        # Otherwise a generator that was begun in another context ends in this one; its block goes
        # with that context.
        if block is not None:
            _inside.set(block.outer)
            _leave(id(block))


def _leave(block: int, _: object = None) -> None:
    _blocks.pop(block, None)
    _publish()


class _Block:
    __slots__ = ("__weakref__", "n", "outer")

    def __init__(self, n: int, outer: _Block | None) -> None:
        self.n, self.outer = n, outer


def get_num_threads() -> int:
    """How many threads a call uses where it does not pass ``threads=``.

    At start ``POINTWISE_FAST_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the number of CPUs
    that this process may use: the smaller of its affinity and its cgroup's quota.

    Returns
    -------
    int
    """
    return resolve_threads(None)


class _Default:
    """Threads of a call, where all calls have the same; 0 where each has to look for its own."""

    __slots__ = ("threads",)

    def __init__(self, threads: int) -> None:
        self.threads = threads


def resolve_threads(threads: int | None) -> int:
    """What ``threads=`` means: None is `get_num_threads`."""
    if threads is None:
        return default.threads or _threads_here()
    return _check_threads(threads, "threads")


def _threads_here() -> int:
    """Where some thread of Python is in a block of `num_threads`."""
    block = _inside.get()
    return _num_threads if block is None else min(block.n, _limit)


def _publish() -> None:
    """After a change. Other threads may make one too, hence the second look."""
    default.threads = 0 if _blocks else _num_threads
    if _blocks:
        default.threads = 0


def limit_threads(n: int | None = None) -> int:
    """What threadpoolctl sets, which holds in blocks of `num_threads` too, or asks for.

    To set what was there before ends a limit.
    """
    global _num_threads, _limit, _unlimited
    before = _num_threads
    if n is not None:
        if _unlimited is None:
            _unlimited = before
        _num_threads = _limit = min(max(n, 1), MAX_THREADS)
        if _num_threads >= _unlimited:
            _limit, _unlimited = MAX_THREADS, None
        _publish()
    return before


def _check_threads(n: int, name: str) -> int:
    try:
        value = operator.index(n)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {n!r}") from None
    if not 1 <= value <= MAX_THREADS:
        raise ValueError(f"{name} must be between 1 and {MAX_THREADS}; got {n!r}")
    return value


def _threads_from_environment() -> int:
    own = "POINTWISE_FAST_NUM_THREADS"
    text = os.environ.get(own, "").strip()
    if text:
        n = _number_of_threads(text)
        if n is None:
            raise ValueError(
                f"environment variable {own} must be an integer between 1 and {MAX_THREADS}; "
                f"got {shortened(text)}"
            )
        return n
    # OpenMP allows a list, one entry for each level of nesting; its runtimes pass over what is
    # no number, and so do we: the variable is not ours.
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return _number_of_threads(text) or usable_cpus()


def _number_of_threads(text: str) -> int | None:
    """What `text` says in decimal digits, if it may be that; no matter how many digits."""
    digits = text.lstrip("0")
    if not (text.isascii() and digits.isdecimal() and len(digits) <= len(str(MAX_THREADS))):
        return None
    n = int(digits)
    return n if n <= MAX_THREADS else None


def config() -> dict[str, Any]:
    """What this installation is and what it found on this machine.

    Returns
    -------
    dict
        ``version``; ``isa``, the instruction set in use, and ``isas``, all that work here;
        ``tuning``, the table of costs by which the C kernels are chosen;
        ``threads``; ``backends``, best first, and ``missing``, why the others do not work;
        ``compiler`` of the C kernels; ``caches``, bytes of L1d, L2 and L3; ``python``,
        ``numpy`` and ``platform``.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> "numpy" in pf.config()["backends"]
    True
    """
    import numpy

    found = backends()
    return {
        "version": __version__,
        "isa": c_simd.isa(),
        "isas": c_simd.isas(),
        "tuning": c_simd.tuning(),
        "threads": get_num_threads(),
        "backends": found,
        "missing": {n: m.available() for n, m in BACKENDS.items() if n not in found},
        "compiler": c_simd.compiler(),
        "caches": c_simd.caches(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
    }


def show_config() -> None:
    """Print `config`, a line each; for bug reports."""
    for name, value in config().items():
        print(f"{name:10} {value}")


_num_threads = _threads_from_environment()

#: By threadpoolctl; `MAX_THREADS` is none. And `_num_threads` before it, while there is one.
_limit = MAX_THREADS
_unlimited: int | None = None

#: Blocks of `num_threads` that are running anywhere. A dict, whose changes need no lock, which a
#: fork could leave locked.
_blocks: dict[int, weakref.ref[_Block]] = {}
#: For calls that have no time for `resolve_threads`.
default = _Default(_num_threads)
#: The innermost around the code that asks.
_inside: ContextVar[_Block | None] = ContextVar("pointwise_fast.num_threads", default=None)
