"""Repeated calls of a layer and of `conv1x1`: what their tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import Array, Backend

import pointwise_fast as pf

WEIGHT = np.random.default_rng(7).standard_normal((4, 5)).astype(np.float32)
BIAS = np.arange(4, dtype=np.float32)
Call = Callable[..., Array]


def layer_call(backend: Backend = "c", **settings: Any) -> Call:
    return pf.Conv1x1(WEIGHT, BIAS, backend=backend, **settings)


def one_shot_call(backend: Backend = "c", **settings: Any) -> Call:
    # Copies, so that no other test has called with these weights.
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
