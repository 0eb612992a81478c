"""Wrong arguments: each raises the right error with a helpful message, and leaves `out` alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import Array, Backend

import pointwise_fast as pf

X = np.ones((50, 6, 7), np.float32)
WEIGHT = np.ones((20, 50), np.float32)


class NotAnArray:
    def __repr__(self) -> str:
        return "NotAnArray()"


def out_array(shape: tuple[int, ...] = (20, 6, 7), dtype: Any = np.float32) -> Array:
    return np.full(shape, 17, dtype)


def read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


#: Arguments that replace good ones, the error, and the words that its message must contain.
WRONG: list[tuple[dict[str, Any], type[Exception], tuple[str, ...]]] = [
    # x
    ({"x": X.astype(np.longdouble)}, TypeError, ("x has dtype float128", "supported are bool")),
    ({"x": X.astype("M8[s]")}, TypeError, ("x has dtype datetime64", "float32")),
    (
        {"x": X.astype(complex), "dtype": np.float32},
        TypeError,
        ("dtype=float32 would lose the imaginary part of x", "complex128"),
    ),
    ({"x": X.astype("S3")}, TypeError, ("x has dtype |S3", "float32")),
    ({"x": X.astype(object)}, TypeError, ("x is not an array of numbers",)),
    ({"x": NotAnArray()}, TypeError, ("x is not an array", "NotAnArray")),
    ({"x": None}, TypeError, ("x is not an array", "NoneType")),
    ({"x": [[1.0], [1.0, 2.0]]}, TypeError, ("x is not an array",)),
    ({"x": X[:48]}, ValueError, ("x has 48 channels on axis -3", "weight expects 50")),
    (
        {"x": np.moveaxis(X, 0, -1)},
        ValueError,
        ("x has 6 channels on axis -3", "weight expects 50", "pass channel_axis=-1"),
    ),
    (
        {"x": np.ones((3, 6, 50, 7), np.float32)},
        ValueError,
        ("x has 6 channels on axis -3", "channel_axis=-2"),
    ),
    (
        {"x": X[:, 0]},
        ValueError,
        ("channel_axis=-3 does not exist", "2 axes", "(50, 7)", "channel_axis=-2"),
    ),
    ({"x": np.float32(1)}, ValueError, ("channel_axis=-3 does not exist", "0 axes")),
    # weight
    ({"weight": WEIGHT[0, 0]}, ValueError, ("weight has shape ()", "(K, C/groups)", "(C,)")),
    ({"weight": WEIGHT[0, :49]}, ValueError, ("x has 50 channels", "weight expects 49")),
    ({"weight": WEIGHT.T}, ValueError, ("weight expects 20", "(50, 20)", "pass weight.T")),
    (
        {"weight": WEIGHT[None]},
        ValueError,
        ("weight has shape (1, 20, 50)", "(K, C/groups, 1)", "pass weight[0].T"),
    ),
    (
        {"weight": WEIGHT.T[None, None]},
        ValueError,
        ("weight has shape (1, 1, 50, 20)", "Keras has (1, 1, C/groups, K): pass weight[0, 0].T"),
    ),
    (
        {"weight": np.ones((20, 50, 3, 3))},
        ValueError,
        ("weight has shape (20, 50, 3, 3)", "(K, C/groups, 1, 1)"),
    ),
    ({"weight": WEIGHT.astype(complex)}, TypeError, ("weight has dtype complex128", "real")),
    ({"weight": WEIGHT.astype("S1")}, TypeError, ("weight has dtype |S1", "real")),
    ({"weight": WEIGHT.astype(object)}, TypeError, ("weight is not an array of numbers",)),
    ({"weight": None}, TypeError, ("weight is not an array",)),
    ({"weight": np.ma.masked_array(WEIGHT)}, TypeError, ("weight is a masked array",)),
    # bias
    ({"bias": np.ones(19)}, ValueError, ("bias has shape (19,)", "(20,), fits")),
    ({"bias": np.ones((20, 2))}, ValueError, ("bias has shape (20, 2)", "(20,), fits")),
    ({"bias": np.ones((20, 20))}, ValueError, ("bias has shape (20, 20)", "(20,), fits")),
    ({"bias": np.ones(20, complex)}, TypeError, ("bias has dtype complex128",)),
    ({"bias": "bias"}, TypeError, ("bias has dtype",)),
    # activation
    ({"activation": "rleu"}, ValueError, ("activation 'rleu'", "relu, relu6, leaky_relu")),
    ({"activation": 1}, TypeError, ("activation", "got 1")),
    ({"activation": ()}, TypeError, ("activation", "got ()")),
    ({"activation": [["relu"]]}, TypeError, ("activation", "got [['relu']]")),
    ({"activation": {"relu"}}, TypeError, ("activation", "got {'relu'}")),
    ({"activation": ("elu", None)}, TypeError, ("activation 'elu'", "numbers")),
    ({"activation": ("elu", 10**400)}, TypeError, ("activation 'elu'", "numbers")),
    ({"activation": (0.1, "relu")}, TypeError, ("activation",)),
    ({"activation": "clip"}, ValueError, ("activation 'clip'", "('clip', lo, hi)")),
    ({"activation": ("clip", 1)}, ValueError, ("activation 'clip'", "('clip', lo, hi)")),
    ({"activation": ("clip", 2, 1)}, ValueError, ("activation 'clip'", "lo <= hi")),
    ({"activation": ("clip", np.nan, 1)}, ValueError, ("activation 'clip'", "NaN")),
    ({"activation": ("relu", 1)}, ValueError, ("activation 'relu'", "('relu', 1)")),
    ({"activation": ("elu", "a")}, TypeError, ("activation 'elu'", "numbers")),
    ({"activation": ("elu", np.inf)}, ValueError, ("activation 'elu'", "finite alpha")),
    ({"activation": ("leaky_relu", 1, 2)}, ValueError, ("activation 'leaky_relu'",)),
    # residual
    (
        {"residual": out_array((20, 6, 6))},
        ValueError,
        ("residual has shape (20, 6, 6)", "(20, 6, 7)"),
    ),
    ({"residual": X}, ValueError, ("residual has shape (50, 6, 7)", "(20, 6, 7)")),
    (
        {"residual": out_array(dtype=np.float64)},
        TypeError,
        ("residual has dtype float64", "float32"),
    ),
    ({"residual": NotAnArray()}, TypeError, ("residual is not an array",)),
    (
        {"residual": np.ma.masked_array(out_array())},
        TypeError,
        ("residual is a masked array", "residual.filled(value)"),
    ),
    ({"residual": np.ones(6, "f4")}, ValueError, ("residual has shape (6,)", "(20, 6, 7)")),
    ({"residual": np.ones((1, 20, 6, 7), "f4")}, ValueError, ("residual has shape (1, 20, 6, 7)",)),
    ({"residual": np.float64(1)}, TypeError, ("residual has dtype float64", "float32")),
    ({"residual": 10**39}, ValueError, ("residual=1000", "does not fit the result", "float32")),
    ({"residual": 10**400}, ValueError, ("residual=1000", "does not fit the result", "float32")),
    # channel_axis
    ({"channel_axis": 3}, ValueError, ("channel_axis=3 does not exist", "3 axes")),
    ({"channel_axis": -4}, ValueError, ("channel_axis=-4 does not exist", "3 axes")),
    ({"channel_axis": 1.0}, TypeError, ("channel_axis must be an integer", "1.0")),
    ({"channel_axis": "C"}, TypeError, ("channel_axis must be an integer", "'C'")),
    ({"channel_axis": None}, TypeError, ("channel_axis must be an integer", "None")),
    # stride
    ({"stride": 0}, ValueError, ("stride must be at least 1", "0")),
    ({"stride": -1}, ValueError, ("stride must be at least 1", "-1")),
    ({"stride": 1.5}, TypeError, ("stride must be an integer", "1.5")),
    ({"stride": (1, 0)}, ValueError, ("stride must be at least 1", "0")),
    ({"stride": (2, 2, 2)}, ValueError, ("stride=(2, 2, 2)", "3 entries", "2 spatial axes")),
    ({"stride": "2"}, TypeError, ("stride must be an integer", "'2'")),
    # groups
    ({"groups": 0}, ValueError, ("groups must be at least 1", "0")),
    ({"groups": 3}, ValueError, ("groups=3", "20 output channels")),
    ({"groups": 2}, ValueError, ("x has 50 channels", "weight expects 100", "2 groups of 50")),
    ({"groups": 2.0}, TypeError, ("groups must be an integer", "2.0")),
    # dtype
    ({"dtype": np.longdouble}, TypeError, ("dtype must be one of float16", "float128")),
    ({"dtype": bool}, TypeError, ("dtype must be one of float16", "uint64, int64", "got bool")),
    ({"dtype": "floaty"}, TypeError, ("dtype must be one of float16, bfloat16", "'floaty'")),
    # out
    ({"out": out_array((20, 7, 6))}, ValueError, ("out has shape (20, 7, 6)", "(20, 6, 7)")),
    ({"out": out_array((20, 42))}, ValueError, ("out has shape (20, 42)", "(20, 6, 7)")),
    ({"out": out_array(dtype=np.float64)}, TypeError, ("out has dtype float64", "float32")),
    ({"out": read_only(out_array())}, ValueError, ("out is read-only",)),
    (
        {"out": np.lib.stride_tricks.as_strided(out_array((1,)), (20, 6, 7), (0, 0, 0))},
        ValueError,
        ("out has elements that share memory", "strides are (0, 0, 0)"),
    ),
    ({"out": [[0.0]]}, TypeError, ("out must be a numpy.ndarray", "list")),
    # backend
    ({"backend": "C"}, ValueError, ("backend 'C' is unknown", "'auto', 'c', 'numba', 'numpy'")),
    ({"backend": None}, TypeError, ("backend must be a string", "None")),
    # threads
    ({"threads": 0}, ValueError, ("threads must be between 1 and 4096", "0")),
    ({"threads": -2}, ValueError, ("threads must be between 1 and", "-2")),
    ({"threads": 10**6}, ValueError, ("threads must be between 1 and", "1000000")),
    ({"threads": 1.5}, TypeError, ("threads must be an integer", "1.5")),
    ({"threads": "2"}, TypeError, ("threads must be an integer", "'2'")),
    ({"precision": "half"}, ValueError, ("precision must be None, 'bf16' or 'float64'",)),
    # test_heads.py and test_missing.py have more of these.
    ({"head": "softmin"}, ValueError, ("head 'softmin' is unknown", "softmax")),
    ({"nodata": [1, 2]}, ValueError, ("nodata has 2 values", "50 channels")),
    ({"mask": X[0]}, TypeError, ("mask has dtype float32", "bool")),
    ({"fill": "x"}, TypeError, ("fill must be a number",)),
    ({"valid": "some"}, ValueError, ("valid must be 'all' or 'any'",)),
    ({"min_valid": 2}, ValueError, ("min_valid must be a fraction",)),
    ({"scale": np.nan}, ValueError, ("scale must be finite",)),
    ({"offset": 1e39}, ValueError, ("offset has 1e+39", "float32", "dtype='float64'")),
    ({"channels": "red"}, TypeError, ("channels must be a list of names; got 'red'",)),
    ({"channels": 50}, TypeError, ("channels must be a list of names; got 50",)),
    ({"channels": [["red"]] * 50}, TypeError, ("channels must be a list of names",)),
    ({"channels": ["red", "nir"]}, ValueError, ("channels has 2 names", "50 channels")),
    ({"channels": ["a", *map(str, range(48)), "a"]}, ValueError, ("channels has 'a' twice",)),
    ({"offset": [1, 2]}, ValueError, ("offset has shape (2,)", "50 input channels")),
]
NAMES = [f"{next(iter(wrong))}-{i}" for i, (wrong, _, _) in enumerate(WRONG)]
CALL_ARGUMENTS = ("x", "residual", "mask", "out", "threads")


@pytest.mark.parametrize(("wrong", "error", "says"), WRONG, ids=NAMES)
@pytest.mark.parametrize("way", ["conv1x1", "Conv1x1"])
def test_wrong_argument(
    way: str, wrong: dict[str, Any], error: type[Exception], says: tuple[str, ...]
) -> None:
    out = out_array()
    arguments = {"x": X, "weight": WEIGHT, "out": out, **wrong}
    call = {n: v for n, v in arguments.items() if n in CALL_ARGUMENTS}
    settings = {n: v for n, v in arguments.items() if n not in CALL_ARGUMENTS}
    with pytest.raises(error) as caught:
        pf.conv1x1(**arguments) if way == "conv1x1" else pf.Conv1x1(**settings)(**call)
    for words in says:
        assert words in str(caught.value)
    given = wrong.get("out", out)
    assert np.all(np.asarray(given) == (17 if isinstance(given, np.ndarray) else 0))


def test_a_good_call_writes(backend: Backend) -> None:
    """The call succeeds with the arguments that the wrong ones replace."""
    out = out_array()
    assert pf.conv1x1(X, WEIGHT, out=out, backend=backend) is out
    assert np.all(out == 50)


#: Calls with an `x` whose elements share memory: no memory holds the result of so many pixels.
HUGE: dict[str, Any] = {
    "conv1x1": lambda x, backend: pf.conv1x1(x, [[1.0]] * 3, channel_axis=-2, backend=backend),
    "Conv1x1": lambda x, backend: pf.Conv1x1([[1.0]], channel_axis=-2, backend=backend)(x),
    "stride": lambda x, backend: pf.conv1x1(
        x[None], [[1.0]], [0.5], dtype="f8", stride=2, backend=backend
    ),
    "in rows": lambda x, backend: pf.conv1x1(x.T, [[1.0]], channel_axis=-1, backend=backend),
    "argmax": lambda x, backend: pf.conv1x1(
        x, [[1.0]], channel_axis=-2, head="argmax", backend=backend
    ),
    "Chain": lambda x, backend: pf.Chain(
        *[pf.Conv1x1([[1.0]], channel_axis=-2, backend=backend)] * 2
    )(x),
    "Branches": lambda x, backend: pf.Branches(
        *[pf.Conv1x1([[1.0]], channel_axis=-2, backend=backend)] * 2
    )(x),
    "qconv1x1": lambda x, backend: pf.qconv1x1(
        x, 1.0, 0, np.ones((1, 1), np.uint8), 1.0, 0, 1.0, 0, channel_axis=-2, backend=backend
    ),
    "conv1x1_backward": lambda x, backend: pf.conv1x1_backward(
        wide(x), wide(x), [[1.0]], channel_axis=-2, backend=backend
    ),
}


def wide(x: Array) -> Array:
    return np.broadcast_to(np.float32(1), x.shape)


@pytest.mark.parametrize("n", [2**62, 2**60 + 1, 2**56, 2**54])
@pytest.mark.parametrize("way", HUGE)
def test_results_that_no_memory_holds(way: str, n: int, backend: Backend) -> None:
    if backend == "numba" and way == "qconv1x1":
        pytest.skip("the backend has no such feature")
    if way == "conv1x1_backward":
        n = min(n, 2**60)  # or NumPy refuses to make them
    x = np.broadcast_to(np.uint8(1), (1, n))
    with pytest.raises((MemoryError, ValueError), match=r"bytes|does not support") as caught:
        HUGE[way](x, backend)
    assert backend == "numba" or isinstance(caught.value, MemoryError)
    assert backend == "numba" or str(n) in str(caught.value)


@pytest.mark.parametrize("stride", [2**70, (2**64, 3), (1, 2**62)])
def test_any_stride(stride: Any, backend: Backend) -> None:
    """A stride past all pixels leaves one pixel."""
    x, grad_out = np.ones((1, 4, 9), np.float32), np.ones((2, 1, 1), np.float32)
    least = tuple(min(n, s) for n, s in zip((4, 9), np.broadcast_to(stride, 2), strict=True))
    settings: dict[str, Any] = {"stride": stride, "backend": backend}
    y = pf.conv1x1(x, [[2.0], [3.0]], **settings)
    assert np.array_equal(y, pf.conv1x1(x, [[2.0], [3.0]], stride=least))
    assert np.array_equal(pf.Conv1x1([[2.0], [3.0]], **settings)(x), y)
    if y.shape == grad_out.shape:
        grad_x = pf.conv1x1_backward(grad_out, x, [[2.0], [3.0]], needs=["x"], **settings)[0]
        assert grad_x is not None
        assert grad_x[0, 0, 0] == 5
        assert grad_x.sum() == 5


def test_results_of_a_few_pebibytes() -> None:
    """The message is NumPy's own."""
    x = np.broadcast_to(np.uint8(1), (1, 2**50))
    with pytest.raises(MemoryError, match=r"4\.00 PiB"):
        pf.conv1x1(x, [[1.0]], channel_axis=-2)


