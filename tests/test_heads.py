"""Heads over the channels, and PReLU, against independent formulas in a wider precision."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import numpy as np
import pytest
from bounds import Bounded, assert_labels, convolved, headed
from images import LAYOUTS, arranged
from support import (
    BACKENDS,
    DTYPES,
    WIDE,
    WITHOUT_NUMBA,
    Backend,
    assert_within,
    in_panels,
    needs_c,
    numbers,
    without_numba,
)

import pointwise_fast as pf
from pointwise_fast.activation import HEADS

CASES: list[tuple[Backend, int, Any, str]] = [
    (backend, K, dtype, layout)
    for backend in WITHOUT_NUMBA
    for K in (1, 2, 5, 37, 300)
    for dtype in DTYPES
    for layout in LAYOUTS
]
if "numba" in BACKENDS:
    # A tile of each kind, as each takes a second to compile: fifty channels are some of the tiles
    # that other tests need.
    CASES += [("numba", 50, np.float32, layout) for layout in LAYOUTS]
    CASES += [("numba", 50, np.float64, "planar")]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("backend", "K", "dtype", "layout"), CASES)
def test_heads(
    head: pf.typing.Head,
    K: int,
    layout: str,
    dtype: Any,
    backend: Backend,
    rng: np.random.Generator,
) -> None:
    plain = rng.standard_normal((6, 7, 23)).astype(dtype)
    x, axis = arranged(plain, layout)
    weight, bias = 2 * rng.standard_normal((K, 6)), rng.standard_normal(K)
    settings: dict[str, Any] = {"channel_axis": axis, "activation": "silu", "backend": backend}
    found = pf.conv1x1(x, weight, bias, head=head, **settings)
    assert np.array_equal(pf.Conv1x1(weight, bias, head=head, **settings)(x), found)
    y = pf.conv1x1(x, weight, bias, **settings)
    # The C backend has the same sums without a head; a BLAS may sum in another order.
    exact = Bounded(y.astype(WIDE[y.dtype]), np.zeros(y.shape))
    if backend == "numpy":
        exact = convolved(x, weight, bias, activation="silu", channel_axis=axis, dtype=dtype)
    if head == "argmax":
        assert found.dtype == (np.uint8 if K <= 256 else np.uint16)
        assert_labels(found, exact, axis)
        if backend != "numpy":
            assert np.array_equal(found, y.argmax(axis=axis))
        return
    assert found.dtype == dtype
    assert_within(found, *headed(exact, head, dtype, axis))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_argmax_of_ties_and_nan(layout: str, backend: Backend, rng: np.random.Generator) -> None:
    plain = rng.integers(-2, 3, (9, 8, 40)).astype(np.float32)
    plain[rng.random(plain.shape) < 0.05] = np.nan
    plain[rng.random(plain.shape) < 0.05] = -np.inf
    plain[:, 0, 0] = -np.inf
    x, axis = arranged(plain, layout)
    # The identity: weights of 0 spread each NaN over all channels, with a head and without.
    with np.errstate(invalid="ignore"):
        y = pf.conv1x1(x, np.eye(9), channel_axis=axis, groups=1, backend=backend)
    found = pf.conv1x1(x, np.eye(9), channel_axis=axis, head="argmax", backend=backend)
    assert np.array_equal(found, y.argmax(axis=axis))
    ties = np.where(np.isfinite(x), x, 0)
    found = pf.conv1x1(ties, np.eye(9), channel_axis=axis, head="argmax", backend=backend)
    assert np.array_equal(found, ties.argmax(axis=axis))


def test_one_nan_is_the_largest(backend: Backend) -> None:
    """A NaN is the largest, as in `np.argmax`, wherever it stands."""
    for at in range(5):
        bias = np.arange(5.0)
        bias[at] = np.nan
        x = np.zeros((1, 3, 30), np.float32)
        found = pf.conv1x1(x, np.zeros((5, 1)), bias, head="argmax", backend=backend)
        assert np.all(found == at)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64"])
def test_label_dtypes(dtype: str, backend: Backend, rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((6, 5, 31)), rng.standard_normal((11, 6))
    labels = pf.conv1x1(x, weight, head="argmax", backend=backend)
    out = np.zeros((5, 31), dtype)
    assert pf.conv1x1(x, weight, head="argmax", dtype=dtype, out=out, backend=backend) is out
    assert np.array_equal(out, labels)
    turned = np.zeros((31, 5), dtype).T
    pf.conv1x1(x, weight, head="argmax", dtype=dtype, out=turned, backend=backend)
    assert np.array_equal(turned, labels)


@pytest.mark.parametrize("head", ["softmax", "log_softmax", "l2_normalize"])
def test_special_values(head: pf.typing.Head, backend: Backend) -> None:
    """NaN and infinities spread over their pixel, and no further."""
    x = np.ones((3, 1, 50), np.float32)
    x[0, 0, 7], x[1, 0, 20], x[:, 0, 33] = np.nan, np.inf, 0
    weight = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    found = pf.conv1x1(x, weight, head=head, backend=backend)
    hurt = np.zeros(50, bool)
    hurt[[7, 20]] = True
    assert np.array_equal(np.isnan(found[:, 0]).any(axis=0), hurt)
    large = np.full((1, 1, 4), 80.0, np.float32)
    found = pf.conv1x1(large, [[1.0], [0.5], [-1.0]], head=head, backend=backend)
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_far_down(dtype: Any, backend: Backend) -> None:
    """Fractions go down to 0 through the subnormal numbers, with only one or two roundings."""
    info = np.finfo(dtype)
    least = np.log(info.smallest_subnormal)
    x = np.linspace(least - 3, np.log(info.tiny) + 3, 5003).astype(dtype)
    found = pf.conv1x1(x[None, None], [[1.0], [0.0]], head="softmax", backend=backend)[:, 0]
    exact = np.exp(x.astype(np.longdouble))
    assert np.all(np.abs(found[0] - exact) <= 8 * info.eps * exact + info.smallest_subnormal)
    assert np.all(found[0][x < least - 1] == 0)
    assert np.all(found[1] == 1)
    logs = pf.conv1x1(x[None, None], [[1.0], [0.0]], head="log_softmax", backend=backend)
    assert np.array_equal(logs[:, 0], np.stack([x, np.zeros_like(x)]))


@needs_c
@pytest.mark.parametrize("head", ["softmax", "log_softmax", "l2_normalize"])
def test_rounding_upward(head: pf.typing.Head, rng: np.random.Generator) -> None:
    """In any rounding mode a pixel's bits depend on no other pixel; divisions follow the mode."""
    upward = {"x86_64": 0x800, "AMD64": 0x200, "aarch64": 0x400000, "arm64": 0x400000}
    set_mode = ctypes.CDLL(None).fesetround
    x = rng.standard_normal((6, 639)).astype(np.float32)
    x[:, ::3] *= 300  # logits that are far apart, beside others
    layer = pf.Conv1x1(np.eye(6), channel_axis=-2, head=head, backend="c")
    parts = [np.ascontiguousarray(x[:, i::3]) for i in range(3)]
    before = layer(x, threads=1)
    try:
        set_mode(upward[platform.machine()])
        whole = layer(x, threads=1)
        apart = [layer(part, threads=1) for part in parts]
        one = pf.conv1x1(np.full((1, 1, 40), 3, np.float32), [[1.0]], head=head, backend="c")
    finally:
        set_mode(0)
    assert not np.array_equal(whole, before)
    for i, part in enumerate(apart):
        assert np.array_equal(whole[:, i::3], part)
    assert np.all(one == (0 if head == "log_softmax" else 1))


