"""Programs that tests run in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import (
    Backend,
    python_command,
    python_environment,
    run_python,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

#: What these programs begin with. Large enough for several threads and many chunks.
PRELUDE = """
import os, sys, threading, time, warnings
import numpy as np
import pointwise_fast as pf
# Python 3.12 warns of every fork beside threads; that it works is what is tested.
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
backend = sys.argv[1]
rng = np.random.default_rng(1)
x = rng.standard_normal((50, 300, 301)).astype(np.float32)
weight = rng.standard_normal((20, 50)).astype(np.float32)
expected = np.tensordot(weight.astype(np.float64), x, 1)
bound = 54 * np.finfo(np.float32).eps * np.tensordot(abs(weight), abs(x), 1)
layer = pf.Conv1x1(weight, backend=backend)

def check(threads=3):
    for y in (layer(x, threads=threads), pf.conv1x1(x, weight, backend=backend, threads=threads)):
        assert np.all(abs(y - expected) <= bound)

def child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return pid

def join(pid):
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"child ended with status {status}"
"""


def run(code: str, backend: Backend, timeout: float = 60, **variables: Any) -> str:
    body = "\n".join(line.removeprefix("        ") for line in code.splitlines())
    return run_python(PRELUDE + body, backend, timeout=timeout, **variables).stdout


def interrupted(code: str, backend: Backend) -> Iterator[str]:
    """Run `code`, press Ctrl-C shortly after each line that it prints, and yield the lines."""
    body = "\n".join(line.removeprefix("        ") for line in code.splitlines())
    process = subprocess.Popen(
        python_command(PRELUDE + body, backend),
        env=python_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    killer = threading.Timer(60, process.kill)
    killer.start()
    assert process.stdout is not None
    try:
        for line in process.stdout:
            yield line.strip()
            if line.startswith("ready"):
                time.sleep(0.05)
                process.send_signal(signal.SIGINT)
    finally:
        process.wait()
        killer.cancel()
        process.stdout.close()
    yield f"exit {process.returncode}"


#: Makes the C extension impossible to import.
WITHOUT_C = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "pointwise_fast.kernels._c":
            raise ImportError("hidden by a test")

sys.meta_path.insert(0, Hide())
"""
