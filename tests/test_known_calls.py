"""Calls are found again only if every setting has the same type and value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quantised import Case
from support import BACKENDS, Array, Backend

import pointwise_fast as pf
from pointwise_fast.keys import MOST_CALLS, Known, is_constant, key_of

X = np.full((3, 2, 4), -2.0, np.float32)
WEIGHT = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


class Changing:
    """A number that changes each time its value is asked for."""

    def __init__(self, *values: Any) -> None:
        self.values = [*values]

    def __float__(self) -> float:
        return float(self.values.pop(0))

    def __index__(self) -> int:
        return int(self.values.pop(0))


#: Settings that differ in the sign of a zero, which shows in the sign of the result.
ZEROS: list[dict[str, Any]] = [
    {"activation": ("clip", 0.0, 1)},
    {"activation": ["clip", 0.0, 1]},
    {"activation": ("clip", np.float32(0), 1)},
    {"activation": ("leaky_relu", 0.0)},
    {"activation": ("prelu", [0.0, 0.0])},
    {"activation": ("prelu", np.zeros(2))},
    {"nodata": -2, "fill": 0.0},
    {"nodata": -2, "fill": np.float64(0)},
]


def negated(value: Any) -> Any:
    """`value` with each 0.0 in it made -0.0."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        return type(value)(map(negated, value))
    return -value if np.all(value == 0) else value


def takes(backend: Backend, settings: dict[str, Any]) -> bool:
    """Numba has no prelu."""
    return backend != "numba" or "prelu" not in str(settings)


@pytest.mark.parametrize(
    ("backend", "settings"),
    [(name, zeros) for name in BACKENDS for zeros in ZEROS if takes(name, zeros)],
    ids=str,
)
def test_the_sign_of_zero(settings: dict[str, Any], backend: Backend) -> None:
    other = {name: negated(value) for name, value in settings.items()}
    for _ in range(3):
        signs = []
        for given in (settings, other):
            y = pf.conv1x1(X, WEIGHT, backend=backend, **given)
            layer = pf.Conv1x1(WEIGHT, backend=backend, **given)
            assert np.all(y == 0)
            assert np.array_equal(np.signbit(layer(X)), np.signbit(y))
            signs.append(np.signbit(y))
        # A slope of -0.0 makes the zero positive, in leaky_relu and prelu.
        assert np.array_equal(signs[0], ~signs[1])


def test_branches_of_zeros_of_either_sign_are_not_one(backend: Backend) -> None:
    layers = [
        pf.Conv1x1(WEIGHT, activation=("clip", zero, 1), backend=backend) for zero in (0.0, -0.0)
    ]
    out = np.empty((4, 2, 4), np.float32)
    pf.Branches(*layers)(X, out=out)
    assert not np.signbit(out[:2]).any()
    assert np.signbit(out[2:]).all()


#: A setting that is an object, shapes of x and weight, and two values that it has in turn.
CHANGES: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], int, int]] = {
    "a bound": (lambda v: {"activation": ("clip", v, 9)}, (2, 2, 2), (2, 2), 3, 4),
    "a slope": (lambda v: {"activation": ("leaky_relu", v)}, (2, 2, 2), (2, 2), 3, 4),
    "fill": (lambda v: {"nodata": -2, "fill": v}, (2, 2, 2), (2, 2), 3, 4),
    "channel_axis": (lambda v: {"channel_axis": v}, (2, 3, 2), (4, 2), 0, 2),
    "stride": (lambda v: {"stride": v}, (2, 4, 4), (2, 2), 1, 2),
    "a step": (lambda v: {"stride": (1, v)}, (2, 4, 4), (2, 2), 1, 2),
    "groups": (lambda v: {"groups": v}, (2, 4, 4), (2, 2), 1, 1),
}


@pytest.mark.parametrize(
    ("backend", "setting"),
    [(name, one) for name in BACKENDS for one in CHANGES if takes(name, CHANGES[one][0](1))],
)
def test_an_object_that_changes(setting: str, backend: Backend) -> None:
    """Each call asks an object for its value, once."""
    make, x_shape, weight_shape, first, second = CHANGES[setting]
    x, weight = np.full(x_shape, -2, np.float32), np.ones(weight_shape, np.float32)
    value = Changing(*[first, second] * 5)
    for n in range(8):
        plain = (first, second)[n % 2]
        out = None
        if setting == "fill":  # an overlapping result goes to a new array first
            x = np.full((2, 2, 4), -2, np.float32)
            out = x[:, :, 1:3]
            x = x[:, :, :2]
        expected = pf.conv1x1(x.copy(), weight, backend=backend, **make(plain))
        actual = pf.conv1x1(x, weight, out=out, backend=backend, **make(value))
        assert np.array_equal(actual, expected, equal_nan=True)
        assert len(value.values) == 9 - n


