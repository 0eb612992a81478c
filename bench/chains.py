"""``python -m bench.chains``: chains against their layers called one after another, and NumPy.

All of them write into arrays that were allocated before, hidden channels included.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

import pointwise_fast as pf

from .layers.cases import LAYOUTS, Layout
from .measure.machine import describe_machine, headline_of
from .measure.placing import Placing
from .measure.rounds import measure
from .measure.turn import Turn
from .report.tables import format_table, times, write_json

__all__ = ["main"]

Array = npt.NDArray[Any]


class _Chain(NamedTuple):
    channels: tuple[int, int, int]
    rows: int
    columns: int
    activation: pf.typing.Activation | None

    @property
    def name(self) -> str:
        return "-".join(map(str, self.channels)) + f" {self.rows}x{self.columns}"


_CHAINS = (
    _Chain((3, 16, 3), 2160, 3840, "relu"),
    _Chain((8, 24, 8), 1000, 1000, "relu"),
    _Chain((50, 20, 50), 600, 600, None),
    _Chain((64, 256, 64), 56, 56, "relu"),
    _Chain((512, 2048, 512), 14, 14, "relu"),
    _Chain((16, 32, 16), 28, 28, "relu"),
)


def _ways(chain: _Chain, layout: Layout, threads: int) -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    first, hidden, last = chain.channels
    axis = -3 if layout == "planar" else -1

    def array(channels: int) -> Array:
        shape = (chain.rows, chain.columns)
        whole = (channels, *shape) if layout == "planar" else (*shape, channels)
        return rng.random(whole, np.float32) - np.float32(0.5)

    W, V = rng.standard_normal((hidden, first)), rng.standard_normal((last, hidden))
    W, V = W.astype(np.float32), V.astype(np.float32)
    one = pf.Conv1x1(W, activation=chain.activation, channel_axis=axis)
    two = pf.Conv1x1(V, channel_axis=axis)
    both = pf.Chain(one, two)
    x, between, y = array(first), array(hidden), array(last)

    def in_turn() -> object:
        one(x, out=between, threads=threads)
        return two(between, out=y, threads=threads)

    def by_numpy() -> object:
        if layout == "planar":
            flat = between.reshape(hidden, -1)
            np.matmul(W, x.reshape(first, -1), out=flat)
        else:
            flat = between.reshape(-1, hidden)
            np.matmul(x.reshape(-1, first), W.T, out=flat)
        if chain.activation is not None:
            np.maximum(flat, 0, out=flat)
        if layout == "planar":
            return np.matmul(V, flat, out=y.reshape(last, -1))
        return np.matmul(flat, V.T, out=y.reshape(-1, last))

    return {
        "chain": lambda: both(x, out=y, threads=threads),
        "in turn": in_turn,
        "numpy": by_numpy,
    }


def _measured(threads: int, rounds: int) -> Iterator[dict[str, Any]]:
    for layout in LAYOUTS:
        for chain in _CHAINS:
            ways = _ways(chain, layout, threads)
            turns = {name: Turn(call, binds=name != "numpy") for name, call in ways.items()}
            with threadpool_limits(limits=threads, user_api="blas"):
                found = measure(turns, placing=Placing(threads), rounds=rounds, budget=4.0)
            best = {name: min(seconds) for name, seconds in found.items()}
            yield {"chain": chain.name, "layout": layout, "threads": threads, "seconds": best}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=15, help="(%(default)s)")
    options = parser.parse_args(arguments)
    machine, records = describe_machine(), []
    for threads in sorted({1, pf.get_num_threads()}):
        rows = []
        for record in _measured(threads, options.rounds):
            records.append(record)
            best = record["seconds"]
            rows.append(
                [
                    f"{record['chain']} {record['layout']}",
                    *(f"{1e6 * seconds:.1f}" for seconds in best.values()),
                    times(best["in turn"] / best["chain"]),
                    times(best["numpy"] / best["chain"]),
                ]
            )
        header = [f"{threads} threads", "chain, us", "in turn", "NumPy", "over turns", "over NumPy"]
        print(format_table(header, rows), end="\n\n", flush=True)
    print(headline_of(machine))
    print("wrote", write_json("chains", {"machine": machine, "chains": records}))


if __name__ == "__main__":
    main()
