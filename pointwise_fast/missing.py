"""Missing data: which values of the input stand for none, and what becomes of their pixels."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .dtypes import default_fill, holds, integer_limits, native
from .foreign import is_masked

__all__ = ["Missing", "MissingSpec", "parse_missing"]

Nodata = float | Sequence[float | None] | npt.NDArray[Any] | None

#: In each channel, as given: integers exactly; None: every value counts.
_Values = tuple[float | None, ...]


class Missing(NamedTuple):
    """What a backend has to know of missing data.

    Attributes
    ----------
    nodata : tuple of int, float or None, or None
        For each input channel the value that stands for none, as the dtype of the input has it: an
        int where that is one of integers. NaN: any NaN; None: no value.
    valid : {"all", "any"}
        Whether a pixel needs all its channels or may do with some.
    min_valid : float
        The fraction of channels that a pixel needs.
    fill : float
        What a pixel without a result becomes.
    """

    nodata: _Values | None
    valid: str
    min_valid: float
    fill: float


class MissingSpec(NamedTuple):
    """The same as the user gave it: checked as far as can be without an input."""

    nodata: _Values | None
    valid: str
    min_valid: float
    fill: float | None

    @property
    def is_default(self) -> bool:
        return self == MissingSpec(None, "all", 0.5, None)

    def resolve(self, x: np.dtype[Any], out: np.dtype[Any], labels: bool = False) -> Missing:
        """For an input of dtype `x` and an output of dtype `out`, of labels or not.

        Raises
        ------
        ValueError
            If they cannot hold `nodata` or `fill`.
        """
        fill = default_fill(out, labels) if self.fill is None else self.fill
        if out.kind not in "ui":
            fill = _number(fill, "fill")
        elif not holds(out, fill):
            raise ValueError(
                f"fill={fill} does not fit the result, which has dtype {out}: {_fitting(out)}"
            )
        nodata = self.nodata
        if nodata is not None:
            fit = _as_integer if x.kind in "uib" else _as_float
            nodata = tuple(None if value is None else fit(value, x) for value in nodata)
        return Missing(nodata, self.valid, self.min_valid, fill)


def _as_integer(value: float, x: np.dtype[Any]) -> int:
    """`nodata` exactly, as a value of the integers of `x`."""
    if not holds(x, value):
        # What a float makes of the largest integer of 64 bits.
        rounded = isinstance(value, float) and value == integer_limits(x)[1] + 1 and value > 2**53
        hint = f"; pass {integer_limits(x)[1]} as an int, which is not rounded" if rounded else ""
        raise ValueError(f"nodata={value} does not fit x, which has dtype {x}: {_fitting(x)}{hint}")
    return int(value)


def _as_float(value: float, x: np.dtype[Any]) -> float:
    """`nodata` as the floats of `x` have it: files name those of float32 with more digits."""
    dtype = native(x)
    kind = dtype.type(0).real.dtype.type if x.kind == "c" else dtype.type
    try:
        with np.errstate(over="ignore"):
            found = float(kind(value))
    except OverflowError:  # an int past all floats
        found = math.inf
    if math.isinf(found) and abs(value) != math.inf:
        raise ValueError(f"nodata={value} does not fit x, which has dtype {x}")
    return found


def _fitting(dtype: np.dtype[Any]) -> str:
    return "whole numbers from {} to {} do".format(*integer_limits(dtype))


def parse_missing(
    nodata: Nodata, fill: float | None, valid: str, min_valid: float, C: int
) -> MissingSpec:
    """Check what a user passes for `C` input channels.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    if valid not in ("all", "any"):
        raise ValueError(f"valid must be 'all' or 'any'; got {valid!r}")
    fraction = _number(min_valid, "min_valid")
    if not 0 <= fraction <= 1:
        raise ValueError(f"min_valid must be a fraction between 0 and 1; got {min_valid!r}")
    values: _Values | None = None
    if nodata is not None:
        if isinstance(nodata, str) or is_masked(nodata) or _depth(nodata) > 1:
            raise ValueError(f"nodata must be a number, or one for each channel; got {nodata!r}")
        given = [nodata] * C if _depth(nodata) == 0 else list(nodata)  # type: ignore[arg-type]
        if len(given) != C:
            raise ValueError(
                f"nodata has {len(given)} values; a single number, or {C}, fit the {C} channels"
            )
        if any(value is not None for value in given):
            values = tuple(
                None if value is None else _exact_number(value, "nodata") for value in given
            )
    if fill is not None:
        fill = _exact_number(fill, "fill")
    return MissingSpec(values, valid, fraction, fill)


def _depth(value: Any) -> int:
    """0 of a number, 1 of numbers; more of anything else."""
    try:
        return np.ndim(value)
    except ValueError:  # ragged
        return 2


def _exact_number(value: Any, name: str) -> float:
    """Integers of any size stay what they are."""
    try:
        return operator.index(value)
    except TypeError:
        return _number(value, name)


def _number(value: Any, name: str) -> float:
    try:
        if not isinstance(value, str | bytes | complex | np.complexfloating):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{name} must be a number; got {value!r}")
