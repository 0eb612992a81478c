"""The types of arguments, for annotations of your own.

Examples
--------
>>> import pointwise_fast as pf
>>> def classify(backend: pf.typing.Backend = "auto") -> None: ...
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Activation",
    "ActivationName",
    "Backend",
    "BackendName",
    "GradientName",
    "Head",
    "Number",
    "PlainActivation",
    "Precision",
    "Valid",
]

Number = float | np.integer[Any] | np.floating[Any]

#: Activations that a name alone stands for.
PlainActivation = Literal[
    "relu",
    "relu6",
    "leaky_relu",
    "sigmoid",
    "tanh",
    "silu",
    "gelu",
    "gelu_tanh",
    "hardswish",
    "hardsigmoid",
    "elu",
    "softplus",
    "mish",
]
ActivationName = Literal[PlainActivation, "prelu", "clip"]

#: What ``activation=`` takes, besides None.
Activation = (
    PlainActivation
    | tuple[PlainActivation]
    | tuple[Literal["leaky_relu", "elu"], Number]
    | tuple[Literal["prelu"], npt.ArrayLike]
    | tuple[Literal["clip"], Number | None, Number | None]
    | list[Any]
)

#: What ``head=`` takes, besides None.
Head = Literal["softmax", "log_softmax", "l2_normalize", "argmax"]

#: What `pointwise_fast.backends` gives.
BackendName = Literal["c", "numba", "numpy"]
#: What ``backend=`` takes.
Backend = Literal["auto", BackendName]

#: What ``valid=`` takes.
Valid = Literal["all", "any"]

#: What ``precision=`` takes, besides None.
Precision = Literal["bf16", "float64"]

#: What ``needs=`` of `pointwise_fast.conv1x1_backward` may hold.
GradientName = Literal["x", "weight", "bias"]
