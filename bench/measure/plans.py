"""The plan that the C backend makes for a job."""

from __future__ import annotations

from pointwise_fast.prepare import geometries, prepare
from pointwise_fast.spec import LayerSpec, Options

from ..layers.job import Job

__all__ = ["plan_of"]


def plan_of(job: Job, backend: str) -> str:
    """The plan that the C backend makes for `job`. "" for other backends."""
    case, arrays = job.case, job.sets[0]
    options = Options(case.activation, job.channel_axis, case.stride, case.groups, None, backend)
    bias_shape = None if job.bias is None else job.bias.shape
    spec = LayerSpec.parse(job.weight.shape, bias_shape, options)
    call = prepare(spec, geometries(arrays.x, arrays.residual, arrays.out, None))
    tell = getattr(call.plan, "describe", None)
    return "" if tell is None else str(tell())
