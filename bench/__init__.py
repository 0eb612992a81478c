"""Benchmarks: ours and its peers on the same arrays, with the machine's limit beside them.

A *job* is a case in a layout with a number of threads (`bench.job`); a *contender* turns a job
into a `Runner` (`bench.contenders`); `bench.rounds` times runners in interleaved rounds;
`bench.roof` gives runners for the limits of the machine; `bench.report` and `bench.plot` say what
came out. ``python -m bench.headline`` puts them together, and ``python -m bench.suite`` does
so for many layers and for the libraries of `bench.peers`, each in a process of its own.
"""

import os
from importlib.util import find_spec

_missing = [name for name in ("matplotlib", "threadpoolctl", "tqdm") if find_spec(name) is None]
if _missing:
    raise ImportError(f"benchmarks need {', '.join(_missing)}: pip install 'pointwise_fast[bench]'")

# OpenBLAS's threads spin for a tenth of a second after a call, on CPUs that the next contender
# needs. 2**22 cycles, a millisecond or two, outlast the gaps between the calls of one turn: its own
# times stay the same.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "22")
