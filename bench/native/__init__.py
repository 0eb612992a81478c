"""The benchmarks' own C sources. They are compiled when they are needed."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["CompileError", "compiler_command", "compiler_version", "load"]

HERE = Path(__file__).resolve().parent


class CompileError(RuntimeError):
    """There is no compiler, or it failed."""


def compiler_command() -> list[str]:
    """``$CC``, or else the first of cc, gcc and clang. Empty if there is no compiler."""
    given = shlex.split(os.environ.get("CC", ""))
    candidates = [given] if given else [["cc"], ["gcc"], ["clang"]]
    for command in candidates:
        if shutil.which(command[0]):
            return command
    return []


@cache
def compiler_version() -> str:
    """The first line of ``cc --version``. "" if there is no compiler."""
    command = compiler_command()
    if not command:
        return ""
    result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.partition("\n")[0]


@cache
def load(source: str, *flags: str) -> ctypes.CDLL:
    """Compile `source`, a file of this folder, and load it.

    Every process compiles it again. That takes about a second, and it is never out of date.

    Raises
    ------
    CompileError
        The message says why in one line.
    """
    command = compiler_command()
    if not command:
        raise CompileError("no C compiler (cc, gcc or clang; set CC to name another)")
    with tempfile.TemporaryDirectory(prefix="pointwise_fast-bench-") as folder:
        target = Path(folder) / (Path(source).stem + ".so")
        whole = [*command, *flags, "-shared", "-fPIC", "-pthread", "-o", str(target)]
        result = subprocess.run(
            [*whole, str(HERE / source), "-lm"], capture_output=True, text=True, check=False
        )
        if result.returncode:
            reason = next((s for s in result.stderr.splitlines() if "error" in s), "no message")
            raise CompileError(f"{command[0]} cannot compile {source}: {reason}")
        return ctypes.CDLL(str(target))
