"""Arrays of other libraries: which are read, which are refused, and that advice in errors works.

Each test needs its library and is skipped without it.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from support import Array, assert_conv

import pointwise_fast as pf


def weights(rng: np.random.Generator, K: int = 4, C: int = 5) -> Array:
    return rng.standard_normal((K, C)).astype(np.float32)


def refusal(call: Any, *says: str) -> str:
    """The message of the TypeError that `call` raises."""
    with pytest.raises(TypeError) as caught:
        call()
    for words in says:
        assert words in str(caught.value)
    return str(caught.value)


class Unread:
    """Fails the test that reads it."""

    shape, ndim, dtype = (5, 6, 7), 3, np.dtype("f4")

    def __array__(self, *_: Any, **__: Any) -> Array:
        pytest.fail("x was read before out was refused")


# PyTorch.


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def test_parameters_are_detached(torch: Any, rng: np.random.Generator) -> None:
    layer = torch.nn.Conv2d(5, 4, 1)
    slopes, norm = torch.nn.PReLU(4, 0.3), torch.nn.BatchNorm2d(4)
    x = rng.standard_normal((2, 5, 6, 7)).astype(np.float32)
    mine = pf.Conv1x1(layer.weight, layer.bias, activation=("prelu", slopes.weight))
    with torch.no_grad():
        expected = slopes(layer(torch.from_numpy(x))).numpy()
    assert np.allclose(mine(x), expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(mine(torch.from_numpy(x)), mine(x))
    once = pf.conv1x1(x, layer.weight, layer.bias, activation=("prelu", slopes.weight))
    assert np.array_equal(once, mine(x))
    one = torch.ones(5, requires_grad=True)
    assert np.allclose(pf.conv1x1(x, layer.weight, scale=one, offset=one),
                       pf.conv1x1(x + 1, layer.weight), rtol=1e-4, atol=1e-4)  # fmt: skip
    folded = pf.fold_batch_norm(
        layer.weight, layer.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var
    )
    assert folded[0].shape == (4, 5, 1, 1)


def test_a_gradient_is_not_lost_silently(torch: Any) -> None:
    x, W = torch.ones(5, 6, 7), np.ones((4, 5), np.float32)
    traced, layer = x.clone().requires_grad_(), pf.Conv1x1(W)
    residual = torch.zeros(4, 6, 7, requires_grad=True)
    for call, name in (
        (lambda: pf.conv1x1(traced, W), "x"),
        (lambda: layer(traced), "x"),
        (lambda: pf.Chain(layer, pf.Conv1x1(np.eye(4)))(traced), "x"),
        (lambda: pf.Branches(layer, layer)(traced), "x"),
        (lambda: layer(x, residual=residual), "residual"),
        (lambda: pf.conv1x1_backward(residual, x, W), "grad_out"),
        (lambda: pf.conv1x1_backward(residual.detach(), traced, W), "x"),
    ):
        refusal(call, f"{name} is a tensor that requires a gradient", f"pass {name}.detach()")
        with torch.no_grad():
            call()
    assert np.all(layer(traced.detach()) == 5)


def test_tensors_that_numpy_cannot_read(torch: Any, rng: np.random.Generator) -> None:
    z = torch.randn(5, 6, 7, dtype=torch.complex64, generator=torch.manual_seed(3))
    W = weights(rng)
    conjugate, negative = z.conj(), torch.imag(z.conj())
    assert conjugate.is_conj()
    assert negative.is_neg()
    assert np.array_equal(pf.conv1x1(conjugate, W), pf.conv1x1(z.numpy().conj(), W))
    assert np.array_equal(pf.conv1x1(negative, W), pf.conv1x1(-z.numpy().imag, W))
    kernel = torch.imag(z[:4, :5, 0].conj())
    x = rng.standard_normal((5, 6, 7)).astype(np.float32)
    assert np.array_equal(pf.Conv1x1(kernel)(x), pf.conv1x1(x, -z.numpy().imag[:4, :5, 0]))
    refusal(lambda: pf.conv1x1(z.real.to_sparse(), W), "x is a sparse tensor: pass x.to_dense()")
    refusal(lambda: pf.conv1x1(x, torch.from_numpy(W).to("meta")),
            "weight is a tensor on meta: pass weight.cpu()")  # fmt: skip
    refusal(lambda: pf.conv1x1(torch.ones(5, 6, 7).to(torch.float8_e5m2), W), "x is not an array")


def test_tensors_of_bfloat16(torch: Any, rng: np.random.Generator) -> None:
    pytest.importorskip("ml_dtypes")
    x = torch.from_numpy(rng.standard_normal((6, 7, 5)).astype(np.float32)).bfloat16()
    W = torch.from_numpy(weights(rng)).bfloat16()
    y = pf.conv1x1(x.permute(2, 0, 1)[:, ::2], W)
    exact = x.float().numpy().transpose(2, 0, 1)[:, ::2]
    assert y.dtype == np.float32
    assert_conv(y, exact, W.float().numpy())
    parameter = torch.nn.Parameter(W)
    assert np.array_equal(pf.Conv1x1(parameter)(exact), y)


def test_bfloat16_without_ml_dtypes(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"x is a tensor of bfloat16.*pip install ml_dtypes"):
        pf.conv1x1(torch.ones(5, 6, 7).bfloat16(), np.ones((4, 5)))


def test_a_tensor_as_out(torch: Any) -> None:
    out: Any = torch.zeros(4, 6, 7)
    message = refusal(lambda: pf.conv1x1(Unread(), np.ones((4, 5)), out=out), "got Tensor")
    recipe = re.findall(r"out\.\w+\(\)", message)[0]
    pf.conv1x1(np.ones((5, 6, 7), "f4"), np.ones((4, 5)), out=eval(recipe, {"out": out}))
    assert torch.all(out == 5)


class Unwilling:
    """Raises an error that NumPy does not raise."""

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise RuntimeError("not today")


@pytest.mark.parametrize("name", ["x", "weight", "bias", "residual", "mask"])
def test_every_refusal_names_the_argument(name: str) -> None:
    arguments: dict[str, Any] = {"x": np.ones((5, 6, 7)), "weight": np.ones((4, 5))}
    arguments[name] = Unwilling()
    refusal(lambda: pf.conv1x1(**arguments), f"{name} is not an array: not today")


# Labels and laziness.


@pytest.fixture
def xarray() -> Any:
    return pytest.importorskip("xarray")


def labelled(x: Array, xarray: Any) -> Any:
    coordinates = {"band": list("abcde"), "y": range(6)}
    return xarray.DataArray(x, dims=("band", "y", "x"), coords=coordinates)


def recipes(message: str) -> str:
    """The calls that a message recommends, word for word."""
    return re.findall(r"(?:labels|lazy) with (.*\)), where layer is", message)[0]


def layer_of(message: str, weight: Array) -> pf.Conv1x1:
    made: pf.Conv1x1 = eval(
        re.findall(r"where layer is (.*)$", message)[0], {"pf": pf, "weight": weight}
    )
    return made


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("axis", [-3, -1])
def test_xarray(axis: int, lazy: bool, xarray: Any, rng: np.random.Generator) -> None:
    x, W = rng.standard_normal((5, 6, 7), np.float32), weights(rng)
    given = labelled(x, xarray)
    if axis == -1:
        given = given.transpose("y", "x", "band")
    if lazy:
        pytest.importorskip("dask")
        given = given.chunk(y=2)
    settings: dict[str, Any] = {"channel_axis": axis}
    message = refusal(lambda: pf.conv1x1(given, W, **settings), "x is an xarray.DataArray, whose")
    assert refusal(lambda: pf.Conv1x1(W, **settings)(given)) == message
    assert refusal(lambda: pf.Branches(*[pf.Conv1x1(W, **settings)] * 2)(given)) == message
    names = {"xarray": xarray, "x": given, "layer": layer_of(message, W), "weight": W}
    y = eval(recipes(message), names)
    assert y.dims == ("y", "x", "component")
    assert y.dtype == np.float32
    assert y.coords["y"].values.tolist() == list(range(6))
    assert (y.chunks is not None) == lazy
    assert_conv(y.transpose("component", "y", "x").to_numpy(), x, W)
    plain = eval(re.findall(r"pass (x\.\w+\(\))", message)[0], names)
    assert_conv(pf.conv1x1(plain, W, **settings), plain, W, **settings)
    if lazy:
        refusal(lambda: pf.conv1x1(given, W, channels=list("abcde"),
                                   **settings), "dask='parallelized'")  # fmt: skip


def test_other_arguments_with_labels(xarray: Any) -> None:
    x, W = np.ones((5, 6, 7), np.float32), np.ones((4, 5), np.float32)
    given = xarray.DataArray(W, dims=("component", "band"))
    refusal(lambda: pf.conv1x1(x, given), "weight is an xarray.DataArray", "weight.to_numpy()")
    mask = xarray.DataArray(np.zeros((6, 7), bool))
    refusal(lambda: pf.conv1x1(x, W, mask=mask), "mask is an xarray.DataArray", "mask.to_numpy()")
    message = refusal(lambda: pf.conv1x1(labelled(x, xarray).to_dataset(name="v"), W), "Dataset")
    assert "x[variable].to_numpy()" in message
    out: Any = xarray.DataArray(np.zeros((4, 6, 7), np.float32))
    message = refusal(lambda: pf.conv1x1(Unread(), W, out=out), "out must be a numpy.ndarray")
    pf.conv1x1(x, W, out=eval(re.findall(r"out\.data", message)[0], {"out": out}))
    assert np.all(out.to_numpy() == 5)


@pytest.mark.parametrize("axis", [-3, -2, -1])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u2", "i4"])
def test_dask(axis: int, dtype: str, rng: np.random.Generator) -> None:
    da = pytest.importorskip("dask.array")
    x, W = rng.integers(0, 90, (5, 6, 7)).astype(dtype), weights(rng)
    x = np.moveaxis(x, 0, axis)
    given = da.from_array(x, chunks=3)
    message = refusal(lambda: pf.conv1x1(given, W, channel_axis=axis), "x is a dask.Array, which")
    layer = layer_of(message, W)
    y = eval(recipes(message), {"x": given, "layer": layer, "weight": W})
    expected = pf.conv1x1(x, W, channel_axis=axis)
    assert y.shape == expected.shape
    assert y.dtype == expected.dtype
    assert np.array_equal(y.compute(), expected)
    whole = eval(re.findall(r"pass (x\.\w+\(\))", message)[0], {"x": given})
    assert np.array_equal(layer(whole), expected)
    refusal(lambda: pf.conv1x1(x, da.ones((4, 5))), "weight is a dask.Array", "weight.compute()")
    refusal(lambda: pf.conv1x1(Unread(), W, out=given), "out must be a numpy.ndarray; got Array")


def test_zarr(rng: np.random.Generator) -> None:
    zarr = pytest.importorskip("zarr")
    x, W = rng.integers(0, 200, (5, 6, 7)).astype(np.uint8), weights(rng)
    given, out = zarr.array(x, chunks=(5, 2, 7)), zarr.array(np.zeros((4, 6, 7), "f4"))
    calls: list[Any] = [
        lambda: pf.conv1x1(given, W),
        lambda: pf.Conv1x1(W)(given),
        lambda: pf.conv1x1_backward(np.ones((4, 6, 7), "f4"), given, W),
        lambda: pf.qconv1x1(given, 1.0, 0, np.ones((4, 5), "i1"), 1.0, 0, 1.0, 0),
    ]
    for call in calls:
        message = refusal(call, "x is a zarr.Array, which would be read whole: pass x[:]")
    block = re.findall(r"such as (x\[.*\])", message)[0]
    assert np.array_equal(pf.conv1x1(eval(block, {"x": given, "i": 2}), W), pf.conv1x1(x, W)[:, 2:])
    unread: Any = Unread()
    layer = pf.Conv1x1(W)
    for call in (
        lambda: pf.conv1x1(unread, W, out=out),
        lambda: layer(unread, out=out),
        lambda: pf.Chain(layer, pf.Conv1x1(np.eye(4)))(unread, out=out),
        lambda: pf.Branches(layer, layer)(unread, out=(out, out)),
        lambda: pf.Branches(layer, layer)(unread, out=out),
        lambda: pf.qconv1x1(unread, 1.0, 0, np.ones((4, 5), "i1"), 1.0, 0, 1.0, 0, out=out),
    ):
        message = refusal(call, "got Array")
    message = refusal(lambda: layer(unread, out=out))
    exec(message.rpartition(": ")[2], {"out": out, "layer": layer, "x": x})
    assert np.array_equal(out[:], layer(x))


def test_h5py(tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        given = file.create_dataset("x", data=np.ones((5, 6, 7), np.float32))
        refusal(lambda: pf.conv1x1(given, np.ones((4, 5))), "x is an h5py.Dataset", "pass x[:]")


def test_sparse_arrays() -> None:
    sparse = pytest.importorskip("sparse")
    dense = np.zeros((5, 6, 7))
    refusal(lambda: pf.conv1x1(sparse.COO.from_numpy(dense), np.ones((4, 5))), "pass x.todense()")


def test_sparse_matrices() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    for kind in (sparse.csr_matrix, sparse.csr_array):
        refusal(lambda kind=kind: pf.conv1x1(kind(np.eye(5)), np.ones((4, 5)), channel_axis=-1),
                f"x is a scipy.sparse.{kind.__name__}", "pass x.toarray()")  # fmt: skip


def test_arrays_of_a_gpu() -> None:
    """CuPy's arrays are known by name, without a GPU."""
    kind = type("ndarray", (), {"__module__": "cupy._core.core"})
    refusal(lambda: pf.conv1x1(kind(), np.ones((4, 5))), "x is a cupy.ndarray", "pass x.get()")


