"""The sizes of the caches."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pointwise_fast as pf

__all__ = ["cache_bytes"]


@cache
def cache_bytes() -> tuple[int, ...]:
    """Bytes of the data caches as the system reports them, level 1 first. There is at least one."""
    sizes: dict[int, int] = {}
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind = (index / "type").read_text().strip()
            level = int((index / "level").read_text())
            size = (index / "size").read_text().strip()
        except OSError:
            continue
        if kind != "Instruction":
            sizes[level] = int(size.removesuffix("K")) * 1024
    if not sizes:
        sizes = {i: n for i, n in enumerate(pf.config()["caches"]) if n}
    # If the system reports nothing, assume more than most machines have.
    return tuple(sizes[level] for level in sorted(sizes)) or (64 << 20,)
