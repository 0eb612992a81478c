"""Calls made again: what a repeat does not check anew is what cannot have changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import BACKENDS, Array, assert_conv, assert_within, reference
from test_arrays import VIEWS

import pointwise_fast as pf
from pointwise_fast import conv

needs_c = pytest.mark.skipif("c" not in BACKENDS, reason="needs the C kernels")

WEIGHT = np.random.default_rng(7).standard_normal((4, 5)).astype(np.float32)
BIAS = np.arange(4, dtype=np.float32)

Call = Callable[..., Array]


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32)


def layer_call(backend: str = "c", **settings: Any) -> Call:
    return pf.Conv1x1(WEIGHT, BIAS, backend=backend, **settings)


def one_shot_call(backend: str = "c", **settings: Any) -> Call:
    # Weights of its own, so that no other test has called with them.
    weight, bias = WEIGHT.copy(), BIAS.copy()
    return lambda x, **rest: pf.conv1x1(x, weight, bias, backend=backend, **settings, **rest)


@pytest.fixture(params=[layer_call, one_shot_call], ids=["layer", "one-shot"])
def make(request: pytest.FixtureRequest) -> Callable[..., Call]:
    made: Callable[..., Call] = request.param
    return made


def warm(call: Call, *arguments: Any, **rest: Any) -> None:
    """The first call makes a plan, the second finds it, the third is a repeat."""
    for _ in range(2):
        call(*arguments, **rest)


@pytest.fixture
def only_repeats(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every call that is no repeat fail."""

    def refuse(*arguments: Any) -> None:
        pytest.fail("no repeat")

    return lambda: monkeypatch.setattr(conv, "as_x", refuse)


@needs_c
@pytest.mark.parametrize("view", [v for v in VIEWS if v not in ("record field", "misaligned")])
def test_any_strides_repeat(view: str, make: Callable[..., Call], rng: np.random.Generator) -> None:
    x, call = VIEWS[view](rng), make(activation="silu")
    residual, out = normal(rng, 4, 6, 7), normal(rng, 4, 6, 14)[..., ::2]
    expected = call(x), call(x, residual=residual), call(x, residual=residual, out=out).copy()
    for n, rest in enumerate(({}, {"residual": residual}, {"residual": residual, "out": out})):
        warm(call, x, **rest)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(conv, "as_x", lambda *_: pytest.fail("no repeat"))
            assert call(x, **rest).tobytes() == expected[n].tobytes()


@needs_c
def test_residual_may_be_out(
    make: Callable[..., Call], only_repeats: Callable[[], None], rng: np.random.Generator
) -> None:
    x, call, out = normal(rng, 5, 6, 7), make(), normal(rng, 4, 6, 7)
    warm(call, x, residual=out, out=out)
    before = out.copy()
    only_repeats()
    assert call(x, residual=out, out=out) is out
    assert_conv(out, x, WEIGHT, BIAS, before)


@needs_c
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 1, 1), (4, 5, *(1,) * 8)])
def test_weights_of_a_repeat_are_read_anew(
    shape: tuple[int, ...], only_repeats: Callable[[], None], rng: np.random.Generator
) -> None:
    x = normal(rng, 5, 6, 7)
    weight = np.asfortranarray(WEIGHT).reshape(shape, order="A")
    bias = np.zeros(8, np.float32)[::2].reshape(4, *shape[2:])
    for _ in range(2):
        pf.conv1x1(x, weight, bias, backend="c")
    weight *= 2
    bias += np.arange(1, 5).reshape(bias.shape)
    only_repeats()
    y = pf.conv1x1(x, weight, bias, backend="c")
    assert_conv(y, x, weight.reshape(4, 5), bias.reshape(4))


@needs_c
def test_residual_of_a_repeat_is_one_row_of_out(rng: np.random.Generator) -> None:
    """Its strides are those of `out`, but it is added to every row, after the first was written."""
    x, layer = normal(rng, 5, 6, 7), layer_call()
    for _ in range(4):
        out = normal(rng, 4, 6, 7)
        row = out[:1].copy()
        layer(x, residual=out[:1], out=out)
        assert_conv(out, x, WEIGHT, BIAS, np.broadcast_to(row, out.shape))


def change_shape(x: Array, out: Array) -> tuple[Array, Array]:
    return x[:, :5].copy(), out[:, :5].copy()


