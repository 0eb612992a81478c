"""`num_threads`, and the threads that threadpoolctl sets."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Generator, Iterator
from contextvars import copy_context
from typing import Any

import pytest
import threadpoolctl
from programs import WITHOUT_C
from support import BACKENDS, run_python

import pointwise_fast as pf
from pointwise_fast.config import resolve_threads
from pointwise_fast.kernels import c_simd


@pytest.fixture(autouse=True)
def seven() -> Iterator[None]:
    before = pf.get_num_threads()
    pf.set_num_threads(7)
    yield
    assert pf.get_num_threads() == 7
    pf.set_num_threads(before)


def test_blocks() -> None:
    """Blocks may be nested, used again, and decorate a function."""
    three = pf.num_threads(3)
    with three:
        assert pf.get_num_threads() == resolve_threads(None) == pf.config()["threads"] == 3
        assert resolve_threads(5) == 5
        with pf.num_threads(2), three:
            assert pf.get_num_threads() == 3
        with pf.num_threads(11):
            assert pf.get_num_threads() == 11
        assert pf.get_num_threads() == 3
        pf.set_num_threads(6)  # for the process
        assert pf.get_num_threads() == 3
        pf.set_num_threads(7)

    @pf.num_threads(4)
    def work() -> int:
        return pf.get_num_threads()

    assert work() == work() == 4


def test_blocks_end_with_errors() -> None:
    with pytest.raises(ZeroDivisionError), pf.num_threads(3), pf.num_threads(2):
        raise ZeroDivisionError
    assert pf.get_num_threads() == 7


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (4097, ValueError), (1.0, TypeError), (None, TypeError)]
)
def test_wrong_numbers(n: Any, error: type[Exception]) -> None:
    """Wrong numbers are refused before the block runs; the error names the argument."""
    with pytest.raises(error, match="n must be"):
        pf.num_threads(n)
    with pytest.raises(TypeError), pf.set_num_threads(7):  # type: ignore[attr-defined, func-returns-value]
        pass


def test_calls_are_given_the_number(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    import numpy as np

    layer, used = pf.Conv1x1(np.ones((2, 3)), backend=backend), []
    x = np.ones((3, 4, 5))
    call = layer._find(x)

    class Plan:
        pack_key = "any"

        def run(self, packed: Any, x: Any, residual: Any, out: Any, n: int, mask: Any) -> None:
            used.append(n)

        def repeat(self, *_: Any) -> None:
            return None

    monkeypatch.setattr(call, "plan", Plan())
    layer(x)
    with pf.num_threads(2):
        layer(x)
        layer(x, threads=5)
    layer(x)
    assert used == [7, 2, 5, 7]


def test_other_threads_are_left_alone() -> None:
    inside, seen, go = threading.Barrier(2), [], threading.Barrier(2)

    def work() -> None:
        inside.wait(30)
        seen.append(pf.get_num_threads())
        with pf.num_threads(5):
            seen.append(pf.get_num_threads())
            go.wait(30)
        seen.append(pf.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    with pf.num_threads(2):
        inside.wait(30)
        go.wait(30)
        assert pf.get_num_threads() == 2
    thread.join(30)
    assert seen == [7, 5, 7]


def test_tasks_have_their_own() -> None:
    async def work(n: int) -> list[int]:
        seen = []
        with pf.num_threads(n):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(pf.get_num_threads())
        await asyncio.sleep(0)
        return [*seen, pf.get_num_threads()]

    async def both() -> list[list[int]]:
        return [*await asyncio.gather(work(2), work(3))]

    assert asyncio.run(both()) == [[2, 2, 2, 7], [3, 3, 3, 7]]


def test_a_generator_that_ends_in_another_context() -> None:
    def block() -> Generator[int]:
        with pf.num_threads(2):
            yield pf.get_num_threads()

    running = block()
    assert copy_context().run(next, running) == 2
    assert pf.get_num_threads() == 7
    running.close()
    assert pf.get_num_threads() == 7
    # Later calls need not look for a block either.
    assert not sys.modules["pointwise_fast.config"]._blocks


def ours() -> dict[str, Any]:
    found = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "pointwise_fast"]
    assert len(found) == 1
    return dict(found[0])


def test_threadpoolctl_lists_and_limits() -> None:
    info = ours()
    assert info["num_threads"] == 7
    assert info["version"] == pf.__version__
    if c_simd.available() is None:
        assert info["filepath"].endswith("_c.abi3.so")
    for limits in (1, {"pointwise_fast": 1}):
        with threadpoolctl.threadpool_limits(limits):
            assert pf.get_num_threads() == ours()["num_threads"] == 1
            with threadpoolctl.threadpool_limits(3, user_api="pointwise_fast"):
                assert pf.get_num_threads() == 3
            assert pf.get_num_threads() == 1
        assert pf.get_num_threads() == ours()["num_threads"] == 7
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert pf.get_num_threads() == 7
    with pytest.raises(ZeroDivisionError), threadpoolctl.threadpool_limits(2):
        raise ZeroDivisionError


def test_limits_hold_in_blocks() -> None:
    """The inner one of limit and block holds; a limit that ends leaves no block's number behind."""
    with pf.num_threads(5):
        with threadpoolctl.threadpool_limits(2):
            assert pf.get_num_threads() == 2
            with pf.num_threads(4), threadpoolctl.threadpool_limits(3):
                assert pf.get_num_threads() == 3
            with pf.num_threads(1):
                assert pf.get_num_threads() == 1
        assert pf.get_num_threads() == 5
    assert pf.get_num_threads() == 7
    with threadpoolctl.threadpool_limits(2):
        pf.set_num_threads(9)
        with pf.num_threads(8):
            assert pf.get_num_threads() == 8
    assert pf.get_num_threads() == 7
    with pf.num_threads(9):
        assert pf.get_num_threads() == 9


