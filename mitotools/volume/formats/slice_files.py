"""The files of a volume of slices: their order, their numbers, headers and pixels."""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.formats import check_stored, is_glob, matching
from mitotools.volume.formats.tiff import TiffReader
from mitotools.volume.formats.tiff_header import errors_in_words, opaque, voxel_size_of
from mitotools.volume.voxel_size import stated_voxel_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.conventions import Array, VoxelSize

SUFFIXES = (".png", ".tif", ".tiff")
PNG_VOXEL_SIZE = "voxel_size_nm"

Image.MAX_IMAGE_PIXELS = None  # a slice of 30000 x 30000 pixels is no attack here

LARGEST_RATIO = 1100
"""How many bytes at most one byte of a PNG becomes: deflate makes 1032 of one."""

NAMED = 5
"""Missing numbers that a message lists."""

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}


@dataclass(frozen=True)
class SliceHeader:
    """What all slices of a volume have in common.

    Parameters
    ----------
    size : (y, x) pixels
    channels : int, optional
        3 for colours, which opacity does not count among; None for grey values and ids.
    dtype : numpy.dtype
    """

    size: tuple[int, int]
    channels: int | None
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        """Return shape and type."""
        return f"{self.size if self.channels is None else (*self.size, self.channels)} {self.dtype}"


def slice_files(path: Path) -> list[Path]:
    """Return the images of a folder or pattern, in natural order; im01 comes before im1."""
    if is_glob(str(path)):
        found = matching(path)
    else:
        found = [Path(entry) for entry in os.scandir(path)] if path.is_dir() else []
    # macOS leaves ._im0000.png beside im0000.png on other systems' disks.
    images = [file for file in found if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    return sorted(images, key=lambda file: (natural_order(str(file)), str(file)))


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sorting key under which im2 comes before im10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def check_numbers(folder: Path, files: list[Path]) -> None:
    """Raise InputError where slices are missing or double, as their numbers tell.

    Files whose names differ in leading zeros or in the suffix alone, im1.tif, im01.tif and im1.tiff, are
    double. Only one number differs from name to name, and most of its steps are the same, of any length: then
    a longer step of whole such lengths is a hole. Other names say nothing about what is missing.
    """
    _check_doubles(folder, files)
    names = [re.split(r"(\d+)", file.stem) for file in files]
    if len({tuple(name[::2]) for name in names}) > 1 or len({len(name) for name in names}) > 1:
        return
    columns = [
        column
        for column in zip(*(map(int, name[1::2]) for name in names), strict=True)
        if len(set(column)) > 1
    ]
    if len(columns) != 1:
        return
    numbers = columns[0]
    steps = [b - a for a, b in pairwise(numbers)]
    usual, times = Counter(steps).most_common(1)[0]
    if usual <= 0 or 2 * times < len(steps) or any(step % usual for step in steps):
        return
    missing = [n for a, b in pairwise(numbers) for n in range(a + usual, b, usual)]
    if missing:
        listed = ", ".join(map(str, missing[:NAMED])) + (", ..." if len(missing) > NAMED else "")
        pattern = f"'{folder}/*{files[0].suffix}'"
        raise InputError(
            str(folder),
            f"slice {listed} is missing between {files[0].name} and {files[-1].name}"
            if len(missing) == 1
            else f"{len(missing)} slices are missing between {files[0].name} and {files[-1].name}: {listed}",
            f"Put it back, or quote a pattern to go on without: {pattern}",
        )


def _check_doubles(folder: Path, files: list[Path]) -> None:
    seen: dict[tuple[tuple[int, str], ...], Path] = {}
    for file in files:
        other = seen.setdefault(tuple(natural_order(file.stem)), file)
        if other is not file:
            why = f"{other.name} and {file.name} are the same slice, by their names"
            raise InputError(str(folder), why, "Move one of them away, or quote a pattern for the others")


def read_header(file: Path) -> SliceHeader:
    """Return size and type of a slice, without decoding it.

    Raises
    ------
    InputError
        Where the file is no image, or none that holds grey values, ids or colours of 8 bits.
    """
    if is_tiff(file):
        with open_tiff(file) as reader:
            return _header_of(reader)
    with _image_errors(file), file.open("rb") as opened:
        size, bits, colours = _png_header(file, opened.read(26))
        if colours == _PALETTE:
            with Image.open(opened) as image:
                _greys(file, image)
        return _as_slice(size, bits, colours)


def read_part(file: Path, rows: slice, columns: slice) -> tuple[SliceHeader, Array]:
    """Return what a slice is, and a part of it: (y, x), or (3, y, x) for colours."""
    if is_tiff(file):
        with open_tiff(file) as reader:
            header = _header_of(reader)
            height, width = header.size
            stop = (1, min(rows.stop, height), min(columns.stop, width))
            return header, reader.read(Box((0, rows.start, columns.start), stop))[..., 0, :, :]
    with _image_errors(file), file.open("rb") as opened:
        size, bits, colours = _png_header(file, opened.read(26))
        with Image.open(opened) as image:
            array = np.asarray(image)[rows, columns]
            if colours == _PALETTE:
                array = _greys(file, image)[array]
    if array.ndim == 3:
        array = opaque(np.moveaxis(array, -1, 0), str(file))
        array = array[0] if len(array) == 1 else array
    return _as_slice(size, bits, colours), array


def read_slice(file: Path) -> Array:
    """Return the pixels of one image file: (Y, X), or (Y, X, 3) for colours."""
    height, width = read_header(file).size
    _, array = read_part(file, slice(0, height), slice(0, width))
    return array if array.ndim == 2 else np.moveaxis(array, 0, -1)


def is_tiff(file: Path) -> bool:
    """Whether an image is TIFF, which some name .png; InputError where it is no file."""
    check_stored(file)
    if file.suffix.lower() != ".png":
        return True
    with _image_errors(file), file.open("rb") as opened:
        return opened.read(4) in _TIFF


@contextmanager
def open_tiff(file: Path) -> Iterator[TiffReader]:
    """Open a TIFF file of one slice."""
    opened = None
    try:
        with errors_in_words(file):
            # A file of an OME set describes the whole set: only its own page counts here.
            opened = tifffile.TiffFile(file, is_ome=False)
            reader = TiffReader(file, opened)
        if reader.spec.size[0] != 1:
            why = f"holds {reader.spec.size[0]} slices, where one file a slice is expected"
            raise InputError(str(file), why, "Name the file itself to read it as a volume")
        yield reader
    finally:
        if opened is not None:
            opened.close()


def slice_voxel_size(file: Path) -> VoxelSize | None:
    """Return the voxel size that a TIFF file states, or that mitotools wrote to a PNG file."""
    if is_tiff(file):
        with errors_in_words(file), tifffile.TiffFile(file, is_ome=False) as opened:
            return voxel_size_of(file, opened)
    with _image_errors(file), Image.open(file) as image:
        words = str(image.info.get(PNG_VOXEL_SIZE, "")).split()
    try:
        return stated_voxel_size([float(word) for word in words], file)
    except ValueError:
        return None


@contextmanager
def _image_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        SyntaxError,
        UnidentifiedImageError,
        EOFError,
        struct.error,
        MemoryError,
    ) as error:
        raise InputError(str(file), f"cannot be read as an image ({error})") from error


