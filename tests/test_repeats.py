"""Repeated calls: a repeat skips only the checks whose outcome cannot have changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from repeats import BIAS, WEIGHT, Call, layer_call, make, warm
from support import BACKENDS, Array, Backend, assert_conv, needs_c
from views import VIEWS, normal

import pointwise_fast as pf
from pointwise_fast import conv

__all__ = ["make"]  # a fixture


@pytest.fixture
def only_repeats(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every call fail that is not a repeat."""

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
    """The residual is a row of `out`: its old values are added to every row."""
    x, layer = normal(rng, 5, 6, 7), layer_call()
    for _ in range(4):
        out = normal(rng, 4, 6, 7)
        row = out[:1].copy()
        layer(x, residual=out[:1], out=out)
        assert_conv(out, x, WEIGHT, BIAS, np.broadcast_to(row, out.shape))


OVERLAPS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "ahead": lambda both: (both[:1020].reshape(5, 12, 17), both[40:856].reshape(4, 12, 17)),
    "behind": lambda both: (both[40:1060].reshape(5, 12, 17), both[:816].reshape(4, 12, 17)),
    "backwards": lambda both: (
        both[1019::-1].reshape(5, 12, 17),
        both[40:856].reshape(4, 12, 17),
    ),
    # A check that counts only forward strides misses the part of x that out overlaps.
    "rows backwards": lambda both: (
        both[400:1420].reshape(5, 12, 17)[:, ::-1],
        both[1240:2056].reshape(4, 12, 17),
    ),
    # A check that takes only the ends of forward axes misses the part below the first element.
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
    overlap: str, which: str, make: Callable[..., Call], backend: Backend, rng: np.random.Generator
) -> None:
    """Arrays have the same shapes and strides, first apart, then overlapping."""
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
    make: Callable[..., Call], backend: Backend, rng: np.random.Generator
) -> None:
    """The residual has the first element, shape and bytes of `out`, but other strides."""
    x, call, out = normal(rng, 5, 6, 6), make(backend), normal(rng, 4, 6, 6)
    warm(call, x, residual=normal(rng, 4, 6, 6).swapaxes(1, 2), out=out)
    residual = out.swapaxes(1, 2)
    before = residual.copy()
    assert call(x, residual=residual, out=out) is out
    assert_conv(out, x, WEIGHT, BIAS, before)


def test_a_residual_that_comes_overlaps_and_goes(
    make: Callable[..., Call], backend: Backend, rng: np.random.Generator
) -> None:
    x, both, call = normal(rng, 5, 6, 7), normal(rng, 5, 6, 7), make(backend)
    residual, out = normal(rng, 4, 6, 7), both[:4]
    warm(call, x, residual=residual, out=out)
    shifted = both[1:]
    before = shifted.copy()
    assert_conv(call(x, residual=shifted, out=out), x, WEIGHT, BIAS, before)
    assert_conv(call(x, out=out), x, WEIGHT, BIAS)
    assert_conv(call(x, residual=residual, out=out), x, WEIGHT, BIAS, residual)


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
    """A small call spends its time in these calls; without repeats there were 16 and more."""
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


def test_threads_with_shapes_of_their_own(backend: Backend, rng: np.random.Generator) -> None:
    """Threads replace the call that the layer remembers, while others are about to repeat it."""
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
    """If the output cannot be allocated, the repeat fails, and the next one works."""
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
