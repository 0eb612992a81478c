"""The 1x1 layers at the head of an Inception module, which all read the same input.

GoogLeNet's module 3a (Szegedy et al.: "Going Deeper with Convolutions", 2014) takes 192 channels of
28 x 28 pixels. Three of its branches begin with a 1x1 layer: 64 filters that are a branch of their
own, and 96 and 16 that reduce the channels for the 3x3 and 5x5 convolutions after them. `Branches`
computes the three from one read of the input, into three arrays or side by side into one.

Run ``python examples/inception.py``; it writes ``examples/output/inception.png``. It needs
matplotlib: ``pip install 'pointwise_fast[examples]'``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

import pointwise_fast as pf

mpl.use("Agg")
import matplotlib.pyplot as plt

Array = npt.NDArray[np.float32]

OUTPUT = Path(__file__).resolve().parent / "output"

CHANNELS = 192
FILTERS = {"1x1": 64, "before 3x3": 96, "before 5x5": 16}


def heads(seed: int = 3) -> pf.Branches:
    """The three layers, with random weights of He's variance."""
    rng = np.random.default_rng(seed)
    layers = [
        pf.Conv1x1(
            rng.standard_normal((filters, CHANNELS, 1, 1)) * np.sqrt(2 / CHANNELS),
            bias=rng.standard_normal(filters) / 10,
            activation="relu",
        )
        for filters in FILTERS.values()
    ]
    return pf.Branches(*layers)


def images(n: int, size: int = 28) -> Array:
    """Smooth positive maps, as ReLU and pooling leave them: ``(n, 192, size, size)``."""
    rng = np.random.default_rng(0)
    waves = rng.uniform(0, 0.4, (2, n, CHANNELS, 1, 1))
    row, column = np.mgrid[:size, :size]
    maps = np.cos(waves[0] * row + waves[1] * column + rng.uniform(0, 6, (n, CHANNELS, 1, 1)))
    result: Array = np.maximum(maps, 0).astype(np.float32)
    return result


def milliseconds(function: Callable[[], Any], repeats: int = 20) -> float:
    """The time of the fastest of `repeats` calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main() -> None:
    x, branches = images(8), heads()
    n, _, height, width = x.shape
    whole = np.empty((n, sum(FILTERS.values()), height, width), np.float32)
    outs = tuple(np.empty((n, k, height, width), np.float32) for k in FILTERS.values())

    def in_turn() -> None:
        for layer, out in zip(branches.layers, outs, strict=True):
            layer(x, out=out)

    print(f"{x.shape} float32 -> {tuple(FILTERS.values())}, {pf.get_num_threads()} threads:")
    print(f"  pf.Branches, three arrays  {milliseconds(lambda: branches(x, out=outs)):8.3f} ms")
    print(f"  pf.Branches, side by side  {milliseconds(lambda: branches(x, out=whole)):8.3f} ms")
    print(f"  one layer after another    {milliseconds(in_turn):8.3f} ms")
    in_turn()
    branches(x, out=whole)
    same = np.array_equal(np.concatenate(outs, axis=1), whole)
    print(f"  the same bits: {same}")

    figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
    for axis, (name, filters), out in zip(axes, FILTERS.items(), outs, strict=True):
        axis.imshow(out[0].reshape(filters, -1), aspect="auto", cmap="magma")
        axis.set_title(f"{name}: {filters} filters")
        axis.set_xlabel("pixel")
        axis.set_ylabel("filter")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "inception.png", dpi=80)
    print(f"wrote {OUTPUT.name}/inception.png")


if __name__ == "__main__":
    main()
