"""JAX: a jitted layer, as a convolution and as an einsum, on arrays of the device.

Results are new arrays, and the time ends when they are complete. XLA takes its number of threads
from the CPUs of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
        Contender("JAX conv", False, partial(_bind, _conv), read=_read),
        Contender("JAX einsum", False, partial(_bind, _einsum), _no_einsum, read=_read),
    ]


def _no_einsum(job: Job) -> str | None:
    return "no groups, no stride" if job.case.groups > 1 or job.case.stride > 1 else None


def _conv(job: Job, x: Any, weight: Array) -> Any:
    case, (x_last, y_last) = job.case, job.interleaved
    kernel = weight.T[None, None] if x_last else weight[:, :, None, None]
    axes = (
        "NHWC" if x_last else "NCHW",
        "HWIO" if x_last else "OIHW",
        "NHWC" if y_last else "NCHW",
    )
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (case.stride, case.stride),
        "VALID",
        dimension_numbers=axes,
        feature_group_count=case.groups,
    )


def _einsum(job: Job, x: Any, weight: Array) -> Any:
    x_last, y_last = job.interleaved
    image, result = "nhwc" if x_last else "nchw", "nhwk" if y_last else "nkhw"
    if x_last:
        return jnp.einsum(f"{image},kc->{result}", x, weight)
    return jnp.einsum(f"kc,{image}->{result}", weight, x)


class _Interleaved(NamedTuple):
    """A result whose channels are last where the job has them first."""

    array: jax.Array


def _read(result: Any) -> Array:
    if isinstance(result, _Interleaved):
        return np.moveaxis(np.asarray(result.array), -1, -3)
    return np.asarray(result)


def _bind(product: Callable[[Job, Any, Array], Any], job: Job, arrays: Arrays) -> Call:
    def image(array: Array) -> jax.Array:
        return jnp.asarray(array if array.ndim == 4 else array[None])

    def layer(x: jax.Array, residual: jax.Array | None) -> Any:
        # Weights and bias are constants, which XLA may pack when it compiles.
        y = product(job, x, job.weight)
        if job.bias is not None:
            y = y + (job.bias if job.interleaved[1] else job.bias[:, None, None])
        if residual is not None:
            y = y + residual
        return y if job.case.activation is None else _ACTIVATIONS[job.case.activation](y)

    arrays = job.in_memory_order(arrays)
    x = image(arrays.x)
    residual = None if arrays.residual is None else image(arrays.residual)
    compiled = jax.jit(layer)
    if job.layout == "to interleaved":
        return lambda: _Interleaved(compiled(x, residual).block_until_ready())
    return lambda: compiled(x, residual).block_until_ready()