@needs_c
@pytest.mark.parametrize("spread", [1, 10, 100])
@pytest.mark.parametrize("K", [2, 17, 300])
@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy(dtype: Any, K: int, spread: float, rng: np.random.Generator) -> None:
    """The bounds of docs/rasters.md hold against longdouble, which mostly has more digits."""
    x = (spread * rng.standard_normal((K, 3000))).astype(dtype)
    below = x.astype(np.longdouble) - x.max(axis=0)
    total = np.exp(below).sum(axis=0)
    fractions, logs = np.exp(below) / total, below - np.log(total)
    u = np.finfo(dtype).eps / 2
    if np.finfo(np.longdouble).eps < np.finfo(dtype).eps:
        same = np.eye(K, dtype=dtype)
        found = pf.conv1x1(x, same, channel_axis=0, head="softmax", backend="c")
        bound = (np.abs(below) + K + 8) * u * fractions + np.finfo(dtype).smallest_subnormal
        assert np.all(np.abs(found - fractions) <= bound)
        found = pf.conv1x1(x, same, channel_axis=0, head="log_softmax", backend="c")
        assert np.all(np.abs(found - logs) <= (K + 8) * u * np.maximum(np.abs(logs), 1))


@in_panels
@pytest.mark.parametrize("head", HEADS)
def test_threads_layouts_and_panels_do_not_show(
    head: pf.typing.Head, backend: Backend, rng: np.random.Generator
) -> None:
    plain, weight = rng.standard_normal((30, 90, 70)).astype(np.float32), rng.random((50, 30))
    whole = pf.conv1x1(plain, weight, head=head, backend=backend, threads=1)
    for layout in LAYOUTS:
        x, axis = arranged(plain, layout)
        layer = pf.Conv1x1(weight, head=head, channel_axis=axis, backend=backend)
        expected = whole if head == "argmax" else np.moveaxis(whole, 0, axis)
        for threads in (1, 2, 3, 7):
            assert np.array_equal(layer(x, threads=threads), expected)


