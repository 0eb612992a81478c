"""Missing data: which values of the input stand for none, and what becomes of their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .dtypes import default_fill

__all__ = ["Missing", "MissingSpec", "parse_missing"]

Nodata = float | Sequence[float] | npt.NDArray[Any] | None


class Missing(NamedTuple):
    """What a backend has to know of missing data.

    Attributes
    ----------
    nodata : tuple of float or None
        For each input channel the value that stands for none, as the dtype of the input has it;
        NaN: NaN.
    valid : {"all", "any"}
        Whether a pixel needs all its channels or may do with some.
    min_valid : float
        The fraction of channels that a pixel needs.
    fill : float
        What a pixel without a result becomes.
    """

    nodata: tuple[float, ...] | None
    valid: str
    min_valid: float
    fill: float


class MissingSpec(NamedTuple):
    """The same as the user gave it: checked as far as can be without an input."""

    nodata: tuple[float, ...] | None
    valid: str
    min_valid: float
    fill: float | None

    def resolve(self, x: np.dtype[Any], out: np.dtype[Any]) -> Missing:
        """For an input of dtype `x` and an output of dtype `out`.

        Raises
        ------
        ValueError
            If they cannot hold `nodata` or `fill`.
        """
        fill = default_fill(out) if self.fill is None else self.fill
        if out.kind in "ui" and not _holds(out, fill):
            raise ValueError(f"fill={fill} does not fit the result, which has dtype {out}")
        nodata = self.nodata
        if nodata is not None:
            if x.kind in "uib":
                for value in nodata:
                    if not _holds(x, value):
                        raise ValueError(
                            f"nodata={_plain(value)} does not fit x, which has dtype {x}"
                        )
            else:
                kind = x.type(0).real.dtype.type if x.kind == "c" else x.type
                with np.errstate(over="ignore"):
                    nodata = tuple(float(kind(value)) for value in nodata)
        return Missing(nodata, self.valid, self.min_valid, fill)


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    if not math.isfinite(value) or not value.is_integer():
        return False
    if dtype.kind == "b":
        return value in (0, 1)
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max)


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
    values: tuple[float, ...] | None = None
    if nodata is not None:
        if isinstance(nodata, str) or np.ndim(nodata) > 1:
            raise ValueError(f"nodata must be a number, or one for each channel; got {nodata!r}")
        given = [nodata] * C if np.ndim(nodata) == 0 else list(nodata)  # type: ignore[arg-type]
        if len(given) != C:
            raise ValueError(f"nodata has {len(given)} values; one, or {C}, fit the {C} channels")
        values = tuple(_number(value, "nodata") for value in given)
    return MissingSpec(values, valid, fraction, None if fill is None else _number(fill, "fill"))


def _number(value: Any, name: str) -> float:
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{name} must be a number; got {value!r}")
