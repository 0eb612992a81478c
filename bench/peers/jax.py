"""JAX: a jitted layer, as a convolution and as an einsum, on arrays of the device.

Results are new arrays, and the time ends when they are complete. XLA takes its number of threads
from the CPUs of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..layers.contenders import Call, Contender
from ..layers.job import Array, Arrays, Job

__all__ = ["contenders"]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "hardswish": jax.nn.hard_swish,
    "hardsigmoid": jax.nn.hard_sigmoid,
    "gelu": partial(jax.nn.gelu, approximate=False),
}


def contenders(threads: int) -> list[Contender]:
    jax.config.update("jax_default_matmul_precision", "float32")
    return [
        Contender("JAX conv", False, partial(_bind, _conv)),
        Contender("JAX einsum", False, partial(_bind, _einsum), _no_einsum),
    ]


def _no_einsum(job: Job) -> str | None:
    return "no groups, no stride" if job.case.groups > 1 or job.case.stride > 1 else None


def _conv(job: Job, x: Any, weight: Array) -> Any:
    case, planar = job.case, job.layout == "planar"
    kernel = weight[:, :, None, None] if planar else weight.T[None, None]
    axes = ("NCHW", "OIHW", "NCHW") if planar else ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (case.stride, case.stride),
        "VALID",
        dimension_numbers=axes,
        feature_group_count=case.groups,
    )


def _einsum(job: Job, x: Any, weight: Array) -> Any:
    pattern = "kc,nchw->nkhw" if job.layout == "planar" else "nhwc,kc->nhwk"
    operands = (weight, x) if job.layout == "planar" else (x, weight)
    return jnp.einsum(pattern, *operands)


def _bind(product: Callable[[Job, Any, Array], Any], job: Job, arrays: Arrays) -> Call:
    def image(array: Array) -> jax.Array:
        return jnp.asarray(array if array.ndim == 4 else array[None])

    def layer(x: jax.Array, residual: jax.Array | None) -> Any:
        # Weights and bias are constants, which XLA may pack when it compiles.
        y = product(job, x, job.weight)
        if job.bias is not None:
            y = y + (job.bias[:, None, None] if job.layout == "planar" else job.bias)
        if residual is not None:
            y = y + residual
        return y if job.case.activation is None else _ACTIVATIONS[job.case.activation](y)

    x = image(arrays.x)
    residual = None if arrays.residual is None else image(arrays.residual)
    compiled = jax.jit(layer)
    return lambda: compiled(x, residual).block_until_ready()
