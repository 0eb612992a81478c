"""Which dtypes come in, in which the sums are made, and which go out.

Arrays may be of either byte order; sums are of this machine's, and so are results unless another
is asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arrays import refuse_objects

__all__ = [
    "Dtypes",
    "cast_parameter",
    "check_result_dtype",
    "choose_dtypes",
    "default_fill",
    "holds",
    "integer_limits",
    "label_dtype",
    "native",
]

Array = npt.NDArray[Any]
DType = np.dtype[Any]

_F4, _F8 = np.dtype(np.float32), np.dtype(np.float64)
_C8, _C16 = np.dtype(np.complex64), np.dtype(np.complex128)

#: What comes in, and the dtype of its sums and its result unless another is asked for: float32
#: where it holds every value, else float64.
_INPUTS: dict[DType, DType] = {
    **{np.dtype(name): _F4 for name in ("?", "u1", "i1", "u2", "i2", "f2", "f4")},
    **{np.dtype(name): _F8 for name in ("u4", "i4", "u8", "i8", "f8")},
    _C8: _C8,
    _C16: _C16,
}
#: What goes out, and the dtype of its sums: float32 is enough for integers of up to 16 bits where
#: the input needs no more.
_RESULTS: dict[DType, DType] = {
    **{np.dtype(name): _F4 for name in ("f2", "f4", "u1", "i1", "u2", "i2")},
    **{np.dtype(name): _F8 for name in ("f8", "u4", "i4", "u8", "i8")},
    _C8: _C8,
    _C16: _C16,
}
#: Sums of ``precision="float64"``.
_WIDE = {_F4: _F8, _F8: _F8, _C8: _C16, _C16: _C16}
_LABELS = tuple(np.dtype(name) for name in ("u1", "u2", "i4", "i8"))


class Dtypes(NamedTuple):
    """A call's dtypes: input, sums (weights and bias too), result (the residual too)."""

    x: DType
    sums: DType
    out: DType


def _is_bfloat16(dtype: DType) -> bool:
    # Registered by ml_dtypes, which need not be there.
    return dtype.itemsize == 2 and dtype.name == "bfloat16"


def _names(dtypes: Any) -> str:
    names = [dtype.name for dtype in dtypes]
    names.insert(names.index("float16") + 1, "bfloat16")
    return ", ".join(names)


def native(dtype: DType) -> DType:
    """`dtype` in the byte order of this machine."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def choose_dtypes(x: DType, wanted: DType | None, precision: str | None = None) -> Dtypes:
    """The dtypes of a call, from those of its input `x` and of the result asked for, or None.

    Raises
    ------
    TypeError
        If they are not supported, or not together.
    """
    natural = _F4 if _is_bfloat16(x) else _INPUTS.get(native(x))
    if natural is None:
        refuse_objects(x, "x")
        if x.names is not None:
            raise TypeError(
                f"x has dtype {x}, whose fields are channels only by name: pass channels="
                f"{list(x.names)}"
            )
        raise TypeError(f"x has dtype {x}; supported are {_names(_INPUTS)}, in either byte order")
    if wanted is None:
        return Dtypes(x, _WIDE[natural] if precision == "float64" else natural, natural)
    if x.kind == "c" and wanted.kind != "c":
        raise TypeError(
            f"dtype={wanted} would lose the imaginary part of x, which has dtype {x}; complex64 "
            "or complex128 fits"
        )
    sums = _F4 if _is_bfloat16(wanted) else _RESULTS[native(wanted)]
    if precision == "float64":
        sums = _WIDE[sums]
    if wanted.kind in "ui" and natural == _F8:
        sums = _F8
    return Dtypes(x, sums, wanted)


def cast_parameter(array: Array, dtype: DType, name: str, fits: str | None = None) -> Array:
    """A parameter in the dtype of the sums.

    Parameters
    ----------
    fits : str, optional
        What to pass for wider sums, in words.

    Raises
    ------
    ValueError
        If a finite number would become infinite.
    """
    if array.dtype is dtype:
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        with np.errstate(over="ignore"):
            cast: Array = array.astype(dtype)
    lost = np.argwhere(np.isfinite(array) & ~np.isfinite(cast))
    if len(lost):
        wide = _WIDE[dtype]
        remedy = "no sums are wider"
        if wide != dtype:
            fits = f"dtype={wide.name!r} or precision='float64'" if fits is None else fits
            remedy = f"those of {wide} do: pass {fits}"
        raise ValueError(
            f"{name} has {array[tuple(lost[0])]!s}, which sums of {dtype} do not hold; {remedy}"
        )
    return cast


def check_result_dtype(dtype: npt.DTypeLike) -> DType:
    """`dtype` as one that a result may have."""
    if isinstance(dtype, str) and dtype == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise ImportError(
                "dtype='bfloat16' needs ml_dtypes: run pip install ml_dtypes"
            ) from None
        found: DType = np.dtype(ml_dtypes.bfloat16)
        return found
    try:
        given = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be one of {_names(_RESULTS)}; got {dtype!r}") from None
    if native(given) not in _RESULTS and not _is_bfloat16(given):
        raise TypeError(f"dtype must be one of {_names(_RESULTS)}; got {given}")
    return given


def label_dtype(
    K: int, wanted: DType | None, missing: bool = False, fill: float | None = None
) -> DType:
    """The dtype of labels 0 to K - 1: what was asked for, if it holds them, else the smallest.

    Where data may be `missing` it holds `fill` too, by default a value that is no label.
    """
    last = K - 1
    if missing and fill is None:
        last = K
    if wanted is None:
        fits = [d for d in _LABELS if d.name != "int32" and np.iinfo(d).max >= last]
        spare = [d for d in fits if missing and fill is not None and holds(d, fill)]
        return (spare or fits)[0]
    if native(wanted) not in _LABELS:
        raise TypeError(
            f"dtype={wanted} does not fit head='argmax', whose labels are "
            + ", ".join(d.name for d in _LABELS)
        )
    if np.iinfo(wanted).max < K - 1:
        raise TypeError(
            f"dtype={wanted} does not hold the labels 0 to {K - 1} of head='argmax'; "
            f"{label_dtype(K, None)} does"
        )
    if np.iinfo(wanted).max < last:
        raise TypeError(
            f"dtype={wanted} holds the labels 0 to {K - 1} of head='argmax', but no fill besides "
            f"where data are missing; pass dtype='{label_dtype(K, None, missing=True)}', or a "
            "label as fill="
        )
    return wanted


def default_fill(dtype: DType, labels: bool = False) -> float:
    """What stands for no result: NaN, or where there is none 0; of labels the largest value."""
    if labels:
        return int(np.iinfo(dtype).max)
    return 0.0 if dtype.kind in "ui" else float("nan")


def holds(dtype: DType, value: float) -> bool:
    """Whether `dtype`, of integers or bool, has `value`; ints are compared exactly."""
    least, most = integer_limits(dtype)
    return least <= value <= most and value == int(value)


def integer_limits(dtype: DType) -> tuple[int, int]:
    """The smallest and the largest value of integers or booleans."""
    return (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
