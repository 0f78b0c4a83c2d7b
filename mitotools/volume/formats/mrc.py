"""MRC (.mrc, .rec, .st, .map), read only.

The header is that of MRC2014 (Cheng et al., J. Struct. Biol. 192, 146-150, 2015), and IMOD's two words about
signed bytes: https://bio3d.colorado.edu/imod/doc/mrc_format.txt
"""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from mitotools import history
from mitotools.errors import InputError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.formats import flat
from mitotools.volume.voxel_size import stated_voxel_size

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array, VoxelSize
    from mitotools.volume.blocks import Box

HEADER_BYTES = 1024

NM_PER_ANGSTROM = 0.1

_IMOD_STAMP, _IMOD_OFFSET = 1146047817, 40
"""IMOD's mark, and where in `extra2` it stands, its flags behind it."""

_SIGNED_BYTES = 1
"""IMOD's flag for bytes of -128 to 127."""


class MrcReader:
    """An MRC file."""

    def __init__(self, path: Path) -> None:
        header = _header(path)
        shape = mrcfile.utils.data_shape_from_header(header)
        shape = shape if len(shape) > 2 else (1, *shape)
        dtype = _dtype(header)
        offset = HEADER_BYTES + int(header.nsymbt)
        if min(shape) < 0 or int(header.nsymbt) < 0:
            raise ValueError(f"its header states the shape {shape} after {offset} bytes")
        flat.check_size(path, path.stat().st_size, offset, shape, dtype)
        if dtype.kind not in "uif":
            raise InputError(str(path), f"expected numbers, found {dtype}")
        self._array = flat.FlatArray(path.open("rb", buffering=0), shape, dtype, offset)
        self.spec = VolumeSpec(
            shape=shape,
            dtype=dtype.newbyteorder("="),
            voxel_size_nm=_voxel_size(path, header),
            history=history.read_sidecar(path),
            chunks=(1, *shape[-2:]),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`, all volumes of the stack."""
        return self._array.read(box)

    def close(self) -> None:
        """Close the file."""
        self._array.close()


def open_reader(path: Path, dataset: str | None) -> MrcReader:
    """Open a file."""
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "an MRC file holds no datasets")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return MrcReader(path)
    except InputError:
        raise
    except Exception as error:  # what mrcfile raises over a broken header depends on what is broken
        raise InputError(str(path), f"cannot be read as MRC ({error})", "Is the file complete?") from error


def _header(path: Path) -> Any:
    """Return the header; mrcfile would read the extended one behind it too, as long as it says it is."""
    with path.open("rb") as file:
        content = file.read(HEADER_BYTES)
    if len(content) < HEADER_BYTES:
        raise ValueError("it ends in its header")
    header: Any = np.frombuffer(content, HEADER_DTYPE).reshape(()).view(np.recarray)
    if not bytes(header.map).startswith(b"MAP"):
        raise ValueError("it does not say that it is one")
    order = mrcfile.utils.byte_order_from_machine_stamp(header.machst)
    return header.view(header.dtype.newbyteorder(order))


def _dtype(header: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = mrcfile.utils.data_dtype_from_header(header)
    return np.dtype("uint8") if dtype == np.int8 and not _has_signed_bytes(header) else dtype


def _has_signed_bytes(header: Any) -> bool:
    """Whether bytes are -128 to 127, as the standard says, or 0 to 255, as IMOD long wrote them."""
    order = ">" if header.mode.dtype.newbyteorder("=") != header.mode.dtype else "="
    stamp, flags = struct.unpack_from(f"{order}ii", bytes(header.extra2), _IMOD_OFFSET)
    if stamp == _IMOD_STAMP:
        return bool(flags & _SIGNED_BYTES)
    # Other programs leave no mark, but the range of the values, if they know it.
    return not header.dmin <= header.dmax or header.dmax <= np.iinfo(np.int8).max


def _voxel_size(path: Path, header: Any) -> VoxelSize | None:
    # Programs do not agree about files with other axes than columns x, rows y and sections z.
    if (int(header.mapc), int(header.mapr), int(header.maps)) not in ((1, 2, 3), (0, 0, 0)):
        return None
    cells = [int(header.mz), int(header.my), int(header.mx)]
    if min(cells) < 1:
        return None
    lengths = (header.cella.z, header.cella.y, header.cella.x)
    # Single precision has seven digits, which is how many of the quotient mean anything.
    return stated_voxel_size(
        [float(f"{float(a) / n * NM_PER_ANGSTROM:.7g}") for a, n in zip(lengths, cells, strict=True)], path
    )