def change_shape_of_the_same_object(x: Array, out: Array) -> tuple[Array, Array]:
    x.resize(5, 3, 7, refcheck=False)
    out.resize(4, 3, 7, refcheck=False)
    return x, out


def change_dtype(x: Array, out: Array) -> tuple[Array, Array]:
    return x.astype(float), out.astype(float)


def change_strides(x: Array, out: Array) -> tuple[Array, Array]:
    return np.asfortranarray(x), np.asfortranarray(out)


def let_out_be_a_subclass(x: Array, out: Array) -> tuple[Array, Array]:
    return x, out.view(np.recarray)


CHANGES = [
    change_shape,
    change_shape_of_the_same_object,
    change_dtype,
    change_strides,
    let_out_be_a_subclass,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes(
    change: Callable[[Array, Array], tuple[Array, Array]],
    make: Callable[..., Call],
    backend: str,
    rng: np.random.Generator,
) -> None:
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    warm(call, x, out=out)
    call(x, out=out)
    new_x, new_out = change(x, out)
    given = new_x.copy()
    assert call(new_x, out=new_out) is new_out
    assert_conv(np.array(new_out), given, WEIGHT, BIAS)
    assert_conv(call(given), given, WEIGHT, BIAS)


OVERLAPS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "ahead": lambda both: (both[:1020].reshape(5, 12, 17), both[40:856].reshape(4, 12, 17)),
    "behind": lambda both: (both[40:1060].reshape(5, 12, 17), both[:816].reshape(4, 12, 17)),
    "backwards": lambda both: (
        both[1019::-1].reshape(5, 12, 17),
        both[40:856].reshape(4, 12, 17),
    ),
    # The part of x that out overlaps is missed where only forward strides count.
    "rows backwards": lambda both: (
        both[400:1420].reshape(5, 12, 17)[:, ::-1],
        both[1240:2056].reshape(4, 12, 17),
    ),
    # And the part below its first element where only the ends of axes that run forwards count.
    "below rows backwards": lambda both: (
        both[1000:2020].reshape(5, 12, 17)[:, ::-1],
        both[250:1066].reshape(4, 12, 17),
    ),
    "both backwards": lambda both: (
        both[1059:39:-1].reshape(5, 12, 17),
        both[815::-1].reshape(4, 12, 17),
    ),
    "interleaved": lambda both: (
        both[:2040].reshape(5, 12, 34)[..., 1::2],
        both[:2040].reshape(5, 12, 34)[:4, :, ::2],
    ),
}


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("which", ["x", "residual"])
def test_overlaps_come_later(
    overlap: str, which: str, make: Callable[..., Call], backend: str, rng: np.random.Generator
) -> None:
    """Arrays of the same shapes and strides, first apart, then not."""
    call = make(backend)
    x, out = OVERLAPS[overlap](normal(rng, 2056))
    apart = OVERLAPS[overlap](normal(rng, 2056))[1]
    if which == "residual":
        residual, x = x[:4], normal(rng, 5, 12, 17)
        rest = {"residual": residual}
    else:
        residual, rest = None, {}
    warm(call, x, out=apart, **rest)
    expected = call(x, out=apart, **rest).copy()
    assert_conv(expected, x, WEIGHT, BIAS, residual)
    assert call(x, out=out, **rest) is out
    assert out.tobytes() == expected.tobytes()


def test_residual_is_out_in_another_order(
    make: Callable[..., Call], backend: str, rng: np.random.Generator
) -> None:
    """The same first element, shape and bytes, but other strides."""
    x, call, out = normal(rng, 5, 6, 6), make(backend), normal(rng, 4, 6, 6)
    warm(call, x, residual=normal(rng, 4, 6, 6).swapaxes(1, 2), out=out)
    residual = out.swapaxes(1, 2)
    before = residual.copy()
    assert call(x, residual=residual, out=out) is out
    assert_conv(out, x, WEIGHT, BIAS, before)


def test_a_residual_that_comes_overlaps_and_goes(
    make: Callable[..., Call], backend: str, rng: np.random.Generator
) -> None:
    x, both, call = normal(rng, 5, 6, 7), normal(rng, 5, 6, 7), make(backend)
    residual, out = normal(rng, 4, 6, 7), both[:4]
    warm(call, x, residual=residual, out=out)
    shifted = both[1:]
    before = shifted.copy()
    assert_conv(call(x, residual=shifted, out=out), x, WEIGHT, BIAS, before)
    assert_conv(call(x, out=out), x, WEIGHT, BIAS)
    assert_conv(call(x, residual=residual, out=out), x, WEIGHT, BIAS, residual)


