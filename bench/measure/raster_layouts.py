"""The cost of other arrays than whole planes: orders, views, batches, residuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

import pointwise_fast as pf

from .placing import Placing
from .rounds import measure
from .turn import Turn

__all__ = ["CHANNELS", "Way", "layout_ways", "measure_layouts", "numpy_line"]

Array = npt.NDArray[Any]

#: The channels of x and of the result.
CHANNELS = _C, _K = 50, 20


class Way(NamedTuple):
    """How arrays lie in memory, and the aim.

    Attributes
    ----------
    x, out : ndarray
    axis : int
        The axis of the channels.
    residual : ndarray or None
    beside : tuple of str
        The slower of these ways is the base of `most`.
    most : float or None
        At most this multiple is aimed at. None if no figure was set.
    """

    x: Array
    out: Array
    axis: int = 0
    residual: Array | None = None
    beside: tuple[str, ...] = ("planar",)
    most: float | None = None


def layout_ways(side: int) -> dict[str, Way]:
    """Return the ways to measure: ``side * side`` pixels, 50 channels to 20, all float32."""
    rng = np.random.default_rng(0)
    pixels = (side, side)

    def some(*shape: int) -> Array:
        return rng.standard_normal(shape, np.float32)

    x, hwc = some(_C, *pixels), some(*pixels, _C)
    y, of_hwc = np.empty((_K, *pixels), np.float32), np.empty((*pixels, _K), np.float32)
    residual = some(_K, *pixels)
    window = some(_C, side + 100, side + 100)[:, 50:-50, 50:-50]
    images, small = (side // 10) ** 2, (10, 10)
    both = ("planar", "interleaved")
    return {
        "planar": Way(x, y),
        "interleaved": Way(hwc, of_hwc, -1),
        "interleaved by lines": Way(some(side, _C, side), np.empty((side, _K, side), "f4"), 1),
        "interleaved to planar": Way(np.moveaxis(hwc, -1, 0), y, beside=both, most=1.25),
        "planar to interleaved": Way(x, np.moveaxis(of_hwc, -1, 0), beside=both, most=1.25),
        "window": Way(window, y, most=1.15),
        "flipped": Way(x[:, ::-1, ::-1], y, most=1.3),
        "every second pixel": Way(some(_C, 2 * side, 2 * side)[:, ::2, ::2], y),
        "Fortran order to C order": Way(np.asfortranarray(x), y, most=2.0),
        "residual": Way(x, y, residual=residual, most=1.35),
        "residual is out": Way(x, residual, residual=residual, most=1.35),
        "batch of 10 x 10": Way(
            some(images, _C, *small), np.empty((images, _K, *small), "f4"), 1, most=1.3
        ),
    }  # fmt: skip


def numpy_line(way: Way, weight: Array) -> Callable[[], object]:
    """Return what users write without this package, in one line."""
    x = np.moveaxis(way.x, way.axis, -3)
    shape = np.moveaxis(way.out, way.axis, -3).shape

    def line() -> Array:
        found = np.matmul(weight, x.reshape((*x.shape[:-2], -1)))
        result: Array = found.reshape(shape)
        return result if way.residual is None else np.add(result, way.residual, out=result)

    return line


def measure_layouts(
    ways: Mapping[str, Way], threads: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    """Measure ours and NumPy's line, in seconds, for each way and number of threads."""
    weight = np.random.default_rng(1).standard_normal((_K, _C), np.float32)
    found = []
    for count in threads:
        runners: dict[str, Turn] = {}
        for name, way in ways.items():
            layer = pf.Conv1x1(weight, channel_axis=way.axis)
            call = partial(layer, way.x, residual=way.residual, out=way.out, threads=count)
            runners[name] = Turn(call, binds=True)
            runners[f"numpy: {name}"] = Turn(numpy_line(way, weight))
        with threadpool_limits(limits=count, user_api="blas"):
            taken = measure(runners, placing=Placing(count), rounds=rounds, budget=20.0)
        best = {name: min(seconds) for name, seconds in taken.items()}
        found += [
            {"way": name, "threads": count, "seconds": best[name],
             "numpy": best[f"numpy: {name}"],
             "beside": max(best[other] for other in way.beside), "most": way.most}
            for name, way in ways.items()
        ]  # fmt: skip
    return found
