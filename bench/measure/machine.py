"""A description of the machine, which every result records."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import pointwise_fast as pf

from .. import ROOT, native
from .caches import cache_bytes
from .placing import CAN_BIND

__all__ = ["describe_machine", "free_memory", "headline_of", "same_machine"]

_LIBRARIES = ("numpy", "numba", "llvmlite", "cffi", "threadpoolctl", "matplotlib")


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cpu_number() -> str:
    """Family, model and stepping. The model name of virtual machines says little."""
    found: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    except OSError:
        return ""
    keys = ("vendor_id", "cpu family", "model", "stepping")
    return ", ".join(f"{key} {found[key]}" for key in keys if key in found)


def _commit() -> str | None:
    """The commit of the checkout, with "+" if files differ from it. None outside of git."""
    if not (ROOT / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _library_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _blas() -> list[dict[str, Any]]:
    keys = ("internal_api", "version", "architecture", "threading_layer", "num_threads")
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return [{key: pool.get(key) for key in keys} for pool in pools]


def describe_machine() -> dict[str, Any]:
    """CPU, caches, compilers, commit, date, threads and versions, but no paths or host names."""
    config = pf.config()
    kernel = platform.release().partition("-")[0]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "pointwise_fast": config["version"],
        "cpu": _cpu_model(),
        "cpu_id": _cpu_number(),
        "cpus": os.cpu_count(),
        "isa": config["isa"],
        "isas": list(config["isas"]),
        "caches": list(cache_bytes()),
        "compiler": config["compiler"],
        "bench_compiler": native.compiler_version(),
        "threads": config["threads"],
        "threads_bound": CAN_BIND,
        "environment": {
            key: value
            for key, value in sorted(os.environ.items())
            if key.startswith(("POINTWISE_FAST_", "OMP_", "OPENBLAS_", "NUMBA_NUM_"))
        },
        "blas": _blas(),
        "versions": _library_versions(),
        "array_alignment": _alignment(),
        "system": f"{platform.system()} {kernel} {platform.machine()}",
        "python_build": sys.version.partition("[")[2].rstrip("]"),
    }


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records of `describe_machine` are of the same CPUs and instruction set."""
    return all(one.get(key) == other.get(key) for key in ("cpu", "cpu_id", "cpus", "isa"))


def _alignment() -> int:
    """The largest power of two that divides the address of a large NumPy array, up to 4096."""
    address = np.empty(10_000_000, np.float32).ctypes.data
    return min(address & -address, 4096)


def free_memory() -> int:
    """Bytes that can be allocated without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/meminfo has no MemAvailable")


def headline_of(machine: dict[str, Any]) -> str:
    """One line that goes with every table and plot."""
    commit = f", commit {machine['commit']}" if machine["commit"] else ""
    isa = machine["isa"] or "no C kernels"
    return (
        f"{machine['cpu']} ({machine['cpu_id']}), {machine['cpus']} CPUs, {isa}, "
        f"{machine['compiler'] or 'not compiled'}{commit}, {machine['date'][:10]}"
    )
