"""Plans of the Numba backend for heads and missing data, on `numba_panels`."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import numba_heads, numba_missing, numba_panels
from .numba_loops import STRIP
from .numba_panels import OWN_FIELDS, PANEL_FIELDS, ROUND
from .numba_plan import CHUNKS_PER_THREAD, SERIAL_WORK, NumbaPlan, choose_tile, machine
from .numba_threads import CFunction, address, compiling, launch, thread_count

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pointwise_fast.problem import Problem

__all__ = ["FinishedPlan"]

Array = npt.NDArray[Any]

_LINE = 64

#: Bytes of x and sums that a panel has. From 24 to 384 KiB the time is the same: 12 -> 10 planar
#: with argmax 7.3 to 7.5 ns a pixel, 50 -> 20 interleaved with softmax 70.8 to 71.5 (Xeon).
_PANEL_BYTES = 96 << 10

#: Most pixels of a panel.
_MOST_PIXELS = 1024


class FinishedPlan:
    """`pointwise_fast.kernels.Plan` of a problem with a head, or missing data, or both."""

    repeat = None

    def __init__(self, problem: Problem) -> None:
        size = problem.dtype.itemsize
        fit = min(_MOST_PIXELS, _PANEL_BYTES // ((problem.C + problem.K) * size), problem.P)
        self._room = room = max(1, -(-fit // ROUND)) * ROUND
        # Where channels of x lie side by side, those of the sums do.
        self._is_planar = choose_tile(problem, *machine()).planar
        lanes = machine()[0] // size
        longest = room if self._is_planar else -(-problem.K // lanes) * lanes
        self._row = longest * size + _LINE  # no power of 2: rows fall into all sets of a cache
        with compiling:
            self._sums = NumbaPlan(self._problem_of_panel(problem))
            self._loop = _compile_panels()
            self._fields = self._describe(problem)
        self.problem = problem
        self.pack_key: Hashable = self._sums.pack_key
        self.pack = self._sums.pack
        is_small = problem.C * problem.K * problem.P * math.prod(problem.outer) < SERIAL_WORK
        self._most_threads = 1 if is_small else self._panels

    def _problem_of_panel(self, problem: Problem) -> Problem:
        """The sums of one panel, in scratch if they have a head."""
        residual = problem.residual_strides
        in_scratch = self._row, problem.dtype.itemsize
        if not self._is_planar:
            in_scratch = in_scratch[::-1]
        return replace(
            problem,
            outer=(),
            P=min(self._room, problem.P),
            out_dtype=problem.dtype,
            x_strides=problem.x_strides[-2:],
            out_strides=in_scratch if problem.head else problem.out_strides[-2:],
            residual_strides=None if residual is None else residual[-2:],
            mask_strides=None,
            head=None,
            missing=None,
            in_place=False,
        )

    def _describe(self, problem: Problem) -> Array:
        """`numba_panels.PANEL_FIELDS` without addresses of a call."""
        at = numba_panels
        room, tile, axes = self._room, self._sums.tile, len(problem.outer)
        f = np.zeros(len(PANEL_FIELDS) + 5 * axes, np.int64)
        self._panels = -(-problem.P // room) * math.prod(problem.outer)
        f[at.PANELS], f[at.ROW_PIXELS], f[at.ROOM] = self._panels, problem.P, room
        f[at.STRIP_PIXELS] = STRIP * (tile.N if tile.planar else tile.R)
        # The fields, flags, numbers of flagged pixels, sums.
        f[at.FLAGS_AT] = -(-len(OWN_FIELDS) * 8 // _LINE) * _LINE
        f[at.SUMS_AT] = f[at.FLAGS_AT] + room + (room + _LINE // 8) * 8
        f[at.SCRATCH_BYTES] = f[at.SUMS_AT]
        if problem.head is not None:
            # Turning planes into pixels reads whole vectors of planes.
            whole = -(-problem.K // tile.lanes) * tile.lanes
            rows = whole if self._is_planar else room
            f[at.BUFFER_AT] = f[at.SUMS_AT] + rows * self._row
            vectors = 0 if self._is_planar else whole
            f[at.SCRATCH_BYTES] = f[at.BUFFER_AT] + vectors * machine()[0]
            f[at.SUMS_ROW if self._is_planar else at.SUMS_P] = self._row
        f[at.TEMPLATE], f[at.WORKER] = address(self._sums.fields), self._sums.worker.address
        f[at.OUT_CHANNELS] = problem.out_channels
        *x_outer, _, f[at.Q_X_P] = problem.x_strides
        *out_outer, f[at.Q_OUT_K], f[at.Q_OUT_P] = problem.out_strides
        *r_outer, _, f[at.Q_RESIDUAL_P] = problem.residual_strides or (0,) * (axes + 2)
        *m_outer, m_c, f[at.MASK_P] = problem.mask_strides or (0,) * (axes + 2)
        f[at.MASK_C], f[at.MASK_CHANNELS] = m_c, problem.C if m_c else min(problem.C, 1)
        f[at.Q_OUTER_AXES] = axes
        f[len(PANEL_FIELDS) :] = [*problem.outer, *x_outer, *out_outer, *r_outer, *m_outer]
        if problem.head is not None:
            f[at.HEAD] = _compile_head(problem).address
        if problem.missing is not None:
            with np.errstate(over="ignore"):
                fill = problem.out_dtype.type(problem.missing.fill)
            f[at.FILL] = fill.view(f"i{fill.itemsize}")
            f[at.FIND] = _compile_find().address
            f[at.PUT_FILL] = _compile_fill(fill.itemsize).address
            if problem.missing.nodata is not None:
                x_type: Any = problem.x_dtype.type
                lanes = machine()[0] // problem.x_dtype.itemsize
                self._values, self._nans = _values_and_nans(problem, lanes)
                f[at.VALUES], f[at.NANS] = address(self._values), address(self._nans)
                f[at.FLAG] = _compile_flag(x_type, lanes).address
        return f

    def run(
        self,
        packed: Array,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        n = min(threads, self._most_threads)
        if n > 1:
            n = min(n, thread_count())
        fields = self._fields.copy()
        per_thread = int(fields[numba_panels.SCRATCH_BYTES])
        scratch = np.empty(n * per_thread + _LINE, np.uint8)
        # The first of `numba_panels.PANEL_FIELDS` but for the counter, which is at zero.
        fields[1:8] = (
            self._panels if n == 1 else -(-self._panels // (n * CHUNKS_PER_THREAD)),
            address(x),
            address(packed),
            0 if residual is None else address(residual),
            address(out),
            0 if mask is None else address(mask),
            -(-address(scratch) // _LINE) * _LINE,
        )
        at = address(fields)
        if n == 1 or not launch(self._loop.address, at, n):
            self._loop.call(at, 0)

    def conv(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
        mask: Array | None = None,
    ) -> None:
        self.run(self.pack(weight, bias), x, residual, out, threads, mask)


def _values_and_nans(problem: Problem, lanes: int) -> tuple[Array, Array]:
    """For each channel the value that stands for none, or NaN; and 1 where NaN itself does.

    They go on to whole vectors.
    """
    missing = problem.missing
    assert missing is not None
    assert missing.nodata is not None
    values = np.full(problem.C + lanes, np.nan, problem.x_dtype)
    nans = np.zeros_like(values)
    for c, value in enumerate(missing.nodata):
        if value is not None:
            values[c], nans[c] = value, value != value
    return values, nans


@cache
def _compile_panels() -> CFunction:
    return CFunction(numba_panels.compile_panels())


def _compile_head(problem: Problem) -> CFunction:
    T: Any = problem.dtype.type
    lanes = machine()[0] // problem.dtype.itemsize
    if problem.head == "argmax":
        label_type: Any = np.dtype(f"u{problem.out_dtype.itemsize}").type
        return _compile_argmax(T, lanes, label_type)
    return _compile_other(problem.head, T, lanes)


@cache
def _compile_argmax(T: Any, lanes: int, label_type: Any) -> CFunction:
    return CFunction(numba_heads.compile_argmax(T, lanes, label_type))


@cache
def _compile_other(name: Any, T: Any, lanes: int) -> CFunction:
    return CFunction(numba_heads.compile_head(name, T, lanes))


@cache
def _compile_find() -> CFunction:
    return CFunction(numba_missing.compile_find())


@cache
def _compile_fill(size: int) -> CFunction:
    return CFunction(numba_missing.compile_fill(size))


@cache
def _compile_flag(x_type: Any, lanes: int) -> CFunction:
    return CFunction(numba_missing.compile_flag(x_type, lanes))
