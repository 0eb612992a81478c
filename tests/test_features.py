"""Each cell of docs/features.md: a declared feature works, another is refused by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support import ROOT, Array, Backend

import pointwise_fast as pf
from pointwise_fast.dispatch import BACKENDS
from pointwise_fast.kernels import c_simd
from pointwise_fast.kernels.features import FEATURES

COLUMNS = [*(("c", isa) for isa in c_simd.isas()), ("numba", ""), ("numpy", "")]


@pytest.fixture(params=COLUMNS, ids=lambda column: "-".join(filter(None, column)))
def column(request: pytest.FixtureRequest) -> Iterator[str]:
    """A column of the table: a backend, with its instruction set selected."""
    backend, isa = request.param
    if backend not in pf.backends():
        pytest.skip(f"{backend} is not here")
    before = c_simd.isa()
    if isa:
        c_simd.select_isa(isa)
    yield backend
    if isa:
        c_simd.select_isa(before)


def dtype_of(name: str) -> Any:
    if name == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(name)


def settings_of(feature: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The dtype of x, settings of a layer and arguments of a call that need `feature`."""
    name, _, what = feature.partition(" ")
    if what == "input":
        return dtype_of(name), {}, {}
    if what == "output":
        return np.dtype("c8" if name.startswith("complex") else "f4"), {"dtype": dtype_of(name)}, {}
    if feature == "foreign byte order":
        return np.dtype("f4").newbyteorder("S"), {}, {}
    plain = np.dtype("f4")
    if feature.startswith("head="):
        return plain, {"head": feature.split("'")[1]}, {}
    mask = np.zeros((5, 9), bool)
    mask[2, 3:6] = True
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "bias": ({"bias": np.arange(4.0)}, {}),
        "residual": ({}, {"residual": np.ones((4, 5, 9), plain)}),
        "activations": ({"activation": "relu"}, {}),
        "prelu": ({"activation": ("prelu", [0.1, 0.2, 0.3, 0.4])}, {}),
        "groups": ({"groups": 2}, {}),
        "nodata=": ({"nodata": 0}, {}),
        "mask=": ({}, {"mask": mask}),
        "valid='any'": ({"nodata": 0, "valid": "any"}, {}),
        "precision='float64'": ({"precision": "float64"}, {}),
        "offset=": ({"offset": [1, 0, 2, 3, -1, 0.5]}, {}),
        "chains of layers": ({}, {}),
    }
    return plain, *found[feature]


def example(rng: np.random.Generator, dtype: np.dtype[Any], groups: int) -> tuple[Array, Array]:
    x = rng.integers(0, 2 if dtype.kind == "b" else 90, (6, 5, 9)).astype(dtype)
    x[:, 1, 1] = 1
    x[1, 1, 1] = 0  # nodata, in one band
    weight = rng.integers(1, 4, (4, 6 // groups)).astype(np.float32)
    weight[0] *= -1
    return x, weight


def layer_of(feature: str, weight: Array, settings: dict[str, Any], backend: Any) -> Any:
    layer = pf.Conv1x1(weight, **settings, backend=backend)
    if feature == "chains of layers":
        return pf.Chain(layer, pf.Conv1x1(np.eye(4)[::-1] * 2))
    return layer


def all_gradients(x: Array, weight: Array, backend: Backend) -> Array:
    found = pf.conv1x1_backward(
        np.ones((4, 5, 9), np.float32), x.astype(np.float32), weight, backend=backend
    )
    return np.concatenate([np.ravel(gradient) for gradient in found if gradient is not None])


#: Features that are functions: each takes x, weight and backend, and gives one array.
FUNCTIONS: dict[str, Callable[[Array, Array, Any], Array]] = {
    "gradients": all_gradients,
    "quantised": lambda x, w, backend: pf.qconv1x1(
        x.astype(np.uint8), 0.5, 3, w.astype(np.int8), 0.25, 0, 2.0, 7, backend=backend
    ),
}


@pytest.mark.parametrize("feature", FUNCTIONS)
def test_a_function(feature: str, column: str, rng: np.random.Generator) -> None:
    x, weight = example(rng, np.dtype("u1"), 1)
    call = FUNCTIONS[feature]
    if feature not in BACKENDS[column].FEATURES:
        with pytest.raises(ValueError, match=f"backend {column!r} does not support"):
            call(x, weight, column)
        return
    y = call(x, weight, column)
    assert np.array_equal(y, call(x, weight, "numpy"))
    assert len(np.unique(y)) > 2


@pytest.mark.parametrize("feature", [name for name in FEATURES if name not in FUNCTIONS])
def test_a_cell(feature: str, column: str, rng: np.random.Generator) -> None:
    dtype, settings, arguments = settings_of(feature)
    x, weight = example(rng, dtype, settings.get("groups", 1))
    if feature not in BACKENDS[column].FEATURES:
        with pytest.raises(ValueError, match="does not support") as caught:
            layer_of(feature, weight, settings, column)(x, **arguments)
        named = str(caught.value).partition("does not support ")[2]
        assert named in FEATURES
        assert named not in BACKENDS[column].FEATURES
        return
    y = layer_of(feature, weight, settings, column)(x, **arguments)
    expected = layer_of(feature, weight, settings, "numpy")(x, **arguments)
    assert y.dtype == expected.dtype
    if y.dtype.kind in "ui":
        assert np.array_equal(y, expected)
    else:
        wide = np.complex128 if y.dtype.kind == "c" else np.float64
        assert np.allclose(y.astype(wide), expected.astype(wide), rtol=2e-6, equal_nan=True)
    plain = pf.conv1x1(x, weight, groups=settings.get("groups", 1), backend="numpy")
    without = feature.endswith(("input", "output", "order", "float64'")) or feature == "groups"
    assert without or y.shape != plain.shape or not np.array_equal(y, plain)


def test_the_table_is_current() -> None:
    spec = importlib.util.spec_from_file_location("features", ROOT / "tools" / "features.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text() == module.render()
