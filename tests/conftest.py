"""Options and fixtures."""

from __future__ import annotations

import os
import secrets
import zlib

import numpy as np
import pytest
import support
from shuffled import ShuffledMatmul
from support import BACKENDS, WITHOUT_NUMBA, Backend

import pointwise_fast as pf

#: Modules and single tests that compute in other processes only, or not at all.
ELSEWHERE = {
    "test_environment", "test_example_scripts", "test_guard", "test_import", "test_includes",
    "test_interrupts", "test_memory", "test_numba", "test_pool", "test_project", "test_readme",
    "test_suite_options", "test_threads",
    "test_an_older_threadpoolctl", "test_fork", "test_guard_pages", "test_mypy",
    "test_no_access_beyond_arrays", "test_no_library_is_imported", "test_peak_of_a_call",
    "test_registered_whichever_is_first", "test_the_isa_that_is_forced",
    "test_threadpoolctl_is_neither_loaded_nor_needed",
}  # fmt: skip

#: Modules of the C backend alone, as no parameter tells.
C_ALONE = {"test_bits", "test_streaming"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        type=int,
        default=int(os.environ.get("POINTWISE_FAST_TEST_SEED", secrets.randbits(32))),
        help="of all random data (or POINTWISE_FAST_TEST_SEED); by default a new one every run",
    )
    parser.addoption(
        "--shuffle-sums",
        action="store_true",
        default=bool(os.environ.get("POINTWISE_FAST_TEST_SHUFFLE_SUMS")),
        help="sum what NumPy's BLAS would in a random order, in the tests that are not of another "
        "backend alone (or POINTWISE_FAST_TEST_SHUFFLE_SUMS=1)",
    )
    parser.addoption(
        "--one-isa",
        action="store_true",
        help="leave out tests that go through all instruction sets or start Python anew: they do "
        "not depend on POINTWISE_FAST_ISA",
    )
    parser.addoption(
        "--require",
        default=os.environ.get("POINTWISE_FAST_TEST_REQUIRE", ""),
        help="backends that have to be there, as 'c,numba' (or POINTWISE_FAST_TEST_REQUIRE)",
    )


def pytest_configure(config: pytest.Config) -> None:
    support.SEED = config.getoption("--seed")
    if config.getoption("--shuffle-sums") or config.getoption("--one-isa"):
        # A plain run, which draws all examples, goes beside these.
        support.EXAMPLES_SHARE = 4
    if config.getoption("--shuffle-sums"):
        np.matmul = ShuffledMatmul(support.SEED)  # type: ignore[assignment]
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    missing = set(filter(None, config.getoption("--require").split(","))) - set(BACKENDS)
    if missing:
        reasons = {name: pf.config()["missing"].get(name) for name in missing}
        raise pytest.UsageError(f"required backends are missing: {reasons}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for option, leaves_out in (
        ("--shuffle-sums", lambda item: _has_no_numpy(item) or _is_elsewhere(item)),
        ("--one-isa", lambda item: _chooses_isa(item) or _is_elsewhere(item)),
    ):
        if config.getoption(option):
            out = [item for item in items if leaves_out(item)]
            config.hook.pytest_deselected(items=out)
            items[:] = [item for item in items if item not in set(out)]


def _parameters(item: pytest.Item) -> dict[str, object]:
    call = getattr(item, "callspec", None)
    return {} if call is None else call.params


def _has_no_numpy(item: pytest.Item) -> bool:
    """Whether the NumPy backend takes no part in the test, as its parameters tell."""
    parameters = _parameters(item)
    backend = parameters.get("backend", parameters.get("summing", "numpy"))
    return backend != "numpy" or _chooses_isa(item) or item.path.stem in C_ALONE


def _chooses_isa(item: pytest.Item) -> bool:
    return not {"isa", "isa_name", "kernels"}.isdisjoint(_parameters(item))


def _is_elsewhere(item: pytest.Item) -> bool:
    """Whether only other processes compute, with an environment of their own."""
    return not ELSEWHERE.isdisjoint({item.path.stem, item.name.partition("[")[0]})


def pytest_report_header(config: pytest.Config) -> str:
    found = pf.config()
    return (
        f"seed: {config.getoption('--seed')} (--seed); backends: {', '.join(found['backends'])}; "
        f"isa: {found['isa'] or 'none'} of {', '.join(found['isas']) or 'none'}"
    )


@pytest.fixture(scope="session")
def seed() -> int:
    return support.SEED


@pytest.fixture
def rng(request: pytest.FixtureRequest, seed: int) -> np.random.Generator:
    """A generator that depends on the seed and the test's name, not on which other tests run."""
    return np.random.default_rng([seed, zlib.crc32(request.node.name.encode())])


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    name: Backend = request.param
    return name


@pytest.fixture(params=WITHOUT_NUMBA)
def summing(request: pytest.FixtureRequest) -> Backend:
    """Backends that sum over pixels, for gradients of the weight and the bias."""
    name: Backend = request.param
    return name
