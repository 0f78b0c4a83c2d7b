"""Parts of the pages of a TIFF file: only the strips or tiles that a part lies in are decoded.

Bytes are read under a lock, for a file has one position; they are decoded outside, by all threads at once.
"""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from mitotools.errors import InputError, MitotoolsError
from mitotools.volume.formats.stored import Stored

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array

    Page = tifffile.TiffPage | tifffile.TiffFrame

LARGEST_RATIO = {1: 1, 5: 4096, 8: 1100, 32773: 64, 32946: 1100}
"""How many bytes at most one byte becomes, by the number of the compression: none, LZW, deflate, PackBits.

A header that promises more lies, and nothing is allocated for it.
"""

JPEG = (6, 7, 34892, 33007)
"""Compressions whose tables are stored once, for all strips and tiles of a page."""

CODECS = "Run: pip install 'mitotools[tiff]'"


class TiffPages:
    """The pages of one image, all of the same size.

    Parameters
    ----------
    path : Path
        What to call the file in messages.
    series : tifffile.TiffPageSeries
    """

    def __init__(self, path: Path, series: tifffile.TiffPageSeries) -> None:
        self._path = path
        self._pages = series.pages
        self._lock = threading.Lock()
        self._first = series.keyframe
        self.size = (self._first.imagelength, self._first.imagewidth)
        """(y, x) pixels of a page."""
        _check_sizes(self._first)
        self._check_codecs()
        if any(page is None for page in self._pages):
            index = [page is None for page in self._pages].index(True)
            raise InputError(str(path), f"page {index} is missing: it lies in another file, or nowhere")
        for number, stored in enumerate(self._first.databytecounts[:1]):
            self._check_promise(self._first, number, stored)

    def __len__(self) -> int:
        """Return the number of pages."""
        return len(self._pages)

    @property
    def chunk(self) -> tuple[int, int]:
        """The (y, x) pixels that are decoded together: a whole tile, however small the page is."""
        return self.size if self._first.is_final else _segment(self._first)

    @property
    def reads_parts(self) -> bool:
        """Whether a part of a page costs less to read than all of it."""
        return self._first.is_final or math.prod(self.chunk) < math.prod(self.size)

    def read(self, index: int, rows: slice, columns: slice, out: Array) -> None:
        """Fill `out`, (samples, y, x), with a part of a page."""
        try:
            page = self._page(index)
            if page.is_final:
                self._fill(page, rows, columns, out)
            else:
                self._decode(page, rows, columns, out)
        except MitotoolsError:
            raise
        except Exception as error:  # what codecs raise over a damaged page is theirs to say
            # Without imagecodecs, Python's own codecs are tried, some of which it has from 3.14 on.
            is_missing = isinstance(error, ImportError) or "imagecodecs" in str(error)
            advice = CODECS if is_missing else ""
            raise InputError(str(self._path), f"page {index} cannot be read ({error})", advice) from error

    def _page(self, index: int) -> Page:
        with self._lock:
            page = self._pages[index]
            assert page is not None  # noqa: S101 (for the type checker; __init__ looked)
            keyframe = _keyframe(page)
            if keyframe.shaped != self._first.shaped:
                raise ValueError(f"its shape is {keyframe.shape}, not {self._first.shape}")
            _check_sizes(keyframe)
            # Whoever planned with memory knows the first page.
            if math.prod(_segment(keyframe)) > max(math.prod(self.chunk), math.prod(self.size)):
                raise ValueError(f"its tiles have {_segment(keyframe)} pixels, those of page 0 {self.chunk}")
            keyframe.init_decode()
            return page

    def _fill(self, page: Page, rows: slice, columns: slice, out: Array) -> None:
        """Read a part of an uncompressed page, whose axes in the file are sample, depth, y, x, sample."""
        first = _keyframe(page)
        apart, _, _, _, inside = first.shaped
        dtype = np.dtype(first.dtype).newbyteorder(first.parent.byteorder)
        view = out.reshape(apart, inside, *out.shape[1:]).transpose(0, 2, 3, 1)[:, np.newaxis]
        with open(page.parent.filehandle.path, "rb", buffering=0) as file:  # noqa: PTH123 (tifffile's name)
            stored = Stored(str(self._path), file.fileno(), page.dataoffsets[0], first.shaped, dtype)
            if stored.stop > os.fstat(stored.file).st_size:
                raise ValueError("the file ends before it")
            stored.fill(view, (slice(0, apart), slice(0, 1), rows, columns, slice(0, inside)))

    def _decode(self, page: Page, rows: slice, columns: slice, out: Array) -> None:
        keyframe = _keyframe(page)
        tables: dict[str, Any] = {}
        if keyframe.compression in JPEG:
            tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        for data, number in self._encoded(page, _numbers(keyframe, rows, columns)):
            self._check_promise(keyframe, number, len(data or b""))
            decoded, position, shape = keyframe.decode(data, number, _fullsize=False, **tables)
            sample, _, top, left, _ = position
            _, h, w, samples = shape
            segment = np.full((h, w, samples), keyframe.nodata) if decoded is None else decoded[0]
            _paste(segment, top - rows.start, left - columns.start, out[sample : sample + samples])

    def _encoded(self, page: Page, numbers: list[int]) -> list[tuple[bytes | None, int]]:
        offsets = [page.dataoffsets[number] for number in numbers]
        counts = [page.databytecounts[number] for number in numbers]
        file = page.parent.filehandle
        with self._lock:
            was_closed = file.closed  # one of the files of a set that tifffile opened in passing
            if was_closed:
                file.open()
            try:
                found: list[Any] = list(file.read_segments(offsets, counts, numbers))
            finally:
                if was_closed:
                    file.close()
        expected = dict(zip(numbers, counts, strict=True))
        if any(data is not None and len(data) != expected[number] for data, number in found):
            raise ValueError("the file ends before it")
        return found

    def _check_codecs(self) -> None:
        try:
            if self._first.compression != 1:
                tifffile.TIFF.DECOMPRESSORS[self._first.compression]
            if self._first.predictor != 1:
                tifffile.TIFF.UNPREDICTORS[self._first.predictor]
        except KeyError as error:
            why = str(error.args[0])
            advice = CODECS if "imagecodecs" in why else ""
            raise InputError(str(self._path), f"cannot be decoded ({why})", advice) from error

    def _check_promise(self, page: tifffile.TiffPage, number: int, stored: int) -> None:
        height, width = _segment(page)
        if not page.is_tiled:  # the last strip may be lower
            height = min(height, page.imagelength - number % _across(page)[0] * height)
        samples = page.samplesperpixel if page.planarconfig == 1 else 1
        promised = height * width * samples * page.bitspersample // 8
        ratio = LARGEST_RATIO.get(page.compression)
        # Where nothing is stored, nothing is decoded: a file may leave out what is empty.
        if ratio is not None and stored > 0 and (stored + 64) * ratio < promised:
            why = f"its header promises {promised} bytes, which {stored} stored ones cannot hold"
            raise InputError(str(self._path), why, "Copy it again")


