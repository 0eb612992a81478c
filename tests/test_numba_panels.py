"""The Numba backend's heads and missing data: vectors, layouts, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import pointwise_fast as pf
from pointwise_fast.kernels import numba_plan

pytest.importorskip("numba")


@pytest.mark.parametrize(
    ("head", "dtype"),
    [("log_softmax", np.dtype(np.float64)), ("l2_normalize", np.dtype(np.float32))],
)
def test_heads_are_vectors_without_calls(
    head: str, dtype: np.dtype[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pointwise_fast.kernels import numba_heads, numba_loops

    monkeypatch.setattr(
        numba_heads,
        "compile_cached",
        lambda decorator, signature, f: decorator(signature, **numba_loops.OPTIONS)(f),
    )
    lanes = numba_plan.machine()[0] // dtype.itemsize
    compiled = numba_heads.compile_head(head, dtype.type, lanes)
    llvm = compiled._library.get_llvm_str()
    assert re.search(rf"<{lanes} x {'float' if dtype == np.float32 else 'double'}>", llvm)
    # Intrinsics of LLVM may become calls as late as this.
    code = compiled._library.get_asm_str()
    assert not re.search(r"\b(exp|log|sqrt)f?\b", code)


@pytest.mark.parametrize("head", [None, "softmax", "argmax"])
@pytest.mark.parametrize("layouts", ["planar to interleaved", "interleaved to planar", "window"])
def test_panels_of_other_layouts(layouts: str, head: Any, rng: np.random.Generator) -> None:
    """Panels end anywhere in rows; outputs, residuals and masks lie in memory as they like."""
    wide = rng.integers(-9, 10, (12, 41, 1100)).astype(np.float32)
    wide[rng.random(wide.shape) < 0.002] = 7.5
    x = wide[:, 1:40:2, 30:1070] if layouts == "window" else wide[:, :20, :1040]
    if layouts.startswith("interleaved"):
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    mask = (rng.random((1040, 20)) < 0.02).T
    mask[5] = True
    weight = rng.integers(-9, 10, (20, 12)) / np.float32(64)
    settings: dict[str, Any] = {"nodata": 7.5, "fill": 99, "head": head}
    call: dict[str, Any] = {"mask": mask}
    if head is None:
        call["residual"] = np.moveaxis(rng.integers(-9, 10, (20, 1040, 20)).astype("f4"), -1, 0)
    expected = pf.conv1x1(x, weight, backend="numpy", **settings, **call)
    out = np.empty_like(expected)
    if layouts.endswith("interleaved") and head != "argmax":
        out = np.moveaxis(np.empty((20, 1040, 20), np.float32), -1, 0)
    for threads in (1, 3):
        out[...] = 0
        pf.conv1x1(x, weight, backend="numba", threads=threads, out=out, **settings, **call)
        # Sums are exact, so that what differs are a few units of a positive fraction.
        np.testing.assert_allclose(out, expected, rtol=2e-6)
        assert np.array_equal(out == 99, expected == 99)


def test_what_heads_and_missing_data_do_not_have() -> None:
    x = np.ones((4, 5, 6), np.float32)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"head": "softmax", "groups": 2}, "head='softmax' with groups=2"),
        ({"nodata": 0, "groups": 2}, "missing data with groups=2"),
        ({"nodata": 0, "valid": "any"}, "valid='any'"),
        ({"head": "argmax", "K": 2049}, "head='argmax' with more than 2048 channels"),
    )
    for settings, says in refused:
        weight = np.ones((settings.pop("K", 4), 4 // settings.get("groups", 1)), np.float32)
        with pytest.raises(ValueError, match=re.escape(f"'numba' does not support {says}")):
            pf.conv1x1(x, weight, backend="numba", **settings)


@pytest.mark.parametrize("axis", [0, -1])
def test_heads_may_be_written_over_x(axis: int, rng: np.random.Generator) -> None:
    """Also where the sums alone could not be: a panel of x is read before its head is written."""
    x = rng.standard_normal((50, 5_003)).astype(np.float32)
    w, b = rng.standard_normal((50, 50)), rng.standard_normal(50)
    x = np.ascontiguousarray(np.moveaxis(x, 0, axis))
    layer = pf.Conv1x1(w, b, head="softmax", channel_axis=axis - (axis == 0) * 2, backend="numba")
    beside = layer(x)
    np.testing.assert_array_equal(layer(x, out=x, threads=2), beside)