@without_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_prelu(layout: str, dtype: Any, backend: Backend, rng: np.random.Generator) -> None:
    x, axis = arranged(numbers(rng, backend, 6, 7, 23).astype(dtype), layout)
    weight, slopes = numbers(rng, backend, 21, 6), rng.standard_normal(21)
    y = np.moveaxis(pf.conv1x1(x, weight, channel_axis=axis, backend=backend), axis, 0)
    expected = np.where(y > 0, y, slopes.astype(dtype)[:, None, None] * y)
    for given in (slopes, list(slopes), tuple(slopes)):
        found = pf.conv1x1(
            x, weight, activation=("prelu", given), channel_axis=axis, backend=backend
        )
        assert np.array_equal(np.moveaxis(found, axis, 0), expected)
    same = pf.conv1x1(x, weight, activation=("prelu", 0.3), channel_axis=axis, backend=backend)
    leaky: pf.typing.Activation = ("leaky_relu", 0.3)
    assert np.array_equal(
        same, pf.conv1x1(x, weight, activation=leaky, channel_axis=axis, backend=backend)
    )


@without_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(
    ("C", "K", "pixels"), [(6, 48, (9, 11)), (3, 3, (20, 20)), (60, 9, (2, 3))]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_prelu_of_groups_and_residuals(
    layout: str, C: int, K: int, pixels: tuple[int, int], groups: int, dtype: Any, backend: Backend,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    x, axis = arranged(numbers(rng, backend, C, *pixels).astype(dtype), layout)
    residual, _ = arranged(numbers(rng, backend, K, *pixels).astype(dtype), layout)
    weight, slopes = numbers(rng, backend, K, C // groups), rng.standard_normal(K)
    settings: dict[str, Any] = {"groups": groups, "channel_axis": axis, "backend": backend}
    y = pf.conv1x1(x, weight, residual=residual, **settings)
    shape = [1, 1, 1]
    shape[axis] = K
    expected = np.where(y > 0, y, slopes.astype(dtype).reshape(shape) * y)
    prelu: pf.typing.Activation = ("prelu", slopes)
    assert np.array_equal(
        pf.conv1x1(x, weight, residual=residual, activation=prelu, **settings), expected
    )


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"head": "softmin"}, ValueError, "head 'softmin' is unknown; choose from softmax"),
    ({"head": 1}, TypeError, "head must be None or a name; got 1"),
    ({"head": "argmax", "dtype": "f4"}, TypeError, "dtype=float32 does not fit head='argmax'"),
    ({"head": "softmax", "dtype": "u1"}, TypeError, "head='softmax' gives fractions"),
    ({"head": "l2_normalize", "dtype": "i8"}, TypeError, "head='l2_normalize' gives fractions"),
    ({"head": "argmax", "residual": np.zeros((4, 5, 6))}, ValueError, "residual cannot be added"),
    ({"activation": ("prelu", [1.0, 2.0])}, ValueError, "2 slopes; one, or 4, fit"),
    ({"activation": ("prelu", "a")}, TypeError, "slopes must be a number"),
    ({"activation": ("prelu", ["1", "2", "3", "4"])}, TypeError, "slopes must be a number"),
    ({"activation": ("prelu", np.ones(4) * 1j)}, TypeError, "slopes must be a number"),
    ({"activation": ("leaky_relu", 1j)}, TypeError, "parameters must be numbers"),
    ({"activation": ("prelu", [np.nan] * 4)}, ValueError, "slopes must be finite"),
    ({"activation": "prelu"}, ValueError, "is written ('prelu', slopes)"),
    (
        {"activation": ("prelu", [1, 2, 3, 4]), "backend": "numba"},
        ValueError,
        "'numba' does not support prelu",
    ),
]


@pytest.mark.parametrize(("wrong", "error", "says"), WRONG, ids=[w[2][:30] for w in WRONG])
def test_wrong_argument(wrong: dict[str, Any], error: type[Exception], says: str) -> None:
    if wrong.get("backend") == "numba" and "numba" not in pf.backends():
        pytest.skip("numba is not installed")
    with pytest.raises(error) as caught:
        pf.conv1x1(np.ones((3, 5, 6)), np.ones((4, 3)), **wrong)
    assert says in str(caught.value)


def test_labels_that_do_not_fit() -> None:
    with pytest.raises(TypeError, match="does not hold the labels 0 to 299"):
        pf.conv1x1(np.ones((3, 5, 6)), np.ones((300, 3)), head="argmax", dtype="u1")


@pytest.mark.parametrize("settings", [{"activation": "relu"}, {"head": "softmax"}])
def test_complex_numbers_have_no_order(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not defined for complex numbers"):
        pf.conv1x1(np.ones((3, 5, 6), np.complex64), np.ones((4, 3)), **settings)


def test_a_head_of_no_channel() -> None:
    with pytest.raises(ValueError, match=r"head='argmax' of no output channel.*\(0, 3\)"):
        pf.Conv1x1(np.ones((0, 3)), head="argmax")


@needs_c
def test_c_refuses_groups_by_name(rng: np.random.Generator) -> None:
    """The C backend has no heads of groups; `auto` falls back to NumPy."""
    x, weight = rng.standard_normal((4, 5, 6)), rng.standard_normal((6, 2))
    with pytest.raises(ValueError, match="'c' does not support head='softmax' with groups=2"):
        pf.conv1x1(x, weight, groups=2, head="softmax", backend="c")
    expected = pf.conv1x1(x, weight, groups=2, head="softmax", backend="numpy")
    assert np.array_equal(pf.conv1x1(x, weight, groups=2, head="softmax"), expected)
