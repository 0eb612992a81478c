"""Network-in-Network's mlpconv block on a photograph: a small perceptron that looks at one pixel.

The block (Lin, Chen, Yan: "Network In Network", 2013) is a convolution followed by two 1x1
layers, all with ReLU. Here the convolution is a bank of fixed edge and blob filters on
scikit-image's ``astronaut``, and the 1x1 layers turn its 24 responses into 16 channels and these
into 8: one `Chain`, whose 16 hidden channels are never written to memory.

Run ``python examples/mlpconv.py``; it writes ``examples/output/mlpconv.png``. The picture comes
with scikit-image: ``pip install 'pointwise_fast[examples]'``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_laplace, sobel
from skimage import data

import pointwise_fast as pf

mpl.use("Agg")
import matplotlib.pyplot as plt

Array = npt.NDArray[np.float32]

OUTPUT = Path(__file__).resolve().parent / "output"

HIDDEN, FEATURES = 16, 8


def convolution(image: npt.NDArray[np.uint8]) -> Array:
    """The responses of eight filters to each colour, ``(24, H, W)``, through ReLU."""
    bands = []
    for channel in np.moveaxis(image / 255, -1, 0):
        for sigma in (1, 3):
            blurred = gaussian_filter(channel, sigma)
            edges = [sobel(blurred, axis) for axis in (0, 1)]
            bands += [*edges, blurred, -sigma * gaussian_laplace(channel, sigma)]
    return np.maximum(bands, 0).astype(np.float32)


def block(seed: int = 1) -> pf.Chain:
    """The block's two 1x1 layers, with random weights of He's variance."""
    rng = np.random.default_rng(seed)

    def layer(channels: int, filters: int) -> pf.Conv1x1:
        weight = rng.standard_normal((filters, channels)) * np.sqrt(2 / channels)
        return pf.Conv1x1(weight, bias=np.zeros(filters), activation="relu")

    return pf.Chain(layer(24, HIDDEN), layer(HIDDEN, FEATURES))


def with_numpy(chain: pf.Chain, bands: Array) -> Array:
    """The same with `numpy.einsum`."""
    result = bands
    for layer in chain.layers:
        weight = layer.weight.astype(np.float32)
        result = np.maximum(np.einsum("kc,chw->khw", weight, result, optimize=True), 0)
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
    image = data.astronaut()
    bands, chain = convolution(image), block()
    first, last = chain.layers
    features = chain(bands)
    print(f"{bands.shape} float32 -> {HIDDEN} -> {FEATURES}, {pf.get_num_threads()} threads:")
    print(f"  one pass, pf.Chain      {milliseconds(lambda: chain(bands)):8.3f} ms")
    print(f"  one layer, then the next{milliseconds(lambda: last(first(bands))):8.3f} ms")
    print(f"  np.einsum               {milliseconds(lambda: with_numpy(chain, bands)):8.3f} ms")
    print(f"  largest difference      {abs(features - with_numpy(chain, bands)).max():.1e}")

    figure, axes = plt.subplots(2, 4, figsize=(12, 6.4), layout="constrained")
    for axis, feature in zip(axes.flat, features, strict=True):
        axis.imshow(feature, cmap="magma", vmax=np.percentile(feature, 99.5))
        axis.axis("off")
    figure.suptitle(f"{FEATURES} features of an mlpconv block")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "mlpconv.png", dpi=80)
    print(f"wrote {OUTPUT.name}/mlpconv.png")


if __name__ == "__main__":
    main()
