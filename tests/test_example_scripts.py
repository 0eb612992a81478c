"""The scripts in ``examples/`` run and draw their pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT


@pytest.mark.parametrize(
    ("script", "picture", "says"),
    [
        ("colour.py", "colour.png", "largest difference"),
        ("bands.py", "bands.png", "explained variance"),
        ("mlpconv.py", "mlpconv.png", "largest difference"),
        ("inception.py", "inception.png", "the same bits: True"),
    ],
)
def test_example(script: str, picture: str, says: str, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="the examples extra is not installed")
    image = pytest.importorskip("matplotlib.image", reason="the examples extra is not installed")
    # A copy, so that the picture is drawn beside it and not in the checkout.
    copy = tmp_path / script
    copy.write_text((ROOT / "examples" / script).read_text())
    done = subprocess.run(
        [sys.executable, str(copy)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    drawn = image.imread(tmp_path / "output" / picture)[..., :3]
    assert min(drawn.shape[:2]) > 300
    assert drawn.std() > 0.05


def test_colour_matrices_agree_with_numpy() -> None:
    pytest.importorskip("skimage", reason="the examples extra is not installed")
    code = (
        "import numpy as np, colour\n"
        "image = np.random.default_rng(0).random((9, 7, 3), np.float32)\n"
        "for m in (colour.SEPIA, colour.saturation(1.8)):\n"
        "    got = colour.transform(image, m)\n"
        "    bound = 7 * np.finfo(np.float32).eps * (image @ abs(m.T))\n"
        "    assert np.all(abs(got - np.clip(image.astype(float) @ m.T, 0, 1)) <= bound)\n"
        "np.testing.assert_allclose(colour.saturation(1), np.eye(3), atol=1e-12)\n"
        "print('agreed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "examples",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "agreed", done.stderr
