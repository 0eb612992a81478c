"""``python -m bench.measure.build_worker``: the build that this process imports, timed on request.

Requests are lines of JSON on the standard input, answers lines on the standard output.
``{"case": {...}, "layout": ..., "threads": ...}`` makes and checks a job.
``{"calls": n}`` times it. `BuildWorker` is the other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import ROOT
from ..layers.cases import Case, Layout

__all__ = ["BuildWorker"]


class BuildWorker:
    """A process that times one build.

    Parameters
    ----------
    package : Path or None
        The folder that has the `pointwise_fast` to import. None takes the installed one.

    Raises
    ------
    RuntimeError
        If the process cannot start or compute. The message is the last line that it wrote.
    """

    def __init__(self, package: Path | None = None) -> None:
        path = [str(package)] if package else []
        # The benchmarks are this checkout's, whichever build they time.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, str(ROOT)])}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.measure.build_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.package = Path(self._answer()["package"])

    def prepare(self, case: Case, layout: Layout, threads: int) -> None:
        """Make a job, check the result, and be ready to time it."""
        self._send({"case": asdict(case), "layout": layout, "threads": threads})
        self._answer()

    def seconds(self, calls: int) -> float:
        """Seconds per call, averaged over `calls`."""
        self._send({"calls": calls})
        return float(self._answer()["seconds"])

    def close(self) -> None:
        self._process.communicate()

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            raise RuntimeError((errors.strip() or "it ended without a message").splitlines()[-1])
        answer: dict[str, Any] = json.loads(line)
        return answer


def _serve() -> None:
    import pointwise_fast as pf

    from ..layers.contenders import LocalRunner, ours
    from ..layers.job import Job, make_job
    from .placing import Placing

    contender = ours("c", packed=True)
    job: Job | None = None
    runner: LocalRunner | None = None
    placing = Placing(1)
    print(json.dumps({"package": str(Path(pf.__file__).parent)}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "case" in request:
            case = Case(**{**request["case"], "used_in": ()})
            if job is None or (job.case, job.layout) != (case, request["layout"]):
                job = make_job(case, request["layout"], 1, sample=16_000)
            job = job.with_threads(request["threads"])
            missing = contender.missing(job)
            if missing is not None:
                raise SystemExit(missing)
            runner, placing = contender.start(job), Placing(request["threads"])
            with placing.of(runner):
                error = job.error(runner.output())
            if not error.of_promise <= 1:
                raise SystemExit(f"wrong on {case.name}, {request['layout']}: {error}")
            answer: dict[str, Any] = {}
        else:
            assert runner is not None
            with placing.of(runner):
                answer = {"seconds": runner.seconds(request["calls"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