def _png_header(file: Path, start: bytes) -> tuple[tuple[int, int], int, int]:
    """Return size, bits a sample and colour type."""
    if len(start) < 26 or start[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("it does not start as a PNG file")
    width, height, bits, colours = struct.unpack(">IIBB", start[16:26])
    if colours not in _SAMPLES or not width or not height:
        raise ValueError(f"its header says {width} x {height} pixels of type {colours}")
    if bits == 16 and colours != _GREY:
        raise InputError(
            str(file), "has colours of 16 bits, which are read as 8", "Save it as grey or 8 bits"
        )
    promised = height * (-(-width * bits * _SAMPLES[colours] // 8) + 1)
    if promised > (file.stat().st_size + 1024) * LARGEST_RATIO:
        raise ValueError(f"its header promises {promised} bytes, which the file cannot hold")
    return (height, width), bits, colours


def _header_of(reader: TiffReader) -> SliceHeader:
    _, height, width = reader.spec.size
    return SliceHeader((height, width), reader.spec.channels, reader.spec.dtype)


def _as_slice(size: tuple[int, int], bits: int, colours: int) -> SliceHeader:
    is_mask = bits == 1 and colours == _GREY
    return SliceHeader(
        size,
        3 if colours in (_RGB, _RGBA) else None,
        np.dtype("bool" if is_mask else "uint16" if bits == 16 else "uint8"),
    )


def _greys(file: Path, image: Image.Image) -> Array:
    """Return the grey values of a palette."""
    palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    if (palette != palette[:, :1]).any():
        why = "has a palette of colours: ids may be its numbers or its colours"
        raise InputError(str(file), why, "Save slices as grey values, or as RGB")
    return np.pad(palette[:, 0], (0, 256 - len(palette)))
