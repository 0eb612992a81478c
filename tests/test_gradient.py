"""`conv1x1_backward`: against finite differences, PyTorch, wider sums and itself."""

from __future__ import annotations

import inspect
import itertools
import math
import sys
import threading
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest
from support import BACKENDS, DTYPES, ROOT, WIDE, Array, Memory, problem_of, run_python
from test_memory import MALLOC, MEASURE

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

ISAS = c_simd.isas() or ("none",)
needs_c = pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available()))

#: Those that have sums over pixels.
SUMMING = [name for name in BACKENDS if name != "numba"]


@pytest.fixture(params=SUMMING)
def summing(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def terms(n: int) -> float:
    """Most roundings that a sum of n products takes part in; c_src/pointwise.h."""
    return min(n, 512 + 2 * math.ceil(math.sqrt(n))) + 2


def exact(
    grad_out: Array, x: Array, weight: Array, axis: int, groups: int = 1
) -> list[tuple[Array, Array]]:
    """The gradients for a stride of 1 in a wider dtype, each with the error that is allowed."""
    dtype = x.dtype
    wide, eps = WIDE[dtype], float(np.finfo(dtype).eps)
    K, C = weight.shape
    W = weight.astype(dtype).astype(wide).reshape(groups, K // groups, C)
    X = np.moveaxis(x, axis, 0).astype(wide)
    DY = np.moveaxis(grad_out, axis, 0).astype(wide).reshape(groups, K // groups, -1)
    pixels = X.shape[1:]
    X = X.reshape(groups, C, -1)
    n = X.shape[-1]

    def sums(W: Array, X: Array, DY: Array) -> list[Array]:
        back = (W.swapaxes(1, 2) @ DY).reshape(groups * C, *pixels)
        return [
            np.moveaxis(back, 0, axis),
            (DY @ X.swapaxes(1, 2)).reshape(K, C),
            DY.sum(axis=-1).reshape(K),
        ]

    values, sizes = sums(W, X, DY), sums(abs(W), abs(X), abs(DY))
    most = (K // groups + 4, terms(n), terms(n))
    return [(v, m * eps * s) for v, s, m in zip(values, sizes, most, strict=True)]


def assert_gradients(found: Any, grad_out: Array, x: Array, weight: Array, axis: int = -3) -> None:
    groups = x.shape[axis] // weight.shape[1] if weight.shape[1] else 1
    for name, result, (value, bound) in zip(
        ("x", "weight", "bias"), found, exact(grad_out, x, weight, axis, groups), strict=True
    ):
        assert result.shape == value.shape, name
        assert result.dtype == x.dtype, name
        assert result.flags.c_contiguous, name
        assert np.all(abs(result - value) <= bound), name


def draw(rng: np.random.Generator, dtype: Any, *shapes: tuple[int, ...]) -> list[Array]:
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


#: Shape of x, K, and settings.
CASES: list[tuple[tuple[int, ...], int, dict[str, Any]]] = [
    ((3, 4, 5), 2, {}),
    ((2, 5, 3, 4), 3, {}),
    ((2, 3, 7, 6), 4, {"stride": 2}),
    ((4, 6, 5), 3, {"stride": (1, 3)}),
    ((6, 3, 4), 4, {"groups": 2}),
    ((2, 4, 5, 9), 3, {"channel_axis": -1, "groups": 3, "stride": (2, 1)}),
    ((5, 6, 4), 3, {"channel_axis": -1, "stride": [3, 2]}),
    ((3, 11), 2, {"channel_axis": -2}),
    ((7, 3), 5, {"channel_axis": -1}),
    ((3,), 4, {"channel_axis": 0}),
    ((2, 3, 2, 2, 3), 2, {"channel_axis": 1}),
    ((1, 2, 2, 2), 2, {"channel_axis": -3, "groups": 2}),
]


@pytest.mark.parametrize(("shape", "K", "settings"), CASES, ids=str)
def test_finite_differences(
    summing: str, shape: tuple[int, ...], K: int, settings: dict[str, Any], rng: np.random.Generator
) -> None:
    """The loss ``sum(y * grad_out)`` is linear in each input: any step will do."""
    axis = settings.get("channel_axis", -3)
    C = shape[axis] // settings.get("groups", 1)
    # Whole numbers and halves, whose sums are exact.
    x, weight, bias = (rng.integers(-9, 10, s).astype(np.float64) for s in (shape, (K, C), (K,)))
    grad_out = rng.integers(-9, 10, pf.conv1x1(x, weight, **settings).shape).astype(np.float64)
    found = pf.conv1x1_backward(grad_out, x, weight, backend=summing, **settings)
    for array, gradient in zip((x, weight, bias), found, strict=True):
        assert gradient is not None
        assert gradient.shape == array.shape
        for index in np.ndindex(array.shape):
            before, losses = array[index], []
            for step in (0.5, -0.5):
                array[index] = before + step
                y = pf.conv1x1(x, weight, bias, backend="numpy", **settings)
                losses.append(np.sum(y * grad_out))
            array[index] = before
            assert gradient[index] == losses[0] - losses[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("N", "C", "H", "W", "K", "groups", "stride"),
    [
        (1, 50, 40, 41, 20, 1, 1),
        (3, 24, 9, 7, 36, 1, 1),
        (2, 16, 17, 19, 32, 1, 2),
        (2, 30, 12, 13, 12, 3, 1),
        (1, 64, 14, 14, 130, 2, 3),
        (130, 8, 2, 3, 5, 1, 1),
    ],
)
def test_pytorch(
    dtype: Any,
    last: bool,
    N: int,
    C: int,
    H: int,
    W: int,
    K: int,
    groups: int,
    stride: int,
    rng: np.random.Generator,
) -> None:
    """Its autograd of a convolution with a relu behind it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, weight, bias = draw(rng, dtype, (N, C, H, W), (K, C // groups, 1, 1), (K,))
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    y = torch.relu(torch.nn.functional.conv2d(*tensors, stride=stride, groups=groups))
    grad = rng.standard_normal(tuple(y.shape)).astype(dtype)
    y.backward(torch.from_numpy(grad))
    grad_out = grad * (y.detach().numpy() > 0)
    if last:
        x, grad_out = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, grad_out))
    found = pf.conv1x1_backward(
        grad_out, x, weight, stride=stride, groups=groups, channel_axis=-1 if last else -3
    )
    theirs = [tensor.grad.numpy() for tensor in tensors]
    if last:
        theirs[0] = np.moveaxis(theirs[0], 1, -1)
    # What stride leaves out has no gradient, and is no part of the sums.
    read = np.s_[:, ::stride, ::stride] if last else np.s_[:, :, ::stride, ::stride]
    used = theirs[0].copy()
    used[read] = 0
    assert not used.any()
    axis = -1 if last else -3
    n = grad_out.size // K
    bounds = [b for _, b in exact(grad_out, x[read], weight[..., 0, 0], axis, groups)]
    # Ours are in blocks; PyTorch's may be in any order.
    bounds[1:] = [b * (1 + (n + 4) / terms(n)) / 2 for b in bounds[1:]]
    for ours, other, bound in zip(found, theirs, bounds, strict=True):
        assert ours is not None
        assert ours.shape == other.shape
        if ours.shape == x.shape:
            ours, other = ours[read], other[read]
        assert np.all(abs(ours - other).reshape(bound.shape) <= 2 * bound)


def odd_strides(array: Array) -> list[int]:
    strides = [2 * array.itemsize + 1]
    for n in array.shape[:0:-1]:
        strides.append(strides[-1] * n + 3)
    return strides[::-1]


#: What (N, C, H, W) arrays can look like in memory.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "planar": lambda a: a.copy(),
    "channels last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "batch last": lambda a: np.ascontiguousarray(a.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2),
    "fortran": np.asfortranarray,
    "backwards": lambda a: a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "every second": lambda a: np.repeat(np.repeat(a, 2, 1), 2, 3)[:, ::2, :, ::2],
    "crop": lambda a: np.pad(a, ((0, 0), (1, 2), (3, 1), (2, 5)))[:, 1:-2, 3:-1, 2:-5],
    "odd bytes": lambda a: Memory.holding(a, odd_strides(a)).array,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x_layout", LAYOUTS)
@pytest.mark.parametrize("y_layout", LAYOUTS)
def test_layouts(
    summing: str, dtype: Any, x_layout: str, y_layout: str, rng: np.random.Generator
) -> None:
    x, weight, grad_out = draw(rng, dtype, (3, 13, 9, 17), (7, 13), (3, 7, 9, 17))
    found = pf.conv1x1_backward(
        LAYOUTS[y_layout](grad_out), LAYOUTS[x_layout](x), weight, backend=summing, threads=2
    )
    assert_gradients(found, grad_out, x, weight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_repeated_elements(summing: str, dtype: Any, rng: np.random.Generator) -> None:
    """Inputs with strides of 0: one channel, one row or one number for all."""
    x, weight, grad_out = draw(rng, dtype, (5, 30, 31), (6, 5), (6, 30, 31))
    for some_x, some_y in (
        (np.broadcast_to(x[:1], x.shape), grad_out),
        (np.broadcast_to(x[:, :1], x.shape), np.broadcast_to(grad_out[..., :1], grad_out.shape)),
        (x, np.broadcast_to(grad_out[0, 0, 0], grad_out.shape)),
    ):
        found = pf.conv1x1_backward(some_y, some_x, weight, backend=summing)
        assert_gradients(found, some_y, some_x, weight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_pixels(summing: str, dtype: Any) -> None:
    """Past 2^24 float32 numbers cannot count by ones: a sum of one chain would stay there."""
    n = (1 << 24) + (1 << 22)
    one: Array = np.broadcast_to(dtype(1), (1, n))
    needs = ("weight", "bias")
    _, weight, bias = pf.conv1x1_backward(
        one, one, [[1]], channel_axis=-2, needs=needs, backend=summing
    )
    assert weight == n
    assert bias == n


@needs_c
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["planar", "last", "mixed", "strided"])
def test_threads(isa: str, dtype: Any, layout: str, rng: np.random.Generator) -> None:
    """The same bits for any number of threads: few sums of many pixels, many of few."""
    for C, K, P in (
        (3, 3, 70_001),
        (50, 20, 9000),
        (300, 270, 600),
        (520, 130, 49),
        (16, 64, 1024),
    ):
        P = P // 20 + 1 if isa == "scalar" else P
        x, grad_out = draw(rng, dtype, (C, P), (K, P))
        if layout == "strided":
            x, grad_out = np.repeat(x, 2, axis=1)[:, ::2], np.repeat(grad_out, 3, axis=1)[:, ::3]
        if layout in ("last", "mixed"):
            x = np.asfortranarray(x)
        if layout == "last":
            grad_out = np.asfortranarray(grad_out)
        problem = problem_of(x, np.empty((K, C), dtype), None, None, grad_out)
        gradient = c_simd.CGradient(problem, isa)
        found = []
        for threads in (1, 2, 3, 7, 64):
            weight, bias = np.full((K, C), np.nan, dtype), np.full(K, np.nan, dtype)
            gradient.run(grad_out, x, weight, bias, threads)
            found.append(weight.tobytes() + bias.tobytes())
        assert len(set(found)) == 1, gradient.describe()
        (_, value, bias_value) = exact(grad_out, x, np.zeros((K, C), dtype), 0)
        assert np.all(abs(weight - value[0]) <= value[1]), gradient.describe()
        assert np.all(abs(bias - bias_value[0]) <= bias_value[1]), gradient.describe()


@needs_c
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("groups", [1, 2, 5])
def test_groups_and_tails(isa: str, groups: int, rng: np.random.Generator) -> None:
    """Each group is a problem of its own; every small number of channels and of pixels."""
    for i in range(60):
        C, K = (int(rng.integers(1, most)) for most in (40, 25))
        shape = (int(rng.integers(1, 4)), int(rng.integers(1, 200)))
        dtype = DTYPES[i % 2]
        x, grad_out = draw(
            rng, dtype, (shape[0], groups * C, shape[1]), (shape[0], groups * K, shape[1])
        )
        weight = np.empty((groups * K, C), dtype)
        problem = problem_of(x, weight, None, None, grad_out, groups=groups)
        bias = np.empty(groups * K, dtype)
        c_simd.CGradient(problem, isa).run(grad_out, x, weight, bias, 1 + i % 3)
        expected = exact(grad_out, x, np.zeros_like(weight), 1, groups)
        assert np.all(abs(weight - expected[1][0]) <= expected[1][1])
        assert np.all(abs(bias - expected[2][0]) <= expected[2][1])


@pytest.mark.parametrize("needs", [*itertools.product((False, True), repeat=3)], ids=str)
def test_needs(summing: str, needs: tuple[bool, ...], rng: np.random.Generator) -> None:
    names = [n for n, wanted in zip(("x", "weight", "bias"), needs, strict=True) if wanted]
    x, weight, grad_out = draw(rng, np.float32, (2, 6, 5, 5), (4, 6, 1, 1), (2, 4, 5, 5))
    whole = pf.conv1x1_backward(grad_out, x, weight, backend=summing)
    forms: list[Collection[str]] = [names, tuple(names), set(names)]
    for form in forms:
        found = pf.conv1x1_backward(grad_out, x, weight, backend=summing, needs=form)
        for one, all_, wanted in zip(found, whole, needs, strict=True):
            assert (one is not None) == wanted
            if one is not None and all_ is not None:
                assert one.tobytes() == all_.tobytes()


def test_shapes_and_dtypes_of_weights(summing: str, rng: np.random.Generator) -> None:
    """As `conv1x1` takes them: any number of axes, cast to the dtype of x."""
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


@pytest.mark.parametrize(
    ("shape", "K", "C"),
    [
        ((0, 3, 4, 5), 2, 3),
        ((2, 3, 0, 5), 2, 3),
        ((2, 3, 4, 5), 0, 3),
        ((2, 0, 4, 5), 2, 0),
        ((0, 0, 4, 5), 0, 0),
    ],
)
def test_empty_extents(summing: str, shape: tuple[int, ...], K: int, C: int) -> None:
    """Sums of nothing are zero."""
    x, weight = np.ones(shape, np.float32), np.ones((K, C), np.float32)
    grad_out = np.ones((shape[0], K, *shape[2:]), np.float32)
    for stride in (1, 2):
        step = grad_out[..., ::stride, ::stride]
        grad_x, grad_weight, grad_bias = pf.conv1x1_backward(
            step, x, weight, stride=stride, backend=summing
        )
        assert grad_x is not None
        assert grad_weight is not None
        assert grad_bias is not None
        used = np.zeros(shape)
        used[..., ::stride, ::stride] = K
        assert np.array_equal(grad_x, used)
        n = step.size // K if K else 0
        assert np.array_equal(grad_weight, np.full((K, C), n))
        assert np.array_equal(grad_bias, np.full(K, n))


def test_special_values(summing: str) -> None:
    """NaN and infinities reach the sums they belong to, and no others."""
    x, grad_out = np.ones((20, 300), np.float32), np.ones((9, 300), np.float32)
    x[3, 7], x[5, 299], grad_out[2, 0] = np.inf, np.nan, -np.inf
    _, weight, bias = pf.conv1x1_backward(
        grad_out, x, np.ones((9, 20)), channel_axis=0, backend=summing
    )
    assert weight is not None
    assert bias is not None
    expected = np.full((9, 20), 300.0)
    expected[:, 3], expected[2], expected[:, 5], expected[2, 3] = np.inf, -np.inf, np.nan, np.nan
    assert np.array_equal(weight, expected, equal_nan=True)
    assert np.array_equal(bias, np.where(np.arange(9) == 2, -np.inf, 300))


def test_inputs_are_left_alone(summing: str, rng: np.random.Generator) -> None:
    """Read-only arrays will do, and one array may serve as both."""
    x, weight = draw(rng, np.float32, (4, 40, 41), (4, 4))
    before = x.copy(), weight.copy()
    for array in (x, weight):
        array.flags.writeable = False
    assert_gradients(pf.conv1x1_backward(x, x, weight, backend=summing), x, x, weight)
    assert np.array_equal(x, before[0])
    assert np.array_equal(weight, before[1])


def test_many_callers(summing: str, rng: np.random.Generator) -> None:
    """Several Python threads at once, on arrays of their own."""
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
    """Arrays that end, or begin, at a page without access (guarded_gradient.py)."""
    program = (ROOT / "tests" / "guarded_gradient.py").read_text()
    lines = run_python(program, isa, seed, timeout=120).stdout.splitlines()
    assert int(lines[-1].removeprefix("cases: ")) > 300


#: Calls: gradients of a 50 x 600 x 600 `cube` and a 20 x 600 x 600 `out`.
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
def test_peak_of_a_call(summing: str, case: str) -> None:
    """Under 4 MiB beyond what is returned, where the arrays have 100."""
    code = " ".join(PEAKS[case].split())
    program = MEASURE + (
        "last = lambda a: a.reshape(rows, 600, len(a))\n"
        "sums = dict(backend=backend, threads=2, needs=('weight', 'bias'))\n"
        f"call = lambda: {code}\n"
        "print(peak(call) - sum(a.nbytes for a in call() if a is not None) // 1024)"
    )
    done = run_python(program, summing, case, **MALLOC)
    # The sums of the specification are float64.
    assert int(done.stdout) < (4 << 10) + (2 * 8 * 360 if summing == "numpy" else 0)


X = np.ones((50, 6, 7), np.float32)
WEIGHT = np.ones((20, 50), np.float32)
GRAD = np.ones((20, 6, 7), np.float32)

#: Arguments that replace good ones, the error, and what its message has to say.
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


def test_a_good_call(summing: str) -> None:
    """What the wrong arguments replace is right."""
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
