"""What a problem asks of a backend, in words: each backend declares those that it has.

The declarations decide which backend takes a problem, and make the documentation's table.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from pointwise_fast.problem import Problem

__all__ = ["FEATURES", "FLOATS", "features_of", "first_lacking"]

_INPUTS = (
    *("float32", "float64", "float16", "bfloat16", "bool"),
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("complex64", "complex128"),
)
_OUTPUTS = (
    *("float32", "float64", "float16", "bfloat16"),
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("complex64", "complex128"),
)

#: What every backend has had from the start.
FLOATS = frozenset(
    [
        *("float32 input", "float64 input", "float32 output", "float64 output"),
        *("bias", "residual", "activations", "groups"),
    ]
)

#: All there are, in the order of the table. The last two are functions of their own.
FEATURES = (
    *(f"{name} input" for name in _INPUTS),
    *(f"{name} output" for name in _OUTPUTS),
    *("foreign byte order", "precision='float64'"),
    *("bias", "residual", "activations", "prelu", "groups"),
    *("head='softmax'", "head='log_softmax'", "head='l2_normalize'", "head='argmax'"),
    *("nodata=", "mask=", "valid='any'", "offset="),
    *("chains of layers", "gradients", "quantised"),
)


@cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """Its name, which NumPy puts together each time."""
    name: str = dtype.name
    return name


def features_of(problem: Problem) -> list[str]:
    """Those of `FEATURES` that `problem` needs."""
    found = [f"{_name_of(problem.x_dtype)} input"]
    if problem.head == "argmax":
        found.append("head='argmax'")
    else:
        found.append(f"{_name_of(problem.out_dtype)} output")
        found += [f"head={problem.head!r}"] if problem.head is not None else []
    dtypes = problem.x_dtype, problem.out_dtype, problem.residual_dtype
    found += ["foreign byte order"] if any(d is not None and not d.isnative for d in dtypes) else []
    # A wider result has wider sums anyway.
    narrow = problem.precision == "float64" and problem.out_dtype.kind in "fc"
    if narrow and problem.out_dtype.itemsize < problem.dtype.itemsize:
        found.append("precision='float64'")
    found += ["chains of layers"] if problem.hidden else []
    found += ["bias"] if problem.bias else []
    found += ["residual"] if problem.residual_strides is not None else []
    found += ["groups"] if problem.groups > 1 else []
    scales = problem.scale, *(layer.scale for layer in problem.hidden)
    found += ["offset="] if any(scales) else []
    for activation in (problem.activation, *(layer.activation for layer in problem.hidden)):
        if activation is not None:
            found.append("prelu" if activation.name == "prelu" else "activations")
    if problem.missing is not None:
        found += ["nodata="] if problem.missing.nodata is not None else []
        found += ["mask="] if problem.mask_strides is not None else []
        found += ["valid='any'"] if problem.missing.valid == "any" else []
    return found


def first_lacking(problem: Problem, features: frozenset[str]) -> str | None:
    """What `problem` needs and `features` do not have."""
    return next((name for name in features_of(problem) if name not in features), None)
