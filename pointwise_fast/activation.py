"""The activations and heads: their names, their parameters and how a user spells them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, get_args

import numpy as np

from . import typing as types
from .foreign import as_ndarray, is_masked
from .shapes import is_vector

__all__ = [
    "ACTIVATIONS",
    "HEADS",
    "Activation",
    "ActivationSpec",
    "parse_activation",
    "parse_head",
]

ActivationSpec = types.Activation | None

#: What is made of all output channels of a pixel at the end.
HEADS: tuple[str, ...] = get_args(types.Head)


class Activation(NamedTuple):
    """An activation with its parameters filled in; ``a`` and ``b`` are 0 where unused.

    ``slopes`` are prelu's, one for each output channel.
    """

    name: str
    a: float = 0.0
    b: float = 0.0
    slopes: tuple[float, ...] = ()

    @property
    def spec(self) -> Any:
        """As a user may spell it."""
        if self.slopes:
            return self.name, self.slopes
        parameters = (self.a, self.b)[: len(ACTIVATIONS[self.name].names)]
        return (self.name, *parameters) if parameters else self.name

    def __str__(self) -> str:
        if self.slopes:
            return f"('{self.name}', [{len(self.slopes)} slopes])"
        return repr(self.spec)


class _Parameters(NamedTuple):
    names: tuple[str, ...] = ()
    defaults: tuple[float, ...] = ()


#: Every activation, with its parameters and PyTorch's defaults for them. `types.ActivationName`
#: has the same names.
ACTIVATIONS: dict[str, _Parameters] = {
    "relu": _Parameters(),
    "relu6": _Parameters(),
    "leaky_relu": _Parameters(("negative_slope",), (0.01,)),
    "prelu": _Parameters(("slopes",)),
    "clip": _Parameters(("lo", "hi")),
    "sigmoid": _Parameters(),
    "tanh": _Parameters(),
    "silu": _Parameters(),
    "gelu": _Parameters(),
    "gelu_tanh": _Parameters(),
    "hardswish": _Parameters(),
    "hardsigmoid": _Parameters(),
    "elu": _Parameters(("alpha",), (1.0,)),
    "softplus": _Parameters(),
    "mish": _Parameters(),
}


def parse_activation(spec: Any) -> Activation | None:
    """Turn ``None``, a name or ``(name, *parameters)`` into an `Activation`.

    Parameters
    ----------
    spec : None, str, tuple or list
        What a user passes as ``activation=``. A bound of clip that is None is none.

    Returns
    -------
    Activation or None

    Raises
    ------
    TypeError
        If `spec` is none of these, or a parameter is no number.
    ValueError
        If the name is unknown or the parameters do not fit it.

    Examples
    --------
    >>> parse_activation("elu")
    Activation(name='elu', a=1.0, b=0.0, slopes=())
    >>> parse_activation(("clip", 0, None))
    Activation(name='clip', a=0.0, b=inf, slopes=())
    """
    if spec is None:
        return None
    if isinstance(spec, str):
        spec = (spec,)
    if not isinstance(spec, tuple | list) or not spec or not isinstance(spec[0], str):
        raise TypeError(
            "activation must be None, a name or a tuple of name and parameters, "
            f"such as 'relu' or ('leaky_relu', 0.1); got {spec!r}"
        )
    name, *given = spec
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is unknown; choose from {', '.join(ACTIVATIONS)}")
    names, defaults = ACTIVATIONS[name]
    if not given and defaults:
        given = list(defaults)
    if len(given) != len(names):
        wants = f"({name!r}, {', '.join(names)})" if names else repr(name)
        raise ValueError(f"activation {name!r} is written {wants}; got {spec!r}")
    if name == "prelu":
        return _prelu(given[0])
    if name == "clip":
        no_bound = -math.inf, math.inf
        given = [no_bound[i] if value is None else value for i, value in enumerate(given)]
    try:
        if any(isinstance(value, complex | np.complexfloating) for value in given):
            raise TypeError
        values = [float(value) for value in given]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"activation {name!r}: parameters must be numbers; got {spec!r}") from None
    if any(math.isnan(value) for value in values):
        raise ValueError(f"activation {name!r}: parameters must not be NaN; got {spec!r}")
    if name == "clip" and values[0] > values[1]:
        raise ValueError(f"activation 'clip' needs lo <= hi; got {spec!r}")
    if name in ("leaky_relu", "elu") and math.isinf(values[0]):
        raise ValueError(f"activation {name!r} needs a finite {names[0]}; got {spec!r}")
    a, b = (*values, 0.0, 0.0)[:2]
    return Activation(name, a, b)


def _prelu(given: Any) -> Activation:
    """One slope for all channels is leaky_relu's."""
    try:
        slopes = as_ndarray(given, "slopes", detach=True)
    except (TypeError, ValueError):
        slopes = np.empty((0, 0))
    if (
        not slopes.size
        or not is_vector(slopes.shape, slopes.size)
        or slopes.dtype.kind not in "fiub"
        or is_masked(given)
    ):
        raise TypeError(
            "activation 'prelu': slopes must be a number, or one for each output channel; "
            f"got {given!r}"
        )
    if not np.all(np.isfinite(slopes)):
        raise ValueError(f"activation 'prelu': slopes must be finite; got {given!r}")
    if slopes.size == 1:
        return Activation("leaky_relu", float(slopes.item()))
    return Activation("prelu", slopes=tuple(slopes.reshape(-1).tolist()))


def parse_head(head: Any) -> str | None:
    """`head` as a user passes it, checked.

    Raises
    ------
    TypeError, ValueError
        If it is no name, or none of `HEADS`.
    """
    if head is None:
        return None
    if not isinstance(head, str):
        raise TypeError(f"head must be None or a name; got {head!r}")
    if head not in HEADS:
        raise ValueError(f"head {head!r} is unknown; choose from {', '.join(HEADS)}")
    return head
