"""NIfTI (.nii, .nii.gz): axes x, y, z in the file, z, y, x here; a fourth one counts channels.

The header is described in https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h. The affine neither
flips nor permutes voxels; it is kept for the round trip.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import igzip_threaded
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from mitotools import history
from mitotools.errors import InputError, MitotoolsError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.formats import flat, nifti_affine
from mitotools.volume.formats.gzipped import GzippedArray, is_gzip, start_of, unpacked_limit
from mitotools.volume.voxel_size import known_voxel_size

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize
    from mitotools.volume.blocks import Box

TYPES = (
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64",
)  # fmt: skip
"""Types of voxel that NIfTI has a code for."""

LONGEST_AXIS = 2**15 - 1
"""Of the first version of the header; the second one has 64 bits for it."""

LABEL_INTENT = 1002

PLACEHOLDER = (1.0, 1.0, 1.0)

HEADERS = {348: Nifti1Header, 540: Nifti2Header}
"""The size that a header states first, and its version."""

MAGIC = {348: b"n+1", 540: b"n+2"}

_NO_EXTENSION = bytes(4)


class NiftiReader:
    """A NIfTI file; a compressed one is unpacked into a temporary file when voxels are first read."""

    def __init__(self, path: Path) -> None:
        compressed = is_gzip(path)
        header = _header(start_of(path, max(HEADERS), compressed=compressed))
        shape = _shape(path, header)
        dtype = np.dtype(header.get_data_dtype())
        if dtype.kind not in "uif" or dtype.itemsize > 8:
            raise InputError(str(path), f"expected numbers, found {dtype}")
        offset = header.get_data_offset()
        if not int(header["sizeof_hdr"]) <= offset:
            raise ValueError(f"its voxels would start in the header, at byte {offset}")
        stored = path.stat().st_size
        flat.check_size(path, unpacked_limit(stored) if compressed else stored, offset, shape, dtype)
        self._scale = _scale(header)
        if self._scale is not None:
            _check_scale(dtype, *self._scale)
        self._array = (
            GzippedArray(path, shape, dtype, offset)
            if compressed
            else flat.FlatArray(path.open("rb", buffering=0), shape, dtype, offset)
        )
        self.spec = VolumeSpec(
            shape=shape,
            dtype=dtype.newbyteorder("=") if self._scale is None else _scaled_type(dtype),
            voxel_size_nm=_voxel_size(path, header),
            history=history.read_sidecar(path),
            chunks=(1, shape[-2], shape[-1]),
            is_labels=int(header["intent_code"]) == LABEL_INTENT,
            attributes=nifti_affine.attributes_of(header),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all channels, scaled where the header says so."""
        array = self._array.read(box)
        if self._scale is None:
            return array
        slope, intercept = self._scale
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers that become infinite
            return (array * np.float64(slope) + intercept).astype(self.spec.dtype)

    def close(self) -> None:
        """Close the file."""
        self._array.close()


