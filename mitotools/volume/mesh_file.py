"""Files of triangles: PLY (binary, little endian) and OBJ (text)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import UsageError
from mitotools.volume.atomic import create_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

    import numpy.typing as npt

    from mitotools.conventions import Array

SUFFIXES = (".ply", ".obj")

LINES = 10_000
"""Of an OBJ file, put into text at a time."""


def write_mesh(
    file: Path,
    vertices: npt.NDArray[np.float32],
    faces: npt.NDArray[np.int32],
    comments: Sequence[str],
    *,
    force: bool,
) -> None:
    """Write a mesh, complete or not at all.

    Parameters
    ----------
    file : Path
        Its suffix says how; that of an instance is called by its id.
    vertices : (V, 3) float32
        In the order x, y, z. Both formats give them back to the bit.
    faces : (F, 3) int32
        Places in `vertices`, from 0.
    comments : sequence of str
        Lines for the file's head: formats of meshes have no place for units.
    force : bool
        Replace what is there.

    Raises
    ------
    UsageError
        Where the suffix is none of `SUFFIXES`.
    TargetError
        Where the file exists and `force` is not given, or cannot be written.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(str(file), f"a mesh is one of {', '.join(SUFFIXES)}")
    write = _write_ply if file.suffix.lower() == ".ply" else _write_obj
    lines = [" ".join(comment.split()).encode("ascii", "replace") for comment in comments]
    with create_file(file, force=force) as path, path.open("wb") as opened:
        write(opened, vertices, faces, lines)


def _write_ply(opened: BinaryIO, vertices: Array, faces: Array, comments: Sequence[bytes]) -> None:
    head = [
        b"ply",
        b"format binary_little_endian 1.0",
        *(b"comment " + comment for comment in comments),
        b"element vertex %d" % len(vertices),
        *(b"property float " + axis for axis in (b"x", b"y", b"z")),
        b"element face %d" % len(faces),
        b"property list uchar int vertex_indices",
        b"end_header",
    ]
    opened.write(b"".join(line + b"\n" for line in head))
    opened.write(np.ascontiguousarray(vertices, "<f4").tobytes())
    rows = np.empty(len(faces), [("corners", "u1"), ("vertices", "<i4", 3)])
    rows["corners"], rows["vertices"] = 3, faces
    opened.write(rows.tobytes())


def _write_obj(opened: BinaryIO, vertices: Array, faces: Array, comments: Sequence[bytes]) -> None:
    opened.writelines(b"# " + comment + b"\n" for comment in comments)
    # Nine digits tell any two numbers of 32 bits apart.
    _write_lines(opened, "v %.9g %.9g %.9g\n", vertices)
    _write_lines(opened, "f %d %d %d\n", faces + 1)


def _write_lines(opened: BinaryIO, line: str, rows: Array) -> None:
    """Write a line for each row; one format of many lines takes a third of the time of one for each."""
    for start in range(0, len(rows), LINES):
        part = rows[start : start + LINES]
        opened.write((line * len(part) % tuple(part.ravel().tolist())).encode())
