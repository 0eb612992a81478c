"""A file that other processes map. It holds a job's data and the results they computed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..layers.cases import Case, Layout
from ..layers.job import Array, Arrays, Job, arranged

__all__ = ["Exchange", "Parcel"]

_PAGE = 4096


class Place(NamedTuple):
    """Where an array is in the file."""

    offset: int
    shape: tuple[int, ...]


class Parcel(NamedTuple):
    """A job without its data, and the place of the data. It can be pickled."""

    path: Path
    case: Case
    layout: Layout
    threads: int
    places: dict[str, Place]

    def unpack(self) -> Job:
        """The job on private copies, as a user's arrays would be."""
        content = np.memmap(self.path, np.float32, "r")

        def take(name: str) -> Array | None:
            if name not in self.places:
                return None
            array = np.empty(self.places[name].shape, np.float32)
            array[...] = _view(content, self.places[name])
            return array

        x, weight = take("x"), take("weight")
        assert x is not None
        assert weight is not None
        out = np.full(self.places["out"].shape, np.nan, np.float32)
        arrays = arranged(Arrays(x, out, take("residual")), self.layout)
        return Job(self.case, self.layout, self.threads, weight, take("bias"), (arrays,))

    def give(self, result: Array) -> None:
        """Write a result to where `Exchange.result` finds it."""
        place = self.places["out"]
        _view(np.memmap(self.path, np.float32, "r+"), place)[...] = result.reshape(place.shape)


class Exchange:
    """The parent's end. A file of `folder` holds one job at a time, float32 throughout."""

    def __init__(self, folder: Path, job: Job) -> None:
        (arrays,) = job.sets
        found = {"weight": job.weight, "bias": job.bias, "x": arrays.x}
        found |= {"residual": arrays.residual, "out": arrays.out}
        places: dict[str, Place] = {}
        end = 0
        for name, array in found.items():
            if array is not None:
                places[name] = Place(end, array.shape)
                end += -(-array.nbytes // _PAGE) * _PAGE
        path = folder / "job"
        # Each job gets a new file, so that processes which have mapped the last one keep it whole.
        path.unlink(missing_ok=True)
        self._content = np.memmap(path, np.float32, "w+", shape=(end // 4,))
        for name, place in places.items():
            _view(self._content, place)[...] = found[name]
        self._parcel = Parcel(path, job.case, job.layout, job.threads, places)

    def parcel(self, threads: int) -> Parcel:
        return self._parcel._replace(threads=threads)

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        return self._content.nbytes

    def result(self) -> Array:
        return _view(self._content, self._parcel.places["out"])


def _view(content: npt.NDArray[np.float32], place: Place) -> Array:
    start = place.offset // 4
    return content[start : start + math.prod(place.shape)].reshape(place.shape)
