"""OpenCV: ``cv2.transform``, a colour matrix for interleaved images."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from ..layers.contenders import Call, Contender
from ..layers.job import Arrays, Job

__all__ = ["contenders"]


def contenders(threads: int) -> list[Contender]:
    cv2.setNumThreads(threads)
    return [Contender("cv2.transform", False, _bind, _missing)]


def _missing(job: Job) -> str | None:
    case = job.case
    if job.layout != "interleaved" or max(case.C, case.K) > 4:
        return "for interleaved images of up to 4 channels"
    if case.N > 1 or case.stride > 1 or case.groups > 1 or case.activation or case.residual:
        return "one image, a matrix and a bias"
    return None


def _bind(job: Job, arrays: Arrays) -> Call:
    matrix = job.weight
    if job.bias is not None:
        matrix = np.column_stack([matrix, job.bias])
    return partial(cv2.transform, arrays.x, matrix, dst=arrays.out)
