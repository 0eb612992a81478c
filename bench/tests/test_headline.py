"""The headline's cases through pytest-benchmark: ``pytest bench``.

This is a quick look. `bench.headline` has interleaved rounds and the roof.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from threadpoolctl import threadpool_limits

import pointwise_fast as pf

from ..layers.cases import HEADLINE, LAYOUTS, Layout
from ..layers.contenders import Contender, headline_contenders
from ..layers.job import Job, make_job
from ..measure.placing import Placing
from ..measure.rounds import settle


@pytest.fixture(scope="module", params=LAYOUTS)
def data(request: pytest.FixtureRequest) -> Job:
    layout: Layout = request.param
    return make_job(HEADLINE, layout, 1)


@pytest.mark.parametrize("threads", sorted({1, pf.get_num_threads()}))
@pytest.mark.parametrize("contender", headline_contenders(), ids=lambda contender: contender.name)
def test_headline(
    benchmark: BenchmarkFixture, data: Job, contender: Contender, threads: int
) -> None:
    job = data.with_threads(threads)
    reason = contender.missing(job)
    if reason is not None:
        pytest.skip(f"{contender.name}: {reason}")
    placing = Placing(threads)
    benchmark.group = f"{HEADLINE.name}, {job.layout}, {threads} thread{'s' * (threads > 1)}"
    with threadpool_limits(limits=threads, user_api="blas"):
        runner = contender.start(job)
        error = job.error(runner.output())
        assert error.of_promise <= 1
        settle()
        with placing.of(runner):
            benchmark.pedantic(runner.call, rounds=5, warmup_rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info.update(
        flops=HEADLINE.flops, bytes=HEADLINE.bytes, max_error=error.absolute
    )
