"""Small tables of numbers in HDF5 files, which are no volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.errors import InputError
from mitotools.volume.formats.hdf5 import chosen_dataset
from mitotools.volume.formats.hdf5_links import Hdf5Files, name_of

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
    files = Hdf5Files(path)
    try:
        found = chosen_dataset(path, files, dataset, axes=range(33))
        if found.nbytes > most_bytes:
            name = f"{path}:{name_of(found.id)}"
            raise InputError(name, "is larger than the memory", "Give more --memory")
        array: Array = found[()]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        why = f"cannot be read as HDF5 ({error})"
        raise InputError(str(path), why, "Check that the file is complete") from error
    finally:
        files.close()
    return array
