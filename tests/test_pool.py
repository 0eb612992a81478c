"""The C backend's threads respect the process: rounding modes, CPUs, signals; they are few."""

from __future__ import annotations

import os
import sys

import pytest
from programs import run

import pointwise_fast as pf

pytestmark = [
    pytest.mark.skipif("c" not in pf.backends(), reason="the C kernels are not built"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/task"),
]

needs_two_cpus = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="affinity shows where there are two CPUs",
)

#: How to recognise our workers: they alone block SIGINT.
WORKERS = """
        import signal

        def blocked(task):
            with open(f"/proc/self/task/{task}/status") as file:
                mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigBlk"))
            return {number for number in range(1, 65) if mask >> (number - 1) & 1}

        def workers():
            tasks = map(int, os.listdir("/proc/self/task"))
            return [task for task in tasks if signal.SIGINT in blocked(task)]
"""


def test_signals_of_a_workers_own() -> None:
    """A fault in a worker reaches faulthandler."""
    run(
        f"""{WORKERS}
        check()
        assert workers()
        own = {{signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP,
               signal.SIGSYS}}
        for task in workers():
            assert not own & blocked(task), blocked(task)
        """,
        "c",
    )


@needs_two_cpus
@pytest.mark.parametrize("whom", ["the caller", "all threads"])
def test_affinity(whom: str) -> None:
    """Workers use the CPUs that their caller may use at the time of the call."""
    run(
        f"""{WORKERS}
        cpus = os.sched_getaffinity(0)
        first = {{min(cpus)}}

        def restrict(to):
            tasks = map(int, os.listdir("/proc/self/task")) if {whom == "all threads"} else [0]
            for task in tasks:
                os.sched_setaffinity(task, to)

        def wait_for(condition):
            # A worker that finds no time to join has not heard yet.
            for _ in range(3000):
                check(threads=2)
                if all(condition(os.sched_getaffinity(task)) for task in workers()):
                    return
            raise AssertionError([os.sched_getaffinity(task) for task in workers()])

        os.sched_setaffinity(0, first)
        wait_for(lambda mask: mask == first)
        os.sched_setaffinity(0, cpus)
        wait_for(lambda mask: len(mask) >= len(cpus) - 1)
        for cpu in cpus:
            restrict({{cpu}})
            wait_for(lambda mask: mask == {{cpu}})
            for _ in range(20):
                check(threads=2)
                assert all(os.sched_getaffinity(task) == {{cpu}} for task in workers())
        restrict(cpus)
        wait_for(lambda mask: len(mask) >= len(cpus) - 1)
        """,
        "c",
        timeout=120,
    )


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="MXCSR, through glibc's fenv_t")
def test_flush_to_zero() -> None:
    """Denormal results are flushed by every thread or by none: `torch.set_flush_denormal`."""
    run(
        """
        import ctypes
        libm = ctypes.CDLL("libm.so.6")
        # Long enough for a second thread to join on a busy machine.
        weight = np.zeros((2, 200), np.float32)
        weight[:, -1] = 1e-10  # not more of them, for denormal numbers are slow
        layer = pf.Conv1x1(weight, channel_axis=0)
        pixels = 400_000
        x = np.broadcast_to(np.full(pixels, 1e-30, np.float32), (200, pixels))

        def counts():
            # As bits, for comparisons flush too.
            results = [layer(x, threads=n).view(np.uint32) for n in [1] + 20 * [2]]
            return set(map(np.count_nonzero, results))

        assert counts() == {2 * pixels}
        state = (ctypes.c_uint32 * 8)()
        assert libm.fegetenv(state) == 0
        state[7] |= 0x8040
        assert libm.fesetenv(state) == 0
        assert counts() == {0}
        state[7] &= ~0x8040
        assert libm.fesetenv(state) == 0
        assert counts() == {2 * pixels}
        """,
        "c",
    )


def test_number_of_threads() -> None:
    """There are at most a few threads for each CPU, however many are asked for; idle ones end."""
    run(
        """
        def tasks():
            return len(os.listdir("/proc/self/task"))

        before = tasks()
        check(threads=4096)
        assert tasks() - before <= 4 * os.cpu_count(), tasks()
        deadline = time.monotonic() + 60
        while tasks() > before and time.monotonic() < deadline:
            time.sleep(0.2)
        assert tasks() == before
        check()
        """,
        "c",
        timeout=120,
    )
