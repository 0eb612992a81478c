"""Heads for Numba: what is made of all channels of a pixel, from sums in scratch.

The sums are planes of as many pixels as a panel has. Loops over `AT_ONCE` pixels, whatever a panel
has, become vectors; each pixel has its channels summed in their order.
"""

# What Numba compiles is typed by Numba.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg, misc"
# mypy: disable-error-code="attr-defined, var-annotated, import-untyped"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, cfunc, types
from numba.extending import register_jitable

from . import numba_activations, numba_tile
from .numba_activations import NUMBERS, exp_far_down, log
from .numba_loops import K, P, compile_cached, revision_of
from .numba_panels import (
    AT_ONCE,
    OWN_FIELDS,
    PANEL_FIELDS,
    SUMS,
    SUMS_ROW,
    TARGET,
    Q_OUT_K,
    Q_OUT_P,
)
from .numba_tile import load, stack, store

__all__ = ["compile_argmax", "compile_head"]

#: Least norm that l2_normalize divides by; PyTorch's.
_LEAST_NORM = 1e-12


@register_jitable(forceinline=True)
def _largest(y, row, n, size, most, T):
    """NaN may get lost, but not in what follows: a sum over all channels has it."""
    for j in range(AT_ONCE):
        store(load(T, y, j * size), most, j * size)
    for k in range(1, n):
        for j in range(AT_ONCE):
            v, best = load(T, y, k * row + j * size), load(T, most, j * size)
            store(v if v > best else best, most, j * size)


@register_jitable(forceinline=True)
def _set_zero(target, size, T):
    for j in range(AT_ONCE):
        store(T(0), target, j * size)


@register_jitable(forceinline=True)
def _divide_all(y, row, n, size, by, T):
    for k in range(n):
        for j in range(AT_ONCE):
            v = load(T, y, k * row + j * size)
            store(v / load(T, by, j * size), y, k * row + j * size)


@register_jitable(forceinline=True)
def _softmax(y, row, n, size, most, total, T, m):
    _largest(y, row, n, size, most, T)
    _set_zero(total, size, T)
    for k in range(n):
        for j in range(AT_ONCE):
            at = k * row + j * size
            power = exp_far_down(load(T, y, at) - load(T, most, j * size), T, m)
            store(power, y, at)
            store(load(T, total, j * size) + power, total, j * size)
    _divide_all(y, row, n, size, total, T)


@register_jitable(forceinline=True)
def _log_softmax(y, row, n, size, most, total, T, m):
    _largest(y, row, n, size, most, T)
    _set_zero(total, size, T)
    for k in range(n):
        for j in range(AT_ONCE):
            at = k * row + j * size
            below = load(T, y, at) - load(T, most, j * size)
            store(below, y, at)
            power = exp_far_down(below, T, m)
            store(load(T, total, j * size) + power, total, j * size)
    for j in range(AT_ONCE):
        store(log(load(T, total, j * size), T, m), total, j * size)
    for k in range(n):
        for j in range(AT_ONCE):
            at = k * row + j * size
            store(load(T, y, at) - load(T, total, j * size), y, at)


@register_jitable(forceinline=True)
def _l2_normalize(y, row, n, size, norm, total, T, m):
    _set_zero(total, size, T)
    for k in range(n):
        for j in range(AT_ONCE):
            v = load(T, y, k * row + j * size)
            store(load(T, total, j * size) + v * v, total, j * size)
    for j in range(AT_ONCE):
        length = math.sqrt(load(T, total, j * size))
        # Written so that NaN passes.
        store(T(_LEAST_NORM) if length < T(_LEAST_NORM) else length, norm, j * size)
    _divide_all(y, row, n, size, norm, T)


@register_jitable(forceinline=True)
def _put(sums, row, n, channels, size, target, q, T):
    """Sums to the output."""
    if q[Q_OUT_P] == size:
        for k in range(channels):
            for j in range(n):
                store(load(T, sums, k * row + j * size), target, k * q[Q_OUT_K] + j * size)
    else:
        for j in range(n):
            for k in range(channels):
                at = k * q[Q_OUT_K] + j * q[Q_OUT_P]
                store(load(T, sums, k * row + j * size), target, at)


_FUNCTIONS = {"softmax": _softmax, "log_softmax": _log_softmax, "l2_normalize": _l2_normalize}


def compile_head(name: str, T: Any) -> Any:
    """A C function of a thread's `OWN_FIELDS` and of `PANEL_FIELDS`."""
    function, m, size = _FUNCTIONS[name], NUMBERS[T], np.dtype(T).itemsize
    block = AT_ONCE * size
    revision = revision_of(numba_tile, numba_activations)

    def head(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        first, second = stack(block), stack(block)
        for p in range(0, own[P], AT_ONCE):
            function(own[SUMS] + p * size, q[SUMS_ROW], own[K], size, first, second, T, m)
        _put(own[SUMS], q[SUMS_ROW], own[P], own[K], size, own[TARGET], q, T)

    return compile_cached(cfunc, _SIGNATURE, head)


def compile_argmax(T: Any, label_type: Any) -> Any:
    """`compile_head`, for labels of unsigned integers of their size."""
    whole, size, label_size = NUMBERS[T][0], np.dtype(T).itemsize, np.dtype(label_type).itemsize
    block = AT_ONCE * size
    revision = revision_of(numba_tile)

    def argmax(own_fields, fields):
        _ = revision
        own, q = carray(own_fields, (len(OWN_FIELDS),)), carray(fields, (len(PANEL_FIELDS),))
        most, labels = stack(block), stack(block)
        row, step = q[SUMS_ROW], q[Q_OUT_P]
        for p in range(0, own[P], AT_ONCE):
            y = own[SUMS] + p * size
            for j in range(AT_ONCE):
                store(load(T, y, j * size), most, j * size)
                store(whole(0), labels, j * size)
            for k in range(1, own[K]):
                for j in range(AT_ONCE):
                    v, best = load(T, y, k * row + j * size), load(T, most, j * size)
                    label = load(whole, labels, j * size)
                    # The first of equal channels, or the first that is NaN.
                    better = (v > best) | ((v != v) & (best == best))
                    store(v if better else best, most, j * size)
                    store(whole(k) if better else label, labels, j * size)
            target, n = own[TARGET] + p * step, min(AT_ONCE, own[P] - p)
            if step == label_size:
                for j in range(n):
                    store(label_type(load(whole, labels, j * size)), target, j * label_size)
            else:
                for j in range(n):
                    store(label_type(load(whole, labels, j * size)), target, j * step)

    return compile_cached(cfunc, _SIGNATURE, argmax)


_SIGNATURE = types.void(types.CPointer(types.int64), types.CPointer(types.int64))
