"""Writes docs/features.md: what each backend supports, from the backends' own declarations.

Run: python tools/features.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pointwise_fast.dispatch import BACKENDS
from pointwise_fast.kernels import c_simd, numba_parallel, numpy_blas
from pointwise_fast.kernels.features import FEATURES

TARGET = Path(__file__).resolve().parent.parent / "docs" / "features.md"

#: Instruction sets of the C backend; each has every kernel.
ISAS = ("avx512", "avx2", "neon", "scalar")
DECLARED = {
    **{f"c, {isa}": c_simd.FEATURES for isa in ISAS},
    "numba": numba_parallel.FEATURES,
    "numpy": numpy_blas.FEATURES,
}
assert set(BACKENDS) == {name.split(",")[0] for name in DECLARED}

_HEAD = """# Features by backend

tools/features.py writes this page from what the backends declare; tests/test_features.py tests each
cell. `auto` takes the first backend that has all that a call needs, in the order c, numba, numpy. A
backend that is asked for by name refuses a feature that it lacks, and names it.

"""
_TAIL = """
Stride, any number of axes, any strides of the arrays and `out=` work with every backend, because
they are settled before one is chosen; so does `scale=` without an offset, which the weights take.
The C backend falls back to NumPy for heads and missing data with groups, with complex numbers, or
with more than 2048 channels (1024 of float64); for complex weights of real input; and for chains
with missing data or complex numbers. Numba has the same limits for heads and missing data, and no
`valid='any'`: sums over the channels that are there take kernels of their own, not a step after the
sums. Where the CPU has no fused multiply-adds, Numba does not support `offset=`.
"""


def lines() -> Iterator[str]:
    yield "| | " + " | ".join(DECLARED) + " |"
    yield "| --- |" + " :-: |" * len(DECLARED)
    for feature in FEATURES:
        cells = ["yes" if feature in has else "-" for has in DECLARED.values()]
        yield f"| {feature} | " + " | ".join(cells) + " |"


def render() -> str:
    return _HEAD + "\n".join(lines()) + "\n" + _TAIL


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render())
    print("wrote", TARGET.name)
