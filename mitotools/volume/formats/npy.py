"""NumPy's .npy: (Z, Y, X), or (C, Z, Y, X) with channels. It has no place for a voxel size."""

from __future__ import annotations

import io
import logging
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec, channels_first, has_channels_last
from mitotools.volume.formats import flat

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from mitotools.conventions import Array
    from mitotools.volume.blocks import Box

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class NpyReader:
    """A .npy file."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        shape, order, dtype = _header(path, file)
        flat.check_size(path, path.stat().st_size, file.tell(), shape, dtype)
        is_last = has_channels_last(shape) and not history.sidecar(path).is_file()
        self._array = flat.FlatArray(file, shape, dtype, file.tell(), order, channels_last=is_last)
        shape = channels_first(shape) if is_last else shape
        z, y, x = shape[-3:]
        self.spec = VolumeSpec(
            shape=shape,
            dtype=dtype.newbyteorder("="),
            history=history.read_sidecar(path),
            # In Fortran order slices of x lie in one piece.
            chunks=(1, y, x) if order == "C" else (z, y, 1),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels."""
        return self._array.read(box)

    def close(self) -> None:
        """Close the file."""
        self._array.close()


def open_reader(path: Path, dataset: str | None) -> NpyReader:
    """Open a file."""
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "a .npy file holds no datasets")
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from error
    try:
        return NpyReader(path, file)
    except BaseException:
        file.close()
        raise


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume in whole slices."""
    if spec.compression not in ("default", "none"):
        raise TargetError(str(target), ".npy is written uncompressed", "Leave --compression out")
    if spec.dtype.kind not in "uifb":
        raise TargetError(str(target), f".npy holds numbers, not {spec.dtype}")
    return replace(spec, chunks=(1, *spec.size[1:]))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> flat.FlatWriter:
    """Create a file."""
    if spec.voxel_size_nm is not None:
        advice = "Write .h5, .zarr, .tif or .nii to keep it"
        logging.getLogger(__name__).warning("%s: .npy holds no voxel size. %s.", target, advice)
    flat.create(path, _new_header(spec), spec.nbytes)
    return flat.FlatWriter(path, spec, len(_new_header(spec)))


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> flat.FlatWriter:  # noqa: ARG001
    """Continue a file."""
    return flat.FlatWriter(path, spec, len(_new_header(spec)))


def _header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """Return shape, order and type; the file then stands at the first voxel."""
    try:
        version = np.lib.format.read_magic(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers written by Python 2 are read all the same
            shape, is_fortran, dtype = _HEADERS[version](file)
    except Exception as error:  # what NumPy's parser raises over rubbish is not documented
        raise InputError(str(path), f"cannot be read as .npy ({error})", "Is the file complete?") from error
    if dtype.kind not in "uifb":
        raise InputError(str(path), f"expected numbers, found {dtype}")
    if len(shape) not in (3, 4) or min(shape) < 0:
        why = f"expected three dimensions (z, y, x), or four with channels, found shape {shape}"
        raise InputError(str(path), why)
    # True is an integer to NumPy's parser.
    return tuple(map(int, shape)), "F" if is_fortran else "C", dtype


def _new_header(spec: VolumeSpec) -> bytes:
    stream = io.BytesIO()
    description = {
        "descr": np.lib.format.dtype_to_descr(spec.dtype),
        "fortran_order": False,
        "shape": tuple(int(length) for length in spec.shape),
    }
    np.lib.format.write_array_header_1_0(stream, description)
    return stream.getvalue()
