"""The Numba backend: LLVM's vectors where there is no C compiler.

Two kinds of tile, both of R x N sums in registers. *Planar*, where the pixels of x lie side by
side: N pixels of R filters, x in vectors and the weights broadcast. *Interleaved*, for any other
strides: R pixels of N filters, the weights in vectors and x broadcast.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pointwise_fast.problem import Problem

__all__ = ["NAME", "available", "plan", "unsupported"]

NAME = "numba"

Array = npt.NDArray[Any]

#: Multiply-adds that are not worth a second thread.
_SERIAL_WORK = 500_000

#: Chunks that each thread finds, so that a slow core holds nobody up.
_CHUNKS_PER_THREAD = 12

#: Bytes between the pixels that are read and those that are prefetched.
_AHEAD = 512


def available() -> str | None:
    if importlib.util.find_spec("numba") is None:
        return "numba is not installed; pip install 'pointwise_fast[numba]'"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    return None


def unsupported(problem: Problem) -> str | None:
    return "writing the result over x" if problem.in_place else None


def plan(problem: Problem) -> NumbaPlan:
    return NumbaPlan(problem)


class Tile(NamedTuple):
    """What a worker is compiled for: dtypes, layout, extents, elements of a register."""

    x_type: Any
    t_type: Any
    planar: int
    R: int
    N: int
    lanes: int


class NumbaPlan:
    """`pointwise_fast.kernels.Plan` on `numba_loops`."""

    def __init__(self, problem: Problem) -> None:
        tile = choose_tile(problem, *_machine())
        self.tile = tile
        self.problem = problem
        self._worker = _worker(tile)
        self._work = problem.C // problem.groups * problem.K * problem.P * _product(problem.outer)
        K_group = problem.K // problem.groups
        self._filters = tile.R if tile.planar else tile.N
        self._blocks = -(-K_group // self._filters)
        self.pack_key = (tile.t_type, self._filters)
        self._fields = self._describe()

    def _describe(self) -> Array:
        """`numba_loops.FIELDS` without addresses and chunks."""
        from . import numba_loops as loops

        problem, tile = self.problem, self.tile
        f = np.zeros(len(loops.FIELDS) + 4 * len(problem.outer), np.int64)
        f[loops.C], f[loops.K], f[loops.P] = problem.C, problem.K, problem.P
        f[loops.GROUPS], f[loops.BLOCKS] = problem.groups, self._blocks
        block = (problem.C // problem.groups + 1) * self._filters
        f[loops.BLOCK_BYTES] = block * problem.dtype.itemsize
        *x_outer, f[loops.X_C], f[loops.X_P] = problem.x_strides
        *out_outer, f[loops.OUT_K], f[loops.OUT_P] = problem.out_strides
        r_outer = [0] * len(problem.outer)
        if problem.residual_strides is not None:
            *r_outer, f[loops.RESIDUAL_K], f[loops.RESIDUAL_P] = problem.residual_strides
        out_step = problem.out_strides[-1 if tile.planar else -2]
        one_column = (problem.P if tile.planar else problem.K // problem.groups) == 1
        f[loops.DIRECT] = (
            problem.residual_strides is None
            and problem.activation is None
            and (out_step == problem.dtype.itemsize or one_column)
        )
        f[loops.AHEAD] = _AHEAD
        if problem.activation is not None:
            f[loops.ACTIVATION] = _activation(problem.activation.name, tile.t_type).address
            f[[loops.A, loops.B]] = np.array(problem.activation[1:], np.float64).view(np.int64)
        strip = loops.STRIP * (tile.N if tile.planar else tile.R)
        f[loops.STRIPS] = -(-problem.P // strip) * _product(problem.outer) * problem.groups
        f[loops.OUTER_AXES] = len(problem.outer)
        f[len(loops.FIELDS) :] = [*problem.outer, *x_outer, *out_outer, *r_outer]
        return f

    def pack(self, weight: Array, bias: Array | None) -> Array:
        """As ``(group, block, bias and C, filter)``, padded with zeros."""
        K, C_group = weight.shape
        G, filters = self.problem.groups, self._filters
        padded = np.zeros((G, self._blocks * filters, C_group + 1), weight.dtype)
        padded[:, : K // G, 1:] = weight.reshape(G, K // G, C_group)
        if bias is not None:
            padded[:, : K // G, 0] = bias.reshape(G, K // G)
        blocks = padded.reshape(G, self._blocks, filters, C_group + 1)
        return np.ascontiguousarray(blocks.transpose(0, 1, 3, 2))

    def run(
        self, packed: Array, x: Array, residual: Array | None, out: Array, threads: int
    ) -> None:
        from . import numba_loops as loops

        fields = self._fields.copy()
        fields[loops.X], fields[loops.WEIGHTS] = _address(x), _address(packed)
        fields[loops.OUT] = _address(out)
        if residual is not None:
            fields[loops.RESIDUAL] = _address(residual)
        strips = int(fields[loops.STRIPS])
        n = 1 if self._work < _SERIAL_WORK else min(threads, strips)
        fields[loops.CHUNK_STRIPS] = -(-strips // (n * _CHUNKS_PER_THREAD)) if n > 1 else strips
        counter = np.zeros(1, np.int64)
        if n == 1 or not _launch(self._worker.address, fields, counter, n):
            self._worker.ctypes(fields.ctypes.data_as(_int64_pointer()), counter.ctypes.data)

    def conv(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        residual: Array | None,
        out: Array,
        threads: int,
    ) -> None:
        self.run(self.pack(weight, bias), x, residual, out, threads)


def choose_tile(problem: Problem, register_bytes: int, registers: int) -> Tile:
    """The kind of tile that wastes least."""
    size = problem.dtype.itemsize
    lanes = register_bytes // size
    K = problem.K // problem.groups
    planar = problem.x_strides[-1] == problem.x_dtype.itemsize and problem.P > 1
    if planar:
        if K <= 4:
            R, vectors = (2 if K <= 2 else 4), (4 if registers > 16 else 2)
        else:
            R = min((12, 10, 8, 6) if registers > 16 else (6, 5, 4), key=lambda R: -(-K // R) * R)
            vectors = 2
        N = vectors * lanes
    else:
        least = 16 // size
        sizes = [2 * lanes, 3 * lanes, lanes, lanes + lanes // 2, lanes + least, least]
        N = min(sizes, key=lambda N: -(-K // N) * (N + 4))
        vectors = -(-N // lanes)
        R = 8 if registers > 16 else (8, 5, 4)[vectors - 1]
    return Tile(problem.x_dtype.type, problem.dtype.type, int(planar), R, N, lanes)


@cache
def _machine() -> tuple[int, int]:
    """Bytes of a vector register, and how many there are."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx"):
        return 32, 16
    return 16, 32 if features.get("neon") else 16


@cache
def _worker(tile: Tile) -> Any:
    from .numba_loops import compile_worker
    return compile_worker(*tile)

def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _product(extents: tuple[int, ...]) -> int:
    n = 1
    for extent in extents:
        n *= extent
    return n

@cache
def _int64_pointer() -> Any:
    import ctypes
    return ctypes.POINTER(ctypes.c_int64)
@cache
def _launcher():
    from .numba_loops import compile_launch
    return compile_launch()

def _launch(worker, fields, counter, n):
    import numba
    before = numba.get_num_threads()
    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
    try:
        _launcher()(worker, fields.ctypes.data, counter.ctypes.data, n)
    finally:
        numba.set_num_threads(before)
    return True
