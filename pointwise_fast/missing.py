"""Missing data: which values of the input stand for none, and what becomes of their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .dtypes import default_fill, holds

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
        if out.kind in "ui" and not holds(out, fill):
            raise ValueError(f"fill={fill} does not fit the result, which has dtype {out}")
        nodata = self.nodata
        if nodata is not None:
            if x.kind in "uib":
                for value in nodata:
                    if x.itemsize == 8 and abs(value) > 2.0**53:
                        raise ValueError(
                            f"nodata={value:.17g} is beyond 2**53, where neighbours are not told "
                            f"apart; x has dtype {x}: pass mask="
                        )
                    if not holds(x, value):
                        raise ValueError(
                            f"nodata={_plain(value)} does not fit x, which has dtype {x}"
                        )
            else:
                kind = x.type(0).real.dtype.type if x.kind == "c" else x.type
                with np.errstate(over="ignore"):
                    rounded = tuple(float(kind(value)) for value in nodata)
                for value, found in zip(nodata, rounded, strict=True):
                    if math.isinf(found) and math.isfinite(value):
                        raise ValueError(f"nodata={value} does not fit x, which has dtype {x}")
                nodata = rounded
        return Missing(nodata, self.valid, self.min_valid, fill)


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value


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
        if isinstance(nodata, str | np.ma.MaskedArray) or _depth(nodata) > 1:
            raise ValueError(f"nodata must be a number, or one for each channel; got {nodata!r}")
        given = [nodata] * C if _depth(nodata) == 0 else list(nodata)  # type: ignore[arg-type]
        if len(given) != C:
            raise ValueError(
                f"nodata has {len(given)} values; a single number, or {C}, fit the {C} channels"
            )
        values = tuple(_number(value, "nodata") for value in given)
    return MissingSpec(values, valid, fraction, None if fill is None else _exact(fill, "fill"))


def _depth(value: Any) -> int:
    """0 of a number, 1 of numbers; more of anything else."""
    try:
        return np.ndim(value)
    except ValueError:  # ragged
        return 2


def _exact(value: Any, name: str) -> float:
    """As `_number`; integers, which may be longer than a float, as they are."""
    return int(value) if isinstance(value, int | np.integer) else _number(value, name)


def _number(value: Any, name: str) -> float:
    try:
        if not isinstance(value, str | bytes | complex | np.complexfloating):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"{name} must be a number; got {value!r}")
