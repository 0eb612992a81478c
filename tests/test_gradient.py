"""`conv1x1_backward` against finite differences, PyTorch, wider sums and itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradients import assert_gradients, draw, exact, terms
from support import DTYPES, ISAS, Array, Backend, Memory, needs_c, problem_of

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd

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
    summing: Backend,
    shape: tuple[int, ...],
    K: int,
    settings: dict[str, Any],
    rng: np.random.Generator,
) -> None:
    """The loss ``sum(y * grad_out)`` is linear in each input, so that any step will do."""
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
    """The gradients are those of PyTorch's autograd, for a convolution that a relu follows."""
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
    # Pixels that the stride skips have no gradient, and take no part in the sums.
    read = np.s_[:, ::stride, ::stride] if last else np.s_[:, :, ::stride, ::stride]
    used = theirs[0].copy()
    used[read] = 0
    assert not used.any()
    axis = -1 if last else -3
    n = grad_out.size // K
    bounds = [b for _, b in exact(grad_out, x[read], weight[..., 0, 0], axis, groups)]
    # Our sums are in blocks; PyTorch's may be in any order.
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
    summing: Backend, dtype: Any, x_layout: str, y_layout: str, rng: np.random.Generator
) -> None:
    x, weight, grad_out = draw(rng, dtype, (3, 13, 9, 17), (7, 13), (3, 7, 9, 17))
    found = pf.conv1x1_backward(
        LAYOUTS[y_layout](grad_out), LAYOUTS[x_layout](x), weight, backend=summing, threads=2
    )
    assert_gradients(found, grad_out, x, weight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_repeated_elements(summing: Backend, dtype: Any, rng: np.random.Generator) -> None:
    """Inputs may have strides of 0: one channel, one row or one number stands for all."""
    x, weight, grad_out = draw(rng, dtype, (5, 30, 31), (6, 5), (6, 30, 31))
    for some_x, some_y in (
        (np.broadcast_to(x[:1], x.shape), grad_out),
        (np.broadcast_to(x[:, :1], x.shape), np.broadcast_to(grad_out[..., :1], grad_out.shape)),
        (x, np.broadcast_to(grad_out[0, 0, 0], grad_out.shape)),
    ):
        found = pf.conv1x1_backward(some_y, some_x, weight, backend=summing)
        assert_gradients(found, some_y, some_x, weight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_pixels(summing: Backend, dtype: Any) -> None:
    """Past 2^24, float32 numbers cannot count by ones: one chain of sums would stay there."""
    n = (1 << 24) + (1 << 22)
    one: Array = np.broadcast_to(dtype(1), (1, n))
    _, weight, bias = pf.conv1x1_backward(
        one, one, [[1]], channel_axis=-2, needs=("weight", "bias"), backend=summing
    )
    assert weight == n
    assert bias == n


@needs_c
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["planar", "last", "mixed", "strided"])
def test_threads(isa: str, dtype: Any, layout: str, rng: np.random.Generator) -> None:
    """Bits do not depend on the threads, for few sums of many pixels and many of few."""
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
    """Each group is a problem of its own; channels and pixels take all small numbers."""
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
def test_empty_extents(summing: Backend, shape: tuple[int, ...], K: int, C: int) -> None:
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


def test_special_values(summing: Backend) -> None:
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