ERRORS: dict[str, tuple[type[Exception], str, Callable[[Array, Array], dict[str, Any]]]] = {
    "masked": (TypeError, "masked", lambda x, out: {"residual": np.ma.masked_array(out)}),
    "more axes": (ValueError, "6 channels", lambda x, out: {"x": x[..., None]}),
    "fewer axes": (ValueError, "does not exist", lambda x, out: {"x": x[..., 0], "out": None}),
    "channels": (ValueError, "6 channels", lambda x, out: {"x": np.ones((6, 6, 7), "f4")}),
    "integers": (TypeError, "dtype", lambda x, out: {"x": x.astype("i4")}),
    "axes": (ValueError, "out has shape", lambda x, out: {"out": out[None]}),
    "out's dtype": (TypeError, "out has dtype", lambda x, out: {"out": out.astype(float)}),
    "threads": (ValueError, "threads", lambda x, out: {"threads": 0}),
    "threads' type": (TypeError, "threads", lambda x, out: {"threads": 1.0}),
    "residual": (ValueError, "residual", lambda x, out: {"residual": out[:, :5]}),
}


@pytest.mark.parametrize("error", ERRORS)
def test_errors_after_repeats(
    error: str, make: Callable[..., Call], backend: str, rng: np.random.Generator
) -> None:
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    warm(call, x, out=out)
    before = out.copy()
    kind, message, change = ERRORS[error]
    with pytest.raises(kind, match=message):
        call(**({"x": x, "out": out} | change(x, out)))
    # The first answer differs from what is expected, should the call have written to out.
    assert out.tobytes() == before.tobytes()


@pytest.mark.parametrize("order", ["<f4", ">f4"])
def test_the_other_byte_order(
    order: str, make: Callable[..., Call], backend: str, rng: np.random.Generator
) -> None:
    """Another byte order with the same shape and strides is no repeat."""
    if backend == "numba" and not np.dtype(order).isnative:
        pytest.skip("the backend has no such feature")
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    other = np.zeros(out.shape, order)
    warm(call, x, out=out)
    for given, to in ((x.astype(order), out), (x, other), (x.astype(order), other), (x, out)):
        to[:] = np.nan
        assert_conv(call(given, out=to).astype(np.float32), x, WEIGHT, BIAS)
        warm(call, given, out=to)
    # Weights of the same bytes, found by the same id.
    residual = normal(rng, 4, 6, 7)
    for given in (residual.astype(order), residual):
        assert_conv(call(x, residual=given, out=out), x, WEIGHT, BIAS, residual)


def test_out_becomes_read_only(
    make: Callable[..., Call], backend: str, rng: np.random.Generator
) -> None:
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(backend)
    warm(call, x, out=out)
    out[:] = 7
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        call(x, out=out)
    assert np.all(out == 7)
    x.flags.writeable = False
    assert_conv(call(x), x, WEIGHT, BIAS)


def test_settings_that_equal_others(backend: str, rng: np.random.Generator) -> None:
    """Some settings that equal others are wrong; a changed list is another setting."""
    x, stride = normal(rng, 5, 6, 8), [1, 1]
    for _ in range(3):
        assert pf.conv1x1(x, WEIGHT, stride=1, backend=backend).shape == (4, 6, 8)
    with pytest.raises(TypeError, match="stride"):
        pf.conv1x1(x, WEIGHT, stride=1.0, backend=backend)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="groups"):
        pf.conv1x1(x, WEIGHT, groups=1.0, backend=backend)  # type: ignore[arg-type]
    for _ in range(3):
        assert pf.conv1x1(x, WEIGHT, stride=stride, backend=backend).shape == (4, 6, 8)
    stride[1] = 2
    assert pf.conv1x1(x, WEIGHT, stride=stride, backend=backend).shape == (4, 6, 4)
    relu = pf.conv1x1(x, WEIGHT, activation="relu", backend=backend)
    assert np.all(relu >= 0)
    expected, bound = reference(x, WEIGHT)
    assert_within(relu, np.maximum(expected, 0), bound)