def test_a_list_in_a_tuple_that_changes(backend: Backend) -> None:
    """A list in a tuple may change, though the tuple is the same object."""
    slopes: list[float] = [1.0, 2.0]
    activation: Any = ("prelu", slopes)
    where: Any = backend if takes(backend, {"activation": activation}) else "auto"
    bounds: Any = ["clip", -1, 1]
    weight, other = WEIGHT.copy(), WEIGHT.copy()
    for n in range(6):
        y = pf.conv1x1(X, weight, activation=activation, backend=where)
        assert np.all(y[1] == -2 * slopes[1])
        slopes[1] += 1
        y = pf.conv1x1(X, other, activation=bounds, backend=backend)
        assert np.all(y == -1 + n / 8)
        bounds[1] += 1 / 8


def test_backward_of_an_object_that_changes() -> None:
    x, weight, grad = np.ones((2, 2, 2)), np.ones((2, 2)), np.arange(8.0).reshape(2, 2, 2)
    axis: Any = Changing(*[0, 2] * 4)
    for _ in range(3):
        for plain in (0, 2):
            expected = pf.conv1x1_backward(grad, x, weight, channel_axis=plain)
            for a, b in zip(
                pf.conv1x1_backward(grad, x, weight, channel_axis=axis), expected, strict=True
            ):
                assert a is not None
                assert b is not None
                assert np.array_equal(a, b)


def test_quantised_of_an_object_that_changes() -> None:
    case = Case(np.full((1, 1, 2), 100, np.uint8), 1.0, 0, np.ones((1, 1), np.int8), 1, 0, 1.0, 0)
    bound: Any = Changing(*range(1, 8))
    activation = ("clip", 0, bound)
    for n in range(1, 7):
        assert np.all(pf.qconv1x1(*case, activation=activation) == n)  # type: ignore[arg-type]


def test_keys() -> None:
    """Keys of values that are equal but not alike differ; those of two objects alike do not."""
    apart: list[Any] = [
        *(0, 0.0, -0.0, False, None, "0", "0x0.0p+0", b"0", np.float32(0), np.float64(-0.0)),
        *(np.float64(0), np.int8(0), np.zeros(()), np.zeros(1), np.zeros(1, "f4"), (0,), [0]),
        *((0.0,), (-0.0,), (False,), ((0,),), np.dtype("f4"), np.float16, float, "float16"),
        *(np.dtype(">f4"), (), [], "", np.bool_(False)),
    ]
    keys = [key_of((value,)) for value in apart if not isinstance(value, bytes)]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    for make in (lambda: float("nan"), lambda: np.arange(3.0)[::2], lambda: ("clip", [1, (-0.0,)])):
        assert key_of((0, make())) == key_of((0, make()))
    for unknown in (object(), Changing(), {}, b"0", np.array([None]), int.from_bytes, bytearray):
        assert key_of((unknown,)) is None
        assert key_of(((1, unknown),)) is None
        assert not is_constant((unknown,))
    for changes in ([1], (1, [1]), np.zeros(2)):
        assert not is_constant((0, changes))
    assert is_constant((0, ("clip", -0.0, np.float32(1)), None, np.dtype("f4"), np.float64, float))


def test_known_calls_are_bounded() -> None:
    made: list[Any] = []

    def make(arrays: Any, value: Any) -> Any:
        made.append(value)
        return arrays, value

    known = Known(make)
    for n in range(MOST_CALLS + 1):
        for _ in range(2):
            assert known((), (n,)) == ((), n)
    assert made == [*range(MOST_CALLS + 1)]
    assert len(known._found) == 1


def test_errors_name_the_argument_in_every_call(backend: Backend) -> None:
    """An array as a bound is refused in every call: it is not remembered."""
    bad: Any = ("clip", np.zeros(2), 1)
    x: Array = X.copy()
    for _ in range(3):
        pf.conv1x1(x, WEIGHT, backend=backend)
        with pytest.raises(TypeError, match="activation 'clip'"):
            pf.conv1x1(x, WEIGHT, activation=bad, backend=backend)
