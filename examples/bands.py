"""Band reduction, 50 -> 20, of a filter bank's responses to a photograph.

A fundus photograph (scikit-image's ``retina``) goes through 50 filters: Gabor filters of four
scales and six orientations, as vessel detectors use them, and two blurs. The 50 bands of
600 x 600 pixels are projected on their 20 principal components. Centring and scaling fold into
the weights and the bias, so that the whole projection is one 1x1 convolution.

Run ``python examples/bands.py``; it writes ``examples/output/bands.png``. The picture comes with
scikit-image: ``pip install 'pointwise_fast[examples]'``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from skimage import data
from skimage.filters import gabor_kernel

import pointwise_fast as pf

mpl.use("Agg")
import matplotlib.pyplot as plt

Array = npt.NDArray[np.float32]

OUTPUT = Path(__file__).resolve().parent / "output"

SIZE = 600
COMPONENTS = 20
#: Cycles per pixel: vessels are about half a period wide, 3 to 14 pixels.
FREQUENCIES = (0.16, 0.1, 0.06, 0.035)
ORIENTATIONS = 6
BLURS = (2, 12)


def photograph() -> npt.NDArray[np.uint8]:
    """600 x 600 pixels between two large vessels."""
    top, left = 400, 720
    image: npt.NDArray[np.uint8] = data.retina()[top : top + SIZE, left : left + SIZE]
    return image


def filter_bank(image: npt.NDArray[np.uint8]) -> Array:
    """The 50 bands, ``(50, 600, 600)``, of the green channel, where vessels stand out most."""
    green = image[..., 1] / 255
    padded = np.pad(green, pad := 64, mode="reflect")
    inner = slice(pad, -pad)
    bands = []
    for frequency in FREQUENCIES:
        for i in range(ORIENTATIONS):
            kernel = gabor_kernel(frequency, theta=np.pi * i / ORIENTATIONS)
            even = kernel.real - kernel.real.mean()  # blind to brightness
            for part in (even, kernel.imag):
                answer = fftconvolve(padded, part, mode="same")
                bands.append(answer[inner, inner])
    bands += [gaussian_filter(green, sigma) for sigma in BLURS]
    return np.array(bands, np.float32)


def principal_components(bands: Array) -> tuple[pf.Conv1x1, npt.NDArray[np.float64]]:
    """A layer that projects standardised bands on their components, and all variances."""
    pixels = bands.reshape(len(bands), -1).astype(np.float64)
    mean, deviation = pixels.mean(axis=1), pixels.std(axis=1)
    variances, vectors = np.linalg.eigh(np.corrcoef(pixels))
    order = np.argsort(variances)[::-1]
    weight = vectors[:, order[:COMPONENTS]].T / deviation
    return pf.Conv1x1(weight, bias=-weight @ mean), variances[order]


def milliseconds(function: Callable[[], Any], repeats: int = 10) -> float:
    """The time of the fastest of `repeats` calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def compare(layer: pf.Conv1x1, bands: Array) -> Array:
    """The components; prints the times of the layer and of NumPy."""
    # The layer's results for the unit vectors and for 0 give its matrix and bias.
    bias = layer(np.zeros((len(bands), 1, 1), np.float32))
    weight = (layer(np.eye(len(bands), dtype=np.float32)[:, :, np.newaxis]) - bias)[:, :, 0]
    pixels = bands.reshape(len(bands), -1)
    out = np.empty((COMPONENTS, SIZE, SIZE), np.float32)

    def matmul_in_place() -> Array:
        plane = out.reshape(COMPONENTS, -1)
        np.matmul(weight, pixels, out=plane)
        plane += bias[:, 0]
        return plane

    contenders: dict[str, Callable[[], Array]] = {
        "pf.Conv1x1(bands)": lambda: layer(bands),
        "pf.Conv1x1(bands, out=)": lambda: layer(bands, out=out),
        "np.matmul(out=), += bias": matmul_in_place,
        "np.matmul + bias": lambda: np.matmul(weight, pixels) + bias[:, 0],
        "np.einsum + bias": lambda: np.einsum("kc,cp->kp", weight, pixels) + bias[:, 0],
        "np.einsum(optimize=True) + bias": lambda: (
            np.einsum("kc,cp->kp", weight, pixels, optimize=True) + bias[:, 0]
        ),
    }
    print(f"{bands.shape} float32 -> {COMPONENTS}, {pf.get_num_threads()} threads:")
    for name, function in contenders.items():
        print(f"  {name:32} {milliseconds(function):8.2f} ms")
    layer(bands, out=out)
    difference = abs(out - contenders["np.matmul + bias"]().reshape(out.shape)).max()
    print(f"  largest difference from matmul   {difference:.1e}")
    return out


def false_colour(components: Array) -> Array:
    """Three components as red, green and blue; the middle 98 % of each fills its range."""
    low, high = np.percentile(components, (1, 99), axis=(1, 2))
    scale = 1 / (high - low)
    # Per-channel contrast is a 1x1 convolution with a diagonal matrix, too.
    stretched = pf.conv1x1(components, np.diag(scale), -low * scale, activation=("clip", 0, 1))
    return stretched.transpose(1, 2, 0)


def main() -> None:
    image = photograph()
    bands = filter_bank(image)
    layer, variances = principal_components(bands)
    components = compare(layer, bands)
    explained = np.cumsum(variances) / variances.sum()
    print(
        f"explained variance: {explained[2]:.1%} with 3 components, "
        f"{explained[COMPONENTS - 1]:.1%} with {COMPONENTS}"
    )

    figure, axes = plt.subplots(1, 2, figsize=(12, 6.2), layout="constrained")
    axes[0].imshow(image)
    axes[0].set_title("photograph")
    axes[1].imshow(false_colour(components[:3]))
    axes[1].set_title(f"components 1-3 of 50 bands, {explained[2]:.0%} of the variance")
    for axis in axes:
        axis.axis("off")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "bands.png", dpi=110)
    print(f"wrote {OUTPUT.name}/bands.png")


if __name__ == "__main__":
    main()
