"""Signals during one long call of the C backend: an exception of a handler ends the call."""

from __future__ import annotations

import sys

import pytest
from programs import interrupted, needs_fork, run

import pointwise_fast as pf

pytestmark = [
    pytest.mark.skipif("c" not in pf.backends(), reason="the other backends finish their call"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
]

#: Calls that would take seconds to minutes without the signal; x is small in memory.
LONG = """
        import signal

        class Enough(Exception):
            pass

        def end(number, frame):
            raise Enough("of it")

        signal.signal(signal.SIGINT, end)
        C, K, P = 1000 if pf.config()["isa"] == "scalar" else 40_000, 100, 100_000
        one = np.ones((1, P), np.float32)
        wide = np.broadcast_to(one, (C, P))
        heavy = np.ones((K, C), np.float32)
        settings = dict(channel_axis=0, backend=backend)
        long = pf.Conv1x1(heavy, **settings)
        chain = pf.Chain(long, pf.Conv1x1(np.ones((K, K), np.float32), **settings))
        branches = pf.Branches(long, long)
        out = np.full((K, P), np.nan, np.float32)
        outs = out, out.copy()

        def is_left(outs):
            assert all(np.isnan(out).any() for out in outs)
            return True

        def call(x, out, outs, threads):
            CALL

        # Weights are packed, which takes time too: for these pixels as for all.
        few = [out[:, :2000].copy() for out in outs]
        call(wide[:, :2000], few[0], tuple(few), 1)
"""

CALLS = {
    "conv1x1": "pf.conv1x1(x, heavy, out=out, threads=threads, **settings)",
    "Conv1x1": "long(x, out=out, threads=threads)",
    "Chain": "chain(x, out=out, threads=threads)",
    "Branches": "branches(x, out=outs, threads=threads)",
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", CALLS)
def test_a_handler_ends_a_call(call: str, threads: int) -> None:
    """The call raises the handler's exception while much of its output is still to be written."""
    code = f"""{LONG.replace("CALL", CALLS[call])}
        try:
            print("ready", flush=True)
            call(wide, out, outs, {threads})
        except Enough as error:
            print("ended", error, is_left(outs if {call == "Branches"} else [out]), flush=True)
        check()
        """
    assert list(interrupted(code, "c")) == ["ready", "ended of it True", "exit 0"]


def test_a_repeat_ends() -> None:
    """A repeat, which takes another way from Python to C, ends too."""
    code = f"""{LONG.replace("CALL", CALLS["Conv1x1"])}
        signal.signal(signal.SIGALRM, end)
        C //= 20
        wide = wide[:C]
        long = pf.Conv1x1(heavy[:, :C], **settings)
        long(wide, out=out)
        long(wide, out=out)
        for _ in range(30):  # a call may end before the alarm
            out[:] = np.nan
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                long(wide, out=out, threads=1)
                signal.pause()
            except Enough:
                if np.isnan(out).any():
                    print("ended")
                    break
        check()
        """
    assert run(code, "c", timeout=120) == "ended\n"


@needs_fork
def test_a_handler_that_forks() -> None:
    """The parent's call goes on; the child, without the other threads, cannot finish it."""
    code = f"""{LONG.replace("CALL", CALLS["Conv1x1"])}
        children = []

        def fork(number, frame):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            children.append(os.fork())

        signal.signal(signal.SIGINT, fork)
        C //= 10
        wide = wide[:C]
        long = pf.Conv1x1(heavy[:, :C], **settings)
        few = long(wide[:, :2000])
        print("ready", flush=True)
        try:
            while not children:
                long(wide, out=out, threads=2)
        except RuntimeError as error:
            assert children == [0] and "fork" in str(error), error
            os._exit(3)
        if children == [0]:  # forked between two calls
            os._exit(3)
        assert np.array_equal(out, np.broadcast_to(few[:, :1], out.shape))
        _, status = os.waitpid(children[0], 0)
        print("child", os.waitstatus_to_exitcode(status), flush=True)
        check()
        """
    assert list(interrupted(code, "c")) == ["ready", "child 3", "exit 0"]


def test_a_handler_that_returns() -> None:
    """The call goes on where it was, though the handler has called the layer itself."""
    code = """
        import signal

        handled = []

        def handle(number, frame):
            check()
            handled.append(number)

        signal.signal(signal.SIGINT, handle)
        C = 40_000 if pf.config()["isa"] != "scalar" else 1000
        row = (np.arange(90_000) % 8).astype(np.float32)
        wide = np.broadcast_to(row.astype(np.uint16), (C, row.size))  # converted in scratch
        print("ready", flush=True)
        result = pf.conv1x1(wide, np.ones((20, C), np.float32), channel_axis=0, backend=backend)
        while not handled:
            time.sleep(0.01)
        assert result.dtype == np.float32 and np.array_equal(result, np.tile(C * row, (20, 1)))
        """
    assert list(interrupted(code, "c")) == ["ready", "exit 0"]
