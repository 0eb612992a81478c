"""threadpoolctl: `threadpool_limits` limits this package's threads, `threadpool_info` lists them.

threadpoolctl need not be installed, and importing this package does not import it. Where it has
been imported the controller is registered at once; otherwise when it is.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ._version import __version__
from .config import limit_threads
from .kernels import c_simd

__all__ = ["register"]

_NAME = "threadpoolctl"


def register() -> None:
    """Now, or once threadpoolctl has been imported."""
    module = sys.modules.get(_NAME)
    if module is not None:
        _register_with(module)
    else:
        sys.meta_path.insert(0, _Watch())


def _register_with(module: ModuleType) -> None:
    if not hasattr(module, "register"):  # before version 3.2
        return

    class Controller(module.LibController):  # type: ignore[misc, name-defined]
        """The number of threads of calls, whatever the backend."""

        user_api = internal_api = "pointwise_fast"
        # threadpoolctl looks for libraries in this process. Without an extension of our own there
        # is NumPy's.
        filename_prefixes = ("_c.abi3",) if c_simd.available() is None else ("_multiarray_umath",)
        check_symbols = ("PyInit__repeat", "PyInit__multiarray_umath")

        def get_version(self) -> str:
            return __version__

        def get_num_threads(self) -> int:
            return limit_threads()

        def set_num_threads(self, num_threads: int) -> None:
            limit_threads(num_threads)

    module.register(Controller)


class _Watch:
    """First among the finders of modules, until threadpoolctl has been imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _NAME:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(self, spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    """Registers after the module's own loader has done its work, and leaves no trace."""

    def __init__(self, watch: _Watch, loader: Any) -> None:
        self._watch = watch
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self._watch]
        _register_with(module)
