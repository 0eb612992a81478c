"""What decides on ISA, backend and threads: environment variables, affinity, cgroup quotas."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import BACKENDS, python_command, python_environment, run_python

import pointwise_fast as pf
from pointwise_fast import environment
from pointwise_fast.environment import cgroup_quota
from pointwise_fast.kernels import c_simd

THREADS = "import pointwise_fast as pf; print(pf.get_num_threads(), pf.config()['threads'])"
IMPORT = "import pointwise_fast"


def threads_with(**environment: Any) -> int:
    first, second = run_python(THREADS, **environment).stdout.split()
    assert first == second
    return int(first)


def refused(variable: str, value: str) -> str:
    """The error that importing raises if `variable` is `value`."""
    variables: Any = {variable: value}
    done = run_python(IMPORT, check=False, **variables)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: environment variable")
    assert variable in last
    assert repr(value) in last
    return last


@pytest.mark.parametrize("isa", c_simd.isas())
def test_isa_is_forced(isa: str) -> None:
    """The instruction set that was asked for runs, and gives the same bits."""
    code = """
        import numpy as np, pointwise_fast as pf
        from pointwise_fast.kernels import c_simd
        rng = np.random.default_rng(3)
        x, w = rng.standard_normal((50, 77, 7)), rng.standard_normal((20, 50))
        print(pf.config()["isa"], c_simd.isa(), c_simd.CPlan.__name__)
        print(pf.conv1x1(x, w, activation="silu", backend="c").tobytes().hex())
        layer = pf.Conv1x1(w, backend="c")
        layer(x)
        print({key[0][0] for key in layer._packed})
    """
    first, bits, used = run_python(code, POINTWISE_FAST_ISA=isa).stdout.splitlines()
    assert first == f"{isa} {isa} CPlan"
    assert used == f"{{{isa!r}}}"
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((50, 77, 7)), rng.standard_normal((20, 50))
    assert pf.conv1x1(x, w, activation="silu", backend="c").tobytes().hex() == bits


@pytest.mark.parametrize("value", ["sse9", "AVX2", "avx2,avx512", "avx2 "])
def test_unknown_isa_is_an_error(value: str) -> None:
    message = refused("POINTWISE_FAST_ISA", value)
    assert ", ".join(c_simd.isas()) in message


def test_isa_of_another_architecture_is_an_error() -> None:
    other = "neon" if "neon" not in c_simd.isas() else "avx2"
    refused("POINTWISE_FAST_ISA", other)


@pytest.mark.parametrize("name", c_simd.tunings())
def test_tuning_is_forced(name: str) -> None:
    code = "import pointwise_fast as pf; print(pf.config()['tuning'])"
    done = run_python(code, POINTWISE_FAST_TUNING=f"builtin:{name}")
    assert done.stdout.strip() == name


def test_unknown_tuning_is_an_error() -> None:
    assert "builtin:generic" in refused("POINTWISE_FAST_TUNING", "zen3")


@pytest.mark.parametrize("name", BACKENDS)
def test_backend_is_forced(name: str) -> None:
    """The variable decides for `auto`; a backend that a call names comes first."""
    code = """
        import numpy as np, pointwise_fast as pf
        from pointwise_fast import dispatch
        used = []
        for backend in dispatch.BACKENDS.values():
            def plan(problem, name=backend.NAME, plan=backend.plan):
                used.append(name)
                return plan(problem)
            backend.plan = plan
        pf.conv1x1(np.ones((3, 4, 4)), np.ones((2, 3)))
        pf.Conv1x1(np.ones((2, 3)))(np.ones((3, 4, 4)))
        print(*used)
        pf.conv1x1(np.ones((3, 4, 4)), np.ones((2, 3)), backend="numpy")
        print(used[-1])
    """
    done = run_python(code, POINTWISE_FAST_BACKEND=name)
    assert done.stdout.splitlines() == [f"{name} {name}", "numpy"]


def test_unknown_backend_is_an_error() -> None:
    message = refused("POINTWISE_FAST_BACKEND", "fortran")
    choices = message.partition("choices on this machine are ")[2].split(", ")
    # Sorted, because an instruction set that is forced on this process may change the order.
    assert sorted(choices) == sorted(BACKENDS)


@pytest.mark.parametrize("variable", ["ISA", "BACKEND", "NUM_THREADS"])
def test_empty_is_unset(variable: str) -> None:
    code = "import pointwise_fast as pf; print(pf.config())"
    plain = run_python(code).stdout
    empty: Any = {f"POINTWISE_FAST_{variable}": ""}
    assert run_python(code, **empty).stdout == plain


@pytest.mark.parametrize("n", [1, 3, 77])
def test_number_of_threads(n: int) -> None:
    assert threads_with(POINTWISE_FAST_NUM_THREADS=str(n)) == n
    assert threads_with(POINTWISE_FAST_NUM_THREADS=f" {n} ", OMP_NUM_THREADS="5") == n
    assert threads_with(OMP_NUM_THREADS=str(n)) == n
    assert threads_with(POINTWISE_FAST_NUM_THREADS="", OMP_NUM_THREADS=f"{n},2,1") == n


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "5000", "1e1", "3,2", "\u0664", "1_0"])
def test_wrong_number_of_threads_is_an_error(value: str) -> None:
    message = refused("POINTWISE_FAST_NUM_THREADS", value)
    assert "between 1 and 4096" in message


@pytest.mark.parametrize("digits", [4301, 5000])
def test_thousands_of_digits(digits: int) -> None:
    """Python refuses to parse so many digits, but leading zeros may be dropped."""
    many = "7" * digits
    assert threads_with(OMP_NUM_THREADS=many) == threads_with()
    done = run_python(IMPORT, check=False, POINTWISE_FAST_NUM_THREADS=many)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: environment variable POINTWISE_FAST_NUM_THREADS must be")
    assert f"({digits} characters)" in last
    assert len(last) < 300
    zeros = "3".zfill(digits)
    assert threads_with(OMP_NUM_THREADS=zeros) == 3
    assert threads_with(POINTWISE_FAST_NUM_THREADS=zeros) == 3
    for name in ("ISA", "BACKEND"):
        variables: Any = {f"POINTWISE_FAST_{name}": many}
        done = run_python(IMPORT, check=False, **variables)
        assert f"environment variable POINTWISE_FAST_{name}='777" in done.stderr
        assert len(done.stderr.strip().splitlines()[-1]) < 500


@pytest.mark.parametrize("value", ["", "0", "many", "-3", "\u0664", "\u00b2", "1_0"])
def test_omp_num_threads_that_is_no_number_is_passed_over(value: str) -> None:
    assert threads_with(OMP_NUM_THREADS=value) == threads_with()


needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no affinity"
)


@needs_affinity
def test_affinity() -> None:
    """CPUs that the process may not use are not counted."""
    cpus = sorted(os.sched_getaffinity(0))
    for some in {1, len(cpus)}:
        code = f"""
            import math, os
            os.sched_setaffinity(0, {cpus[:some]})
            from pointwise_fast.config import get_num_threads
            from pointwise_fast.environment import cgroup_quota
            print(get_num_threads(), cgroup_quota())
        """
        threads, quota = run_python(code).stdout.split()
        assert int(threads) == max(1, math.ceil(min(some, float(quota))))


@needs_affinity
def test_affinity_of_the_parent() -> None:
    """An affinity that the parent set, as `taskset` does, holds."""
    code = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])]); "
    code += "os.execv(sys.executable, [sys.executable, '-c', sys.argv[2]])"
    cpu = min(os.sched_getaffinity(0))
    done = subprocess.run(
        python_command(code, cpu, THREADS),
        env=python_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["1", "1"]


class Groups:
    """A tree of control groups in a folder."""

    def __init__(self, folder: Path, membership: str) -> None:
        self.proc = folder / "cgroup"
        self.proc.write_text(membership)
        self.root = folder / "fs"
        self.root.mkdir()

    def write(self, group: str, **files: str) -> None:
        (self.root / group).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.root / group / name.replace("__", ".")).write_text(text + "\n")

    def quota(self) -> float:
        return cgroup_quota(self.proc, self.root)


def test_cgroup_v2(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/a/b\n")
    assert groups.quota() == math.inf
    groups.write("a/b", cpu__max="max 100000")
    assert groups.quota() == math.inf
    groups.write("a/b", cpu__max="250000 100000")
    assert groups.quota() == 2.5
    groups.write("a", cpu__max="50000 100000")  # a parent's limit holds as well
    assert groups.quota() == 0.5
    groups.write("", cpu__max="10000 100000")
    assert groups.quota() == 0.1


def test_cgroup_v2_elsewhere(tmp_path: Path) -> None:
    """In a container the path may be the host's, and only its root is mounted."""
    groups = Groups(tmp_path, "0::/host/docker/3f7a\n")
    groups.write("", cpu__max="150000 100000")
    assert groups.quota() == 1.5


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_cgroup_v1(controllers: str, tmp_path: Path) -> None:
    groups = Groups(tmp_path, f"5:memory:/m\n4:{controllers}:/a/b\n3:cpuset:/s\n")
    groups.write("cpu/a/b", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert groups.quota() == math.inf
    groups.write("cpu/a", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    assert groups.quota() == 3
    groups.write("cpu/a/b", cpu__cfs_quota_us="5000", cpu__cfs_period_us="10000")
    assert groups.quota() == 0.5


def test_cgroup_both_versions(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "1:cpu:/one\n0::/two\n")
    groups.write("cpu/one", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    groups.write("two", cpu__max="200000 100000")
    assert groups.quota() == 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "gibberish", "1 0", "x 100000", "1", "0 100000", "-5 100000", "1 -1", "inf 1"),
        *("1 2 3", f"{'9' * 400} 1", f"{'9' * 5000} 1"),
    ],
    ids=lambda text: text[:12],
)
def test_cgroup_files_that_say_nothing(text: str, tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/a\n")
    groups.write("a", cpu__max=text)
    assert groups.quota() == math.inf


def test_cgroup_files_that_are_no_text(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/a\n")
    (groups.root / "a").mkdir()
    (groups.root / "a" / "cpu.max").write_bytes(b"\xff\xfe 100000\n")
    groups.write("", cpu__max="200000 100000")
    assert groups.quota() == 2


@pytest.mark.parametrize(
    "membership",
    [
        b"",
        b"\n\n",
        b"gibberish",
        b"0",
        b"0:",
        b"1:cpu",
        b"\xff\xfe:cpu:/\xff",
        b"0::/\x00/a",
        b"::::",
    ],
)
def test_odd_memberships(membership: bytes, tmp_path: Path) -> None:
    """Lines without a meaning are skipped, and a later one is read."""
    groups = Groups(tmp_path, "")
    groups.proc.write_bytes(membership)
    assert groups.quota() == math.inf
    groups.proc.write_bytes(membership + b"\n0::/a\n")
    groups.write("a", cpu__max="300000 100000")
    assert groups.quota() == 3


def test_importing_reads_no_sense() -> None:
    """Importing succeeds whatever the files contain, and where the system knows no affinity."""
    code = """
        import os, pathlib, sys
        read = pathlib.Path.read_text

        def odd(path, *arguments, **rest):
            if "cgroup" in str(path) or path.name.startswith("cpu."):
                if sys.argv[1] == "error":
                    raise PermissionError(path)
                return eval(sys.argv[1])
            return read(path, *arguments, **rest)

        def refuse(pid):
            raise OSError(38, "not here")

        pathlib.Path.read_text, os.sched_getaffinity = odd, refuse
        import pointwise_fast as pf
        print(pf.get_num_threads())
    """
    for said in ("error", "'no'", "'0::/'", "'a:cpu:b:c\\n' * 3", "'9' * 5000 + ' 1'"):
        assert int(run_python(code, said).stdout) == os.cpu_count()


def test_no_cgroups(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path / "none", tmp_path) == math.inf


def test_quota_decides_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for quota, threads in ((0.1, 1), (1.5, 2), (7, 7), (99, 64), (math.inf, 64)):
        monkeypatch.setattr(environment, "cgroup_quota", lambda quota=quota: quota)
        assert environment.usable_cpus() == threads


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    pf.show_config()
    shown = capsys.readouterr().out.splitlines()
    config = pf.config()
    assert [line.split()[0] for line in shown] == list(config)
    assert config["version"] == pf.__version__
    assert config["isa"] in (*config["isas"], "")
    assert config["backends"] == pf.backends()
    assert set(config["missing"]) | set(config["backends"]) == {"c", "numba", "numpy"}
    assert config["threads"] == pf.get_num_threads()
