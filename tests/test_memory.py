"""Memory: no temporary grows with the pixels, and nothing leaks."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from peaks import MALLOC, MEASURE
from support import Backend, run_python, without_numba

import pointwise_fast as pf

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")


CASES = {
    "planar": "lambda: pf.conv1x1(cube, w, out=out, **settings)",
    "residual": "lambda: pf.conv1x1(cube, w, out=out, residual=out, **settings)",
    "interleaved": """lambda x=cube.reshape(rows, 600, 50), y=out.reshape(rows, 600, 20):
        pf.conv1x1(x, w, out=y, channel_axis=-1, **settings)""",
    "planar to interleaved": """lambda y=np.moveaxis(out.reshape(rows, 600, 20), -1, 0):
        pf.conv1x1(cube, w, out=y, **settings)""",
    "strided": "lambda y=out[:, ::2, ::2].copy(): pf.conv1x1(cube, w, out=y, stride=2, **settings)",
    "backwards": "lambda: pf.conv1x1(cube[:, ::-1, ::-1], w, out=out, **settings)",
    "float64 sums": """lambda y=out.astype(float):
        pf.conv1x1(cube, w, out=y, dtype=float, **settings)""",
    # As many channels as Numba writes over x with every instruction set.
    "in place": "lambda y=out[:4]: pf.conv1x1(y, np.eye(4), out=y, **settings)",
    "one channel to many": """lambda x=cube[:1], y=cube.copy():
        pf.conv1x1(x, w.reshape(-1)[:50, None], out=y, backend=backend, activation="gelu")""",
    "beside its input": "lambda: pf.conv1x1(cube[:30], w[:, :30], out=cube[30:], **settings)",
    "groups of a batch": """lambda x=cube.reshape(900, 50, 400), y=out.reshape(900, 20, 400):
        pf.conv1x1(x, w[:, :5], np.ones(20), groups=10, channel_axis=-2, out=y, **settings)""",
    "cropped": """lambda r=out.copy(): pf.conv1x1(cube[:, 1:, 1:], w, residual=r[:, 1:, 1:],
        out=out[:, 1:, 1:], **settings)""",
    "many channels to one": """lambda x=cube.reshape(3000, 100, 60), y=out[:1, :100, :60].copy():
        pf.conv1x1(x, np.ones((1, 3000)), out=y, **settings)""",
}

#: Calls that not every backend takes.
CONVERTED = {
    "uint16": "lambda x=cube.astype('u2'): pf.conv1x1(x, w, out=out, **settings)",
    "float16 to uint8": """lambda x=cube.astype('f2'), y=out.astype('u1'):
        pf.conv1x1(x, w, out=y, dtype='u1', **settings)""",
    "interleaved int16": """lambda x=cube.reshape(rows, 600, 50).astype('i2'), y=out.reshape(rows,
        600, 20): pf.conv1x1(x, w, out=y, channel_axis=-1, **settings)""",
    "big-endian": """lambda x=cube.astype('>u2'), y=out.astype('>f4'):
        pf.conv1x1(x, w, out=y, residual=y, **settings)""",
    "interleaved big-endian": """lambda x=cube.reshape(rows, 600, 50).astype('>f4'),
        y=out.reshape(rows, 600, 20).astype('>f8'): pf.conv1x1(x, w, out=y, dtype='f8',
        channel_axis=-1, **settings)""",
    "big-endian gradients": """lambda x=cube.astype('>f4'), y=out.astype('>f4'):
        pf.conv1x1_backward(y, x, w, needs=('weight', 'bias'), backend=backend)""",
    "float64 sums, float32 out": """lambda:
        pf.conv1x1(cube, w, out=out, precision='float64', **settings)""",
    "int64 out": """lambda y=np.zeros((20, rows, 600), 'i8'):
        pf.conv1x1(cube, w, out=y, dtype=int, **settings)""",
    "complex": """lambda x=cube.view('c8'), y=out.view('c8'):
        pf.conv1x1(x, w, out=y, backend=backend)""",
    "argmax": """lambda y=np.zeros((rows, 600), 'u1'):
        pf.conv1x1(cube, w, out=y, head="argmax", **settings)""",
    "int64": """lambda x=cube.astype('i8'), y=out.astype(float):
        pf.conv1x1(x, w, out=y, **settings)""",
    "strided uint16 and nodata": """lambda x=cube.astype('u2'), y=out[:, ::2, ::2].copy():
        pf.conv1x1(x, w, out=y, stride=2, nodata=3, **settings)""",
    "l2_normalize": "lambda: pf.conv1x1(cube, w, out=out, head='l2_normalize', **settings)",
    "softmax": "lambda: pf.conv1x1(cube, w, out=out, head='softmax', **settings)",
    "nodata and mask": """lambda m=np.zeros((rows, 600), bool):
        pf.conv1x1(cube, w, out=out, nodata=1, mask=m, **settings)""",
    "masked": """lambda x=np.ma.array(cube, mask=np.zeros(cube.shape, bool)), y=np.ma.array(out,
        mask=np.ones(out.shape, bool)), m=np.zeros((rows, 600), bool):
        pf.conv1x1(x, w, out=y, nodata=2, mask=m, **settings)""",
    "some channels": """lambda: pf.conv1x1(cube, w, out=out, nodata=1, valid="any",
        backend="auto")""",
    "prelu": """lambda a=('prelu', [.1] * 20):
        pf.conv1x1(cube, w, out=out, backend=backend, activation=a)""",
}


@pytest.mark.parametrize("case", CONVERTED)
@without_numba
def test_peak_of_a_call_that_converts(backend: Backend, case: str) -> None:
    code = " ".join(CONVERTED[case].split())
    done = run_python(MEASURE + f"print(peak({code}))", backend, case, **MALLOC)
    assert int(done.stdout) < 4 << 10


@pytest.mark.parametrize("case", CASES)
def test_peak_of_a_call(backend: Backend, case: str) -> None:
    """A call needs under 4 MiB, for arrays of 100 MB."""
    code = " ".join(CASES[case].split())
    done = run_python(MEASURE + f"print(peak({code}))", backend, case, **MALLOC)
    assert int(done.stdout) < 4 << 10


def test_the_measure_itself() -> None:
    """The measure sees a copy of the input, and one of 3 MB."""
    for copied in ("cube", "cube[:2]"):
        code = f"print(peak(lambda: {copied}.copy()), {copied}.nbytes >> 10)"
        peak, size = map(int, run_python(MEASURE + code, "numpy", "-", **MALLOC).stdout.split())
        assert 0.9 * size < peak < 1.1 * size + 512


def test_nothing_is_lost(backend: Backend) -> None:
    """Memory does not grow over thousands of calls, of `conv1x1` and of new layers."""
    code = """
    x, small = np.ones((8, 300), np.float32), np.ones((5, 8), np.float32)
    def calls(n):
        for i in range(n):
            pf.conv1x1(x, small, channel_axis=-2, backend=backend)
            pf.Conv1x1(small, channel_axis=-2, backend=backend)(x[:, : 1 + i % 300])
    calls(400)
    before = status("VmRSS")
    calls(1500)
    print(status("VmRSS") - before)
    """
    import textwrap

    done = run_python(MEASURE + textwrap.dedent(code), backend, "-", timeout=120)
    assert int(done.stdout) < 2 << 10


LAYERS = {
    "Conv1x1": lambda: pf.Conv1x1(np.eye(3)),
    "Chain": lambda: pf.Chain(pf.Conv1x1(np.eye(3)), pf.Conv1x1(np.eye(3))),
    "Branches": lambda: pf.Branches(pf.Conv1x1(np.eye(3)), pf.Conv1x1(np.eye(3))),
    "QConv1x1": lambda: pf.QConv1x1(1.0, 0, np.ones((3, 3), np.int8), 1.0, 0, 1.0, 0),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_go_with_their_last_user(kind: str) -> None:
    """With what they have packed, and before Python looks for circles of references."""
    layer: Any = LAYERS[kind]()
    whole = np.ones((9, 2, 4), np.uint8 if kind == "QConv1x1" else np.float64)
    outs: list[Any] = [None, whole[3:6], whole[1:4], whole[:3]]
    if kind == "Branches":
        outs = [None, np.empty((6, 2, 4)), (whole[2:5], whole[5:8])]
    for out in outs * 2:
        layer(whole[:3], out=out)
    kept = weakref.ref(layer)
    gc.disable()
    try:
        del layer
        assert kept() is None
    finally:
        gc.enable()