def test_every_argument_is_tested() -> None:
    import inspect

    parameters = set(inspect.signature(pf.conv1x1).parameters)
    assert {next(iter(wrong)) for wrong, _, _ in WRONG} == parameters


def test_errors_are_not_remembered() -> None:
    """A wrong call does not spoil right ones of the same shapes."""
    for _ in range(3):
        with pytest.raises(ValueError, match="stride"):
            pf.conv1x1(X, WEIGHT, stride=(2, 2, 2))
        assert pf.conv1x1(X, WEIGHT, stride=(2, 2)).shape == (20, 3, 4)
        with pytest.raises(TypeError, match="stride"):
            pf.conv1x1(X, WEIGHT, stride=1.0)  # type: ignore[arg-type]
        assert pf.conv1x1(X, WEIGHT, stride=1).shape == (20, 6, 7)


@pytest.mark.parametrize("n", [0, -1, 4097, 10**30])
def test_set_num_threads_out_of_range(n: int) -> None:
    before = pf.get_num_threads()
    with pytest.raises(ValueError, match=r"n must be between 1 and 4096; got"):
        pf.set_num_threads(n)
    assert pf.get_num_threads() == before


@pytest.mark.parametrize("n", [None, "2", 1.0])
def test_set_num_threads_wrong_type(n: Any) -> None:
    before = pf.get_num_threads()
    with pytest.raises(TypeError, match="n must be an integer; got"):
        pf.set_num_threads(n)
    assert pf.get_num_threads() == before