ORDERS = {
    "we first": "import pointwise_fast as pf, threadpoolctl as t",
    "we last": "import threadpoolctl as t, pointwise_fast as pf",
    "we first, then from": """
import pointwise_fast as pf
from threadpoolctl import threadpool_info
import threadpoolctl as t
""",
    "looked for before": """
import pointwise_fast as pf, importlib.util
assert importlib.util.find_spec("threadpoolctl").origin.endswith("threadpoolctl.py")
import threadpoolctl as t
""",
}
LIMITED = """
import importlib, inspect, sys
before = pf.get_num_threads()
assert before == 5, before
with t.threadpool_limits(1):
    assert pf.get_num_threads() == 1
assert pf.get_num_threads() == 5
mine = [i for i in t.threadpool_info() if i["user_api"] == "pointwise_fast"]
assert len(mine) == 1 and mine[0]["num_threads"] == 5, mine
# Nothing of the way in which it was registered is left.
for loader in (t.__loader__, t.__spec__.loader):
    assert type(loader).__module__ == "_frozen_importlib_external"
assert "threadpool_limits" in inspect.getsource(t)
assert not [f for f in sys.meta_path if type(f).__module__.startswith("pointwise_fast")]
print(mine[0]["filepath"])
"""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("built", [True, False])
def test_registered_whichever_is_first(order: str, built: bool) -> None:
    """Without the extension we have no library to find; NumPy's stands for it."""
    code = "" if built else WITHOUT_C
    done = run_python(code + ORDERS[order] + LIMITED, POINTWISE_FAST_NUM_THREADS="5")
    ours = built and "c" in BACKENDS
    assert ("_c.abi3" if ours else "_multiarray_umath") in done.stdout


def test_threadpoolctl_is_neither_loaded_nor_needed() -> None:
    code = """
        import sys, pointwise_fast
        assert "threadpoolctl" not in sys.modules
        sys.path[:] = [p for p in sys.path if "site-packages" not in p]
        import importlib
        importlib.invalidate_caches()
        for _ in range(2):
            try:
                import threadpoolctl
            except ImportError as error:
                print(error)
    """
    assert run_python(code).stdout == "No module named 'threadpoolctl'\n" * 2


def test_an_older_threadpoolctl() -> None:
    """threadpoolctl before 3.2 could not register libraries."""
    code = """
        import sys, types, pointwise_fast as pf
        sys.modules["threadpoolctl"] = types.ModuleType("threadpoolctl")
        from pointwise_fast.threadpools import register
        register()
        print(pf.get_num_threads())
    """
    assert int(run_python(code).stdout) > 0