# Layers as functions.


def test_names_of_layers(rng: np.random.Generator) -> None:
    layer = pf.Conv1x1(weights(rng))
    assert layer.__name__ == "conv1x1"
    assert pf.Chain(layer, pf.Conv1x1(np.eye(4))).__name__ == "chain"
    assert pf.Branches(layer, layer).__name__ == "branches"
    assert pf.Conv1x1.__name__ == "Conv1x1"


@pytest.mark.parametrize("chain", [False, True])
def test_apply_gufunc(chain: bool, rng: np.random.Generator) -> None:
    da = pytest.importorskip("dask.array")
    x, W = rng.standard_normal((6, 7, 5), np.float32), weights(rng)
    layer: Any = pf.Conv1x1(W, channel_axis=-1)
    if chain:
        layer = pf.Chain(layer, pf.Conv1x1(np.eye(4), channel_axis=-1))
    given = da.from_array(x, chunks=(2, 4, 5))
    y = da.apply_gufunc(layer, "(c)->(k)", given, output_sizes={"k": 4}, output_dtypes="f4")
    assert_conv(y.compute(), x, W, channel_axis=-1)


@pytest.mark.parametrize("dask", ["parallelized", "allowed"])
def test_apply_ufunc(dask: str, xarray: Any, rng: np.random.Generator) -> None:
    pytest.importorskip("dask")
    x, W = rng.standard_normal((5, 6, 7), np.float32), weights(rng)
    given = labelled(x, xarray)
    if dask == "parallelized":
        given = given.chunk(x=3)
    y = xarray.apply_ufunc(
        pf.Conv1x1(W, channel_axis=-1),
        given,
        input_core_dims=[["band"]],
        output_core_dims=[["component"]],
        dask=dask,
        output_dtypes=[np.float32],
        dask_gufunc_kwargs={"output_sizes": {"component": 4}},
    )
    assert_conv(y.transpose("component", ...).to_numpy(), x, W)


def test_a_signal_in_a_dask_array() -> None:
    """The advice for an array of channels alone works; for an axis that it lacks there is none."""
    da = pytest.importorskip("dask.array")
    given, W = da.ones(5, dtype="f4"), np.ones((4, 5), np.float32)
    message = refusal(lambda: pf.conv1x1(given, W, channel_axis=-1), "x is a dask.Array, which")
    y = eval(recipes(message), {"x": given, "layer": layer_of(message, W), "weight": W})
    assert y.compute().tolist() == [5] * 4
    assert refusal(lambda: pf.conv1x1(given, W)).endswith("pass x.compute()")


@pytest.mark.parametrize("kind", [MemoryError, ImportError])
def test_errors_that_are_not_of_the_argument(kind: type[Exception]) -> None:
    class Failing:
        def __array__(self, *_: Any, **__: Any) -> Array:
            raise kind("as it was raised")

    with pytest.raises(kind, match="as it was raised"):
        pf.conv1x1(Failing(), np.ones((4, 5)))