class GzippedNiftiWriter:
    """A new .nii.gz, which takes whole slices in order."""

    def __init__(self, path: Path, spec: VolumeSpec) -> None:
        self.spec = spec
        self._next = 0
        self._file = igzip_threaded.open(path, "wb", compresslevel=1)
        self._file.write(_new_header(spec))

    def write(self, box: Box, array: Array) -> None:
        """Append slices."""
        if box.start != (self._next, 0, 0) or box.shape[1:] != self.spec.size[1:]:
            raise ValueError(f"slices are written whole and in order, not {box} after {self._next}")
        self._file.write(np.ascontiguousarray(array, dtype=self.spec.dtype).reshape(-1).view(np.uint8).data)
        self._next = box.stop[0]

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def open_reader(path: Path, dataset: str | None) -> NiftiReader:
    """Open a file."""
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "a NIfTI file holds no datasets")
    try:
        return NiftiReader(path)
    except MitotoolsError:
        raise
    except Exception as error:  # what nibabel raises over a broken header depends on what is broken
        raise InputError(str(path), f"cannot be read as NIfTI ({error})", "Is the file complete?") from error


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume in whole slices."""
    compressed = is_compressed_name(target)
    if spec.compression not in ("default", "gzip" if compressed else "none"):
        other = "gzip" if compressed else "none"
        raise TargetError(str(target), f"its compression is {other}", "Leave --compression out")
    if spec.dtype.name not in TYPES:
        advice = "Choose another --dtype, or write .h5 or .zarr"
        raise TargetError(str(target), f"NIfTI has no type {spec.dtype}", advice)
    if compressed and spec.channels not in (None, 1):
        why = "its channels follow each other, and blocks hold all channels"
        raise TargetError(str(target), why, f"Select one, or write {target.name.removesuffix('.gz')}")
    return replace(spec, chunks=(1, *spec.size[1:]))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> flat.FlatWriter | GzippedNiftiWriter:
    """Create a file."""
    if is_compressed_name(target):
        return GzippedNiftiWriter(path, spec)
    flat.create(path, _new_header(spec), spec.nbytes)
    return flat.FlatWriter(path, spec, len(_new_header(spec)))


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> flat.FlatWriter:  # noqa: ARG001
    """Continue a .nii; a .nii.gz has one writer."""
    return flat.FlatWriter(path, spec, len(_new_header(spec)))


def is_compressed_name(target: Path) -> bool:
    """Whether a file of this name is compressed."""
    return target.name.lower().endswith(".gz")


def _header(content: bytes) -> Any:
    """Return the header at the start of a file.

    It is parsed without nibabel's own checks, which would warn on standard error.
    """
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    size = next((size for size in HEADERS if size in sizes), 0)
    if not size:
        raise ValueError("it has no NIfTI header")
    if len(content) < size:
        raise ValueError("it ends in its header")
    version: Any = HEADERS[size]
    header = version(content[:size], check=False)
    if not bytes(header["magic"]).startswith(MAGIC[size]):
        raise ValueError("its voxels are in another file, or it is Analyze")
    return header


def _shape(path: Path, header: Any) -> tuple[int, ...]:
    """Return (Z, Y, X), or (C, Z, Y, X) where there is a fourth axis."""
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise ValueError(f"its header states {count} axes")
    lengths = [int(length) for length in header["dim"][1 : 1 + count]]
    if min(lengths) < 0:
        raise ValueError(f"its header states the shape {lengths}")
    leading = lengths[3:] if count <= 4 else [length for length in lengths[3:] if length != 1]
    if count < 3 or len(leading) > 1:
        raise InputError(
            str(path), f"expected axes x, y, z, or four with channels, found lengths {tuple(lengths)}"
        )
    return tuple(leading + lengths[2::-1])


def _scale(header: Any) -> tuple[float, float] | None:
    """Return slope and intercept, or None where they change nothing."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not (math.isfinite(slope) and math.isfinite(intercept)):
        return None
    return None if (slope, intercept) == (1.0, 0.0) else (slope, intercept)


def _check_scale(dtype: np.dtype[Any], slope: float, intercept: float) -> None:
    """Raise ValueError where integers are scaled beyond the type that they then have."""
    limits, most = np.iinfo(dtype) if dtype.kind in "ui" else None, np.finfo(_scaled_type(dtype)).max
    if limits and max(-limits.min, limits.max) * abs(slope) + abs(intercept) > float(most):
        raise ValueError(f"its header scales voxels by {slope:g}, and adds {intercept:g}")


def _scaled_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype("float32" if dtype.itemsize <= 2 or dtype == np.float32 else "float64")


def _voxel_size(path: Path, header: Any) -> VoxelSize | None:
    x, y, z = (float(str(length)) for length in np.abs(header["pixdim"][1:4]))
    unit = nifti_affine.UNITS_NM.get(nifti_affine.unit_of(header))
    # Nine digits: more come from the multiplication only.
    sizes = tuple(float(f"{length * unit:.9g}") for length in (z, y, x)) if unit else None
    known = None if (z, y, x) == PLACEHOLDER else known_voxel_size(sizes)
    if known is None:
        spacing = f"spacing of {z:g}, {y:g}, {x:g} {'mm' if unit == 1e6 else 'units'}"
        message = "%s: its %s is taken for a placeholder: the voxel size is unknown. Say --voxel-size Z,Y,X."
        logging.getLogger(__name__).warning(message, path, spacing)
    return known


def _new_header(spec: VolumeSpec) -> bytes:
    version: Any = Nifti1Header if max(spec.shape) <= LONGEST_AXIS else Nifti2Header
    header = version()
    header.set_data_dtype(spec.dtype)
    header.set_data_shape(spec.shape[::-1])
    world = nifti_affine.world_for(spec.attributes, spec.voxel_size_nm)
    header["xyzt_units"] = world.unit
    header.set_qform(world.affine, code=world.qform)
    header.set_sform(world.affine, code=world.sform)
    if spec.voxel_size_nm is not None:
        unit = nifti_affine.UNITS_NM[world.unit]
        header["pixdim"][1:4] = [length / unit for length in spec.voxel_size_nm[::-1]]
    if spec.is_labels:
        header["intent_code"] = LABEL_INTENT
    header["vox_offset"] = header.sizeof_hdr + len(_NO_EXTENSION)
    content: bytes = header.binaryblock + _NO_EXTENSION
    return content