def _keyframe(page: Page) -> tifffile.TiffPage:
    """Return the page that says how a page is stored."""
    assert page.keyframe is not None  # noqa: S101 (for the type checker: a page has one)
    return page.keyframe


def _check_sizes(page: tifffile.TiffPage) -> None:
    if min(page.imagelength, page.imagewidth, *_segment(page)) < 1:
        size, segment = (page.imagelength, page.imagewidth), _segment(page)
        raise ValueError(f"its header states {size} pixels in pieces of {segment}")


def _segment(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return the (y, x) pixels of a strip or tile."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _across(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return how many strips or tiles a page has along y and x."""
    height, width = _segment(page)
    return -(-page.imagelength // height), -(-page.imagewidth // width)


def _numbers(page: tifffile.TiffPage, rows: slice, columns: slice) -> list[int]:
    """Return the numbers of the strips or tiles that a part lies in."""
    height, width = _segment(page)
    down, across = _across(page)
    return [
        (sample * down + y) * across + x
        for sample in range(page.samplesperpixel if page.planarconfig == 2 else 1)
        for y in range(rows.start // height, -(-rows.stop // height))
        for x in range(columns.start // width, -(-columns.stop // width))
    ]


def _paste(segment: Array, top: int, left: int, out: Array) -> None:
    """Copy a (y, x, samples) segment to where it lies in `out`, (samples, y, x); parts may stand over."""
    height, width = out.shape[1:]
    y, x = max(top, 0), max(left, 0)
    part = segment[y - top : height - top, x - left : width - left]
    out[:, y : y + part.shape[0], x : x + part.shape[1]] = part.transpose(2, 0, 1)