def test_other_weights_with_the_same_id(backend: str, rng: np.random.Generator) -> None:
    x = normal(rng, 5, 6, 7)
    for dtype in (np.float32, np.float64, np.int32, np.float32):
        for K in (4, 3):
            weight: Any = np.ones((K, 5), dtype)
            for _ in range(3):
                assert_conv(pf.conv1x1(x, weight, backend=backend), x, weight.astype("f4"))


@pytest.mark.parametrize("shape", [(4, 5, 2), (4, 5, 1, 1, 2), (1, 4, 5), (5, 5), (20,)])
def test_weights_change_their_shape(
    shape: tuple[int, ...], backend: str, rng: np.random.Generator
) -> None:
    x, weight, bias = normal(rng, 5, 6, 7), WEIGHT.copy(), BIAS.copy()
    for _ in range(3):
        pf.conv1x1(x, weight, bias, backend=backend)
    weight.resize(shape, refcheck=False)
    with pytest.raises(ValueError, match="weight"):
        pf.conv1x1(x, weight, bias, backend=backend)
    weight.resize((4, 5), refcheck=False)
    bias.resize((2, 2), refcheck=False)
    with pytest.raises(ValueError, match="bias"):
        pf.conv1x1(x, weight, bias, backend=backend)


def test_nothing_is_kept_or_lost(make: Callable[..., Call], rng: np.random.Generator) -> None:
    x, out, call = normal(rng, 5, 6, 7), normal(rng, 4, 6, 7), make(BACKENDS[0])
    other = x[:, ::-1]
    for _ in range(3):
        call(x, out=out)
    before = sys.getrefcount(x), sys.getrefcount(out), sys.getrefcount(other)
    for _ in range(50):
        call(x, out=out)
        call(other, residual=out)
        call(x)
    assert (sys.getrefcount(x), sys.getrefcount(out), sys.getrefcount(other)) == before
    y = call(x)
    assert sys.getrefcount(y) == 2  # y and the argument


@needs_c
def test_most_python_calls_of_a_repeat(make: Callable[..., Call], rng: np.random.Generator) -> None:
    """A small call's time is in these; before there were repeats it was made of 16 and more."""
    x, out, call = normal(rng, 5, 4, 4), normal(rng, 4, 4, 4), make()
    warm(call, x, out=out)
    seen: list[tuple[str, str]] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            seen.append((event, frame.f_code.co_name))
        elif event == "c_call" and argument is not sys.setprofile:
            seen.append((event, argument.__name__))

    sys.setprofile(note)
    call(x, out=out)
    sys.setprofile(None)
    python = [name for event, name in seen if event == "call" and name != "<lambda>"]
    c = [name for event, name in seen if event == "c_call"]
    assert python in (["__call__"], ["conv1x1"])
    assert c in (["repeat"], ["id", "get", "repeat"])


def test_threads_with_shapes_of_their_own(backend: str, rng: np.random.Generator) -> None:
    """Each replaces the call that the layer remembers, while others are about to repeat it."""
    layer = layer_call(backend)
    inputs = [normal(rng, 5, 3 + n % 3, 4) for n in range(6)]
    expected = [layer(x) for x in inputs]
    barrier, failures = threading.Barrier(6), []

    def work(n: int) -> None:
        barrier.wait(30)
        for i in range(300):
            out = np.empty_like(expected[n]) if i % 2 else None
            if layer(inputs[n], out=out).tobytes() != expected[n].tobytes():
                failures.append((n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


@needs_c
def test_memory_error_of_a_repeat() -> None:
    """What makes an output fails: so does the repeat, and the next one works."""
    x = np.ones((5, 6, 7), np.float32)
    layer = pf.Conv1x1(WEIGHT, backend="c")
    for _ in range(2):
        layer(x)
    call = next(iter(layer._prepared.values()))

    def fail() -> Array:
        if failing:
            raise MemoryError("none left")
        return np.empty((4, 6, 7), np.float32)

    call.empty, call.repeat, layer._repeat = fail, None, None
    failing = False
    for _ in range(2):
        layer(x)
    failing = True
    with pytest.raises(MemoryError, match="none left"):
        layer(x)
    failing = False
    assert_conv(layer(x), x, WEIGHT)
