"""Calls of chains: errors, pickles, threads, forks, memory, guard pages."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peaks import MALLOC, MEASURE
from scenes import assert_same_bits, layers
from support import BACKENDS, Backend, needs_c, python_environment, run_python

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd


def conv(k: int, c: int, **settings: Any) -> pf.Conv1x1:
    return pf.Conv1x1(np.ones((k, c)), **settings)


REFUSED = {
    "one layer": (lambda: pf.Chain(conv(2, 3)), ValueError, "two layers or more; got 1"),
    "no layer": (
        lambda: pf.Chain(conv(2, 3), np.ones((2, 2))),  # type: ignore[arg-type]
        TypeError,
        "layer 2 of Chain must be a Conv1x1 or a Chain; got ndarray",
    ),
    "channels": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4), conv(6, 3, groups=1)),
        ValueError,
        "layer 3 expects 3 channels, layer 2 gives 2",
    ),
    "channels of groups": (
        lambda: pf.Chain(conv(4, 3), conv(2, 3, groups=2)),
        ValueError,
        r"layer 2 expects 6 \(2 groups of 3\) channels, layer 1 gives 4",
    ),
    "no hidden channels": (
        lambda: pf.Chain(conv(0, 3), conv(2, 0)),
        ValueError,
        "layer 1 gives no channels",
    ),
    "channel axis": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4, channel_axis=-1)),
        ValueError,
        "layer 2 has channel_axis=-1, layer 1 has -3",
    ),
    "stride": (
        lambda: pf.Chain(conv(4, 3, stride=2), conv(2, 4, stride=2)),
        ValueError,
        "layer 2 has stride=2; only the first layer",
    ),
    "dtype": (
        lambda: pf.Chain(conv(4, 3, dtype="float32"), conv(2, 4, dtype="float64")),
        ValueError,
        "layer 2 has dtype=float64, layer 1 has float32",
    ),
    "dtype of the first": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4, dtype="float64")),
        ValueError,
        "layer 2 has dtype=float64, layer 1 has none; .* pass dtype='float64' to layer 1",
    ),
    "backends": (
        lambda: pf.Chain(conv(4, 3, backend="numpy"), conv(4, 4), conv(2, 4, backend=BACKENDS[0])),
        ValueError,
        f"layer 3 has backend='{BACKENDS[0]}', layer 1 has 'numpy'",
    ),
    "residual": (
        lambda: pf.Chain(conv(4, 3), conv(3, 4), residual=1),  # type: ignore[arg-type]
        TypeError,
        "residual must be True or False; got 1",
    ),
    "residual of other channels": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4), residual=True),
        ValueError,
        "layer 1 expects 3, the last gives 2",
    ),
    "residual and stride": (
        lambda: pf.Chain(conv(4, 3, stride=2), conv(3, 4), residual=True),
        ValueError,
        "residual=True needs stride 1; layer 1 has 2",
    ),
    "residual twice": (
        lambda: pf.Chain(conv(4, 3), conv(3, 4), residual=True)(
            np.ones((3, 2, 2)), residual=np.ones((3, 2, 2))
        ),
        ValueError,
        "residual was passed to a chain that adds its own input",
    ),
    "channels of x": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4))(np.ones((5, 5, 3))),
        ValueError,
        "x has 5 channels on axis -3, layer 1 expects 3; for channels-last",
    ),
    "x": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4))(np.ones((3, 2, 2), "U3")),
        TypeError,
        "x has dtype <U3",
    ),
    "out": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4))(np.ones((3, 2, 2)), out=np.ones((4, 2, 2))),
        ValueError,
        r"out has shape \(4, 2, 2\); the result has \(2, 2, 2\)",
    ),
    "shape of the residual": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4))(
            x := np.ones((3, 2, 2)), residual=x, out=np.ones((2, 2, 2))
        ),
        ValueError,
        r"residual has shape \(3, 2, 2\)",
    ),
    "threads": (
        lambda: pf.Chain(conv(4, 3), conv(2, 4))(np.ones((3, 2, 2)), threads=0),
        ValueError,
        "threads must be between 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, error, match = REFUSED[case]
    with pytest.raises(error, match=match):
        make()


def test_backend_of_one_layer(backend: Backend) -> None:
    """A backend that one layer names holds for the whole chain."""
    if backend == "numba":
        pytest.skip("takes no chains")
    x = np.ones((3, 2, 2))
    chain = pf.Chain(conv(4, 3), conv(2, 4, backend=backend), conv(2, 2))
    name = chain._find(x).backend.NAME
    assert name == backend


def test_repr_and_pickle(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 20, 30))
    chain = pf.Chain(conv(4, 3, activation="relu", groups=1), conv(3, 4), residual=True)
    assert repr(chain) == (
        "Chain(Conv1x1(3 -> 4, activation='relu', channel_axis=-3), "
        "Conv1x1(4 -> 3, channel_axis=-3), residual=True)"
    )
    expected = chain(x)
    again = pickle.loads(pickle.dumps(chain))
    assert repr(again) == repr(chain)
    assert_same_bits(again(x), expected)
    assert [layer.weight.flags.writeable for layer in again.layers] == [False, False]


def test_repeats_notice_what_differs(rng: np.random.Generator) -> None:
    """A chain that was called often is called with other arrays."""
    found = layers((3, 8, 3), rng, backend="auto")
    chain = pf.Chain(*found)
    x, out = rng.standard_normal((3, 4, 5)), np.empty((3, 4, 5))
    for _ in range(4):
        assert chain(x, out=out) is out
        np.testing.assert_array_equal(chain(x), out)
    other = rng.standard_normal((3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(chain(other), pf.Chain(*found)(other))
    expected = chain(x, residual=x)
    np.testing.assert_array_equal(chain(x, residual=x, out=x), expected)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        chain(x, out=out)


def test_many_threads_share_a_chain(rng: np.random.Generator) -> None:
    found = layers((5, 30, 6), rng, backend="auto")
    chain = pf.Chain(*found)
    x = [rng.standard_normal((5, n, 60)).astype(np.float32) for n in (3, 50, 90, 120)]
    expected = [pf.Chain(*found)(image) for image in x]
    wrong: list[int] = []

    def work(i: int) -> None:
        right = [chain(x[i], threads=2).tobytes() == expected[i].tobytes() for _ in range(30)]
        wrong.extend([i] * right.count(False))

    threads = [threading.Thread(target=work, args=(i % 4,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_fork() -> None:
    """A chain works in the child of a fork, and in the parent afterwards."""
    code = """
        import os, warnings
        import numpy as np
        import pointwise_fast as pf
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        rng = np.random.default_rng(0)
        first, last = (pf.Conv1x1(rng.random((k, c))) for c, k in ((20, 30), (30, 20)))
        x = rng.random((20, 200, 200))
        chain, branches = pf.Chain(first, last), pf.Branches(first, pf.Conv1x1(rng.random((9, 20))))
        def results():
            return chain(x, threads=3).tobytes(), branches(x, threads=3)[1].tobytes()
        expected = results()
        pid = os.fork()
        if pid == 0:
            os._exit(results() != expected)
        assert os.waitpid(pid, 0)[1] == 0
        assert results() == expected
        print("all is well")
    """
    assert run_python(code).stdout == "all is well\n"


MEMORY = {
    "planar": "lambda: chain(image, out=answer)",
    "residual": "lambda: chain(image, residual=image, out=answer)",
    "interleaved": "lambda x=turned(image), y=turned(answer): chain(x, out=y)",
    "in place": "lambda: chain(image, residual=image, out=image)",
    "cropped": "lambda: chain(image[:, 3:, 5:], out=answer[:, 3:, 5:])",
    "three layers": "lambda: pf.Chain(first, middle, last)(image, out=answer)",
    "large layers": "lambda: large(image, out=answer)",
    "branches": "lambda: branches(image, out=(answer, second))",
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")
@pytest.mark.parametrize("case", MEMORY)
def test_memory(case: str, backend: Backend) -> None:
    """Memory stays small where the hidden channels would fill 61 MB at least."""
    if backend == "numba" and case != "branches":
        pytest.skip("takes no chains")
    rows = 60 if case == "large layers" else 600 if backend == "c" else 200
    code = f"""
    w = lambda k, c: pf.Conv1x1(np.full((k, c), 1e-3), activation="relu", backend=backend)
    first, middle, last = w(128, 10), w(128, 128), w(10, 128)
    chain, large = pf.Chain(first, last), pf.Chain(w(2048, 10), w(10, 2048))
    branches = pf.Branches(w(10, 10), w(30, 10))
    turned = lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0)
    image, answer = np.ones((10, {rows}, 600), np.float32), np.ones((10, {rows}, 600), np.float32)
    second = np.ones((30, {rows}, 600), np.float32)
    print(peak({MEMORY[case]}))
    """
    text = MEASURE + "\n".join(line[4:] for line in code.splitlines())
    done = run_python(text, backend, case, timeout=120, **MALLOC)
    assert int(done.stdout) < 4 << 10


@needs_c
@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
@pytest.mark.parametrize("isa_name", c_simd.isas() or ("none",))
def test_guard_pages(isa_name: str, seed: int) -> None:
    """Chains and branches read and write nothing outside their arrays."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            str(Path(__file__).parent / "guarded_layers.py"),
            isa_name,
            str(seed),
        ],
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stdout.splitlines() or ["nothing"]
    assert done.returncode == 0, f"exit {done.returncode} in: {lines[-1]}\n{done.stderr}"
    assert int(lines[-1].removeprefix("cases: ")) > 150


def test_chains_stand_for_their_layers(rng: np.random.Generator) -> None:
    a, b, c = conv(4, 3, activation="relu"), conv(2, 4), conv(3, 2)
    wanted = pf.Chain(a, b, c)
    x = rng.standard_normal((3, 5, 6))
    for nested in (
        pf.Chain(pf.Chain(a, b), c),
        pf.Chain(a, pf.Chain(b, c)),
        pf.Chain(pf.Chain(pf.Chain(a, b), c)),
    ):
        assert nested.layers == (a, b, c)
        assert np.array_equal(nested(x), wanted(x))
        assert np.array_equal(nested(x, residual=x), wanted(x, residual=x))
    around = pf.Chain(pf.Chain(a, b), c, residual=True)
    assert np.array_equal(around(x), wanted(x, residual=x))
    inner = pf.Chain(a, b, c, residual=True)
    with pytest.raises(ValueError, match="layer 2 of Chain is a chain with residual=True"):
        pf.Chain(pf.Conv1x1(np.eye(3)), inner)
    with pytest.raises(TypeError, match="layer 2 of Chain must be a Conv1x1 or a Chain; got Bra"):
        pf.Chain(a, pf.Branches(b, b))  # type: ignore[arg-type]
