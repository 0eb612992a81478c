"""``python -m bench.dtypes``: the headline case in every dtype, beside its roof and NumPy's way.

The roof is the larger of two times: that of the multiply-adds at the rate of the sums' dtype, and
that of the bytes at the rate of the headline's own float32 stream. Smaller dtypes have fewer bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

import pointwise_fast as pf

from .layers.cases import HEADLINE, LAYOUTS, Layout
from .layers.job import Job, make_job
from .measure.machine import describe_machine, headline_of
from .measure.panel import current_isa
from .measure.placing import Placing
from .measure.roof import roofs_for
from .measure.rounds import measure
from .measure.turn import Turn
from .report.tables import format_table, percent, times, write_json

__all__ = ["main"]

Array = npt.NDArray[Any]

#: Dtypes of inputs and of results. None means the default.
_PAIRS: tuple[tuple[str, str | None], ...] = (
    *((name, None) for name in ("uint8", "int8", "uint16", "int16", "float16", "bfloat16")),
    *((name, None) for name in ("float32", "float64", "complex64", "complex128")),
    *(("uint8", "uint8"), ("uint16", "uint16"), ("float16", "float16"), ("bfloat16", "bfloat16")),
)


def _dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)


def _input(job: Job, dtype: np.dtype[Any]) -> Array:
    x: Array = job.sets[0].x
    if dtype.kind in "ui":
        limit = np.iinfo(dtype).max
        return ((x + 0.5) * min(limit, 10_000)).astype(dtype)
    return x.astype(dtype)


def _numpy_way(job: Job, x: Array, sums: np.dtype[Any], out: Array) -> Callable[[], object]:
    """``x.astype(...)`` and a product, as users write it without this package."""
    case = job.case
    weight = job.weight.astype(sums)
    beside = np.empty(out.shape, sums)

    def call() -> object:
        wide = x.astype(sums, copy=False)
        if job.layout == "planar":
            np.matmul(weight, wide.reshape(case.C, -1), out=beside.reshape(case.K, -1))
        else:
            np.matmul(wide.reshape(-1, case.C), weight.T, out=beside.reshape(-1, case.K))
        if out.dtype != sums:
            np.copyto(out, beside, casting="unsafe")
        return out

    return call


def _measure(
    layout: Layout, threads: int, rounds: int, isa: str
) -> Iterator[tuple[str, float, float, float]]:
    """Yield the name, and the seconds of ours, of NumPy and of the roof."""
    job = make_job(HEADLINE, layout, threads)
    fma_roof, streams = roofs_for(job, isa)
    placing = Placing(threads)
    limits = measure(
        {"fma": fma_roof, **{s.name: s for s in streams}},
        placing=placing,
        rounds=rounds,
        budget=2.0,
    )
    fma = min(limits.pop("fma"))
    stream = min(min(found) for found in limits.values())
    for x_name, y_name in _PAIRS:
        x = _input(job, _dtype(x_name))
        layer = pf.Conv1x1(
            job.weight,
            channel_axis=job.channel_axis,
            dtype=None if y_name is None else _dtype(y_name),
        )
        out = layer(x)
        sums = np.result_type(np.float32, x.dtype) if x_name != "bfloat16" else np.dtype(np.float32)
        ours = Turn(partial(layer, x, out=out, threads=threads), binds=True)
        theirs = Turn(_numpy_way(job, x, sums, np.empty_like(out)))
        found = measure({"ours": ours, "numpy": theirs}, placing=placing, rounds=rounds, budget=1.0)
        # A complex multiply-add is four real ones, and a vector holds half as many float64.
        work = {"c": 4, "f": 1}[sums.kind] * (sums.itemsize // (8 if sums.kind == "c" else 4))
        share = (x.nbytes + out.nbytes) / job.case.bytes
        name = f"{x_name} -> {out.dtype.name}"
        yield name, min(found["ours"]), min(found["numpy"]), max(fma * work, stream * share)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=9, help="(%(default)s)")
    options = parser.parse_args(arguments)
    isa, most = current_isa(), pf.get_num_threads()
    machine = describe_machine()
    records = []
    for threads in sorted({1, most}):
        for layout in LAYOUTS:
            rows = []
            with threadpool_limits(limits=threads, user_api="blas"):
                found = list(_measure(layout, threads, options.rounds, isa))
            for name, ours, theirs, roof in found:
                ratio = times(theirs / ours)
                rows.append(
                    [name, f"{1e3 * ours:.2f}", percent(roof / ours), f"{1e3 * theirs:.2f}", ratio]
                )
                records.append(
                    {"dtypes": name, "layout": layout, "threads": threads, "seconds": ours,
                     "numpy": theirs, "roof": roof}
                )  # fmt: skip
            header = [f"{HEADLINE.name}, {layout}, {threads}", "ms", "of roof", "NumPy, ms", "ours"]
            print(format_table(header, rows), end="\n\n", flush=True)
    print(headline_of(machine))
    print("wrote", write_json("dtypes", {"machine": machine, "cases": records}))


if __name__ == "__main__":
    main()
