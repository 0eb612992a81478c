"""The checks, counts and limits that make the figures trustworthy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import pointwise_fast as pf

from .. import native
from ..layers.cases import (
    HEADLINE,
    LAYOUTS,
    MIXED,
    REGIMES,
    Case,
    Layout,
    load_cases,
    quick_cases,
    regime_of,
)
from ..layers.contenders import (
    BARE_MATMUL,
    NUMPY_COPY,
    NUMPY_LAYER,
    Contender,
    LocalRunner,
    headline_contenders,
    ours,
)
from ..layers.job import Array, Arrays, Job, make_job
from ..measure import roof
from ..measure.caches import cache_bytes
from ..measure.panel import WrongResult, measure_panel, modes_for, sets_for
from ..measure.placing import Placing
from ..measure.rounds import measure

SMALL = Case(C=7, H=9, W=11, K=5, bias=True, activation="relu", residual=True)


def test_cases_are_complete() -> None:
    cases = load_cases()
    assert len(cases) == 357
    assert len({case.name for case in cases}) == 357
    assert len(quick_cases()) == 30
    layouts = (*LAYOUTS, *MIXED)
    for layout in layouts:
        assert {regime_of(case, layout) for case in cases} <= REGIMES.keys()
    quick = {regime_of(case, layout) for case in quick_cases() for layout in layouts}
    assert quick == REGIMES.keys()


@pytest.mark.parametrize("layout", MIXED)
def test_mixed_layouts(layout: Layout) -> None:
    """Both sets of arrays lie as the name says and hold the same numbers."""
    job = make_job(SMALL, layout, 1, sets=2)
    other = {"to planar": 0, "to interleaved": 1}[layout]
    for arrays in job.sets:
        strides = [array.strides[0] == 4 for array in (arrays.x, arrays.out)]
        assert strides == [other == 0, other == 1]
        assert (arrays.residual.strides[0] == 4) == (other == 1)  # type: ignore[union-attr]
        assert np.array_equal(arrays.x, job.sets[0].x)
    planar = make_job(SMALL, "planar", 1)
    assert np.array_equal(planar.sets[0].x, job.sets[0].x)
    x, out, residual = job.sets[0]
    y = pf.conv1x1(x, job.weight, job.bias, activation="relu", residual=residual, out=out)
    assert job.error(y).of_promise <= 1


def test_headline_counts() -> None:
    assert HEADLINE.flops == 720_000_000
    assert HEADLINE.bytes == 4 * (360_000 * 70 + 20 * 50)
    strided = Case(C=8, H=5, W=7, K=4, N=3, stride=2, groups=2, bias=True, residual=True)
    assert strided.pixels == 3 * 3 * 4
    assert strided.flops == 2 * 36 * 4 * 4
    assert strided.bytes_read == 4 * (36 * (8 + 4) + 4 * 4 + 4)
    assert strided.bytes_written == 4 * 36 * 4


def test_rotation_exceeds_the_cache() -> None:
    assert sets_for(SMALL, "hot") == 1
    assert sets_for(SMALL, "rotating") * SMALL.bytes > 2 * cache_bytes()[-1]
    assert modes_for(SMALL) == ("hot", "rotating")


@pytest.mark.parametrize("layout", [*LAYOUTS, *MIXED])
@pytest.mark.parametrize(
    "case",
    [
        SMALL,
        Case(C=6, H=9, W=11, K=4, N=2, stride=2, bias=True),
        Case(C=6, H=9, W=11, K=4, N=2, groups=2, activation="silu"),
        Case(C=6, H=9, W=11, K=4, stride=2, groups=2, activation="hardswish", residual=True),
        *(Case(C=5, H=6, W=7, K=3, activation=a) for a in ("sigmoid", "hardsigmoid", "relu6")),
    ],
    ids=lambda case: case.name,
)
def test_contenders_agree_with_float64(case: Case, layout: Layout) -> None:
    contenders = [ours("numpy", packed=True), NUMPY_LAYER, BARE_MATMUL]
    contenders += [NUMPY_COPY] if layout in MIXED else []
    for contender in contenders:
        job = make_job(case, layout, 1)
        assert contender.missing(job) is None
        assert job.error(contender.start(job).output(), contender.whole).of_promise <= 1


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "case",
    [
        Case(C=7, H=9, W=11, K=5),
        Case(C=4, H=1, W=2, K=33),
        Case(C=1, H=35, W=61, K=1),
        Case(C=13, H=50, W=41, K=16),
    ],
    ids=lambda case: case.name,
)
def test_headline_contenders_at_odd_sizes(case: Case, layout: Layout, threads: int) -> None:
    job = make_job(case, layout, threads)
    present = [c for c in headline_contenders() if c.missing(job) is None]
    assert len(present) >= 5
    for contender in present:
        result = contender.start(job).output()
        assert result.shape == job.sets[0].out.shape
        assert job.error(result).of_promise <= 1, contender.name


def _broken(change: Callable[[Array], None]) -> Contender:
    def bind(job: Job, arrays: Arrays) -> Callable[[], Array]:
        right = ours("numpy", packed=True).bind(job, arrays)

        def call() -> Array:
            result: Array = right()
            change(result)
            return result

        return call

    return Contender("broken", False, bind)


def _nan(y: Array) -> None:
    y[-1, -1, -1] = np.nan


def _off(y: Array) -> None:
    y[0, 0, 0] += 1e-4


@pytest.mark.parametrize("change", [_nan, _off])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrong_contender_fails_the_run(layout: Layout, change: Callable[[Array], None]) -> None:
    with pytest.raises(WrongResult, match="broken is wrong"):
        measure_panel(SMALL, layout, 1, "hot", [_broken(change)], rounds=1, budget=1)


def test_a_sample_has_both_ends() -> None:
    case = Case(C=3, H=300, W=100, K=2)
    job = make_job(case, "planar", 1, sample=1600)
    result = ours("numpy", packed=True).start(job).output()
    for row in (0, -1):
        wrong = result.copy()
        wrong[1, row, -1] += 1e-3
        assert job.error(result).of_promise <= 1 < job.error(wrong).of_promise


def test_rounds_are_interleaved() -> None:
    order: list[str] = []

    class Spy:
        def __init__(self, name: str) -> None:
            self.name = name

        def seconds(self, calls: int) -> float:
            order.append(self.name)
            return 1.0

    times = measure({name: Spy(name) for name in "abcd"}, placing=Placing(1), rounds=6, budget=60)
    assert {name: len(values) for name, values in times.items()} == dict.fromkeys("abcd", 6)
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    first = {turns[i] for i in range(0, len(turns), 4)}
    assert len(first) > 1


def test_rotating_runner_uses_every_set() -> None:
    used: list[int] = []

    def bind(job: Job, arrays: Arrays) -> Callable[[], Array]:
        def call() -> Array:
            used.append(id(arrays.out))
            return arrays.out

        return call

    job = make_job(SMALL, "planar", 1, sets=3)
    LocalRunner(job, bind).seconds(6)
    assert used[:3] == used[3:]
    assert len(set(used)) == 3


def test_roof_is_a_limit() -> None:
    try:
        isas = roof.isas()
    except native.CompileError as error:
        pytest.skip(str(error))
    assert list(isas)[-1:] == ["scalar"]
    peaks = [roof.peak_flops(isa, 1) for isa in isas]
    assert peaks[0] > 2 * peaks[-1]
    square = Case(C=512, H=1, W=512, K=512)
    panel = measure_panel(square, "planar", 1, "hot", [BARE_MATMUL], rounds=5, budget=5)
    assert panel.roof is not None
    assert panel.roof < panel.rows[0].best
