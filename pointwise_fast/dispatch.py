"""Which backend serves a problem."""

from __future__ import annotations

from functools import cache
from typing import cast

from .environment import choice_from_environment
from .kernels import Backend, Gradient, c_simd, numba_parallel, numpy_blas
from .problem import Problem
from .typing import BackendName

__all__ = ["BACKENDS", "backends", "candidates", "select", "select_gradient", "select_quantised"]

#: Best first. `auto` takes the first that works here and supports the problem.
BACKENDS: dict[str, Backend] = {
    backend.NAME: backend for backend in (c_simd, numba_parallel, numpy_blas)
}


@cache
def backends() -> tuple[BackendName, ...]:
    """The backends that work on this machine, best first.

    Returns
    -------
    tuple of str
        Of ``"c"``, ``"numba"``, ``"numpy"``. Without FMA instructions the C kernels are exact
        but slow, and come last.

    Examples
    --------
    >>> import pointwise_fast as pf
    >>> "numpy" in pf.backends()
    True
    """
    found = [name for name, backend in BACKENDS.items() if backend.available() is None]
    if "c" in found and not c_simd.has_fma():
        found.remove("c")
        found.append("c")
    return cast("tuple[BackendName, ...]", tuple(found))


def check_name(name: str) -> None:
    """Refuse a ``backend=`` that does not exist or does not work here."""
    if not isinstance(name, str):
        raise TypeError(f"backend must be a string; got {name!r}")
    if name == "auto":
        return
    if name not in BACKENDS:
        choices = ", ".join(map(repr, ("auto", *BACKENDS)))
        raise ValueError(f"backend {name!r} is unknown; choose from {choices}")
    reason = BACKENDS[name].available()
    if reason is not None:
        works = ", ".join(map(repr, backends()))
        raise ValueError(f"backend {name!r} does not work here: {reason}; {works} do")


def select(name: str, problem: Problem) -> Backend:
    """The first backend that is allowed and takes `problem`.

    Raises
    ------
    ValueError
        If there is none.
    """
    reason: str | None = ""
    for candidate in candidates(name):
        reason = BACKENDS[candidate].unsupported(problem)
        if reason is None:
            return BACKENDS[candidate]
    raise ValueError(f"backend {candidate!r} does not support {reason}")


def select_gradient(name: str, problem: Problem) -> Gradient:
    """The sums over pixels of the first backend that is allowed and has them."""
    for candidate in candidates(name):
        gradient = BACKENDS[candidate].gradient(problem)
        if gradient is not None:
            return gradient
    raise ValueError(f"backend {candidate!r} does not support gradients of weight and bias")


def select_quantised(name: str) -> Backend:
    """The first backend that is allowed and has quantised kernels."""
    for candidate in candidates(name):
        if "quantised" in BACKENDS[candidate].FEATURES:
            return BACKENDS[candidate]
    able = [n for n, backend in BACKENDS.items() if "quantised" in backend.FEATURES]
    raise ValueError(
        f"backend {candidate!r} does not support quantised arrays; "
        f"choose from {', '.join(map(repr, able))}"
    )


def candidates(name: str) -> tuple[str, ...]:
    if name != "auto":
        return (name,)
    return (_forced,) if _forced else backends()


def _select_isa() -> None:
    variable = "POINTWISE_FAST_ISA"
    reason = c_simd.available() or ""
    isa = choice_from_environment(variable, c_simd.isas(), reason)
    if isa:
        c_simd.select_isa(isa)


def _select_tuning() -> None:
    prefix = "builtin:"
    choices = tuple(prefix + name for name in c_simd.tunings())
    chosen = choice_from_environment("POINTWISE_FAST_TUNING", choices, c_simd.available() or "")
    if chosen:
        c_simd.select_tuning(chosen.removeprefix(prefix))


# The order of the backends depends on the instruction set.
_select_isa()
_select_tuning()
_forced = choice_from_environment("POINTWISE_FAST_BACKEND", backends())
