"""The C library: whether it is built, its kernel sets and which is in use, how its calls end."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

try:
    from . import _c
    from ._c import ffi, lib
except ImportError as error:
    ffi = lib = None
    _missing: str | None = (
        f"the C kernels are not built ({error}); install a C compiler (gcc or clang) and "
        "reinstall with 'pip install --force-reinstall --no-cache-dir pointwise_fast'"
    )
else:
    _missing = None

__all__ = [
    "available",
    "caches",
    "check_status",
    "compiler",
    "ffi",
    "has_fma",
    "isa",
    "isas",
    "kernel_set",
    "lib",
    "repeat_module",
    "select_isa",
    "select_tuning",
    "tuning",
    "tunings",
]


def _find_kernel_sets() -> dict[str, Any]:
    found: dict[str, Any] = {}
    if lib is not None:
        i = 0
        while candidate := lib.pw_kernel_set_at(i):
            if lib.pw_kernel_set_works(candidate):
                found[ffi.string(lib.pw_kernel_set_name(candidate)).decode()] = candidate
            i += 1
    return found


def _find_repeats() -> Any:
    """``repeat.c``, a module in the file of `_c`."""
    if lib is None:
        return None
    spec = spec_from_file_location(f"{__package__}._repeat", _c.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


repeat_module = _find_repeats()
_kernel_sets = _find_kernel_sets()
_isa = next(iter(_kernel_sets), "")


def available() -> str | None:
    return _missing


def isas() -> tuple[str, ...]:
    """The instruction sets that are built and that this CPU has, best first."""
    return tuple(_kernel_sets)


def isa() -> str:
    """The instruction set in use; "" where the C kernels are not built."""
    return _isa


def select_isa(name: str) -> None:
    """Use `name`, one of `isas`, for plans made from now on; at start-up, before any is made."""
    global _isa
    assert name in _kernel_sets
    _isa = name


def has_fma() -> bool:
    """Whether the instruction set in use fuses multiply-adds."""
    return bool(lib.pw_kernel_set_has_fma(_kernel_sets[_isa]))


def tunings() -> tuple[str, ...]:
    """The tables of costs that are built in, by which plans choose among candidates."""
    names: list[str] = []
    while lib is not None and (name := lib.pw_tuning_name_at(len(names))):
        names.append(ffi.string(name).decode())
    return tuple(names)


def tuning() -> str:
    """The table in use: this CPU's, or "generic"; "" where the C kernels are not built."""
    return "" if lib is None else ffi.string(lib.pw_tuning_name()).decode()


def select_tuning(name: str) -> None:
    """Use a table of `tunings` for plans made from now on."""
    if not lib.pw_tuning_select(name.encode()):
        raise ValueError(f"name={name!r} is none of {', '.join(tunings())}")


def compiler() -> str:
    """The compiler of the C kernels; "" where they are not built."""
    return "" if lib is None else ffi.string(lib.pw_compiler()).decode()


def caches() -> tuple[int, ...]:
    """Bytes of the level 1 (data), 2 and 3 caches; 0 where unknown."""
    return () if lib is None else tuple(lib.pw_cache_bytes(level) for level in (1, 2, 3))


def kernel_set(name: str | None = None) -> Any:
    """That of an instruction set; None: of the one in use."""
    return _kernel_sets[_isa if name is None else name]


def check_status(status: int) -> None:
    """Raise what a call ended with: what a signal's handler raised, where that interrupted it."""
    if status == lib.PW_INTERRUPTED:
        repeat_module.raise_interruption()
    if status:
        raise MemoryError("no memory for packed weights or scratch; nothing was written")
