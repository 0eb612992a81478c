"""``--strict-skips``, for tests/ and bench/: a skip without a good reason is a failure.

Without an extra, tests that need it are skipped. CI installs all extras, so that it leaves out only
tests which its machine cannot run.
"""

from __future__ import annotations

import os
import re

import pytest

#: Reasons that a skip may give, and why nothing can be done about it.
ALLOWED = {
    r"takes floats only|takes no chains|the backend has no such feature": "see docs/features.md",
    r"the threads are the BLAS's|leaves OpenBLAS locked": "not the package's code",
    r"stores nothing past the caches|takes long without FMA": "kernels with vectors alone do that",
    r"no AVX-512 BF16|no AVX$|x86 mnemonics|comes first without FMA": "the CPU lacks it",
    r"not installed: pip install (mkl|jax|openvino|ai-edge-litert|opencv|scikit-learn)": (
        "a gigabyte of peers, which are measured by hand"
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips",
        action="store_true",
        default=bool(os.environ.get("POINTWISE_FAST_TEST_STRICT_SKIPS")),
        help="fail if a test is skipped for a reason that conftest.py does not list "
        "(or POINTWISE_FAST_TEST_STRICT_SKIPS=1)",
    )


def is_allowed(reason: str) -> bool:
    return any(re.search(pattern, reason) for pattern in ALLOWED)


class StrictSkips:
    """Collects skips of tests and modules, and fails the run if one is not allowed."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._see(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._see(report)

    def _see(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not is_allowed(reason):
            self.found.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section("skipped for a reason that conftest.py does not list")
            for line in self.found:
                terminalreporter.line(line)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--strict-skips"):
        config.pluginmanager.register(StrictSkips(), "strict-skips")
