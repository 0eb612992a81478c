"""Any shape, axis, stride, dtype, option and backend that hypothesis draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import support
from bounds import Bounded, activated
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from support import (
    BACKENDS,
    DTYPES,
    WITHOUT_NUMBA,
    Array,
    Backend,
    assert_conv,
    assert_within,
    reference,
)

import pointwise_fast as pf

ACTIVATIONS = [
    "relu", ("clip", -0.5, 1), ("leaky_relu", 0.25), "sigmoid", "tanh", "silu", ("elu", 2.0)
]  # fmt: skip


@st.composite
def views(draw: st.DrawFn, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> Array:
    """An array of `shape` somewhere in a larger one: permuted, cropped, stepped, reversed."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 1, 2, 3, -1, -2])) for _ in shape]
    pads = [draw(st.sampled_from([0, 0, 0, 1, 5])) for _ in shape]
    extents = [n * abs(s) + p for n, s, p in zip(shape, steps, pads, strict=True)]
    offset = draw(st.sampled_from([0, 0, 1, 4]))
    size = math.prod(extents)
    raw = np.empty(size * np.dtype(dtype).itemsize + offset, np.uint8)[offset:]
    raw.view(dtype)[:] = rng.standard_normal(size)
    whole = raw.view(dtype).reshape([extents[a] for a in order]).transpose(np.argsort(order))
    cropped = whole[tuple(slice(p, None) for p in pads)]
    stepped = cropped[tuple(slice(None, None, s) for s in steps)]
    return stepped[tuple(slice(0, n) for n in shape)]


class Call(dict[str, Any]):
    """Arguments of `conv1x1`; their repr shows shapes and strides."""

    def __repr__(self) -> str:
        return ", ".join(
            f"{name}={v.dtype}{v.shape}/{v.strides}" if isinstance(v, np.ndarray) else f"{name}={v}"
            for name, v in self.items()
        )


@st.composite
def calls(draw: st.DrawFn) -> Call:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(DTYPES))
    x_dtype = draw(st.sampled_from([dtype, dtype, *DTYPES]))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    C = groups * draw(st.one_of(st.integers(1, 9), st.sampled_from([0, 16, 33, 70, 300])))
    K = groups * draw(st.one_of(st.integers(1, 20), st.sampled_from([0, 32, 45, 67])))
    pixels = draw(
        st.one_of(
            st.lists(st.integers(0, 7), max_size=4),
            st.lists(st.sampled_from([1, 17, 40, 65]), max_size=2),
        )
    )
    axis = draw(st.integers(0, len(pixels)))
    shape = (*pixels[:axis], C, *pixels[axis:])
    result = (*pixels[:axis], K, *pixels[axis:])
    return Call(
        x=draw(views(shape, x_dtype, rng)),
        weight=draw(views((K, C // groups), dtype, rng)),
        bias=draw(st.none() | views((K,), dtype, rng)),
        residual=draw(st.none() | views(result, dtype, rng)),
        channel_axis=draw(st.sampled_from([axis, axis - len(shape)])),
        groups=groups,
        dtype=dtype,
        out=draw(st.none() | views(result, dtype, rng)),
        backend=draw(st.sampled_from(drawn_backends())),
        threads=draw(st.sampled_from([None, 1, 2, 5])),
    )


def layer_call(arguments: dict[str, Any], **more: Any) -> Array:
    settings = {**arguments, **more}
    call = {name: settings.pop(name) for name in ("x", "residual", "out", "threads")}
    return pf.Conv1x1(**settings)(**call)


def expected_of(arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    arrays = tuple(arguments[name] for name in ("x", "weight", "bias", "residual"))
    return arrays, {name: arguments[name] for name in ("channel_axis", "groups", "dtype")}


def drawn_backends() -> Sequence[Backend]:
    """All; but not Numba, which would compile for minutes, if a plain run goes beside this one."""
    return BACKENDS if support.EXAMPLES_SHARE == 1 else WITHOUT_NUMBA


def examples(n: int) -> Callable[[Any], Any]:
    """Run `n` examples, the same ones for the same ``--seed``."""
    # The first calls to Numba compile: no deadline.
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    n //= support.EXAMPLES_SHARE
    how = settings(max_examples=n, deadline=None, database=None, suppress_health_check=checks)
    return lambda test: seed(support.SEED)(how(test))


@given(arguments=calls())
@examples(1200)
def test_convolution(arguments: dict[str, Any]) -> None:
    arrays, options = expected_of(arguments)
    y = pf.conv1x1(**arguments)
    assert arguments["out"] is None or y is arguments["out"]
    assert_conv(y.copy(), *arrays, **options)


@given(arguments=calls(), activation=st.sampled_from(ACTIVATIONS))
@examples(500)
def test_activation(arguments: dict[str, Any], activation: Any) -> None:
    """The bound is that of the sums, carried through the activation, and a few units more."""
    (x, weight, bias, residual), options = expected_of(arguments)
    sums = Bounded(*reference(x, weight, bias, residual, **options))
    y = pf.conv1x1(**arguments, activation=activation)
    assert_within(y, *activated(sums, activation, y.dtype))


@given(arguments=calls())
@examples(400)
def test_layer_and_function_agree_to_the_bit(arguments: dict[str, Any]) -> None:
    """In the C backend, bits do not depend on packing, nor on whether `out` is given."""
    if "c" not in BACKENDS:
        pytest.skip("the C kernels are not built")
    arguments = {**arguments, "backend": "c"}
    y = pf.conv1x1(**{**arguments, "out": None})
    assert np.array_equal(layer_call(arguments, out=None), y)
    assert np.array_equal(layer_call(arguments), y)


@given(arguments=calls(), stride=st.integers(1, 4))
@examples(300)
def test_stride_is_a_view(arguments: dict[str, Any], stride: int) -> None:
    """``stride=`` gives the result of slicing x."""
    x = arguments["x"]
    axis = arguments["channel_axis"] % x.ndim
    last = axis == x.ndim - 1
    spatial = range(1 if x.ndim > 3 else 0, axis) if last else range(axis + 1, x.ndim)
    index = [slice(None)] * x.ndim
    for a in spatial:
        index[a] = slice(None, None, stride)
    without = {**arguments, "residual": None, "out": None}
    sliced = {**without, "x": x[tuple(index)]}
    y = pf.conv1x1(**without, stride=stride)
    assert_conv(y, *expected_of(sliced)[0], **expected_of(sliced)[1])
    if arguments["backend"] != "numpy":
        assert np.array_equal(y, pf.conv1x1(**sliced))


@given(arguments=calls())
@examples(300)
def test_c_has_one_result_for_all_layouts(arguments: dict[str, Any]) -> None:
    """Contiguous copies, moved channels and single pixels give the same bits."""
    if "c" not in BACKENDS:
        pytest.skip("the C kernels are not built")
    arguments = {**arguments, "backend": "c", "out": None}
    y = pf.conv1x1(**arguments)
    axis = arguments["channel_axis"] % y.ndim
    to = (axis + 1) % y.ndim

    def moved(array: Array | None) -> Array | None:
        return None if array is None else np.ascontiguousarray(np.moveaxis(array, axis, to))

    other = {name: moved(arguments[name]) for name in ("x", "residual")}
    z = pf.conv1x1(**{**arguments, **other, "channel_axis": to, "threads": 1})
    assert np.array_equal(np.moveaxis(z, to, axis), y)
