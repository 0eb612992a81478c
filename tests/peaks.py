"""Measures the peak memory of a call, in a process of its own."""

from __future__ import annotations

from typing import Any

#: Makes malloc take every larger block from the system and return it at once. Blocks that it kept
#: would hide temporaries of up to 32 MiB.
MALLOC: dict[str, Any] = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

#: `peak` gives the KiB that a call needs beyond those in use, after a first call of the same kind.
MEASURE = """
import sys
import numpy as np
import pointwise_fast as pf

def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))

def peak(call):
    call()
    before = status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forgets the peak
    call()
    return status("VmHWM") - before

backend, case = sys.argv[1:]
rows = 600
cube = np.ones((50, rows, 600), np.float32)
w = np.ones((20, 50), np.float32)
out = np.ones((20, rows, 600), np.float32)
settings = dict(backend=backend, threads=2, activation="silu")
"""
