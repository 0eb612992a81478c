"""What the environment says: its variables, and the CPUs that this process may use."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["cgroup_quota", "choice_from_environment", "shortened", "usable_cpus"]


def usable_cpus() -> int:
    """CPUs that this process may use: the smaller of its affinity and its cgroup's quota."""
    cpus = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        with suppress(OSError):
            cpus = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(cpus, cgroup_quota())))


def cgroup_quota(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float:
    """CPUs that the tightest of this process's cgroups (v1 or v2) grants; inf without a limit."""
    try:
        lines = proc.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return math.inf
    quota = math.inf
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "", "")[:3]
        if controllers == "":
            base = root
        elif "cpu" in controllers.split(","):
            base = root / "cpu"
        else:
            continue
        # Inside a container the path may name the host's tree, which is not mounted: then only
        # the mount's own root can be read.
        folder = base / path.lstrip("/")
        for level in (folder, *folder.parents):
            quota = min(quota, _quota_of(level))
            if level == base:
                break
    return quota


def _quota_of(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
        quota = math.inf if limit in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError, ArithmeticError):
        return math.inf
    return quota if quota > 0 else math.inf


def shortened(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:50]!r}... ({len(text)} characters)"


def choice_from_environment(variable: str, choices: tuple[str, ...], why_not: str = "") -> str:
    """The value of `variable`, "" where it is not set; anything but a choice is an error."""
    value = os.environ.get(variable, "")
    if value and value not in choices:
        listed = ", ".join(choices) or "none"
        raise ValueError(
            f"environment variable {variable}={shortened(value)}: choices on this machine are "
            + listed
            + (f" ({why_not})" if why_not else "")
        )
    return value
