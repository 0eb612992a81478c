"""Many threads, forks, exits and interrupts. Whatever could hang runs with a time limit."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from bounds import convolved
from programs import interrupted, needs_fork, run
from support import (
    Array,
    Backend,
    assert_conv,
    assert_within,
    without_numba,
)

import pointwise_fast as pf


def test_sixteen_threads_share_a_layer(backend: Backend, rng: np.random.Generator) -> None:
    """Threads start at once, on inputs of their own in several shapes; each result is checked."""
    weight, bias = rng.standard_normal((20, 50)), rng.standard_normal(20)
    layer = pf.Conv1x1(weight, bias, activation="relu", backend=backend)
    inputs = [rng.standard_normal((50, 40 + n % 5, 100 + n)) for n in range(16)]
    exact = [convolved(x, weight, bias, activation="relu", dtype=x.dtype) for x in inputs]
    barrier = threading.Barrier(16)
    failures: list[Any] = []
    done = []

    def work(n: int) -> None:
        try:
            barrier.wait(30)
            out = np.empty(exact[n].value.shape)
            for i in range(8):
                y = layer(inputs[n], out=out if i % 2 else None, threads=1 + (n + i) % 4)
                assert_within(y, *exact[n])
            done.append(n)
        except BaseException as error:
            failures.append((n, error))

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert sorted(done) == list(range(16))


def test_threads_of_different_counts_in_turn(backend: Backend, rng: np.random.Generator) -> None:
    """The pool grows, shrinks and has more threads than there are CPUs."""
    x, weight = rng.standard_normal((30, 20011), np.float32), rng.standard_normal((10, 30))
    for threads in (1, 64, 2, 7, 1, 200, 3):
        y = pf.conv1x1(x, weight, channel_axis=0, backend=backend, threads=threads)
        assert_conv(y, x, weight, channel_axis=0)


def test_other_threads_run_meanwhile(backend: Backend) -> None:
    """The GIL is released: another Python thread ticks in the middle of a long call."""
    x: Array = np.ones((400, 40_000), np.float32)
    weight, out = np.ones((400, 400), np.float32), np.empty((400, 40_000), np.float32)
    layer = pf.Conv1x1(weight, channel_axis=0, backend=backend)
    for _ in range(2):
        layer(x, out=out)  # the calls that follow are repeats (test_repeats.py)
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        for _ in range(3):
            start = time.perf_counter()
            layer(x, out=out, threads=1)
            end = time.perf_counter()
            margin = (end - start) / 4
            if any(start + margin < t < end - margin for t in ticks):
                return
    finally:
        stop.set()
        thread.join(30)
    pytest.fail(f"no tick in {end - start:.3f} s")


def test_no_work_after_a_call(backend: Backend) -> None:
    """Threads that wait for the next call sleep, and use no CPU time."""
    if backend == "numpy":
        pytest.skip("the threads are the BLAS's")
    out = run(
        """
        check(threads=4)
        time.sleep(0.1)  # a short spin is allowed
        before = time.process_time()
        time.sleep(0.3)
        print(time.process_time() - before)
        """,
        backend,
    )
    assert float(out) < 0.03


def test_exit_while_a_thread_computes(backend: Backend) -> None:
    """The interpreter ends without a crash or a hang, wherever the other thread is."""
    # OpenBLAS waits at exit for its threads to end. One that gets work at that moment may miss the
    # request and sleep for good: so did 1 of 400 processes with nothing but `np.matmul` (NumPy
    # 2.4.6). With one thread there is none to wait for.
    variables: Any = {"OPENBLAS_NUM_THREADS": "1"} if backend == "numpy" else {}
    for delay in (0, 0.003, 0.05):
        out = run(
            f"""
            def work():
                while True:
                    layer(x, threads=3)
            check()
            threading.Thread(target=work, daemon=True).start()
            time.sleep({delay})
            print("end")
            """.replace("    " * 3, "    " * 2),
            backend,
            **variables,
        )
        assert out == "end\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c(backend: Backend) -> None:
    """KeyboardInterrupt comes between two calls, and the next call is right."""
    lines = list(
        interrupted(
            """
        import signal

        # Where the tests run in the background, a child inherits that it is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        check()
        for n in range(3):
            try:
                print("ready", flush=True)
                while True:
                    layer(x, threads=3)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            check()
        """,
            backend,
        )
    )
    assert lines == ["ready", "interrupted"] * 3 + ["exit 0"]


FORKS = {
    "child computes": """
        check()
        join(child(check))
        """,
    "child is the first to compute": """
        join(child(check))
        check()
        """,
    "parent computes after the child": """
        check()
        pid = child(check)
        join(pid)
        check()
        join(child(check))
        check()
        """,
    "both at once": """
        check()
        pids = [child(check) for _ in range(4)]
        check()
        for pid in pids:
            join(pid)
        check()
        """,
    "nested": """
        def inner():
            check()
            join(child(check))
            check()
        check()
        join(child(lambda: (join(child(inner)), check())))
        check()
        """,
    "while other threads compute": """
        stop = threading.Event()
        def work():
            while not stop.is_set():
                layer(x, threads=3)
        threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
        check()
        for thread in threads:
            thread.start()
        for _ in range(10):
            join(child(check))
        stop.set()
        for thread in threads:
            thread.join()
        check()
        """,
    "child ends as Python ends": """
        check()
        pid = os.fork()
        if pid == 0:
            check()
            sys.exit(0)
        join(pid)
        check()
        """,
}


@needs_fork
@pytest.mark.parametrize("name", FORKS)
def test_fork(name: str, backend: Backend) -> None:
    if backend == "numpy" and "other threads" in name:
        pytest.skip("a fork in the middle of NumPy's own `matmul` leaves OpenBLAS locked")
    out = run(FORKS[name] + '\n        print("all is well")\n', backend)
    assert out == "all is well\n"


@needs_fork
@without_numba
def test_multiprocessing(backend: Backend) -> None:
    """Pools of forked and of spawned processes work after the parent has computed."""
    code = """
        import multiprocessing
        from worker import convolve
        if __name__ == "__main__":
            check()
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(2) as pool:
                    for y in pool.map(convolve, [(x, layer)] * 4, 1):
                        assert np.all(abs(y - expected) <= bound)
                check()
            print("all is well")
        """
    assert run(code, backend) == "all is well\n"
