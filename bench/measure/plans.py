"""The plan that the C backend makes for a job."""

from __future__ import annotations

from pointwise_fast.call import describe
from pointwise_fast.geometry import geometry
from pointwise_fast.settings import Settings

from ..layers.job import Job

__all__ = ["plan_of"]


def plan_of(job: Job, backend: str) -> str:
    """The plan that the C backend makes for `job`. "" for other backends."""
    case, arrays = job.case, job.sets[0]
    settings = Settings(
        job.weight.shape,
        None if job.bias is None else job.bias.shape,
        case.activation,
        job.channel_axis,
        case.stride,
        case.groups,
        None,
        backend,
    )
    residual = None if arrays.residual is None else geometry(arrays.residual)
    call = describe(settings, geometry(arrays.x), residual, geometry(arrays.out))
    tell = getattr(call.plan, "describe", None)
    return "" if tell is None else str(tell())
