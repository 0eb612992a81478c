"""What comes in as an array, and what may serve as one."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from .foreign import as_ndarray, is_masked, refuse_foreign, way_to_write

__all__ = [
    "ANY_NUMBER",
    "as_input",
    "as_mask",
    "as_parameter",
    "as_x",
    "check_integer",
    "check_out",
    "is_same",
    "overlap",
    "owners",
    "refuse_objects",
    "shares_itself",
]

Array = npt.NDArray[Any]

#: Kinds of NumPy's dtypes, complex ones too.
ANY_NUMBER = "fiubc"


def as_input(
    value: Any,
    name: str,
    *,
    axis: int | None = None,
    masked: str | None = None,
    detach: bool = False,
) -> Array:
    """`value` as an ndarray, without a copy where it lends its memory.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    axis : int, optional
        Of the channels, for what errors recommend.
    masked : str, optional
        What to pass instead of a masked array.
    detach : bool
        Whether a tensor's gradient is of no concern.

    Raises
    ------
    TypeError
        If `value` is no array of numbers, or something of it would be lost.
    """
    if type(value) is np.ndarray:
        return value
    if is_masked(value):
        instead = masked or f"{name}.filled(value), with the number to take where it is masked"
        raise TypeError(f"{name} is a masked array, whose mask would be lost; pass {instead}")
    refuse_foreign(value, name, axis)
    array = as_ndarray(value, name, detach)
    kind = type(value).__name__
    if array.dtype.kind == "O" and hasattr(value, "to_numpy"):
        raise TypeError(
            f"{name} is a {kind} of objects to NumPy, as where its columns are nullable, of "
            f'Arrow\'s types or no numbers; pass {name}.to_numpy("float32", na_value=numpy.nan)'
        )
    refuse_objects(array.dtype, name, kind)
    return array


def as_x(value: Any, axis: int) -> Array:
    """`as_input` of what may be masked."""
    if is_masked(value):
        return value
    return as_input(value, "x", axis=axis)


def as_mask(value: Any, keep: bool) -> Array | None:
    """`value` as an array of bool; None of a scalar that masks nothing, unless told to `keep` it.

    The dtype of labels depends on whether data may be missing, not on whether some are.
    """
    mask = as_input(value, "mask", masked="mask.filled(True)")
    nothing = mask.ndim == 0 and mask.dtype == np.bool_ and not mask
    return None if nothing and not keep else mask


def refuse_objects(dtype: np.dtype[Any], name: str, got: str = "objects") -> None:
    """Refuse what NumPy makes of things that are no numbers, such as None."""
    if dtype.kind == "O":
        raise TypeError(f"{name} is not an array of numbers; got {got}")


def as_parameter(value: Any, name: str, kinds: str = "fiub") -> Array:
    """`value` as an array of numbers, for weights and biases, which are cast."""
    array = as_input(value, name, detach=True)
    if array.dtype.kind not in kinds and array.dtype.name != "bfloat16":
        refuse_objects(array.dtype, name)
        raise TypeError(f"{name} has dtype {array.dtype}; real numbers are expected")
    return array


def check_out(out: Any, masked: bool = False) -> Array:
    """`out`, or an error where it could not be written; whether it may be masked."""
    if type(out) is np.ndarray and out.flags.writeable:
        return out
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray; got {type(out).__name__}{way_to_write(out)}")
    if is_masked(out) and not masked:
        raise TypeError("out is a masked array; pass out.data")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def overlap(a: Array, b: Array) -> bool:
    """Whether `a` and `b` share an element; True where that is too hard to tell."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def owners(*arrays: Array | None) -> bool:
    """Whether each has memory of its own, so that different ones share none.

    To have no base does not say so: C code makes such arrays over any memory.
    """
    for array in arrays:  # noqa: SIM110, as this is quicker than all() of a generator
        if array is not None and not array.flags.owndata:
            return False
    return True


def shares_itself(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    """Whether two elements of an array share memory; True where that is too hard to tell.

    Examples
    --------
    >>> shares_itself((3, 4), (32, 8), 8), shares_itself((3, 4), (8, 8), 8)
    (False, True)
    """
    if 0 in shape:
        return False
    axes = sorted((abs(step), n) for n, step in zip(shape, strides, strict=True) if n > 1)
    extent = itemsize
    for step, n in axes:
        if step < itemsize:
            return True
        if step < extent:
            break
        extent += (n - 1) * step
    else:
        return False
    # One of two elements that share memory is at the start of the first axis on which they differ,
    # and both are at the start of those before. Only addresses are looked at.
    steps, counts = zip(*reversed(axes), strict=True)
    anywhere = np.empty((), f"V{itemsize}")
    wholes = (as_strided(anywhere, counts[i:], steps[i:]) for i in range(len(axes)))
    return any(overlap(whole[:1], whole[1:]) for whole in wholes)


def is_same(a: Array, b: Array) -> bool:
    """Whether `a` and `b` are the same elements in the same places."""
    return (
        a.shape == b.shape
        and a.strides == b.strides
        and a.dtype == b.dtype
        and a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
    )


def check_integer(value: Any, name: str, least: int | None = None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {value!r}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}; got {value!r}")
    return number
