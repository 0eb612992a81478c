"""Options of the suite itself: orders of sums, and skips that count as failures."""

from __future__ import annotations

import numpy as np
import pytest
from shuffled import ShuffledMatmul
from support import ROOT, assert_conv, run_python

import pointwise_fast as pf

MATRICES = [((3, 40), (40, 50)), ((2, 3, 40), (2, 40, 5)), ((40,), (40, 5)), ((3, 40), (40,)),
            ((5000, 9), (9, 3)), ((3, 0), (0, 4)), ((0, 3), (3, 4))]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), MATRICES, ids=str)
def test_shuffled_products_are_products(
    a: tuple[int, ...], b: tuple[int, ...], seed: int, rng: np.random.Generator
) -> None:
    A, B = (rng.integers(-9, 10, shape).astype(np.float64) for shape in (a, b))
    product = ShuffledMatmul(seed)
    assert np.array_equal(product(A, B), A @ B)
    out = np.full((A @ B).shape, np.nan)
    assert product(A, B, out=out) is out
    assert np.array_equal(out, A @ B)


def test_shuffled_products_into_an_operand(seed: int, rng: np.random.Generator) -> None:
    A, B = rng.integers(-9, 10, (2, 4, 4)).astype(np.float64)
    expected = A @ B
    ShuffledMatmul(seed)(A, B, out=B)
    assert np.array_equal(B, expected)


def test_orders_of_sums_show(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """In the NumPy backend the same call has the same bits, and another seed has others."""
    x, weight = rng.standard_normal((50, 30, 31), np.float32), rng.standard_normal((4, 50))
    found = set()
    for seed in range(5):
        monkeypatch.setattr(np, "matmul", ShuffledMatmul(seed))
        y = pf.conv1x1(x, weight, backend="numpy")
        assert_conv(y, x, weight)
        assert np.array_equal(pf.conv1x1(x, weight, backend="numpy"), y)
        found.add(y.tobytes())
    assert len(found) > 1


@pytest.mark.parametrize(
    ("reason", "fails"), [("no reason at all", True), ("no AVX-512 BF16", False)]
)
def test_strict_skips(reason: str, fails: bool, tmp_path: object) -> None:
    code = f"""
        import pathlib, sys
        import pytest
        folder = pathlib.Path({str(tmp_path)!r})
        (folder / "conftest.py").write_text({(ROOT / "conftest.py").read_text()!r})
        (folder / "test_it.py").write_text(
            "import pytest\\ndef test_it():\\n    pytest.skip({reason!r})\\n"
            "def test_other(): pass\\n"
        )
        for options in ([], ["--strict-skips"]):
            print(int(pytest.main([str(folder), "--rootdir", str(folder), "-p", "no:cacheprovider",
                                   *options])))
    """
    done = run_python(code)
    statuses = [line for line in done.stdout.splitlines() if line in ("0", "1")]
    assert statuses == ["0", str(int(fails))]
    assert ("a reason that conftest.py does not list" in done.stdout) == fails
