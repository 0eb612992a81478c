"""`pointwise_fast.typing` has the names that calls take, and mypy refuses others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from support import ROOT

import pointwise_fast as pf
from pointwise_fast import dispatch, gradient
from pointwise_fast.activation import ACTIVATIONS, HEADS

X, WEIGHT = np.ones((3, 2, 2), np.float32), np.ones((2, 3))


def test_names_are_those_that_calls_take() -> None:
    assert set(get_args(pf.typing.ActivationName)) == set(ACTIVATIONS)
    assert get_args(pf.typing.Head) == HEADS
    assert get_args(pf.typing.BackendName) == tuple(dispatch.BACKENDS)
    assert set(get_args(pf.typing.Backend)) == {"auto", *dispatch.BACKENDS}
    assert get_args(pf.typing.GradientName) == gradient._NAMES
    for name, parameters in ACTIVATIONS.items():
        plain = len(parameters.names) == len(parameters.defaults)
        assert (name in get_args(pf.typing.PlainActivation)) == plain


@pytest.mark.parametrize("argument", ["valid", "precision"])
def test_other_names_are_refused_by_name(argument: str) -> None:
    """Names are checked where they are used, and the error lists the right ones."""
    names = get_args({"valid": pf.typing.Valid, "precision": pf.typing.Precision}[argument])
    given: Any
    for given in names:
        pf.conv1x1(X, WEIGHT, **{argument: given})
    with pytest.raises(ValueError, match=argument) as caught:
        pf.conv1x1(X, WEIGHT, **{argument: "neither"})  # type: ignore[arg-type]
    assert all(repr(name) in str(caught.value) for name in names)


GOOD = """
import numpy as np
import numpy.typing as npt
import pointwise_fast as pf

x = np.ones((3, 2, 2))
W: npt.NDArray[np.float64] = np.ones((2, 3))
name: pf.typing.Activation = "silu"
where: pf.typing.Backend = pf.backends()[0]
pf.conv1x1(x, W, activation=name, head="softmax", valid="all", precision="bf16", backend=where)
pf.conv1x1(x, W, activation=("clip", 0, None), backend="numpy")
pf.conv1x1(x, W, 0.5, activation=("leaky_relu", np.float32(0.1)), residual=1.0)
pf.conv1x1(x, W, activation=["clip", 0, 1])
pf.Conv1x1(W, activation=("prelu", np.ones(2)), head=None, backend="c")
pf.qconv1x1(x.astype("u1"), 1, 0, W.astype("i1"), 1, 0, 1, 0, [1, 2], "relu6", backend="auto")
pf.conv1x1_backward(x[:2], x, W, needs=("weight", "bias"), backend="numpy")
layer = pf.Conv1x1(W)
chain = pf.Chain(pf.Chain(layer, pf.Conv1x1(W.T)), layer)
branches = pf.Branches(layer, chain, pf.Branches(layer, chain))
channels: int = chain.in_channels + layer.out_channels + branches.in_channels + layer.groups
head: pf.typing.Head | None = chain.head
activation_: pf.typing.Activation | None = layer.activation
with pf.num_threads(2):
    layer(x, residual=1)
"""

#: Each line that begins with `pf.` is one error.
BAD = """
import numpy as np
import pointwise_fast as pf

x, W = np.ones((3, 2, 2)), np.ones((2, 3))
pf.conv1x1(x, W, activation="rellu")
pf.conv1x1(x, W, activation="clip")
pf.conv1x1(x, W, activation=("leaky_rellu", 0.1))
pf.conv1x1(x, W, head="soft_max")
pf.conv1x1(x, W, backend="C")
pf.conv1x1(x, W, valid="some")
pf.conv1x1(x, W, precision="half")
pf.Conv1x1(W, activation="rellu")
pf.Conv1x1(W, head="soft_max")
pf.Conv1x1(W, backend="C")
pf.Conv1x1(W, valid="some")
pf.Conv1x1(W, precision="half")
pf.qconv1x1(x, 1, 0, W, 1, 0, 1, 0, backend="C")
pf.conv1x1_backward(x, x, W, backend="C")
pf.conv1x1_backward(x, x, W, needs=["wait"])
pf.Conv1x1(W).in_channels = 4
pf.num_threads("2")
"""


@pytest.mark.slow
def test_mypy(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy")
    # As installed: a checkout has two folders, and an editable installation runs code to join them.
    package = tmp_path / "pointwise_fast"
    package.mkdir()
    for source in (ROOT / "pointwise_fast").iterdir():
        (package / source.name).symlink_to(source)
    (package / "kernels").symlink_to(ROOT / "kernels")
    for name, code in (("good", GOOD), ("bad", BAD)):
        (tmp_path / f"{name}.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull]
    done = subprocess.run(
        [*command, "--follow-imports=silent", "good.py", "bad.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert not [line for line in errors if not line.startswith("bad.py:")], done.stdout
    wanted = [n for n, line in enumerate(BAD.splitlines(), 1) if line.startswith("pf.")]
    assert [int(line.split(":")[1]) for line in errors] == wanted, done.stdout
