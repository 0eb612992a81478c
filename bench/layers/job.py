"""A case with its data, and the check that a result is right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pointwise_fast.activation import parse_activation
from pointwise_fast.kernels.numpy_blas import activate

from .cases import MIXED, Case, Layout

__all__ = ["Array", "Arrays", "Error", "Job", "arranged", "make_job"]

Array = npt.NDArray[Any]

#: How many pixels are compared with float64 at a time.
_BLOCK = 30_000
#: The largest slope of an activation. An error of the sums can grow by this factor.
_SLOPE = {"silu": 1.1, "gelu": 1.13, "gelu_tanh": 1.13, "hardswish": 1.5, "mish": 1.09}


class Arrays(NamedTuple):
    """The arrays that one call reads and writes."""

    x: Array
    out: Array
    residual: Array | None


class Error(NamedTuple):
    """The largest difference from float64, absolute and in units of the promised bound."""

    absolute: float
    of_promise: float


@dataclass(frozen=True)
class Job:
    """A case in a layout, with data. The `sets` differ in their addresses only.

    With more than one set, calls cycle through them, so that nothing is in the cache. The arrays
    are as `numpy.empty` makes them, with a user's alignment. If `sample` is not None, only about
    that many pixels are compared with float64: the first rows, the last and some between.
    """

    case: Case
    layout: Layout
    threads: int
    weight: Array
    bias: Array | None
    sets: tuple[Arrays, ...]
    sample: int | None = None

    @property
    def channel_axis(self) -> int:
        return -1 if self.layout == "interleaved" else -3

    @property
    def interleaved(self) -> tuple[bool, bool]:
        """Whether the channels of a pixel are contiguous: in x, and in the result."""
        return (
            self.layout in ("interleaved", "to planar"),
            self.layout in ("interleaved", "to interleaved"),
        )

    def in_memory_order(self, arrays: Arrays) -> Arrays:
        """Contiguous views of `arrays`, whose axes are in the order of memory."""
        if self.layout not in MIXED:
            return arrays
        x, y = (-1 if last else -3 for last in self.interleaved)
        residual = None if arrays.residual is None else np.moveaxis(arrays.residual, -3, y)
        return Arrays(np.moveaxis(arrays.x, -3, x), np.moveaxis(arrays.out, -3, y), residual)

    def with_threads(self, threads: int) -> Job:
        """The same data and expected results for another number of threads."""
        other = replace(self, threads=threads)
        known = ("_expected", "_without_epilogue")
        vars(other).update({name: vars(self)[name] for name in known if name in vars(self)})
        return other

    @cached_property
    def _without_epilogue(self) -> Job:
        case = replace(self.case, bias=False, activation=None, residual=False)
        sets = tuple(arrays._replace(residual=None) for arrays in self.sets)
        return replace(self, case=case, bias=None, sets=sets)

    @cached_property
    def _expected(self) -> tuple[list[slice], list[Array], list[Array]]:
        """Row ranges, the values expected in them, and how far off a result may be."""
        blocks = _row_blocks(self.case, self.sample)
        pairs = [self._oracle(rows) for rows in blocks]
        return blocks, [y for y, _ in pairs], [bound for _, bound in pairs]

    def _oracle(self, rows: slice) -> tuple[Array, Array]:
        case, step = self.case, self.case.stride
        x, _, residual = self.sets[0]
        inputs = self._planes(x)[:, :, ::step, ::step][:, :, rows]
        X = inputs.astype(np.float64).reshape(case.N, case.groups, case.C // case.groups, -1)
        W = self.weight.astype(np.float64).reshape(case.groups, case.K // case.groups, -1)
        shape = (case.N, case.K, *inputs.shape[2:])
        sums, magnitude = (W @ X).reshape(shape), (abs(W) @ abs(X)).reshape(shape)
        terms = [] if self.bias is None else [self.bias.astype(np.float64)[:, None, None]]
        terms += [] if residual is None else [self._planes(residual)[:, :, rows]]
        for term in terms:
            sums += term
            magnitude += abs(term)
        eps = float(np.finfo(np.float32).eps)
        bound = (case.C // case.groups + 4) * eps * magnitude
        if case.activation is None:
            return sums, bound
        y = activate(sums, parse_activation(case.activation))
        # The promise covers the sums. The activation itself may lose some last digits.
        return y, _SLOPE.get(case.activation, 1.0) * bound + 8 * eps * np.maximum(abs(y), 1)

    def error(self, result: Array, whole: bool = True) -> Error:
        """The largest error of `result`. It is infinite if some element is not finite.

        `whole` is False for a result without bias, residual and activation.
        """
        if not whole:
            return self._without_epilogue.error(result)
        if not np.isfinite(result).all():
            return Error(np.inf, np.inf)
        planes = self._planes(result)
        absolute = ratio = 0.0
        for rows, expected, bound in zip(*self._expected, strict=True):
            difference = abs(planes[:, :, rows] - expected)
            absolute = max(absolute, float(difference.max()))
            ratio = max(ratio, float((difference / bound).max()))
        return Error(absolute, ratio)

    def _planes(self, array: Array) -> Array:
        """`array` as (N, channels, rows, columns), whatever the layout."""
        if array.ndim == 3:
            array = array[np.newaxis]
        return np.moveaxis(array, -1, 1) if self.layout == "interleaved" else array


def make_job(
    case: Case, layout: Layout, threads: int, sets: int = 1, sample: int | None = None
) -> Job:
    """Make random data for `case`. It is the same in every run."""
    rng = np.random.default_rng(20 * case.C + case.K)
    weight = rng.standard_normal((case.K, case.C // case.groups), np.float32)
    bias = rng.standard_normal(case.K, np.float32) if case.bias else None

    def shape(channels: int, rows: int, columns: int) -> tuple[int, ...]:
        last = layout == "interleaved"
        image = (rows, columns, channels) if last else (channels, rows, columns)
        return image if case.N == 1 else (case.N, *image)

    def fresh(shape: tuple[int, ...]) -> Array:
        array = rng.random(shape, np.float32)
        array -= 0.5
        return array

    x_shape, y_shape = shape(case.C, case.H, case.W), shape(case.K, case.rows, case.columns)
    made = Arrays(
        fresh(x_shape),
        np.full(y_shape, np.nan, np.float32),
        fresh(y_shape) if case.residual else None,
    )
    first = arranged(made, layout)
    others = [arranged(Arrays(*map(_copy, made)), layout) for _ in range(sets - 1)]
    return Job(case, layout, threads, weight, bias, (first, *others), sample)


def arranged(arrays: Arrays, layout: Layout) -> Arrays:
    """Copy contiguous `arrays` into the memory order of `layout` if it is a mixed one."""
    x, out, residual = arrays
    if layout == "to planar":
        return Arrays(_pixels_first(x), out, residual)
    if layout == "to interleaved":
        beside = None if residual is None else _pixels_first(residual)
        return Arrays(x, _pixels_first(out), beside)
    return arrays


def _copy(array: Any) -> Any:
    return None if array is None else array.copy()


def _pixels_first(array: Array) -> Array:
    """The same numbers with the channels of each pixel contiguous, seen as planes."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -3, -1)), -1, -3)


def _row_blocks(case: Case, sample: int | None) -> list[slice]:
    """Output rows to compare: all of them, or for a sample both ends and six places between."""
    size = _BLOCK if sample is None else min(_BLOCK, sample // 8)
    step = max(1, size // (case.N * case.columns))
    starts = list(range(0, case.rows, step))
    if sample is not None and len(starts) > 8:
        between = np.random.default_rng(case.rows).choice(starts[1:], 6, replace=False)
        starts = sorted({0, *between.tolist(), case.rows - step})
    return [slice(start, min(start + step, case.rows)) for start in starts]
