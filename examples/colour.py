"""Colour matrices on a photograph: sepia, and a saturation that is the product of three matrices.

Run ``python examples/colour.py``; it writes ``examples/output/colour.png``. The picture comes
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
from skimage import data

import pointwise_fast as pf

mpl.use("Agg")
import matplotlib.pyplot as plt

Image = npt.NDArray[np.float32]

OUTPUT = Path(__file__).resolve().parent / "output"

#: R, G, B of the toned print, for R, G, B of the photograph. The rows sum to more than 1, so that
#: light areas have to be clipped.
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])

#: Luma and the two colour differences of ITU-R BT.601, as JPEG uses them.
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def saturation(factor: float) -> npt.NDArray[np.float64]:
    """To YCbCr, colour differences times `factor`, and back, as one matrix."""
    matrix: npt.NDArray[np.float64] = np.linalg.inv(YCBCR) @ np.diag([1, factor, factor]) @ YCBCR
    return matrix


def transform(image: Image, matrix: npt.NDArray[np.float64]) -> Image:
    """`matrix` applied to every pixel, clipped to what a screen can show."""
    return pf.conv1x1(image, matrix, activation=("clip", 0, 1), channel_axis=-1)


def milliseconds(function: Callable[[], Any], repeats: int = 20) -> float:
    """The time of the fastest of `repeats` calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main() -> None:
    image = (data.astronaut() / 255).astype(np.float32)
    vivid = saturation(1.8)
    panels = {
        "photograph": image,
        "sepia": transform(image, SEPIA),
        "saturation x 1.8": transform(image, vivid),
        "saturation x 0.25": transform(image, saturation(0.25)),
    }

    weight = vivid.astype(np.float32)
    expected = np.clip(np.einsum("kc,hwc->hwk", weight, image), 0, 1)
    difference = abs(panels["saturation x 1.8"] - expected).max()
    print(f"{image.shape} float32, one colour matrix and a clip:")
    print(f"  pf.conv1x1             {milliseconds(lambda: transform(image, vivid)):8.3f} ms")
    plain = milliseconds(lambda: np.clip(image @ weight.T, 0, 1))
    print(f"  np.clip(image @ w.T)   {plain:8.3f} ms")
    einsum = milliseconds(lambda: np.clip(np.einsum("kc,hwc->hwk", weight, image), 0, 1))
    print(f"  np.clip(np.einsum())   {einsum:8.3f} ms")
    print(f"  largest difference     {difference:.1e}")

    figure, axes = plt.subplots(1, 4, figsize=(16, 4.25), layout="constrained")
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        axis.imshow(panel)
        axis.set_title(title)
        axis.axis("off")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "colour.png", dpi=110)
    print(f"wrote {OUTPUT.name}/colour.png")


if __name__ == "__main__":
    main()
