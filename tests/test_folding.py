"""Steps that are folded into weights and bias give the results of single steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Array, assert_within, reference, units

import pointwise_fast as pf


@pytest.mark.parametrize("groups", [1, 3])
def test_batch_norm(groups: int, rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((6, 5, 7)), rng.standard_normal((9, 6 // groups, 1, 1))
    bias, gamma, beta, mean = rng.standard_normal((4, 9))
    var = rng.random(9)

    def check(bias: Array | None, gamma: Array | None, beta: Array | None) -> None:
        """Folded weights are off by up to four roundings: square root, quotient and product."""
        w, b = pf.fold_batch_norm(weight, bias, gamma, beta, mean, var)
        assert w.shape == weight.shape
        y, _ = reference(x, weight, bias, groups=groups)
        size, _ = reference(abs(x), abs(weight), None if bias is None else abs(bias), groups=groups)
        shape = (9, 1, 1)
        factor = (1 if gamma is None else gamma) / np.sqrt(var.astype(y.dtype) + 1e-5)
        factor, m = factor.reshape(shape), mean.reshape(shape)
        shift = np.zeros(shape) if beta is None else beta.reshape(shape)
        bound = 4 * np.finfo(x.dtype).eps * (abs(factor) * (size + abs(m)) + abs(shift))
        bound += units(x.shape[0] // groups, x.dtype) * (abs(factor) * (size + abs(m)) + abs(shift))
        assert_within(pf.conv1x1(x, w, b, groups=groups), factor * (y - m) + shift, bound)

    check(bias, gamma, beta)
    check(None, None, None)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("scalar", [False, True])
def test_normalization(groups: int, scalar: bool, rng: np.random.Generator) -> None:
    x, weight = rng.standard_normal((6, 5, 7)), rng.standard_normal((9, 6 // groups))
    bias, mean, std = rng.standard_normal(9), rng.standard_normal(6), rng.random(6) + 0.5
    if scalar:
        mean, std = mean[0], std[0]
    shape = () if scalar else (6, 1, 1)
    m, s = (np.reshape(a, shape).astype(np.longdouble) for a in (mean, std))
    w, b = pf.fold_normalization(weight, bias, mean, std, groups)
    none = np.zeros(x.shape)
    expected, _ = reference((x - m) / s, weight, bias, groups=groups, dtype=x.dtype, error=none)
    # Folding sums x and the mean apart: the bias has C more terms, of two roundings each.
    size = (abs(x) + abs(m)) / s
    _, bound = reference(size, weight, bias, groups=groups, dtype=x.dtype, error=none)
    assert_within(pf.conv1x1(x, w, b, groups=groups), expected, 2 * bound)


W = np.ones((2, 3))
WRONG: list[tuple[Any, tuple[Any, ...], str]] = [
    (pf.fold_batch_norm, (W, None, None, None, [1], [1]), "var has shape (1,); (2,) fits"),
    (pf.fold_batch_norm, (W, None, [1, 2, 3], None, [0, 0], [1, 1]), "gamma has shape (3,)"),
    (pf.fold_batch_norm, (W, None, None, None, [0, 0], [-1, 1]), "var + eps must be positive"),
    (pf.fold_normalization, (W, None, 0, 0), "std is 0"),
    (pf.fold_normalization, (W, None, 0, 5e-324), "std is 0, or as good as 0"),
    (pf.fold_scale, (W, None, 1, 0, 3), "groups=3 does not divide the 2 output channels"),
    (pf.fold_scale, (W, None, 1, 0, 0), "groups must be at least 1"),
    (pf.fold_scale, (np.ones((2, 3, 3, 3)), None, 1, 0), "trailing axes of length 1"),
    (pf.fold_normalization, (W, None, [1, 2], 1), "mean has shape (2,); (3,) fits"),
    (pf.fold_scale, (W, [1], 1, 1), "bias has shape (1,)"),
    (pf.fold_scale, (W[0], None, 1, 1), "weight has shape (3,)"),
]


@pytest.mark.parametrize(("function", "arguments", "says"), WRONG, ids=[w[2] for w in WRONG])
def test_wrong_argument(function: Any, arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        function(*arguments)
    assert says in str(caught.value)


def test_eps_has_to_be_a_number() -> None:
    with pytest.raises(TypeError, match="eps must be a number; got 'a'"):
        pf.fold_batch_norm(W, None, None, None, [0, 0], [1, 1], eps="a")  # type: ignore[arg-type]
