"""The layers that are measured. Real networks and real images need them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .. import ROOT

__all__ = [
    "HEADLINE",
    "LAYOUTS",
    "MIXED",
    "QUICK",
    "REGIMES",
    "Case",
    "Layout",
    "Regime",
    "load_cases",
    "quick_cases",
    "regime_of",
]

Layout = Literal["planar", "interleaved", "to planar", "to interleaved"]
LAYOUTS: tuple[Layout, ...] = ("planar", "interleaved")
#: The layout of x differs from that of the result. Both arrays have their channels first, and one
#: of them is a view of interleaved memory.
MIXED: tuple[Layout, ...] = ("to planar", "to interleaved")

FLOAT = 4  # bytes: every case is float32


@dataclass(frozen=True, slots=True)
class Case:
    """One layer: N images of C channels and H x W pixels to K channels.

    Attributes
    ----------
    N, C, H, W, K, stride, groups : int
        H and W are the input's.
    bias, residual : bool
    activation : str or None
    origin : str
        "cnn", "channel-mixing" (images and spectra) or "benchmark" (another project's suite).
    count : int
        How often the networks of `used_in` use it.
    used_in : tuple of str
        Networks or data sets.
    """

    C: int
    H: int
    W: int
    K: int
    N: int = 1
    stride: int = 1
    groups: int = 1
    bias: bool = False
    activation: str | None = None
    residual: bool = False
    origin: str = ""
    count: int = 1
    used_in: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Short and unique, such as ``256x56x56-512 s2``."""
        parts = [f"{self.C}x{self.H}x{self.W}-{self.K}"]
        parts += [f"n{self.N}"] if self.N > 1 else []
        parts += [f"s{self.stride}"] if self.stride > 1 else []
        parts += [f"g{self.groups}"] if self.groups > 1 else []
        parts += ["bias"] if self.bias else []
        parts += [self.activation] if self.activation else []
        parts += ["res"] if self.residual else []
        return " ".join(parts)

    @property
    def rows(self) -> int:
        """Output rows of an image."""
        return -(-self.H // self.stride)

    @property
    def columns(self) -> int:
        """Output columns."""
        return -(-self.W // self.stride)

    @property
    def pixels(self) -> int:
        """Output pixels of all images."""
        return self.N * self.rows * self.columns

    @property
    def flops(self) -> int:
        """Two for each multiply-add of the sums. The epilogue is not counted."""
        return 2 * self.pixels * (self.C // self.groups) * self.K

    @property
    def bytes_read(self) -> int:
        """Bytes of the input elements that are used, the residual, weights and bias, once each."""
        pixels = self.C + (self.K if self.residual else 0)
        weights = self.K * self.C // self.groups + (self.K if self.bias else 0)
        return FLOAT * (self.pixels * pixels + weights)

    @property
    def bytes_written(self) -> int:
        return FLOAT * self.pixels * self.K

    @property
    def bytes(self) -> int:
        return self.bytes_read + self.bytes_written


HEADLINE = Case(C=50, H=600, W=600, K=20)


class Regime(NamedTuple):
    """A kind of case and its aims. None means that no figure was set."""

    title: str
    fraction: float | None = None
    speedup: float | None = None


#: The aims are a fraction of the roof and a speedup over the fastest peer.
REGIMES: dict[str, Regime] = {
    "mixed layouts": Regime("x interleaved and the result planar, or the reverse"),
    "headline planar": Regime("50x600x600-20, planar", 0.90, 2.6),
    "headline interleaved": Regime("50x600x600-20, interleaved", 0.85, 2.4),
    "colour": Regime("C, K <= 4", 0.85, 4.0),
    "aliased": Regime("planes a multiple of 4 KiB apart, C > 8", 0.70, 1.5),
    "stream": Regime("100,000 pixels or more", 0.90, 2.0),
    "large": Regime("images of 56 x 56 or more", 0.88, 1.3),
    "deep": Regime("images of up to 16 x 16, C, K >= 256", 0.90, 1.05),
    "middle": Regime("between large and deep"),
    "strided": Regime("stride 2"),
    "grouped": Regime("2 groups or more"),
    "small": Regime("a single pixel, or under 0.5 M multiply-adds", None, 1.0),
}


def regime_of(case: Case, layout: Layout) -> str:
    """The first key of `REGIMES` that fits. Special kinds come before sizes."""
    if layout in MIXED:
        return "mixed layouts"
    image = case.rows * case.columns
    if (case.C, case.H, case.W, case.K) == (50, 600, 600, 20):
        return f"headline {layout}"
    if max(case.C, case.K) <= 4:
        return "colour"
    if case.pixels == 1 or case.flops < 1_000_000:
        return "small"
    if case.stride > 1:
        return "strided"
    if case.groups > 1:
        return "grouped"
    if layout == "planar" and case.C > 8 and FLOAT * image % 4096 == 0:
        return "aliased"
    if case.pixels >= 100_000:
        return "stream"
    if image >= 56 * 56:
        return "large"
    if image <= 16 * 16 and min(case.C, case.K) >= 256:
        return "deep"
    return "middle"


def load_cases() -> list[Case]:
    """All cases of ``cases/layers.json``."""
    rows = json.loads((ROOT / "bench" / "cases" / "layers.json").read_text())
    return [Case(**{**row, "used_in": tuple(row["used_in"])}) for row in rows]


def quick_cases() -> list[Case]:
    """Thirty cases that stand for the rest. Every regime has some."""
    by_name = {case.name: case for case in load_cases()}
    return [by_name[name] for name in QUICK]


#: Often quoted sizes come first. No working set exceeds 0.3 GB.
QUICK: tuple[str, ...] = (
    "64x56x56-256 bias relu res",
    "256x56x56-64 bias relu",
    "32x112x112-64 bias relu6",
    "24x56x56-144 bias relu6",
    "96x56x56-384 bias gelu",
    "128x28x28-512 bias relu res",
    "512x28x28-128 bias relu",
    "728x19x19-728 bias relu",
    "116x14x14-116 bias relu",
    "112x14x14-672 bias silu",
    "960x7x7-160 bias res",
    "256x14x14-1024 bias relu res",
    "1024x14x14-256 bias relu",
    "512x14x14-512 bias relu6",
    "2048x7x7-512 bias relu",
    "512x7x7-2048 bias relu res",
    "256x56x56-512 s2 bias",
    "272x14x14-272 g4 bias relu",
    "240x28x28-60 g3 bias relu",
    "1152x1x1-48 bias silu",
    "192x8x8-10 bias relu",
    "50x600x600-20 bias",
    "103x610x340-9 bias",
    "13x1098x1098-6 bias",
    "204x512x217-16 bias",
    "224x512x614-30 bias",
    "128x32x32-256 n4 bias",
    "48x160x160-32 bias silu",
    "3x1080x1920-3",
    "4x1080x1920-4 bias",
)
