"""Arrays of other libraries: those that lend their memory, and those that would lose something.

None of the libraries is imported; their types are known by name.
"""

from __future__ import annotations

import sys
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

__all__ = ["as_ndarray", "is_masked", "refuse_foreign", "way_to_write"]

Array = npt.NDArray[Any]

#: Types whose arrays are no more than a recipe, or lie on disk, with the way to have the numbers.
_LAZY = {
    ("dask", "Array"): "compute()",
    ("dask", "DataFrame"): "compute()",
    ("dask_expr", "DataFrame"): "compute()",
    ("zarr", "Array"): "[:]",
    ("h5py", "Dataset"): "[:]",
    ("netCDF4", "Variable"): "[:]",
}
#: Types whose elements are elsewhere, or are not all there.
_ELSEWHERE = {"cupy": "get()", "sparse": "todense()"}


def is_masked(value: Any) -> TypeGuard[np.ma.MaskedArray[Any, Any]]:
    """Whether `value` is a masked array.

    NumPy imports `numpy.ma` when the name is first used, and a signal handler that names it during
    that import recurses without end. Whoever has a masked array has imported it already.
    """
    if type(value) is np.ndarray:
        return False
    kind = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return kind is not None and isinstance(value, kind)


def _kind(value: Any) -> tuple[str, str]:
    """Library and name of the type of `value`, or of what it is derived from; "" if unknown."""
    for base in type(value).__mro__:
        found = base.__module__.partition(".")[0], base.__name__
        if found in _LAZY or found[0] in ("xarray", *_ELSEWHERE):
            return found
        if base.__module__.startswith("scipy.sparse"):
            return "scipy.sparse", type(value).__name__
    return "", type(value).__name__


def refuse_foreign(value: Any, name: str, axis: int | None = None) -> None:
    """Refuse what has labels or is lazy, with what to write instead.

    Raises
    ------
    TypeError
        With a recipe where `value` is an input whose channels lie on `axis`.
    """
    library, kind = _kind(value)
    if not library:
        return
    article = "an" if library in ("xarray", "h5py") else "a"
    what = f"{name} is {article} {library}.{kind}"
    if library == "xarray":
        raise TypeError(f"{what}, whose labels would be lost: {_keep_labels(value, name, axis)}")
    if (library, kind) in _LAZY:
        here = _LAZY[library, kind]
        dotted = here if here.startswith("[") else f".{here}"
        done = "computed" if here == "compute()" else "read"
        blocks = "" if axis is None else _by_blocks(value, library, kind, axis)
        raise TypeError(f"{what}, which would be {done} whole: pass {name}{dotted}{blocks}")
    here = _ELSEWHERE.get(library, "toarray()")
    where = "in the memory of a GPU" if library == "cupy" else "sparse"
    raise TypeError(f"{what}, whose elements are {where}: pass {name}.{here}")


def _keep_labels(value: Any, name: str, axis: int | None) -> str:
    if type(value).__name__ == "Dataset":
        return f"pass {name}[variable].to_numpy(), or {name}.to_dataarray('band').to_numpy()"
    plain = f"pass {name}.to_numpy()"
    if axis is None or not -value.ndim <= axis < value.ndim:
        return plain
    lazy = ""
    if getattr(value, "chunks", None) is None:
        plain += ", name its channels with channels=[...]"
    else:
        lazy = (
            f", dask='parallelized', output_dtypes=['{_result_dtype(value)}'], "
            "dask_gufunc_kwargs={'output_sizes': {'component': len(weight)}}"
        )
    return (
        f"{plain}, or keep the labels with "
        f"xarray.apply_ufunc(layer, {name}, input_core_dims=[['{value.dims[axis]}']], "
        f"output_core_dims=[['component']]{lazy}), where layer is "
        "pf.Conv1x1(weight, channel_axis=-1)"
    )


def _by_blocks(value: Any, library: str, kind: str, axis: int) -> str:
    """The rest of a sentence on how to do without the whole array."""
    if kind == "DataFrame":
        return ""
    ndim = len(value.shape)
    if not -ndim <= axis < ndim:
        return ""
    axis %= ndim
    if library != "dask":
        rows = "x[:, i:i + 512]" if axis == 0 else "x[i:i + 512]"
        return f" if that fits in memory, else a block after the other, such as {rows}"
    before = f"*x.chunks[:{axis}], " if axis else ""
    after = f", *x.chunks[{axis + 1}:]" if axis < ndim - 1 else ""
    if ndim == 1:
        after = ","
    return (
        f", or keep it lazy with x.rechunk({{{axis}: -1}}).map_blocks(layer, "
        f"dtype='{_result_dtype(value)}', chunks=({before}len(weight){after})), "
        f"where layer is pf.Conv1x1(weight, channel_axis={axis - ndim})"
    )


def _result_dtype(value: Any) -> str:
    """The dtype of the result of a layer without dtype= that gets `value`."""
    return str(np.result_type(value.dtype, np.float32))


def way_to_write(out: Any) -> str:
    """What to do where `out` is no ndarray: the end of a sentence, or nothing."""
    library, kind = _kind(out)
    if hasattr(out, "detach") and hasattr(out, "numpy"):
        return "; out.numpy() shares the memory of a tensor"
    if library == "xarray" and kind == "DataArray":
        return "; out.data shares its memory, unless it is lazy"
    if (library, kind) in _LAZY:
        return "; assign the result to its elements: out[:] = layer(x)"
    return ""


def as_ndarray(value: Any, name: str, detach: bool = False) -> Array:
    """`value`, which is no ndarray, as one; without a copy where it lends its memory.

    Parameters
    ----------
    detach : bool
        Whether a tensor's gradient is of no concern, as that of a parameter.

    Raises
    ------
    TypeError, ImportError
        Naming the argument.
    """
    torch: Any = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(value, getattr(torch, "Tensor", ()))
    if is_tensor:
        _refuse_tensor(value, name, detach, torch)
    try:
        if is_tensor:
            return _from_tensor(value, name, torch)
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # whatever the library of `value` raises
        raise TypeError(f"{name} is not an array: {error}") from error


def _refuse_tensor(tensor: Any, name: str, detach: bool, torch: Any) -> None:
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is a tensor on {tensor.device}: pass {name}.cpu()")
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name} is a sparse tensor: pass {name}.to_dense()")
    if tensor.requires_grad and not detach and torch.is_grad_enabled():
        raise TypeError(
            f"{name} is a tensor that requires a gradient, which would be lost: pass "
            f"{name}.detach(), or call under torch.no_grad()"
        )


def _from_tensor(tensor: Any, name: str, torch: Any) -> Array:
    # Conjugates and negatives are views that only PyTorch can read; others cost nothing here.
    numbers = tensor.detach().resolve_conj().resolve_neg()
    if numbers.dtype is not torch.bfloat16:
        return np.asarray(numbers)
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(
            f"{name} is a tensor of bfloat16, which needs ml_dtypes: run pip install ml_dtypes"
        ) from None
    return np.asarray(numbers.view(torch.int16)).view(ml_dtypes.bfloat16)
