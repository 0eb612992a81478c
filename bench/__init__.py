"""Benchmarks: ours and its peers on the same arrays, with the machine's limit beside them.

A *job* is a case in a layout with a number of threads; a *contender* turns a job into a *runner*,
which is timed. The modules at the top are what ``python -m bench.<name>`` runs. Imports go one way:

- entry points, such as ``headline``, ``suite`` and ``compare``;
- `bench.report`: tables, pictures and pages, from what was measured;
- `bench.measure`: interleaved rounds, processes, CPUs, and the limits of the machine;
- `bench.peers`: other people's libraries, each in a process of its own;
- `bench.layers`: cases, jobs and the contenders of this process;
- `bench.native`: the benchmarks' own C sources, compiled when they are needed.

``cases/`` has the layers of real networks, ``results/`` what was measured, ``tests/`` the tests.
"""

import os
from importlib.util import find_spec
from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parent.parent

_missing = [name for name in ("matplotlib", "threadpoolctl", "tqdm") if find_spec(name) is None]
if _missing:
    raise ImportError(f"benchmarks need {', '.join(_missing)}: pip install 'pointwise_fast[bench]'")

# OpenBLAS's threads spin for a tenth of a second after a call, on CPUs that the next contender
# needs. 2**22 cycles are a millisecond or two. They outlast the gaps between the calls of one turn,
# so OpenBLAS's own times stay the same.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "22")
