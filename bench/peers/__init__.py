"""Other people's software that computes the same layers, each in a process of its own.

Each file has ``contenders(threads)``. It imports the library, sets its number of threads as its
documentation recommends, and returns what can be timed. Weights are packed ahead, and a job's
arrays are used where they are, wherever the library allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["PEERS", "Peer", "environment"]

#: With these settings glibc reuses pages, for libraries whose results are always new arrays.
_REUSE = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


class Peer(NamedTuple):
    """A file of this folder, and what it needs.

    Attributes
    ----------
    module : str
    package : str
        What to install.
    imports : tuple of str
        What can be imported then.
    environment : mapping of str to str
        It is set before the process starts.
    places : bool
        Whether it is faster if it places its threads itself.
    """

    module: str
    package: str
    imports: tuple[str, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})
    places: bool = False

    def missing(self) -> str | None:
        """The reason why it cannot be measured. None if it can."""
        absent = [name for name in self.imports if find_spec(name) is None]
        if absent:
            return f"not installed: pip install {self.package}"
        try:
            self.version()
        except PackageNotFoundError:
            return f"not installed: pip install {self.package}"
        return None

    def version(self) -> str:
        """The version of the distribution that has the first import. Its name may differ."""
        name = self.package.split()[0]
        if self.imports:
            name = packages_distributions().get(self.imports[0], [name])[0]
        return version(name)


PEERS: dict[str, Peer] = {
    "numpy": Peer("numpy", "numpy", ("numpy",)),
    "torch": Peer("torch", "torch", ("torch",), _REUSE),
    "onnxruntime": Peer("onnxruntime", "onnxruntime onnx", ("onnxruntime", "onnx")),
    "openvino": Peer("openvino", "openvino", ("openvino",), places=True),
    "mkl": Peer("mkl", "mkl", (), {"MKL_DYNAMIC": "FALSE"}),
    "jax": Peer("jax", "jax", ("jax", "jaxlib"), _REUSE | {"JAX_PLATFORMS": "cpu"}, True),
    "litert": Peer("litert", "ai-edge-litert", ("ai_edge_litert", "flatbuffers")),
    "opencv": Peer("opencv", "opencv-python-headless", ("cv2",)),
}


def environment(peer: Peer, threads: int) -> dict[str, str]:
    """The variables of its process that are not the parent's."""
    pools = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    counts = {f"{pool}_NUM_THREADS": str(threads) for pool in pools}
    # This is OpenBLAS's default. `bench` shortens it for contenders that share a process.
    return counts | {"OPENBLAS_THREAD_TIMEOUT": "26"} | dict(peer.environment)
