"""What several test modules share: references, subprocesses and memory to put arrays in."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pointwise_fast as pf
from pointwise_fast.activation import ACTIVATIONS
from pointwise_fast.kernels import c_simd

Array = npt.NDArray[Any]
Backend = pf.typing.BackendName

#: One in so many of the examples that hypothesis draws is run.
EXAMPLES_SHARE = 1

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = pf.backends()
#: Numba has no integers, sums of the channels that are there, quantised layers or sums over pixels.
WITHOUT_NUMBA = [name for name in BACKENDS if name != "numba"]
without_numba = pytest.mark.parametrize("backend", WITHOUT_NUMBA)
#: Those that compute panels of pixels whose ends do not show in the bits.
in_panels = pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])
#: Instruction sets of the C backend on this CPU.
ISAS = c_simd.isas() or ("none",)
needs_c = pytest.mark.skipif(c_simd.available() is not None, reason=str(c_simd.available()))
DTYPES = (np.float32, np.float64)
#: Activations that are the same for every channel; test_heads.py tests prelu.
UNIFORM = tuple(name for name in ACTIVATIONS if name != "prelu")

#: The seed of all random data: ``--seed``; `conftest` sets it.
SEED = 0

#: A dtype in which the rounding errors of another can be seen.
WIDE: dict[np.dtype[Any], type[np.inexact[Any]]] = {
    np.dtype(np.float32): np.float64,
    np.dtype(np.float64): np.longdouble,
    np.dtype(np.complex64): np.complex128,
    np.dtype(np.complex128): np.clongdouble,
}


def reference(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    channel_axis: int = -3,
    groups: int = 1,
    dtype: npt.DTypeLike | None = None,
    error: Array | None = None,
) -> tuple[Array, Array]:
    """The convolution without activation in a wider dtype, and the error that is allowed.

    The bound is README.md's: ``(C + 4) eps (|W| |X| + |bias| + |R|)``, where C is the number of
    terms in a sum. Each part of a complex sum has twice as many terms, and the two parts together
    add a factor of sqrt 2.

    With `error`, `x` is given in a wider dtype, and the actual input may differ from it by that
    much: the bound then uses ``|X| + error``, and `error` reaches the result times ``|W|``.
    """
    dtype = np.dtype(dtype or x.dtype)
    wide = WIDE[dtype]
    K = len(weight)

    def rounded(array: Any) -> Array:
        """Rounded to the dtype of the sums, as weights, bias and input are."""
        return np.asarray(array).astype(dtype).astype(wide)

    W = rounded(np.reshape(weight, (groups, K // groups, np.shape(weight)[1])))
    X = np.moveaxis(rounded(x) if error is None else x.astype(wide), channel_axis, 0)
    pixels = X.shape[1:]

    def apply(W: Array, X: Array, bias: Any = 0, residual: Any = 0) -> Array:
        X = X.reshape(groups, W.shape[2], math.prod(pixels))
        # NumPy's einsum over no terms returns uninitialised memory.
        Y = np.einsum("gkc,gcp->gkp", W, X) if W.shape[2] else np.zeros(K * math.prod(pixels))
        Y = Y.reshape(K, *pixels) + np.reshape(bias, (-1, *(1,) * len(pixels)))
        return np.moveaxis(Y, 0, channel_axis) + residual

    b = np.zeros(1, wide) if bias is None else rounded(bias)
    r = np.zeros((), wide) if residual is None else residual.astype(wide)
    Y, size = apply(W, X, b, r), apply(abs(W), abs(X), abs(b), abs(r))
    if error is None:
        return Y, units(W.shape[2], dtype) * size
    reached = apply(abs(W), np.moveaxis(error, channel_axis, 0))
    return Y, units(W.shape[2], dtype) * (size + reached) + reached


def units(C: int, dtype: npt.DTypeLike) -> Any:
    """The error of a sum of C products, relative to ``|W| |X| + |bias| + |R|``."""
    eps = np.finfo(dtype).eps
    if np.dtype(dtype).kind == "c":
        return (2 * C + 4) * math.sqrt(2) * eps
    return (C + 4) * eps


def numbers(rng: np.random.Generator, backend: Backend, *shape: int) -> Array:
    """Normal numbers; for NumPy, whose BLAS chooses the order of its sums, whole numbers.

    Whole numbers have the same sum in any order, so that several calls can be compared to the bit.
    The other backends keep to one order.
    """
    if backend == "numpy":
        return rng.integers(-9, 10, shape).astype(np.float64)
    return rng.standard_normal(shape)


def assert_conv(
    actual: Array, x: Array, weight: Array, *arrays: Array | None, **settings: Any
) -> None:
    """Compare `actual` with `reference`, component by component."""
    assert actual.dtype == np.dtype(settings.get("dtype") or x.dtype)
    assert_within(actual, *reference(x, weight, *arrays, **settings))


def assert_within(actual: Array, expected: Array, bound: Array) -> None:
    """Compare component by component; NaN has to be where it is expected, and nowhere else."""
    assert actual.shape == expected.shape
    with np.errstate(invalid="ignore"):  # of infinities
        right = (abs(actual - expected) <= bound) | (actual == expected)
    right |= np.isnan(actual) & np.isnan(expected)
    assert np.all(right), f"{np.sum(~right)} elements of {right.size} are off"


def problem_of(
    x: Array,
    weight: Array,
    bias: Array | None,
    residual: Array | None,
    out: Array,
    *,
    groups: int = 1,
    activation: Any = None,
    in_place: bool = False,
    **others: Any,
) -> Any:
    """The `Problem` of arrays of shape ``(*outer, channels, P)``."""
    from pointwise_fast.activation import parse_activation
    from pointwise_fast.problem import Problem

    return Problem(
        dtype=out.dtype.newbyteorder("="),
        x_dtype=x.dtype,
        out_dtype=out.dtype,
        residual_dtype=None if residual is None else residual.dtype,
        outer=x.shape[:-2],
        C=x.shape[-2],
        K=len(weight),
        P=x.shape[-1],
        groups=groups,
        x_strides=x.strides,
        out_strides=out.strides,
        residual_strides=None if residual is None else residual.strides,
        bias=bias is not None,
        activation=parse_activation(activation),
        in_place=in_place,
        **others,
    )


class Memory:
    """An array inside a buffer whose remaining bytes are all 0xFF.

    Floats of such bytes are NaN: a read outside the array shows in the result, a write outside it
    shows in the buffer.
    """

    def __init__(
        self, shape: Sequence[int], strides: Sequence[int], dtype: npt.DTypeLike, offset: int = 0
    ) -> None:
        dtype = np.dtype(dtype)
        reach = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
        below = -sum(r for r in reach if r < 0)
        above = sum(r for r in reach if r > 0)
        margin = 128
        raw = np.full(below + above + dtype.itemsize + 2 * margin + offset + 64, 0xFF, np.uint8)
        # Start at a multiple of 64 bytes, so that `offset` is the misalignment.
        start = -(raw.ctypes.data + margin + below) % 64 + margin + below + offset
        self.bytes = raw
        self.array: Array = np.ndarray(shape, dtype, raw, start, strides)
        self._start = start

    @classmethod
    def holding(cls, values: Array, strides: Sequence[int], offset: int = 0) -> Memory:
        memory = cls(values.shape, strides, values.dtype, offset)
        memory.array[...] = values
        return memory

    def assert_holds(self, values: Array, what: str) -> None:
        """Compare every byte of the buffer, including those between the elements."""
        expected = np.full_like(self.bytes, 0xFF)
        inside: Array = np.ndarray(
            self.array.shape, self.array.dtype, expected, self._start, self.array.strides
        )
        inside[...] = values
        if not np.array_equal(self.bytes, expected):
            wrong = np.argwhere(self.array.view(np.ndarray) != values)
            where = f"at {wrong[0]}, {len(wrong)} in all" if len(wrong) else "beside the array"
            raise AssertionError(f"{what}: differs {where}")


def run_python(
    code: str,
    *arguments: object,
    timeout: float = 60,
    check: bool = True,
    **environment: str | None,
) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter, where warnings are errors and `support` is importable.

    `environment` adds variables, or removes those that are None.
    """
    done = subprocess.run(
        python_command(code, *arguments),
        env=python_environment(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check:
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def python_command(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]


def python_environment(**changes: str | None) -> dict[str, str]:
    """This process's environment with `changes`; the package's own variables are unset."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("POINTWISE_FAST_") and name != "OMP_NUM_THREADS"
    }
    here = str(Path(__file__).parent)
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [here, environment.get("PYTHONPATH", "")])
    )
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment
