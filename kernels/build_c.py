"""The cffi builder that setup.py runs: ``c_src`` into ``pointwise_fast.kernels._c``.

The C files in this folder, which know Python, become a second module in the same file; so they call
the kernels as C does. `c_library` loads it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
# Relative to setup.py, as setuptools wants sources.
SOURCES = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "c_src").rglob("*.c"))
SOURCES += [f"kernels/{name}.c" for name in ("branches", "forms", "repeat", "sizes")]
HEADERS = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "c_src").rglob("*.h"))
HEADERS.append("kernels/repeat.h")

FLAGS = [
    "-std=c11",
    "-O3",
    # Python's own flags ask for debug information, with which a build takes half as long again.
    "-g0",
    # Every fused multiply-add is written as one; the compiler makes none of its own.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror=incompatible-pointer-types",
    "-Werror=implicit-function-declaration",
    *os.environ.get("POINTWISE_FAST_CFLAGS", "").split(),
]

# Addresses of other libraries' functions are written once, as the extension is loaded.
HARDENED = ["-Wl,-z,relro", "-Wl,-z,now"] if sys.platform == "linux" else []

ffibuilder = FFI()
for header in ("pw_types.h", "pw_api.h"):
    text = (ROOT / "c_src" / header).read_text()
    # cffi knows no include guards.
    ffibuilder.cdef("".join(line for line in text.splitlines(True) if not line.startswith("#")))
ffibuilder.set_source(
    "pointwise_fast.kernels._c",
    '#include "pointwise.h"',
    sources=SOURCES,
    include_dirs=["c_src"],
    depends=HEADERS,
    extra_compile_args=FLAGS,
    libraries=["m"] if sys.platform != "win32" else [],
    extra_link_args=["-pthread", *HARDENED],
)
