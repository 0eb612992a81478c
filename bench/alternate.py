"""``python -m bench.alternate``: do our calls and those of NumPy's BLAS slow each other down?

Both have threads that wait for work. A turn is two calls on two sets of arrays: either two calls of
the same kind, or one of each. Only the time of the first call is compared, because the caches hold
the same for it either way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

import pointwise_fast as pf

from .layers.cases import HEADLINE, Case
from .layers.job import make_job
from .measure.machine import describe_machine, headline_of

__all__ = ["main"]

Call = Callable[[], object]

_CASES = (HEADLINE, Case(C=64, H=56, W=56, K=64), Case(C=512, H=14, W=14, K=512))


def _calls(case: Case, threads: int) -> dict[str, tuple[Call, Call]]:
    """Return, for each kind, a call on the first set of arrays and one on the second."""
    found: dict[str, list[Call]] = {"ours": [], "matmul": []}
    for _ in range(2):
        job = make_job(case, "planar", threads)
        x, out, weight = job.sets[0].x, job.sets[0].out, job.weight
        layer = pf.Conv1x1(weight)
        flat, flat_out = x.reshape(case.C, -1), out.reshape(case.K, -1)

        def ours(layer: pf.Conv1x1 = layer, x: np.ndarray = x, out: np.ndarray = out) -> object:
            return layer(x, out=out, threads=threads)

        def matmul(
            weight: np.ndarray = weight, x: np.ndarray = flat, out: np.ndarray = flat_out
        ) -> object:
            return np.matmul(weight, x, out=out)

        found["ours"].append(ours)
        found["matmul"].append(matmul)
    return {kind: (first, second) for kind, (first, second) in found.items()}


def _first_of_two(first: Call, second: Call, seconds: float) -> float:
    """Return the median time of `first` while it alternates with `second`."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        first()
        times.append(time.perf_counter() - start)
        second()
    return median(times)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn (%(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="(%(default)s)")
    options = parser.parse_args(arguments)
    threads = pf.get_num_threads()
    print(f"{'':24s} {'of':8s} {'beside its like':>16s} {'beside the other':>17s}")
    for case in _CASES:
        calls = _calls(case, threads)
        for kind, other in (("ours", "matmul"), ("matmul", "ours")):
            times: dict[str, list[float]] = {kind: [], other: []}
            for _ in range(options.rounds):
                for beside, found in times.items():
                    found.append(_first_of_two(calls[kind][0], calls[beside][1], options.seconds))
            alone, mixed = min(times[kind]), min(times[other])
            print(
                f"{case.name:24s} {kind:8s} {alone * 1e6:13.1f} us {mixed * 1e6:14.1f} us "
                f"{mixed / alone - 1:+.1%}"
            )
    print(headline_of(describe_machine()), f"{threads} threads", sep="; ")


if __name__ == "__main__":
    main()
