"""The fastest 1x1 convolution for NumPy arrays: one small matrix for every pixel's channels."""

from . import typing
from ._version import __version__
from .branches import Branches
from .chain import Chain
from .config import config, get_num_threads, num_threads, set_num_threads, show_config
from .conv import conv1x1
from .conv_layer import Conv1x1
from .dispatch import backends
from .folding import fold_batch_norm, fold_normalization, fold_scale
from .gradient import conv1x1_backward
from .quantised import qconv1x1
from .quantised_layer import QConv1x1
from .threadpools import register as _register

__all__ = [
    "Branches",
    "Chain",
    "Conv1x1",
    "QConv1x1",
    "__version__",
    "backends",
    "config",
    "conv1x1",
    "conv1x1_backward",
    "fold_batch_norm",
    "fold_normalization",
    "fold_scale",
    "get_num_threads",
    "num_threads",
    "qconv1x1",
    "set_num_threads",
    "show_config",
    "typing",
]


def __dir__() -> list[str]:
    return __all__


_register()
