"""Options and fixtures."""

from __future__ import annotations

import os
import secrets
import zlib

import numpy as np
import pytest
import support
from shuffled import ShuffledMatmul
from support import BACKENDS

import pointwise_fast as pf


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
        "--require",
        default=os.environ.get("POINTWISE_FAST_TEST_REQUIRE", ""),
        help="backends that have to be there, as 'c,numba' (or POINTWISE_FAST_TEST_REQUIRE)",
    )


def pytest_configure(config: pytest.Config) -> None:
    support.SEED = config.getoption("--seed")
    if config.getoption("--shuffle-sums"):
        np.matmul = ShuffledMatmul(support.SEED)  # type: ignore[assignment]
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    missing = set(filter(None, config.getoption("--require").split(","))) - set(BACKENDS)
    if missing:
        reasons = {name: pf.config()["missing"].get(name) for name in missing}
        raise pytest.UsageError(f"required backends are missing: {reasons}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--shuffle-sums"):
        others = [item for item in items if _is_of_another_backend(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if not _is_of_another_backend(item)]


def _is_of_another_backend(item: pytest.Item) -> bool:
    """Whether NumPy has no part in it, as its parameters tell."""
    call = getattr(item, "callspec", None)
    parameters = {} if call is None else call.params
    backend = parameters.get("backend", parameters.get("summing", "numpy"))
    return backend != "numpy" or "isa" in parameters or "isa_name" in parameters


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
    """Different in every test, the same in every run of one seed, whatever else runs."""
    return np.random.default_rng([seed, zlib.crc32(request.node.name.encode())])


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
