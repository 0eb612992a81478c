"""Intel MKL: ``cblas_sgemm`` through ctypes, with weights as they are and packed ahead.

The epilogue is NumPy's, in place. MKL chooses its kernels itself, on other CPUs than Intel's too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import files

import numpy as np

from ..layers.contenders import NUMPY_LAYER, Call, Contender
from ..layers.job import Array, Arrays, Job
from ..layers.numpy_layer import numpy_layer

__all__ = ["contenders"]

_ROW_MAJOR, _PLAIN, _TRANSPOSED, _PACKED = 101, 111, 112, 151
_LEFT, _RIGHT = 161, 162


@cache
def _library() -> ctypes.CDLL:
    found = [f for f in files("mkl") or [] if f.name.startswith(("libmkl_rt", "mkl_rt"))]
    if not found:
        raise ImportError("the package mkl has no mkl_rt")
    library = ctypes.CDLL(str(found[0].locate()))
    library.cblas_sgemm_pack_get_size.restype = ctypes.c_size_t
    for name in ("cblas_sgemm", "cblas_sgemm_compute", "cblas_sgemm_pack"):
        getattr(library, name).restype = None
    return library


def contenders(threads: int) -> list[Contender]:
    _library().MKL_Set_Num_Threads(threads)
    missing = NUMPY_LAYER.missing
    return [
        Contender("MKL sgemm", False, partial(_bind, _plain), missing),
        Contender("MKL sgemm packed", False, partial(_bind, _packed), missing),
    ]


def _bind(product: Callable[..., Call], job: Job, arrays: Arrays) -> Call:
    def multiply(left: Array, right: Array, out: Array) -> Call:
        calls = []
        for i in np.ndindex(out.shape[:-2]):
            # An operand without an axis for the batch is the same for all images.
            operands = (a[i[len(i) - (a.ndim - 2) :]] for a in (left, right))
            calls.append(product(job, *operands, out[i]))
        if len(calls) == 1:
            return calls[0]

        def all_of_them() -> None:
            for call in calls:
                call()

        return all_of_them

    return numpy_layer(job, arrays, multiply=multiply)


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _side(matrix: Array) -> tuple[int, ctypes.c_int]:
    """Whether it is transposed, and its leading dimension."""
    rows, columns = (stride // matrix.itemsize for stride in matrix.strides)
    if columns == 1 and rows >= matrix.shape[1]:
        return _PLAIN, ctypes.c_int(rows)
    return _TRANSPOSED, ctypes.c_int(columns)


def _plain(job: Job, left: Array, right: Array, out: Array) -> Call:
    (transpose_a, lda), (transpose_b, ldb) = _side(left), _side(right)
    sizes = [ctypes.c_int(n) for n in (*out.shape, left.shape[1])]
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    ldc = ctypes.c_int(out.strides[0] // out.itemsize)
    flags = (_ROW_MAJOR, transpose_a, transpose_b, *sizes)
    a, b, c = _pointer(left), _pointer(right), _pointer(out)
    return partial(_library().cblas_sgemm, *flags, one, a, lda, b, ldb, zero, c, ldc)


def _packed(job: Job, left: Array, right: Array, out: Array) -> Call:
    library, on_left = _library(), not job.interleaved[1]
    weight, side = (left, _LEFT) if on_left else (right, _RIGHT)
    sizes = [ctypes.c_int(n) for n in (*out.shape, left.shape[1])]
    memory = np.empty(library.cblas_sgemm_pack_get_size(side, *sizes) + 64, np.uint8)
    packed = ctypes.c_void_p(-(-memory.ctypes.data // 64) * 64)
    transpose, leading = _side(weight)
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    library.cblas_sgemm_pack(
        _ROW_MAJOR, side, transpose, *sizes, one, _pointer(weight), leading, packed
    )
    (transpose_a, lda), (transpose_b, ldb) = _side(left), _side(right)
    a, b = (packed, _pointer(right)) if on_left else (_pointer(left), packed)
    flags = (_PACKED, transpose_b) if on_left else (transpose_a, _PACKED)
    ldc = ctypes.c_int(out.strides[0] // out.itemsize)
    run = partial(
        library.cblas_sgemm_compute,
        *(_ROW_MAJOR, *flags, *sizes, a, lda, b, ldb, zero, _pointer(out), ldc),
    )

    def call(_keep: Array = memory) -> None:
        run()

    return call
