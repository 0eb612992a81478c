"""Nothing outside the arrays is read or written: pages without access tell, to the byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import BACKENDS, python_environment

from pointwise_fast.kernels import c_simd

pytestmark = [
    pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available())),
    pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect"),
]

PROGRAM = Path(__file__).parent / "guarded.py"


@pytest.mark.parametrize("isa", c_simd.isas() or ("none",))
def test_arrays_between_guard_pages(isa: str, seed: int) -> None:
    """x, weight, bias, residual and out are flush against either page."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), isa, str(seed)],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stdout.splitlines() or ["nothing"]
    assert done.returncode == 0, f"exit {done.returncode} in: {lines[-1]}\n{done.stderr}"
    assert int(lines[-1].removeprefix("cases: ")) > 1000


@pytest.mark.skipif("numba" not in BACKENDS, reason="needs Numba")
def test_scratch_of_numba_between_guard_pages(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM.with_name("guarded_numba.py")), str(seed)],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines() or ["nothing"]
    assert done.returncode == 0, f"exit {done.returncode} in: {lines[-1]}\n{done.stderr}"
    assert int(lines[-1].removeprefix("cases: ")) == 192


@pytest.mark.parametrize("side", [True, False], ids=["end", "start"])
def test_the_guard_itself(side: bool) -> None:
    """One byte beyond the array is fatal, so that the test above can fail."""
    code = f"""
        import numpy as np
        from guarded import Guarded
        room = Guarded(100)
        array = room.array(np.zeros(5, np.uint8), (1,), {side})
        print("filled", array.sum(), flush=True)
        as_strided = np.lib.stride_tricks.as_strided
        print(as_strided(array, (6,)) if {side} else as_strided(array[::-1], (6,), (-1,)))
    """
    from support import python_command

    done = subprocess.run(
        python_command(code), env=python_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "filled 0\n"
    assert done.returncode < 0
