"""`qconv1x1` with groups and strides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantised import Case, any_bytes, backend, expected, random_case
from support import Array

import pointwise_fast as pf

__all__ = ["backend"]  # a fixture


def grouped(rng: np.random.Generator, shape: tuple[int, ...], K: int, G: int, axis: int) -> Case:
    """A case with weights of G groups, and scales and zero points of each output."""
    case = random_case(rng, shape, K, axis=axis, weight_zero=True)
    return case._replace(weight=any_bytes(rng, (K, shape[axis] // G), case.weight.dtype))


def by_group(case: Case, G: int, axis: int) -> Array:
    """The results of the groups, computed one by one."""
    results = []
    for x, *parts in zip(
        np.split(case.x, G, axis),
        *(np.split(part, G) for part in (case.weight, case.weight_scale, case.weight_zero_point)),
        np.split(case.bias, G) if case.bias is not None else [None] * G,
        strict=True,
    ):
        weight, scale, zero, bias = parts
        part = case._replace(
            x=x, weight=weight, weight_scale=scale, weight_zero_point=zero, bias=bias
        )
        results.append(expected(part, axis))
    return np.concatenate(results, axis)


@pytest.mark.parametrize(
    ("shape", "axis", "K", "groups"),
    [
        ((6, 5, 9), -3, 9, 3), ((4, 7, 12), -1, 6, 6), ((2, 8, 3, 5), 1, 20, 2),
        ((64, 30), 0, 64, 4),
        ((10,), 0, 5, 5), ((0, 3, 4), -3, 4, 2), ((6, 0, 4), -3, 4, 2),
    ],
)  # fmt: skip
def test_groups(
    backend: Any, shape: Any, axis: int, K: int, groups: int, rng: np.random.Generator
) -> None:
    for _ in range(3):
        case = grouped(rng, shape, K, groups, axis)
        settings: Any = {"channel_axis": axis, "groups": groups, "backend": backend}
        wanted = by_group(case, groups, axis)
        for threads in (1, 3):
            y = pf.qconv1x1(*case, **settings, threads=threads)
            assert np.array_equal(y, wanted)
        relu = pf.qconv1x1(*case, "relu", **settings)
        assert np.array_equal(relu, np.maximum(wanted, case.out_zero_point))
        gaps = np.full((*wanted.shape, 2), 77, wanted.dtype)
        pf.qconv1x1(*case, **settings, out=gaps[..., 0])
        assert np.array_equal(gaps[..., 0], wanted)
        assert np.all(gaps[..., 1] == 77)


@pytest.mark.parametrize("groups", [1, 2, 4, 64])
@pytest.mark.parametrize("axis", [0, -1])
def test_groups_in_place(backend: Any, groups: int, axis: int, rng: np.random.Generator) -> None:
    """The output is the input, reversed input, or shifted by a channel and by a pixel."""
    shape = (64, 7, 9) if axis == 0 else (7, 9, 64)
    settings: Any = {"channel_axis": axis, "groups": groups, "backend": backend}
    for way in ("same", "reversed", "channel", "pixel"):
        case = grouped(rng, shape, 64, groups, axis)
        case = case._replace(
            x=case.x.view(np.int8), x_zero_point=3, out_zero_point=np.int8(case.out_zero_point % 99)
        )
        wanted = by_group(case, groups, axis)
        memory = np.zeros(64 * 7 * 9 + 100, np.int8)
        step = {"channel": 63 if axis == 0 else 1, "pixel": 1 if axis == 0 else 64}.get(way, 0)
        x = memory[step : step + wanted.size].reshape(shape)
        out = memory[: wanted.size].reshape(shape)
        x[...] = case.x
        out = np.flip(out) if way == "reversed" else out
        assert pf.qconv1x1(*case._replace(x=x), **settings, out=out) is out
        assert np.array_equal(out, wanted), way


def test_many_channels_in_groups_in_place(backend: Any, rng: np.random.Generator) -> None:
    """Several kernels write over their input, each with few enough channels."""
    case = grouped(rng, (4200, 3, 5), 4200, 3, 0)
    case = case._replace(x=case.x.view(np.uint8), x_zero_point=3, out_zero_point=np.uint8(9))
    wanted = by_group(case, 3, 0)
    x = case.x.copy()
    pf.qconv1x1(*case._replace(x=x), groups=3, out=x, backend=backend)
    assert np.array_equal(x, wanted)


@pytest.mark.parametrize(
    ("shape", "axis", "stride", "index"),
    [
        ((6, 7, 9), -3, 2, np.s_[:, ::2, ::2]),
        ((2, 7, 9, 6), -1, (3, 1), np.s_[:, ::3]),
        ((3, 6, 11), -2, [4], np.s_[:, :, ::4]),
        ((6, 1, 1), -3, 5, np.s_[:]),
    ],
    ids=str,
)
def test_stride(
    backend: Any, shape: Any, axis: int, stride: Any, index: Any, rng: np.random.Generator
) -> None:
    case = grouped(rng, shape, 10, 2, axis)
    wanted = by_group(case._replace(x=case.x[index]), 2, axis)
    y = pf.qconv1x1(*case, channel_axis=axis, stride=stride, groups=2, backend=backend)
    assert np.array_equal(y, wanted)
    # The output lies over the input that the stride skips.
    x = np.concatenate([case.x.view(wanted.dtype)] * 2, axis)
    out = x[tuple(slice(n) for n in wanted.shape)]
    if out.shape == wanted.shape:
        case = case._replace(x=x.view(case.x.dtype)[tuple(slice(n) for n in shape)])
        pf.qconv1x1(*case, channel_axis=axis, stride=stride, groups=2, out=out, backend=backend)
        assert np.array_equal(out, wanted)
