"""Tiles of the Numba backend, and plans of problems whose output channels need no other."""

from __future__ import annotations

import math
import platform
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .numba_threads import CFunction, address, compiling, launch

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pointwise_fast.problem import Problem

__all__ = [
    "CHUNKS_PER_THREAD",
    "SERIAL_WORK",
    "NumbaPlan",
    "Tile",
    "blocks_of",
    "choose_tile",
    "has_fma",
    "machine",
]

Array = npt.NDArray[Any]

#: Multiply-adds that are not worth a second thread.
SERIAL_WORK = 500_000

#: Chunks that each thread finds, so that a slow core holds nobody up.
CHUNKS_PER_THREAD = 12

#: Bytes between the pixels that are read and those that are prefetched. Fifty planes, 7 ms: 256
#: bytes take 11, and 512 to 1024 are equal.
_AHEAD = 512


class Tile(NamedTuple):
    """What a worker is compiled for."""

    x_type: Any
    t_type: Any
    planar: int
    #: Interleaved, and the channels of x lie side by side.
    dense: int
    R: int
    N: int
    #: Elements of a vector register.
    lanes: int
    #: Whether scale * x + offset takes the place of x.
    affine: int = 0

    @property
    def filters(self) -> int:
        return self.R if self.planar else self.N


def choose_tile(problem: Problem, register_bytes: int, registers: int) -> Tile:
    """The tile that wastes least: few kinds, as each is compiled.

    Planar tiles are tall, for with all filters in one tile x is read once: 20 x 16 takes 7 ms
    where two of 10 x 32 take 13, from a level 1 cache that fifty planes fill.
    """
    size = problem.dtype.itemsize
    lanes = register_bytes // size
    K = problem.K // problem.groups
    many, affine = registers > 16, int(problem.scale is not None)
    if problem.x_strides[-1] == problem.x_dtype.itemsize and problem.P > 1:
        heights = (24, 20, 16, 12, 8, 4, 2) if many else (12, 10, 8, 6, 4, 2)
        R = min(heights, key=lambda R: -(-K // R) * (R + 1))
        N = max(1, min(4, heights[0] // R)) * lanes
        return Tile(problem.x_dtype.type, problem.dtype.type, 1, 0, R, N, lanes, affine)
    least = 16 // size
    sizes = {least, lanes + least, lanes // 2, lanes + lanes // 2, lanes, 2 * lanes, 3 * lanes}
    N = min(sorted(sizes), key=lambda N: -(-K // N) * (N + 4))
    R = 6 if many else (8, 5, 4)[-(-N // lanes) - 1]
    dense = int(problem.x_strides[-2] == problem.x_dtype.itemsize)
    return Tile(problem.x_dtype.type, problem.dtype.type, 0, dense, R, N, lanes, affine)


def blocks_of(problem: Problem, tile: Tile) -> int:
    return -(-(problem.K // problem.groups) // tile.filters)


class NumbaPlan:
    """`pointwise_fast.kernels.Plan` on `numba_loops`."""

    repeat = None

    def __init__(self, problem: Problem) -> None:
        with compiling:
            self.tile = choose_tile(problem, *machine())
            self.worker = _compile_worker(self.tile)
            self.fields = self._describe(problem)
        self.problem = problem
        self.pack_key: Hashable = ("numba", self.tile.t_type, self.tile.filters)
        work = problem.C // problem.groups * problem.K * problem.P * math.prod(problem.outer)
        self._most_threads = 1 if work < SERIAL_WORK else self._strips

    def _describe(self, problem: Problem) -> Array:
        """`numba_loops.FIELDS` without addresses."""
        from . import numba_loops as loops

        tile = self.tile
        f = np.zeros(len(loops.FIELDS) + 4 * len(problem.outer), np.int64)
        f[loops.C], f[loops.K], f[loops.P] = problem.C, problem.K, problem.P
        f[loops.GROUPS], f[loops.BLOCKS] = problem.groups, blocks_of(problem, tile)
        block = (problem.C // problem.groups + 1) * tile.filters
        f[loops.BLOCK_BYTES] = block * problem.dtype.itemsize
        *x_outer, f[loops.X_C], f[loops.X_P] = problem.x_strides
        *out_outer, f[loops.OUT_K], f[loops.OUT_P] = problem.out_strides
        r_outer = [0] * len(problem.outer)
        if problem.residual_strides is not None:
            *r_outer, f[loops.RESIDUAL_K], f[loops.RESIDUAL_P] = problem.residual_strides
        out_step = problem.out_strides[-1 if tile.planar else -2]
        only_sums = problem.residual_strides is None and problem.activation is None
        f[loops.DIRECT] = only_sums and out_step == problem.dtype.itemsize
        f[loops.AHEAD] = _AHEAD
        if problem.activation is not None:
            name, *parameters, _ = problem.activation
            f[loops.ACTIVATION] = _compile_activation(name, tile.t_type, tile.R * tile.N).address
            f[[loops.A, loops.B]] = np.array(parameters, np.float64).view(np.int64)
        if problem.scale is not None:
            self._affine = np.array([problem.scale, problem.offset], problem.affine_dtype)
            f[loops.SCALE], f[loops.OFFSET] = map(address, self._affine)
        strip = loops.STRIP * (tile.N if tile.planar else tile.R)
        self._strips = -(-problem.P // strip) * math.prod(problem.outer) * problem.groups
        f[loops.STRIPS] = self._strips
        f[loops.OUTER_AXES] = len(problem.outer)
        f[len(loops.FIELDS) :] = [*problem.outer, *x_outer, *out_outer, *r_outer]
        return f

    def pack(self, weight: Array, bias: Array | None) -> Array:
        """As ``(group, block, 1 + C, filter)``: the bias, then the weights, padded with zeros."""
        K, C_group = weight.shape
        G, filters = self.problem.groups, self.tile.filters
        blocks = blocks_of(self.problem, self.tile)
        padded = np.zeros((G, blocks * filters, 1 + C_group), self.problem.dtype)
        padded[:, : K // G, 1:] = weight.reshape(G, K // G, C_group)
        if bias is not None:
            padded[:, : K // G, 0] = bias.reshape(G, K // G)
        by_block = padded.reshape(G, blocks, filters, 1 + C_group)
        return np.ascontiguousarray(by_block.transpose(0, 1, 3, 2))

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
        fields = self.fields.copy()
        # The first of `numba_loops.FIELDS`; the counter that comes before them is at zero.
        fields[1:6] = (
            self._strips if n == 1 else -(-self._strips // (n * CHUNKS_PER_THREAD)),
            address(x),
            address(packed),
            0 if residual is None else address(residual),
            address(out),
        )
        at = address(fields)
        if n == 1 or not launch(self.worker.address, at, n):
            self.worker.call(at, 0)

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
        self.run(self.pack(weight, bias), x, residual, out, threads)


@cache
def machine() -> tuple[int, int]:
    """Bytes of a vector register and the number of them, of the CPU that Numba compiles for."""
    from numba.core.registry import cpu_target

    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    if platform.machine().lower() in ("aarch64", "arm64"):
        return 16, 32
    if "+avx512vl" in features:
        return 64, 32
    return (32, 16) if "+avx," in features + "," else (16, 16)


@cache
def has_fma() -> bool:
    from numba.core.registry import cpu_target

    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return platform.machine().lower() in ("aarch64", "arm64") or "+fma," in features + ","


@cache
def _compile_worker(tile: Tile) -> CFunction:
    from .numba_loops import compile_worker

    return CFunction(compile_worker(*tile))


@cache
def _compile_activation(name: str, t_type: Any, n: int) -> CFunction:
    from .numba_activations import compile_activation

    return CFunction(compile_activation(name, t_type, n))
