"""Small tables of numbers in HDF5 files, which are no volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from mitotools.errors import InputError
from mitotools.volume.formats.hdf5_writer import DATASET

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array


def read_dataset(path: Path, dataset: str | None, most_bytes: int) -> Array:
    """Read a whole dataset: the one named, else the only one, else `main`.

    Parameters
    ----------
    path : Path
    dataset : str, optional
    most_bytes : int
        The largest dataset that is read: a header may promise anything.

    Returns
    -------
    array
        Of any shape and type.

    Raises
    ------
    InputError
        Where the file or the dataset is missing, unreadable or too large.
    """
    try:
        with h5py.File(path, "r") as file:
            found = _dataset(path, file, dataset)
            if found.nbytes > most_bytes:
                raise InputError(f"{path}:{found.name}", "is larger than the memory", "Give more --memory")
            array: Array = found[()]
            return array
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        why = f"cannot be read as HDF5 ({error})"
        raise InputError(str(path), why, "Check that the file is complete") from error


def _dataset(path: Path, file: h5py.File, name: str | None) -> h5py.Dataset:
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda key, item: found.update({key: item}) if isinstance(item, h5py.Dataset) else None)
    wanted = name or (next(iter(found)) if len(found) == 1 else DATASET)
    if wanted in found and found[wanted].shape is not None:
        return found[wanted]
    listing = ", ".join(f"{key} {item.shape}" for key, item in found.items()) or "no dataset"
    if name is not None:
        raise InputError(f"{path}:{name}", f"no such dataset; the file holds {listing}")
    raise InputError(str(path), f"which dataset? It holds {listing}", f"Say {path}:NAME")
