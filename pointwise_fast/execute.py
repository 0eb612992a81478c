"""`execute`: how every call runs that has been prepared."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from .geometry import Masks
from .prepare import Prepared, Together

__all__ = ["execute"]

Array = npt.NDArray[Any]


@overload
def execute(
    prepared: Prepared,
    x: Array,
    residual: Array | None,
    mask: Masks,
    out: Array | None,
    threads: int,
    *parameters: Array | None,
) -> Array: ...


@overload
def execute(
    prepared: Together,
    x: Array,
    residual: None,
    mask: Masks,
    out: tuple[Array, ...] | None,
    threads: int,
) -> tuple[Array, ...]: ...


def execute(
    prepared: Any,
    x: Array,
    residual: Any,
    mask: Masks,
    out: Any,
    threads: int,
    *parameters: Array | None,
) -> Any:
    """Repeat the call if it can be repeated; else run its plan, and remember how to repeat it.

    Parameters
    ----------
    prepared : Prepared or Together
        For arrays like these.
    *parameters : numpy.ndarray or None
        Weight and bias, where they were not packed before.

    Returns
    -------
    numpy.ndarray or tuple of numpy.ndarray
        `out`, or what was made in its place. Where `out` overlaps an input, and no plan can write
        there, it is computed elsewhere first.
    """
    # No repeat writes over its input.
    if prepared.repeat is not None and mask is None and out is not x:
        result = prepared.repeat(x, residual, out, threads, *parameters)
        if result is not None:
            return result
    plan = prepared.plan
    if out is None:
        out = prepared.empty()
    else:
        plan = prepared.plan_into(out, x, residual, mask)
    if plan is None:
        _copy(execute(prepared.beside, x, residual, mask, None, threads, *parameters), out)
        return out
    is_own = plan is prepared.plan
    if parameters:
        plan.conv(*parameters, x, residual, out, threads, mask)
    else:
        packed = prepared.packed if is_own else prepared.packed_in_place
        plan.run(packed, x, residual, out, threads, mask)
    if is_own and mask is None and prepared.repeat is None and plan.repeat is not None:
        weight, bias = parameters or (None, None)
        prepared.repeat = plan.repeat(
            *(prepared.packed, weight, bias, x, residual, out),
            *(prepared.empty, prepared.others),
        )
    return out


def _copy(result: Any, out: Any) -> None:
    several = isinstance(out, tuple)
    for a, b in zip(out, result, strict=True) if several else [(out, result)]:
        np.copyto(a, b)
