"""Whatever the planner chooses, by whatever table of costs, the bits are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from itertools import chain
from typing import Any
from weakref import WeakMethod

import numpy as np
import pytest
from support import Array, needs_c

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd
from pointwise_fast.prepare import Geometries, geometries, prepare
from pointwise_fast.problem import Problem

pytestmark = needs_c

#: How an array of (channels, rows, columns) lies in a base array, of which it is a view.
LAYOUTS: dict[str, Callable[[Callable[..., Array], int, int, int], Array]] = {
    "planar": lambda make, c, h, w: make(c, h, w),
    "interleaved": lambda make, c, h, w: np.moveaxis(make(h, w, c), -1, 0),
    "window": lambda make, c, h, w: make(c, h + 2, w + 3)[:, 1:-1, 1:-2],
    "window of pixels": lambda make, c, h, w: np.moveaxis(make(h + 2, w + 3, c), -1, 0)[
        :, 1:-1, 1:-2
    ],
    "every second": lambda make, c, h, w: make(c, h, 2 * w)[..., ::2],
    "reversed": lambda make, c, h, w: make(c, h, w)[:, ::-1, ::-1],
    "Fortran order": lambda make, c, h, w: make(w, h, c).T,
}
#: Channels, channels out, rows, columns: tails of all vectors, several passes, single pixels.
SHAPES = [(3, 3, 9, 40), (13, 6, 7, 31), (50, 20, 5, 48), (20, 50, 3, 17), (4, 1, 6, 64),
          (9, 70, 1, 23), (300, 24, 2, 19), (30, 33, 1, 1)]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"activation": "silu"},
    {"activation": "relu", "scale": 0.5, "offset": 1.0},
    {"head": "softmax"},
    {"head": "argmax"},
    {"nodata": 3.0},
    {"nodata": 3.0, "valid": "any", "min_valid": 0.4},
    {"nodata": 5.0, "head": "argmax"},
    {"activation": ("prelu", 0.3)},
    {"precision": "float64"},
]


def problem_of(layer: pf.Conv1x1, of: Geometries) -> Problem:
    problem = prepare(layer._spec, of, WeakMethod(layer._pack)).problem
    assert isinstance(problem, Problem)
    return problem


def layers_and_arrays(seed: int) -> Iterator[tuple[pf.Conv1x1, Array, Array | None, str]]:
    """Layers with an input, perhaps a residual, and the layout of an output, drawn at random."""
    rng = np.random.default_rng(seed)
    names = list(LAYOUTS)
    for C, K, H, W in SHAPES:
        for options in OPTIONS:
            x_dtype = str(rng.choice(["f4", "f4", "f8", "u1", "u2", "f2", ">f4"]))
            weight = rng.standard_normal((K, C)).astype("f4")
            bias = rng.standard_normal(K).astype("f4")
            layer = pf.Conv1x1(weight, bias, channel_axis=0, backend="c", **options)

            def numbers(*shape: int, dtype: Any = x_dtype) -> Array:
                return rng.integers(0, 9, shape).astype(dtype)

            x = LAYOUTS[str(rng.choice(names))](numbers, C, H, W)
            r = None
            if options.get("head") != "argmax" and rng.random() < 0.3:
                make = partial(numbers, dtype=layer(x).dtype)
                r = LAYOUTS[str(rng.choice(names))](make, K, H, W)
            yield layer, x, r, str(rng.choice(names))


@pytest.mark.parametrize("isa", c_simd.isas())
def test_bits_of_all_candidates(isa: str, seed: int) -> None:
    """All write what the layer gives to the output, and nothing beside it."""
    most = 0
    draws = [layers_and_arrays(seed + i) for i in range(4)]
    for layer, x, r, layout in chain.from_iterable(draws):
        expected = layer(x, residual=r)
        is_labels = expected.ndim < x.ndim
        of = geometries(x, r, None, None)
        dtype = problem_of(layer, of).dtype
        assert layer.bias is not None
        weight, bias = layer.weight.astype(dtype), layer.bias.astype(dtype)
        bases: list[Array] = []

        def poisoned(*shape: int, bases: list[Array] = bases, to: Any = expected.dtype) -> Array:
            bases.append(np.full(shape, 77, to))
            return bases[-1]

        count = 1
        while len(bases) < count:
            y = LAYOUTS[layout](poisoned, 1 if is_labels else len(expected), *x.shape[1:])
            out = y[0] if is_labels else y
            of = geometries(x, r, out, None)
            problem = problem_of(layer, of)
            count = c_simd.count_candidates(problem, isa)
            plan = c_simd.CPlan(problem, isa, len(bases) - 1)
            plan.run(plan.pack(weight, bias), x, r, out, 1 + len(bases) % 2)
            name = f"{plan.describe()}: {x.dtype} {x.shape} {x.strides} {layout}"
            assert out.tobytes() == expected.tobytes(), name
            assert bases[-1].tobytes() == bases[0].tobytes(), name
        most = max(most, count)
    assert most > 5


@pytest.mark.parametrize("name", c_simd.tunings())
def test_bits_by_all_tables(name: str, seed: int) -> None:
    before = c_simd.tuning()
    for layer, x, r, _ in layers_and_arrays(seed):
        expected = layer(x, residual=r)
        c_simd.select_tuning(name)
        try:
            found = deepcopy(layer)(x, residual=r)
        finally:
            c_simd.select_tuning(before)
        assert found.tobytes() == expected.tobytes()


def test_tables_choose_differently() -> None:
    """A channel in a cache line of its own is dear on Zen 3 where there are many of them."""
    x = np.zeros((2048, 7, 7), "f4")
    layer = pf.Conv1x1(np.zeros((512, 2048), "f4"), channel_axis=0, backend="c")
    of = geometries(x, None, None, None)
    problem = problem_of(layer, of)
    before, found = c_simd.tuning(), {}
    try:
        for name in c_simd.tunings():
            c_simd.select_tuning(name)
            found[name] = c_simd.CPlan(problem).describe()
    finally:
        c_simd.select_tuning(before)
    assert "interleaved" in found["generic"] or c_simd.isa() == "scalar"
    assert "x staged" in found["zen3"] or c_simd.isa() == "scalar"


def test_unknown_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="name='zen0' is none of generic"):
        c_simd.select_tuning("zen0")
