"""The table of overlaps as a file: what it takes to score a comparison again without reading the volumes.

The file is an .npz of NumPy: columns `prediction`, `truth` and `count`, a row for each pair of ids that share
voxels, background included; the instances that the volume's border cuts; the sums of a heatmap over the
predictions, if there was one; and a description in JSON.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.errors import InputError
from mitotools.segment.scores.comparison import Comparison
from mitotools.segment.scores.heatmap import HeatSums, merge_heat
from mitotools.segment.scores.overlap import Overlap, merge_overlaps
from mitotools.stages.blocks.planning import memory_of
from mitotools.volume.atomic import create_file

if TYPE_CHECKING:
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.run.running import Running

KIND = "mitotools overlap 1"

COLUMNS = ("prediction", "truth", "count", "cut_predictions", "cut_truths")

HEAT_COLUMNS = ("heat_ids", "heat_values", "heat_wholes", "heat_rests")
"""Of `HeatSums`, where there was a heatmap."""

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError
)  # fmt: skip
"""What libraries raise on files that are no such table."""


@dataclass(frozen=True)
class Origin:
    """What was compared.

    Parameters
    ----------
    prediction, truth : str
        Paths.
    ignore : str
        The volume whose voxels were left out; empty where there was none.
    ignored_voxels : int
        How many they were.
    heatmap : str
        The volume whose means rank the predictions; empty where there was none.
    """

    prediction: str
    truth: str
    ignore: str = ""
    ignored_voxels: int = 0
    heatmap: str = ""


def save_overlap(
    file: Path, comparison: Comparison, origin: Origin, records: History, *, force: bool
) -> None:
    """Write a comparison.

    Raises
    ------
    TargetError
    """
    about = {"kind": KIND, "origin": asdict(origin), "history": list(records)}
    overlap = comparison.overlap
    columns: dict[str, Any] = {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "prediction": overlap.prediction,
        "truth": overlap.truth,
        "count": overlap.count,
        "cut_predictions": comparison.cut_predictions,
        "cut_truths": comparison.cut_truths,
    }
    if origin.heatmap:
        heat = [comparison.heat.ids, *comparison.heat.sums.T]
        columns.update(zip(HEAT_COLUMNS, heat, strict=True))
    with create_file(file, force=force) as path, path.open("wb") as opened:
        np.savez_compressed(opened, **columns)


def load_overlap(file: Path, running: Running) -> tuple[Comparison, Origin, History]:
    """Read a comparison that was saved.

    Raises
    ------
    InputError
        Where the file is none, is damaged, or is larger than the memory that may be used.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_size(file, archive, running)
            about = json.loads(_column(archive, "about", np.dtype(np.uint8)).tobytes())
            if about["kind"] != KIND:
                raise ValueError(f"its kind is {about['kind']}")
            origin, records = _origin(about["origin"]), history.from_records(about["history"])
            names = COLUMNS + (HEAT_COLUMNS if origin.heatmap else ())
            columns = {name: _column(archive, name, _kind(name)) for name in names}
        return _comparison(columns), origin, records
    except FileNotFoundError as error:
        raise InputError(str(file), "no such file") from error
    except InputError:
        raise
    except _DAMAGE as error:
        what_next = "Give PREDICTION and TRUTH, or a file of --save-overlap"
        why = "is no table of overlaps" + ("" if file.is_dir() else f" ({error})")
        raise InputError(str(file), why, what_next) from error


def _origin(told: dict[str, Any]) -> Origin:
    origin = Origin(**told)
    kinds = {type(value) for name, value in asdict(origin).items() if name != "ignored_voxels"}
    if kinds != {str} or type(origin.ignored_voxels) is not int:
        raise ValueError("its origin is damaged")
    return origin


def _check_size(file: Path, archive: zipfile.ZipFile, running: Running) -> None:
    # Twice: a table is put in order once more.
    if 2 * sum(entry.file_size for entry in archive.infolist()) > memory_of(running):
        raise InputError(str(file), "is larger than the memory", "Give more --memory")


def _column(archive: zipfile.ZipFile, name: str, kind: np.dtype[Any]) -> Array:
    """Return a column of the table: no more is taken from memory than the archive's directory said."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as opened:
        data = opened.read(entry.file_size)
    stream = BytesIO(data)
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    column = np.frombuffer(data, kind, offset=stream.tell())
    if dtype != kind or shape != column.shape:
        raise ValueError(f"its {name} is {shape} {dtype}")
    return column


def _kind(name: str) -> np.dtype[Any]:
    counts = ("count", *HEAT_COLUMNS[1:])
    return np.dtype(np.int64 if name in counts else np.uint64)


def _comparison(columns: dict[str, Array]) -> Comparison:
    prediction, truth, count = (columns[name] for name in COLUMNS[:3])
    if not len(prediction) == len(truth) == len(count) or (count < 1).any():
        raise ValueError("its rows are damaged")
    # In order, whoever wrote the file.
    overlap = merge_overlaps([Overlap(prediction, truth, count)])
    return Comparison(overlap, columns["cut_predictions"], columns["cut_truths"], _heat(columns))


def _heat(columns: dict[str, Array]) -> HeatSums:
    if HEAT_COLUMNS[0] not in columns:
        return HeatSums.none()
    ids, *sums = (columns[name] for name in HEAT_COLUMNS)
    if any(len(column) != len(ids) for column in sums) or (sums[0] < 1).any():
        raise ValueError("its sums of a heatmap are damaged")
    return merge_heat([HeatSums(ids, np.stack(sums, axis=1))])
