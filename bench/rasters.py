"""``python -m bench.rasters``: what rasters need besides the product, and how it grows with them.

Heads and missing data are timed beside the plain call and NumPy's lines, on a raster of a million
pixels with 12 bands and 10 classes, and with 50 and 20. One pixel in a hundred, anywhere, and one
column in twenty-five miss a band. Times are shown as multiples of the plain call's, which is
measured in the same rounds. Arrays in other layouts follow, and then the plain call over the size
of the raster, as a table and a picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

import pointwise_fast as pf

from .measure.machine import describe_machine, headline_of
from .measure.placing import Placing
from .measure.raster_layouts import layout_ways, measure_layouts
from .measure.raster_sizes import KINDS, SIZES, measure_sizes
from .measure.rounds import measure
from .measure.turn import Turn
from .report.rasters import draw_sizes, layout_table, size_table
from .report.tables import format_table, times, write_json

__all__ = ["main", "numpy_lines", "predict_line", "raster", "ways"]

Array = npt.NDArray[Any]

_BANDS = ((12, 10), (50, 20))
_DTYPES = ("float32", "uint16")
_SIDE = 1000
_LAYOUTS = {"planar": 0, "interleaved": -1}
#: The value of `raster` where a band is missing, and nowhere else.
NODATA = 65535


def raster(C: int, side: int, dtype: str, channel_axis: int) -> tuple[Array, Array]:
    """Return a raster and the mask of the pixels that miss a band."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 10_000, (C, side, side)).astype(dtype)
    missing = rng.random((side, side)) < 0.01
    missing[:, ::25] = True
    x[C // 2][missing] = NODATA
    return np.ascontiguousarray(np.moveaxis(x, 0, channel_axis)), missing


def ways(K: int, mask: Array) -> dict[str, dict[str, Any]]:
    """Return the options of `conv1x1` that are measured, by name, the plain call first."""
    slopes = np.linspace(0.05, 0.5, K)
    return {
        "plain": {},
        "prelu": {"activation": ("prelu", slopes)},
        "l2_normalize": {"head": "l2_normalize"},
        "softmax": {"head": "softmax"},
        "argmax": {"head": "argmax"},
        "nodata": {"nodata": NODATA},
        "mask": {"mask": mask},
        "nodata, argmax": {"nodata": NODATA, "head": "argmax"},
        "nodata, valid=any": {"nodata": NODATA, "valid": "any"},
    }


def numpy_lines(x: Array, weight: Array, channel_axis: int) -> dict[str, Callable[[], object]]:
    """Return what users write without this package in a line or two. It converts `x` first."""
    K, C = weight.shape
    z = np.empty((*x.shape[:2], K) if channel_axis else (K, *x.shape[1:]), weight.dtype)

    def plain() -> Array:
        wide = x.astype(weight.dtype, copy=False)
        if channel_axis:
            np.matmul(wide.reshape(-1, C), weight.T, out=z.reshape(-1, K))
        else:
            np.matmul(weight, wide.reshape(C, -1), out=z.reshape(K, -1))
        return z

    def nodata() -> Array:
        found = np.moveaxis(plain(), channel_axis, 0)
        found[:, (x == NODATA).any(channel_axis)] = np.nan
        return z

    def softmax() -> Array:
        plain()
        np.subtract(z, z.max(channel_axis, keepdims=True), out=z)
        np.exp(z, out=z)
        np.divide(z, z.sum(channel_axis, keepdims=True), out=z)
        return z

    def argmax() -> Array:
        found: Array = plain().argmax(channel_axis)
        return found

    return {"plain": plain, "softmax": softmax, "argmax": argmax, "nodata": nodata}


def predict_line(x: Array, weight: Array, channel_axis: int) -> Callable[[], Array] | None:
    """Return scikit-learn's labels of the flattened raster. None if it is not installed."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        return None
    K, C = weight.shape
    model = LogisticRegression()
    model.classes_, model.n_features_in_ = np.arange(K), C
    model.coef_, model.intercept_ = weight, np.zeros(K, weight.dtype)
    pixels = x.reshape(-1, C) if channel_axis else x.reshape(C, -1).T

    def predict() -> Array:
        labels: Array = model.predict(pixels)
        return labels

    return predict


def _measure(
    bands: tuple[int, int], dtype: str, layout: str, threads: int, rounds: int, side: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure ours and NumPy's, in seconds by name. scikit-learn's is "predict"."""
    C, K = bands
    axis = _LAYOUTS[layout]
    x, mask = raster(C, side, dtype, axis)
    weight = np.random.default_rng(1).standard_normal((K, C)).astype(np.float32)
    runners: dict[str, Turn] = {}
    for name, options in ways(K, mask).items():
        call = partial(pf.conv1x1, x, weight, channel_axis=axis, **options)
        runners[name] = Turn(partial(call, out=call(), threads=threads), binds=True)
    lines = numpy_lines(x, weight, axis)
    predict = predict_line(x, weight, axis)
    if predict is not None:
        lines["predict"] = predict
    theirs = {f"numpy: {n}": Turn(line) for n, line in lines.items()}
    with threadpool_limits(limits=threads, user_api="blas"):
        found = measure({**runners, **theirs}, placing=Placing(threads), rounds=rounds, budget=20.0)
    best = {name: min(seconds) for name, seconds in found.items()}
    return (
        {name: best[name] for name in runners},
        {name.removeprefix("numpy: "): best[name] for name in theirs},
    )


def _rows(ours: Mapping[str, float], theirs: Mapping[str, float], pixels: int) -> list[list[str]]:
    def ns(seconds: float) -> str:
        return f"{1e9 * seconds / pixels:.2f}"

    rows = [
        [
            name,
            ns(seconds),
            times(seconds / ours["plain"]),
            ns(theirs[name]) if name in theirs else "",
        ]
        for name, seconds in ours.items()
    ]
    if "predict" in theirs:
        rows.append(["argmax by scikit-learn's predict", "", "", ns(theirs["predict"])])
    return rows


def _heads(options: argparse.Namespace, machine: dict[str, Any]) -> None:
    records = []
    for threads in sorted({1, pf.get_num_threads()}):
        for bands in _BANDS:
            for dtype in _DTYPES:
                for layout in _LAYOUTS:
                    ours, theirs = _measure(
                        bands, dtype, layout, threads, options.rounds, options.side
                    )
                    title = f"{bands[0]} -> {bands[1]}, {dtype}, {layout}, {threads}"
                    header = [title, "ns a pixel", "of plain", "NumPy, ns"]
                    rows = _rows(ours, theirs, options.side**2)
                    print(format_table(header, rows), end="\n\n", flush=True)
                    records.append(
                        {"bands": bands, "dtype": dtype, "layout": layout, "threads": threads,
                         "side": options.side, "seconds": ours, "numpy": theirs}
                    )  # fmt: skip
    print("wrote", write_json("rasters", {"machine": machine, "cases": records}), end="\n\n")


def _sizes(options: argparse.Namespace, machine: dict[str, Any]) -> None:
    threads = sorted({1, pf.get_num_threads()})
    found = measure_sizes(KINDS, options.sizes, threads, options.rounds)
    for count in threads:
        print(size_table(found, count), end="\n\n")
    path = write_json("raster-sizes", {"machine": machine, "points": found})
    draw_sizes(found, machine, path.with_suffix(".png"))
    print("wrote", path, "and its picture", end="\n\n")


def _layouts(options: argparse.Namespace, machine: dict[str, Any]) -> None:
    threads = sorted({1, pf.get_num_threads()})
    found = measure_layouts(layout_ways(options.layout_side), threads, options.rounds)
    for count in threads:
        print(layout_table(found, count), end="\n\n")
    record = {"machine": machine, "side": options.layout_side, "ways": found}
    print("wrote", write_json("raster-layouts", record), end="\n\n")


_PARTS = {"heads": _heads, "layouts": _layouts, "sizes": _sizes}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS))
    parser.add_argument("--rounds", type=int, default=9, help="(%(default)s)")
    parser.add_argument(
        "--side", type=int, default=_SIDE, help="of a raster for heads (%(default)s)"
    )
    parser.add_argument(
        "--layout-side", type=int, default=600, help="of a raster for layouts (%(default)s)"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="pixels, of the sizes' rasters"
    )
    options = parser.parse_args(arguments)
    machine = describe_machine()
    for part in options.parts:
        _PARTS[part](options, machine)
    print(headline_of(machine))


if __name__ == "__main__":
    main()
