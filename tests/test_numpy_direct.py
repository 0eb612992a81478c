"""The fast path of the NumPy backend, `numpy_direct`, against its specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support import UNIFORM, assert_conv, problem_of

import pointwise_fast as pf
from pointwise_fast.kernels import blas, numpy_blas, numpy_direct, panels
from pointwise_fast.missing import Missing
from pointwise_fast.problem import Hidden

Array = npt.NDArray[Any]

#: Ways in which an array ``(*outer, channels, pixels)`` that holds `A` may lie in memory.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "planar": lambda A: A.copy(),
    "interleaved": lambda A: A.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "cropped": lambda A: _within(A, (0, 0, 5))[..., :-5],
    "some of the channels": lambda A: _within(A.swapaxes(-1, -2), (0, 0, 3))[..., 3:].swapaxes(
        -1, -2
    ),
    "every second pixel": lambda A: np.repeat(A, 2, -1)[..., ::2],
    "every second channel": lambda A: np.repeat(A, 2, -2)[..., ::2, :],
    "backwards": lambda A: A[..., ::-1].copy()[..., ::-1],
    "batch last": lambda A: np.moveaxis(np.moveaxis(A, 0, -1).copy(), -1, 0),
    "not aligned": lambda A: _shifted(A),
}


def _within(A: Array, more: tuple[int, ...]) -> Array:
    padded = np.full(tuple(n + m for n, m in zip(A.shape, more, strict=True)), np.nan, A.dtype)
    start = padded.shape[-1] - A.shape[-1] if more[-1] == 3 else 0
    padded[..., start : start + A.shape[-1]] = A
    return padded


def _shifted(A: Array) -> Array:
    raw = np.zeros(A.nbytes + 1, np.uint8)
    shifted: Array = raw[1:].view(A.dtype).reshape(A.shape)
    shifted[...] = A
    return shifted


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Array, Array, Array | None]]:
    """Gathers the arguments of every product."""
    seen = []
    original = blas.product

    def product(a: Array, b: Array, out: Array | None = None) -> Array:
        seen.append((a, b, out))
        return original(a, b, out)

    monkeypatch.setattr(blas, "product", product)
    return seen


@pytest.fixture(params=[1 << 19, 600], ids=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "_PANEL_BYTES", request.param)


def run(
    x: Array,
    weight: Array,
    bias: Array | None,
    residual: Array | None,
    out: Array,
    *,
    direct: bool = True,
    **settings: Any,
) -> Array:
    plan = numpy_blas.plan(problem_of(x, weight, bias, residual, out, **settings))
    assert plan._direct
    plan._direct = direct
    plan.conv(weight, bias, x, residual, out, 1)
    return out


def takes_blas(A: Array) -> bool:
    """NumPy's own conditions for either order: `is_blasable2d` in its matmul.c.src."""
    size = A.itemsize
    return any(
        B.strides[-1] == size and B.strides[-2] % size == 0 and B.strides[-2] // size >= B.shape[-1]
        for B in (A, A.swapaxes(-1, -2))
    )


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("out_layout", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(
    layout: str,
    out_layout: str,
    groups: int,
    rng: np.random.Generator,
    products: list[tuple[Array, Array, Array | None]],
) -> None:
    """Sums are right in all layouts, and NumPy uses its BLAS without copying."""
    shape = (3, 6, 37)
    weight = rng.standard_normal((8, 6 // groups)).astype(np.float32)
    bias = rng.standard_normal(8).astype(np.float32)
    x = LAYOUTS[layout](rng.standard_normal(shape).astype(np.float32))
    residual = rng.standard_normal((3, 8, 37)).astype(np.float32)
    out = LAYOUTS[out_layout](np.full_like(residual, np.nan))
    for b, R in ((None, None), (bias, None), (None, residual), (bias, residual)):
        run(x, weight, b, R, out, groups=groups)
        assert_conv(out, x, weight, b, R, channel_axis=-2, groups=groups)
    for operands in products:
        for A in operands:
            assert A is not None
            assert takes_blas(A)
            assert A.flags.aligned


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("layout", ["planar", "interleaved", "every second pixel"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_integers_are_exact(
    dtype: npt.DTypeLike, layout: str, groups: int, rng: np.random.Generator
) -> None:
    """Results without rounding errors are the specification's to the bit."""

    def integers(*shape: int) -> Array:
        return rng.integers(-9, 10, shape).astype(dtype)

    x = LAYOUTS[layout](integers(2, 9, 41))
    for K in (3, 300):
        weight, bias, residual = integers(K, 9 // groups), integers(K), integers(2, K, 41)
        out = LAYOUTS[layout](integers(2, K, 41))
        for R in (None, residual):
            expected = run(x, weight, bias, R, out.copy(), direct=False, groups=groups)
            np.testing.assert_array_equal(
                run(x, weight, bias, R, out, groups=groups), expected, strict=True
            )


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("layout", ["planar", "interleaved"])
@pytest.mark.parametrize("activation", [*UNIFORM, "prelu"])
def test_activations(activation: str, layout: str, rng: np.random.Generator) -> None:
    """Equal sums give equal results; products of integers have no rounding errors."""
    spec: Any = activation
    if activation == "prelu":
        spec = (activation, rng.uniform(-1, 1, 5))
    elif activation == "clip":
        spec = (activation, -7, 6.5)
    x = LAYOUTS[layout](rng.integers(-3, 4, (2, 3, 40)).astype(np.float32))
    weight = rng.integers(-3, 4, (5, 3)).astype(np.float32) / 4
    out = LAYOUTS[layout](np.zeros((2, 5, 40), np.float32))
    bias = np.arange(-2, 3).astype(np.float32)
    expected = run(x, weight, bias, None, out.copy(), direct=False, activation=spec)
    run(x, weight, bias, None, out, activation=spec)
    np.testing.assert_allclose(out, expected, rtol=4e-7)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("layout", ["planar", "interleaved", "backwards", "every second channel"])
def test_what_is_read_from_the_output(
    layout: str, rng: np.random.Generator, products: list[tuple[Array, Array, Array]]
) -> None:
    """The output may overlap the input, the residual, and channels beside the input's.

    NumPy would copy a whole input that might overlap the output of its product.
    """
    weight = rng.standard_normal((7, 7)).astype(np.float32)
    bias = rng.standard_normal(7).astype(np.float32)
    given = rng.standard_normal((2, 7, 43)).astype(np.float32)
    x = rng.standard_normal((2, 7, 43)).astype(np.float32)

    out = LAYOUTS[layout](given)
    run(x, weight, bias, out, out)
    assert_conv(out, x, weight, bias, given, channel_axis=-2)

    out = LAYOUTS[layout](given)
    run(out, weight, bias, None, out, in_place=True)
    assert_conv(out, given, weight, bias, channel_axis=-2)

    out = LAYOUTS[layout](given)
    run(out, weight, bias, out, out, in_place=True)
    assert_conv(out, given, weight, bias, given, channel_axis=-2)

    out = LAYOUTS[layout](given)
    run(out[:, :4], weight[:3, :4], None, None, out[:, 4:])
    assert_conv(out[:, 4:], given[:, :4], weight[:3, :4], channel_axis=-2)
    np.testing.assert_array_equal(out[:, :4], given[:, :4])
    assert not any(np.may_share_memory(b, to) for _, b, to in products)


@pytest.mark.parametrize("transpose", [False, True])
def test_windows(
    transpose: bool, rng: np.random.Generator, products: list[tuple[Array, Array, Array]]
) -> None:
    """Channels may be windows over a signal: pixels overlap, which no BLAS takes."""
    x = np.lib.stride_tricks.sliding_window_view(rng.standard_normal(60), 9)
    x = x if transpose else x.T
    weight = rng.standard_normal((3, len(x)))
    out = run(x, weight, None, None, np.empty((3, x.shape[1])))
    assert_conv(out, x, weight, channel_axis=-2)
    assert all(takes_blas(b) for _, b, _ in products)


@pytest.mark.parametrize("axis", [-3, -1])
@pytest.mark.parametrize("batch", [(), (5,)])
def test_whole_arrays_in_one_product(
    batch: tuple[int, ...], axis: int, products: list[tuple[Array, Array, Array | None]]
) -> None:
    """A plain call is one product of the arrays themselves, whatever their size."""
    channels_first = axis == -3
    x = np.ones((*batch, 30, 90, 80) if channels_first else (*batch, 90, 80, 30), np.float32)
    out = np.zeros((*batch, 20, 90, 80) if channels_first else (*batch, 90, 80, 20), np.float32)
    pf.conv1x1(x, np.ones((20, 30)), out=out, channel_axis=axis, backend="numpy")
    ((_, b, to),) = products
    assert to is not None
    assert b.size == x.size
    assert b.__array_interface__["data"] == (x.ctypes.data, False)
    assert to.size == out.size
    assert to.ctypes.data == out.ctypes.data
    assert np.all(out == 30)


@pytest.mark.usefixtures("blocks")
def test_one_product_before_the_rest(products: list[Any], rng: np.random.Generator) -> None:
    """Bias and residual do not cut the product into blocks of a few pixels."""
    x = rng.standard_normal((300, 2000)).astype(np.float32)
    weight = rng.standard_normal((200, 300)).astype(np.float32)
    bias = rng.standard_normal(200).astype(np.float32)
    residual = rng.standard_normal((200, 2000)).astype(np.float32)
    out = run(x, weight, bias, residual, np.empty_like(residual))
    assert_conv(out, x, weight, bias, residual, channel_axis=-2)
    assert len(products) == 1


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("layout", ["planar", "interleaved", "every second pixel"])
def test_a_chain(layout: str, rng: np.random.Generator) -> None:
    """A chain of integers, so that the specification gives the same bits."""

    def integers(*shape: int) -> Array:
        return rng.integers(-4, 5, shape).astype(np.float32)

    x, out = LAYOUTS[layout](integers(2, 6, 50)), LAYOUTS[layout](integers(2, 4, 50))
    residual = integers(2, 4, 50)
    layers = [(integers(8, 3), integers(8)), (integers(5, 8), None), (integers(4, 5), integers(4))]
    problem = replace(
        problem_of(x, layers[-1][0], layers[-1][1], residual, out, activation="relu"),
        hidden=(
            Hidden(8, 2, True, pf.activation.parse_activation("relu6")),
            Hidden(5, 1, False, None),
        ),
    )
    plan = numpy_blas.plan(problem)
    assert plan._direct
    packed = plan.pack_chain(layers)
    plan.run(packed, x, residual, out, 1)
    plan._direct = False
    expected = LAYOUTS[layout](np.zeros_like(out))
    plan.run(packed, x, residual, expected, 1)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("layout", ["planar", "interleaved"])
@pytest.mark.parametrize("C", [0, 1])
def test_few_channels(C: int, layout: str, rng: np.random.Generator) -> None:
    x = LAYOUTS[layout](rng.standard_normal((2, C, 30)).astype(np.float32))
    weight, bias = np.full((4, C), 2, np.float32), np.arange(4, dtype=np.float32)
    out = LAYOUTS[layout](np.full((2, 4, 30), np.nan, np.float32))
    run(x, weight, bias, None, out)
    np.testing.assert_array_equal(out, 2 * x.sum(-2, keepdims=True) + bias[:, np.newaxis])


@pytest.mark.parametrize("activation", [None, "relu", "gelu", ("clip", -1, 1)])
def test_special_values_without_warnings(activation: Any, rng: np.random.Generator) -> None:
    """Special values raise no warnings, which are errors here."""
    x = rng.standard_normal((3, 40)).astype(np.float32)
    x[0, ::3], x[1, ::4], x[2, ::5] = np.inf, -np.inf, np.nan
    x[0, 1] = np.finfo(np.float32).max
    weight, bias = np.full((2, 3), 9, np.float32), np.array([-np.inf, 1], np.float32)
    out = np.empty((2, 40), np.float32)
    expected = run(x, weight, bias, None, out.copy(), direct=False, activation=activation)
    run(x, weight, bias, None, out, activation=activation)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(out), np.isinf(expected))


PLAIN = problem_of(
    np.zeros((3, 4), np.float32), np.zeros((2, 3)), None, None, np.zeros((2, 4), np.float32)
)


def test_what_is_plain() -> None:
    assert numpy_direct.takes(PLAIN)
    assert numpy_direct.takes(
        replace(PLAIN, bias=True, residual_strides=(4, 4), groups=1, in_place=True)
    )
    swapped = np.dtype(np.float32).newbyteorder()
    for other in (
        {"x_dtype": np.dtype(np.uint16)},
        {"x_dtype": np.dtype(np.float64)},
        {"x_dtype": swapped},
        {"out_dtype": np.dtype(np.float16)},
        {"out_dtype": swapped},
        {"head": "softmax"},
        {"missing": Missing(None, "all", 0.5, 0.0)},
        {"mask_strides": (1, 1)},
    ):
        assert not numpy_direct.takes(replace(PLAIN, **other)), other


def test_what_is_new_in_a_problem_is_not_plain() -> None:
    """A new field of `Problem` goes to the specification unless it has its default."""

    @dataclass(frozen=True)
    class Newer(type(PLAIN)):  # type: ignore[misc]
        power: float | None = None

    values = {name: getattr(PLAIN, name) for name in PLAIN.__dataclass_fields__}
    assert numpy_direct.takes(Newer(**values))
    assert not numpy_direct.takes(Newer(**values, power=2.0))


@pytest.mark.parametrize("outer", [(), (7,), (3, 5), (2, 1, 4)])
@pytest.mark.parametrize("most", [1, 3, 10, 64, 10**6])
def test_blocks_cover_every_pixel_once(
    outer: tuple[int, ...], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "_PANEL_BYTES", most * 20)
    problem = replace(PLAIN, outer=outer, P=13)
    seen = np.zeros((*outer, problem.C, problem.P), int)
    for block in panels.blocks(problem, 5):
        part = seen[block]
        assert part.shape[-2] == problem.C
        assert part.size // problem.C <= most
        part += 1
    assert np.all(seen == 1)
