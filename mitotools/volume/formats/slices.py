"""A folder (or quoted glob) of PNG or TIFF slices, one z each, in the natural order of their names.

The voxel size stands in every slice: in a text chunk of PNG, in the OME-XML of TIFF.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from mitotools import history
from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec, known_voxel_size
from mitotools.volume.formats import is_glob, matching
from mitotools.volume.formats.tiff import TiffReader, check_ome_type, errors_in_words, ome_metadata

if TYPE_CHECKING:
    from mitotools.conventions import Array, VoxelSize
    from mitotools.volume.blocks import Box

SUFFIXES = (".png", ".tif", ".tiff")
PNG_VOXEL_SIZE = "voxel_size_nm"

Image.MAX_IMAGE_PIXELS = None  # a slice of 30000 x 30000 pixels is no attack here


class SlicesReader:
    """Slices as one volume."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        self._files = files
        first = read_slice(files[0])
        if first.ndim != 2:
            raise InputError(
                str(files[0]), f"expected a slice of grey values or ids, found shape {first.shape}"
            )
        self._plane = first.shape
        self._cached = lru_cache(maxsize=2)(self._read)
        self.spec = VolumeSpec(
            shape=(len(files), *first.shape),
            dtype=first.dtype.newbyteorder("="),
            voxel_size_nm=_voxel_size(files[0]),
            history=history.read_sidecar(path),
            chunks=(1, *first.shape),
        )

    def read(self, box: Box) -> Array:
        """Return the voxels of `box`."""
        z, y, x = box.slices
        return np.stack([self._cached(index)[y, x] for index in range(z.start, z.stop)])

    def close(self) -> None:
        """Forget the slices."""
        self._cached.cache_clear()

    def _read(self, index: int) -> Array:
        file = self._files[index]
        array = read_slice(file)
        if array.shape != self._plane or array.dtype.newbyteorder("=") != self.spec.dtype:
            expected = f"{self._plane} {self.spec.dtype} as {self._files[0].name}"
            raise InputError(str(file), f"expected {expected}, found {array.shape} {array.dtype}")
        return array.astype(self.spec.dtype, copy=False)


class SlicesWriter:
    """A new folder of slices; blocks hold whole slices."""

    def __init__(self, path: Path, spec: VolumeSpec, target: Path) -> None:
        self.spec = spec
        self._folder = path
        self._suffix = _suffix_for(spec, target)
        digits = max(4, len(str(spec.size[0] - 1)))
        self._name = f"{_stem_for(target)}{{z:0{digits}d}}{self._suffix}"
        path.mkdir(exist_ok=True)

    def write(self, box: Box, array: Array) -> None:
        """Store whole slices."""
        if box.shape[1:] != self.spec.size[1:]:
            raise ValueError(f"slices are written whole, not {box}")
        for z, plane in zip(range(box.start[0], box.stop[0]), array, strict=True):
            self._write(self._folder / self._name.format(z=z), plane)

    def close(self) -> None:
        """Nothing stays open."""

    def _write(self, file: Path, plane: Array) -> None:
        if self._suffix == ".png":
            information = PngImagePlugin.PngInfo()
            if self.spec.voxel_size_nm is not None:
                information.add_text(PNG_VOXEL_SIZE, " ".join(str(float(v)) for v in self.spec.voxel_size_nm))
            Image.fromarray(plane).save(file, format="PNG", pnginfo=information, compress_level=1)
        else:
            spec = VolumeSpec(plane.shape, plane.dtype, self.spec.voxel_size_nm)
            metadata = {**ome_metadata(spec), "axes": "YX"}
            tifffile.imwrite(file, plane, ome=True, metadata=metadata, compression="zlib")


def open_reader(path: Path, dataset: str | None) -> SlicesReader:
    """Open a folder or glob."""
    if dataset is not None:
        raise InputError(f"{path}:{dataset}", "a folder of slices holds no datasets")
    if path.is_file():
        raise InputError(str(path), "has no suffix that would say what it is")
    files = _files(path)
    if not files:
        raise InputError(str(path), "there are no slices", f"They end in {', '.join(SUFFIXES)}")
    if len({file.suffix.lower() == ".png" for file in files}) > 1:
        raise InputError(str(path), "holds both PNG and TIFF", f"Say which: '{folder_of(path)}/*.png'")
    return SlicesReader(folder_of(path), files)


def planned(spec: VolumeSpec, target: Path) -> VolumeSpec:
    """Return the volume in whole slices."""
    if spec.channels is not None:
        raise TargetError(str(target), "slices hold no channels", f"Select one: {target}[0]")
    if spec.compression not in ("default", "none"):
        raise TargetError(str(target), "slices have no --compression")
    _suffix_for(spec, target)
    return replace(spec, chunks=(1, *spec.size[1:]))


def create_writer(path: Path, spec: VolumeSpec, target: Path) -> SlicesWriter:
    """Create a folder."""
    return SlicesWriter(path, spec, target)


def reopen_writer(path: Path, spec: VolumeSpec, target: Path) -> SlicesWriter:
    """Continue a folder."""
    return SlicesWriter(path, spec, target)


def folder_of(path: Path) -> Path:
    """Return the folder of a glob such as ``slices/*.png``; a plain path is the folder itself."""
    return path.parent if is_glob(path.name) else path


def read_slice(file: Path) -> Array:
    """Return the pixels of one image file: (Y, X), or (Y, X, samples) for colours."""
    try:
        if file.suffix.lower() == ".png":
            with Image.open(file) as image:
                return np.asarray(image)
        with errors_in_words(file):
            return np.asarray(tifffile.imread(file))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, EOFError, struct.error) as error:
        raise InputError(str(file), f"cannot be read as an image ({error})") from error


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sorting key under which im2 comes before im10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _files(path: Path) -> list[Path]:
    if is_glob(str(path)):
        found = matching(path)
    else:
        found = [Path(entry) for entry in os.scandir(path)] if path.is_dir() else []
    # macOS leaves ._im0000.png beside im0000.png on other systems' disks.
    images = [file for file in found if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    return sorted(images, key=lambda file: natural_order(str(file)))


def _suffix_for(spec: VolumeSpec, target: Path) -> str:
    fits_png = spec.dtype in (np.uint8, np.uint16)
    suffix = target.suffix.lower() if is_glob(target.name) else ""
    if suffix not in ("", *SUFFIXES):
        raise TargetError(str(target), f"slices end in {', '.join(SUFFIXES)}")
    if suffix == ".png" and not fits_png:
        raise TargetError(str(target), f"PNG holds uint8 and uint16, not {spec.dtype}", "Write *.tif")
    suffix = suffix or (".png" if fits_png else ".tif")
    if suffix != ".png":
        check_ome_type(spec.dtype, target)
    return suffix


def _stem_for(target: Path) -> str:
    """Return what stands before the number in the names of slices, so that the pattern finds them again."""
    if not is_glob(target.name):
        return "z"
    stem = target.stem if target.suffix else target.name
    if stem.count("*") != 1 or not stem.endswith("*") or set("?{}[]") & set(stem):
        raise TargetError(str(target), "a pattern for new slices is NAME*.png or NAME*.tif")
    return stem[:-1] or "z"


def _voxel_size(file: Path) -> VoxelSize | None:
    if file.suffix.lower() != ".png":
        with errors_in_words(file), tifffile.TiffFile(file) as opened:
            return TiffReader(file, opened).spec.voxel_size_nm
    with Image.open(file) as image:
        words = str(image.info.get(PNG_VOXEL_SIZE, "")).split()
    try:
        return known_voxel_size(tuple(float(word) for word in words))
    except ValueError:
        return None
