"""Calls that were checked before, found again by the values of what they were given."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np

__all__ = ["MOST_CALLS", "Known", "is_constant", "keep", "key_of"]

K = TypeVar("K")
T = TypeVar("T")

#: Entries of a cache before all are forgotten.
MOST_CALLS = 256

#: Types whose values `==` tells apart once the types are known to be the same.
_EXACT = frozenset((type(None), bool, int, str, *(np.dtype(c).type for c in "?bBhHiIlLqQ")))
#: Types of which it tells all values apart but zeros and NaN.
_FLOATS = frozenset((float, np.float32, np.float64))
_PLAIN = _EXACT | _FLOATS
#: Types without parts, whose bytes say all.
_SCALARS = frozenset(np.sctypeDict.values()) - {np.object_, np.void}
#: As a dtype.
_CLASSES = frozenset((bool, int, float, complex)) | _SCALARS


def key_of(values: tuple[Any, ...]) -> Hashable | None:
    """What equals another key only where all types and values are the same.

    1, 1.0 and True differ, and so do 0.0 and -0.0.

    Parameters
    ----------
    values : tuple
        As a user gave them.

    Returns
    -------
    key
        None: the value of one of them is not known, as that of an object with ``__float__``, which
        may change.

    Examples
    --------
    >>> key_of((1,)) == key_of((1.0,)), key_of((("clip", 0.0),)) == key_of((("clip", -0.0),))
    (False, False)
    """
    types = tuple(map(type, values))
    if _EXACT.issuperset(types) or (_PLAIN.issuperset(types) and 0.0 not in values):
        return types, values
    try:
        return types, tuple(
            [
                v if kind in _EXACT or (kind in _FLOATS and (v > 0 or v < 0)) else _freeze(kind, v)
                for kind, v in zip(types, values, strict=True)
            ]
        )
    except TypeError:
        return None


def _freeze(kind: type, value: Any) -> Hashable:
    """A value of a type that is known."""
    if kind is float:
        return float.hex(value)
    if kind is tuple or kind is list:
        frozen = key_of(tuple(value))
        if frozen is not None:
            return frozen
    elif kind is np.ndarray:
        if not value.dtype.hasobject:
            return value.dtype, value.shape, value.tobytes()
    elif kind in _SCALARS:
        return bytes(value.tobytes())
    elif _is_dtype(value):
        found: Hashable = value
        return found
    raise TypeError


def _is_dtype(value: Any) -> bool:
    return isinstance(value, np.dtype) or (isinstance(value, type) and value in _CLASSES)


def is_constant(values: tuple[Any, ...]) -> bool:
    """Whether the same objects mean the same ever after."""
    return all(
        is_constant(value)
        if type(value) is tuple
        else type(value) in _PLAIN or type(value) in _SCALARS or _is_dtype(value)
        for value in values
    )


def keep(found: dict[K, T], key: K, value: T) -> T:
    """Note what was made once, and return it: the rule of every cache.

    With one entry more than `MOST_CALLS` all others are forgotten. Caches are filled without a
    lock: at worst two threads make the same.
    """
    if len(found) >= MOST_CALLS:
        found.clear()
    found[key] = value
    return value


class Known(Generic[T]):
    """What `make` gave, by its arguments: what is hashable of arrays, then parameters."""

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._found: dict[Hashable, T] = {}
        #: The last constant parameters, kept so that no others get their ids: ids, parameters,
        #: their key, and for which arrays what was found.
        self._last: tuple[tuple[int, ...], tuple[Any, ...], Hashable, Any, Any]
        self._last = (), (), None, None, None

    def __call__(self, arrays: tuple[Any, ...], parameters: tuple[Any, ...]) -> T:
        ids = tuple(map(id, parameters))
        known, _, key, before, last = self._last
        # The very same objects come again, as in a loop.
        is_last = ids == known
        if is_last and arrays == before:
            value: T = last
            return value
        if not is_last:
            key = key_of(parameters)
        if key is None:
            return self._make(arrays, *parameters)
        found = self._found.get((arrays, key))
        if found is None:
            found = keep(self._found, (arrays, key), self._make(arrays, *parameters))
        if is_last or is_constant(parameters):
            self._last = ids, parameters, key, arrays, found
        return found
