"""Mitochondria instances from electron microscopy volumes.

The commands are functions on arrays here, for notebooks; they are loaded when they are used:

>>> import mitotools
>>> maps = mitotools.predict(raw, "model.safetensors", voxel_size_nm)  # doctest: +SKIP
>>> labels = mitotools.decode(maps, "model.safetensors", voxel_size_nm)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mitotools.stages.arrays import decode, evaluate, predict, read, stats, write

__version__ = "0.1.0"

__all__ = ["__version__", "decode", "evaluate", "predict", "read", "stats", "write"]


def __getattr__(name: str) -> Any:
    """Load a function when it is asked for: the command line needs none of them, and starts at once."""
    if name in __all__:
        return getattr(import_module("mitotools.stages.arrays"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
