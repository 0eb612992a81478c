"""``python -m bench.candidates``: every way to compute a layer, beside the one that is chosen.

The planner predicts the time of each candidate by a table of costs (c_src/tuning). This shows
where it is wrong on this machine: the candidate that was chosen, the quickest, and the difference.
All run in one process, one thread, in turns; the least time of each counts.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from weakref import WeakMethod

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import pointwise_fast as pf
from pointwise_fast.kernels import c_simd
from pointwise_fast.prepare import geometries, prepare
from pointwise_fast.problem import Problem

from .layers.cases import Case, quick_cases
from .measure.machine import describe_machine, headline_of

__all__ = ["Measured", "main", "measure_candidates"]

Array = npt.NDArray[Any]

#: How x, and how the output, of (channels, rows, columns) lies in memory.
LAYOUTS: dict[str, Callable[[int, int, int, str], Array]] = {
    "planar": lambda c, h, w, dtype: np.zeros((c, h, w), dtype),
    "interleaved": lambda c, h, w, dtype: np.moveaxis(np.zeros((h, w, c), dtype), -1, 0),
    "window": lambda c, h, w, dtype: np.zeros((c, h + 5, w + 7), dtype)[:, :h, :w],
}
#: x and output.
PAIRS = [("planar", "planar"), ("interleaved", "interleaved"), ("interleaved", "planar"),
         ("planar", "interleaved"), ("window", "planar")]  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Seconds of the candidates of one problem, that which is chosen first."""

    name: str
    seconds: Sequence[float]
    descriptions: Sequence[str]

    @property
    def loss(self) -> float:
        """Time of the one that is chosen over that of the quickest."""
        return self.seconds[0] / min(self.seconds)

    @property
    def quickest(self) -> int:
        return self.seconds.index(min(self.seconds))


def measure_candidates(
    case: Case, pair: tuple[str, str], dtype: str, budget: float, rounds: int = 5
) -> Measured:
    """Time all candidates for at least `budget` seconds each, in turns."""
    x_layout, y_layout = pair
    rng = np.random.default_rng(0)
    x = LAYOUTS[x_layout](case.C, case.H, case.W, dtype)
    x[...] = rng.integers(0, 100, x.shape)
    y = LAYOUTS[y_layout](case.K, case.H, case.W, "f4")
    weight = rng.standard_normal((case.K, case.C)).astype("f4")
    layer = pf.Conv1x1(weight, channel_axis=0, backend="c")
    problem = prepare(layer._spec, geometries(x, None, y, None), WeakMethod(layer._pack)).problem
    assert isinstance(problem, Problem)
    plans = [c_simd.CPlan(problem, candidate=i) for i in range(c_simd.count_candidates(problem))]
    packed = [plan.pack(weight, None) for plan in plans]
    best = [math.inf] * len(plans)
    for _ in range(rounds):
        for i, plan in enumerate(plans):
            end = time.perf_counter() + budget / rounds
            while True:
                start = time.perf_counter()
                plan.run(packed[i], x, None, y, 1)
                now = time.perf_counter()
                best[i] = min(best[i], now - start)
                if now > end:
                    break
    name = f"{case.C}x{case.H}x{case.W}-{case.K} {x_layout} -> {y_layout} {dtype}"
    return Measured(name, best, [plan.describe() for plan in plans])


def _report(measured: Sequence[Measured], least: float) -> str:
    lines = []
    for m in sorted(measured, key=lambda m: -m.loss):
        if m.loss < least:
            break
        lines.append(f"{m.name}: {m.seconds[0] * 1e6:.0f} us, {m.loss:.2f} of the quickest")
        lines += [f"    chosen    {m.descriptions[0]}"]
        lines += [f"    quickest  {m.descriptions[m.quickest]}"]
    mean = math.exp(sum(math.log(m.loss) for m in measured) / len(measured))
    within = sum(m.loss <= 1.05 for m in measured)
    lines.append(f"{len(measured)} problems: {mean:.3f} of the quickest (geometric mean), "
                 f"{within} within 5%")  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--budget", type=float, default=0.03, help="seconds a candidate (0.03)")
    parser.add_argument("--least", type=float, default=1.1, help="ratio from which to list (1.1)")
    parser.add_argument("--dtypes", nargs="+", default=["f4", "u1"], help="of x (f4 u1)")
    parser.add_argument("--json", type=Path, help="where to write all times")
    chosen = parser.parse_args(arguments)
    print(f"{headline_of(describe_machine())}; table of costs: {c_simd.tuning()}")
    cases = [c for c in quick_cases() if c.stride == c.groups == c.N == 1 and c.H * c.W > 1]
    jobs = tqdm(list(product(cases, PAIRS, chosen.dtypes)), disable=None)
    measured = [measure_candidates(case, pair, d, chosen.budget) for case, pair, d in jobs]
    print(_report(measured, chosen.least))
    if chosen.json:
        rows = [{"name": m.name, "seconds": m.seconds, "plans": m.descriptions} for m in measured]
        found = {"machine": describe_machine(), "tuning": c_simd.tuning(), "problems": rows}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
