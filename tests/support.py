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

import pointwise_fast as pf
from pointwise_fast.activation import ACTIVATIONS

Array = npt.NDArray[Any]

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = pf.backends()
DTYPES = (np.float32, np.float64)
#: Names of activations that are the same for every channel; test_heads.py has prelu.
UNIFORM = tuple(name for name in ACTIVATIONS if name != "prelu")

#: Of all random data: ``--seed``; `conftest` sets it.
SEED = 0

#: A precision in which the rounding errors of `dtype` can be seen.
WIDE = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}


def reference(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    channel_axis: int = -3,
    groups: int = 1,
    dtype: npt.DTypeLike | None = None,
) -> tuple[Array, Array]:
    """The convolution without activation in a wider dtype, and the error that is allowed.

    The bound is design.md's: ``(C + 4) eps (|W| |X| + |bias| + |R|)``, C being the number of
    terms in a sum.
    """
    dtype = np.dtype(dtype or x.dtype)
    wide = WIDE[dtype]
    K = len(weight)
    # Weights, bias and input are rounded to the dtype of the sums first.
    W = np.asarray(weight).reshape(groups, K // groups, np.shape(weight)[1])
    W = W.astype(dtype).astype(wide)
    X = np.moveaxis(x, channel_axis, 0).astype(dtype).astype(wide)
    pixels = X.shape[1:]
    X = X.reshape(groups, W.shape[2], int(np.prod(pixels)))

    def apply(W: Array, X: Array, bias: Array, residual: Array) -> Array:
        # NumPy's einsum of nothing is what was in memory.
        Y = np.einsum("gkc,gcp->gkp", W, X) if W.shape[2] else np.zeros(K * math.prod(pixels), wide)
        Y = Y.reshape(K, *pixels)
        Y += bias.reshape(K, *(1,) * len(pixels))
        return np.moveaxis(Y, 0, channel_axis) + residual

    b = np.zeros(K, wide) if bias is None else np.asarray(bias).astype(dtype).astype(wide)
    r = np.zeros((), wide) if residual is None else residual.astype(wide)
    bound = apply(abs(W), abs(X), abs(b), abs(r))
    return apply(W, X, b, r), (W.shape[2] + 4) * wide(np.finfo(dtype).eps) * bound


def assert_conv(
    actual: Array, x: Array, weight: Array, *arrays: Array | None, **settings: Any
) -> None:
    """Compare `actual` with `reference`, component by component."""
    expected, bound = reference(x, weight, *arrays, **settings)
    assert actual.shape == expected.shape
    assert actual.dtype == np.dtype(settings.get("dtype") or x.dtype)
    worst = abs(actual - expected) - bound
    assert not np.any(worst > 0), f"{np.sum(worst > 0)} elements are off"
    assert np.all(np.isnan(expected) | ~np.isnan(actual))


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
    """The `Problem` of arrays that are ``(*outer, channels, P)`` already."""
    from pointwise_fast.activation import parse_activation
    from pointwise_fast.problem import Problem

    return Problem(
        dtype=out.dtype,
        x_dtype=x.dtype,
        out_dtype=out.dtype,
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
    """An array somewhere in a buffer of which every other byte is 0xFF.

    Floats of such bytes are NaN: what reads beside the array shows in the result, what writes
    beside it shows in the buffer.
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
        # From an address that is a multiple of 64, so that `offset` is the misalignment.
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
        """Compare every byte of the buffer, those between the elements too."""
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

    Environment variables are added, or removed where they are None.
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
