"""Calls of `conv1x1_backward`: arguments, callers, memory, and messages for wrong ones."""

from __future__ import annotations

import inspect
import itertools
import sys
import threading
from typing import Any

import numpy as np
import pytest
from gradients import assert_gradients, draw
from peaks import MALLOC, MEASURE
from support import BACKENDS, ISAS, ROOT, Array, Backend, needs_c, run_python

import pointwise_fast as pf


@pytest.mark.parametrize("needs", [*itertools.product((False, True), repeat=3)], ids=str)
def test_needs(summing: Backend, needs: tuple[bool, ...], rng: np.random.Generator) -> None:
    names = [n for n, wanted in zip(("x", "weight", "bias"), needs, strict=True) if wanted]
    x, weight, grad_out = draw(rng, np.float32, (2, 6, 5, 5), (4, 6, 1, 1), (2, 4, 5, 5))
    whole = pf.conv1x1_backward(grad_out, x, weight, backend=summing)
    forms: list[Any] = [names, tuple(names), set(names)]
    for form in forms:
        found = pf.conv1x1_backward(grad_out, x, weight, backend=summing, needs=form)
        for one, all_, wanted in zip(found, whole, needs, strict=True):
            assert (one is not None) == wanted
            if one is not None and all_ is not None:
                assert one.tobytes() == all_.tobytes()


def test_shapes_and_dtypes_of_weights(summing: Backend, rng: np.random.Generator) -> None:
    """Weights are as `conv1x1` takes them: with any number of axes, cast to the dtype of x."""
    x, weight, grad_out = draw(rng, np.float32, (6, 5, 5), (4, 3), (4, 5, 5))
    for given in (
        weight,
        weight[..., None],
        weight[..., None, None].astype(np.float64),
        np.repeat(weight, 2, axis=1)[:, ::2],
        weight.tolist(),
    ):
        found = pf.conv1x1_backward(grad_out, x, given, groups=2, backend=summing)
        assert found[1] is not None
        assert found[1].shape == np.shape(given)
        matrix = found[1].reshape(4, 3)
        assert_gradients((found[0], matrix, found[2]), grad_out, x, weight)


def test_inputs_are_left_alone(summing: Backend, rng: np.random.Generator) -> None:
    """Inputs may be read-only, and one array may be both inputs."""
    x, weight = draw(rng, np.float32, (4, 40, 41), (4, 4))
    before = x.copy(), weight.copy()
    for array in (x, weight):
        array.flags.writeable = False
    assert_gradients(pf.conv1x1_backward(x, x, weight, backend=summing), x, x, weight)
    assert np.array_equal(x, before[0])
    assert np.array_equal(weight, before[1])


def test_many_callers(summing: Backend, rng: np.random.Generator) -> None:
    """Several Python threads call at once, on arrays of their own."""
    inputs = [draw(rng, np.float64, (8, 60, 50 + n), (5, 8), (5, 60, 50 + n)) for n in range(8)]
    failures: list[BaseException] = []

    def work(x: Array, weight: Array, grad_out: Array) -> None:
        try:
            for i in range(6):
                found = pf.conv1x1_backward(grad_out, x, weight, backend=summing, threads=1 + i % 3)
                assert_gradients(found, grad_out, x, weight)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=arrays, daemon=True) for arrays in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


@needs_c
@pytest.mark.parametrize("isa", ISAS)
def test_no_access_beyond_arrays(isa: str, seed: int) -> None:
    """Arrays end, or begin, at a page without access (guarded_gradient.py)."""
    program = (ROOT / "tests" / "guarded_gradient.py").read_text()
    lines = run_python(program, isa, seed, timeout=120).stdout.splitlines()
    assert int(lines[-1].removeprefix("cases: ")) > 300


#: Calls with a `cube` of 50 x 600 x 600 and an `out` of 20 x 600 x 600.
PEAKS = {
    "planar": "pf.conv1x1_backward(out, cube, w, **sums)",
    "interleaved": "pf.conv1x1_backward(last(out), last(cube), w, channel_axis=-1, **sums)",
    "mixed": "pf.conv1x1_backward(np.moveaxis(last(out), -1, 0), cube, w, **sums)",
    "backwards": "pf.conv1x1_backward(out, cube[:, ::-1, ::-1], w, **sums)",
    "strided": "pf.conv1x1_backward(out[:, ::2, ::2], cube, w, stride=2, **sums)",
    "deep": """pf.conv1x1_backward(out.reshape(600, 12000), cube[:20].reshape(600, 12000),
        np.ones((600, 600), np.float32), channel_axis=-2, **sums)""",
    "all": "pf.conv1x1_backward(cube, out, w.T, backend=backend, threads=2)",
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")
@pytest.mark.parametrize("case", PEAKS)
def test_peak_of_a_call(summing: Backend, case: str) -> None:
    """A call needs under 4 MiB besides its result, for arrays of 100 MB."""
    code = " ".join(PEAKS[case].split())
    program = MEASURE + (
        "last = lambda a: a.reshape(rows, 600, len(a))\n"
        "sums = dict(backend=backend, threads=2, needs=('weight', 'bias'))\n"
        f"call = lambda: {code}\n"
        "print(peak(call) - sum(a.nbytes for a in call() if a is not None) // 1024)"
    )
    done = run_python(program, summing, case, **MALLOC)
    # The NumPy backend sums in float64.
    assert int(done.stdout) < (4 << 10) + (2 * 8 * 360 if summing == "numpy" else 0)


X = np.ones((50, 6, 7), np.float32)


WEIGHT = np.ones((20, 50), np.float32)


GRAD = np.ones((20, 6, 7), np.float32)


#: Arguments that replace good ones, the error, and the words that its message must contain.
WRONG: list[tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = [
    ({"grad_out": GRAD[:19]}, ValueError, ("grad_out has shape (19, 6, 7)", "(20, 6, 7)")),
    ({"grad_out": X}, ValueError, ("grad_out has shape (50, 6, 7)", "(20, 6, 7)")),
    ({"grad_out": GRAD[None]}, ValueError, ("grad_out has shape (1, 20, 6, 7)", "(20, 6, 7)")),
    ({"grad_out": GRAD.astype(float)}, TypeError, ("grad_out has dtype float64", "float32")),
    ({"grad_out": GRAD.astype(int)}, TypeError, ("grad_out has dtype int64", "float32")),
    ({"grad_out": None}, TypeError, ("grad_out is not an array", "NoneType")),
    ({"grad_out": np.ma.masked_array(GRAD)}, TypeError, ("grad_out is a masked array",)),
    ({"x": X.astype(np.int32)}, TypeError, ("x has dtype int32", "float32 and float64")),
    ({"x": X[:48]}, ValueError, ("x has 48 channels on axis -3", "weight expects 50")),
    ({"x": X[:, 0]}, ValueError, ("channel_axis=-3 does not exist", "2 axes")),
    ({"x": None}, TypeError, ("x is not an array",)),
    ({"weight": WEIGHT[0, 0]}, ValueError, ("weight has shape ()", "(K, C/groups)")),
    ({"weight": WEIGHT.T}, ValueError, ("weight has shape (50, 20)", "pass weight.T")),
    ({"weight": WEIGHT.astype(complex)}, TypeError, ("weight has dtype complex128", "real")),
    ({"weight": "weight"}, TypeError, ("weight has dtype",)),
    ({"channel_axis": 3}, ValueError, ("channel_axis=3 does not exist", "3 axes")),
    ({"channel_axis": 1.0}, TypeError, ("channel_axis must be an integer", "1.0")),
    ({"stride": 0}, ValueError, ("stride must be at least 1", "0")),
    ({"stride": 1.0}, TypeError, ("stride must be an integer", "1.0")),
    ({"stride": 2}, ValueError, ("grad_out has shape (20, 6, 7)", "(20, 3, 4)")),
    ({"stride": [1, 2, 3]}, ValueError, ("stride=(1, 2, 3)", "2 spatial axes")),
    ({"groups": 3}, ValueError, ("groups=3", "20 output channels")),
    ({"groups": 2}, ValueError, ("x has 50 channels", "weight expects 100")),
    ({"needs": "weight"}, TypeError, ("needs must be a collection", "'weight'")),
    ({"needs": None}, TypeError, ("needs must be a collection", "None")),
    ({"needs": 1}, TypeError, ("needs must be a collection", "1")),
    ({"needs": ("x", "w")}, ValueError, ("needs has 'w'", "'x', 'weight', 'bias'")),
    ({"needs": [["x"]]}, ValueError, ("needs has ['x']", "'x', 'weight', 'bias'")),
    ({"threads": 0}, ValueError, ("threads must be between 1 and 4096", "0")),
    ({"threads": 1.5}, TypeError, ("threads must be an integer", "1.5")),
    ({"backend": "C"}, ValueError, ("backend 'C' is unknown", "'auto', 'c', 'numba', 'numpy'")),
    ({"backend": None}, TypeError, ("backend must be a string", "None")),
]


NAMES = [f"{next(iter(wrong))}-{i}" for i, (wrong, _, _) in enumerate(WRONG)]


@pytest.mark.parametrize(("wrong", "error", "says"), WRONG, ids=NAMES)
def test_wrong_argument(
    wrong: dict[str, Any], error: type[Exception], says: tuple[str, ...]
) -> None:
    arguments: dict[str, Any] = {"grad_out": GRAD, "x": X, "weight": WEIGHT, **wrong}
    with pytest.raises(error) as caught:
        pf.conv1x1_backward(**arguments)
    for words in says:
        assert words in str(caught.value)


def test_every_argument_is_tested() -> None:
    parameters = set(inspect.signature(pf.conv1x1_backward).parameters)
    assert {next(iter(wrong)) for wrong, _, _ in WRONG} == parameters


def test_a_good_call(summing: Backend) -> None:
    """The call succeeds with the arguments that the wrong ones replace."""
    found = pf.conv1x1_backward(GRAD, X, WEIGHT, backend=summing)
    for gradient, value in zip(found, (20, 42, 42), strict=True):
        assert gradient is not None
        assert np.all(gradient == value)


@pytest.mark.skipif("numba" not in BACKENDS, reason="Numba is not installed")
def test_numba_has_one_of_them() -> None:
    found = pf.conv1x1_backward(GRAD, X, WEIGHT, backend="numba", needs=["x"])
    assert np.all(found[0] == 20)
    for name in ("weight", "bias"):
        with pytest.raises(ValueError, match="'numba' does not support gradients of weight"):
            pf.conv1x1_backward(GRAD, X, WEIGHT, backend="numba", needs=[name])
