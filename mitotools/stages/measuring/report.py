"""The report of `stats`: how large instances are and what shapes they have, with pictures of the extremes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools import history
from mitotools.segment.measures.size_distribution import size_distribution
from mitotools.segment.measures.summary import SUMMARISED, spread
from mitotools.stages.measuring.thumbnails import bar_words, best_view, picture_of
from mitotools.view.plot_file import origin
from mitotools.view.size_page import size_page
from mitotools.view.slices import Palette
from mitotools.view.thumbnails import Thumbnail
from mitotools.volume.atomic import create_file
from mitotools.volume.files import open_volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mitotools.conventions import Array
    from mitotools.history import History
    from mitotools.parameters import StatsParameters
    from mitotools.run.running import Running
    from mitotools.stages.measuring.one_pass import Columns
    from mitotools.volume.base import Volume
    from mitotools.volume.path import VolumePath

EXTREMES = (
    ("largest", "voxels", True),
    ("smallest whole", "voxels", False),
    ("most elongated", "elongation", True),
    ("most complex", "complexity_index", True),
    ("longest", "skeleton_length_um", True),
    ("most contacts", "contact_um2", True),
)
"""What is pictured: words, the column, and whether the highest values count."""

EACH = 2

LONG = 1000
"""Numbers from here on are written without decimals."""

POINTED_OUT = "#F0E442"
"""The colour of the instance that a picture is of; the others are grey."""


def write_size_report(
    file: Path,
    tables: Mapping[str, Columns],
    records: History,
    parameters: StatsParameters,
    running: Running,
    labels: VolumePath | None = None,
    raw: VolumePath | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    file : Path
    tables : mapping of str to columns
        By what they are called.
    records : History
        Of all of them, written beside the file.
    parameters : StatsParameters
    running : Running
    labels : VolumePath, optional
        What the only table is of: instances are pictured.
    raw : VolumePath, optional
        The image behind them.

    Raises
    ------
    InputError
        Where a table has no volumes, since its voxel size was unknown.
    TargetError
    """
    drawn = [size_distribution(name, columns) for name, columns in tables.items()]
    header = ["", "instances", "mean", *(f"{100 * quantile:g} %" for quantile in parameters.quantiles)]
    rows = {name: _rows(columns, parameters.quantiles) for name, columns in tables.items()}
    pictures: list[Thumbnail] = []
    voxel_size_nm = None
    if labels is not None:
        with ExitStack() as stack:
            volume = stack.enter_context(open_volume(labels, "labels"))
            image = None if raw is None else stack.enter_context(open_volume(raw, "image"))
            voxel_size_nm = volume.spec.voxel_size_nm
            pictures = _extremes(next(iter(tables.values())), volume, image)
    page = size_page(drawn, header, rows, pictures, origin(running.command_line, voxel_size_nm))
    with create_file(file, force=running.force) as path:
        path.write_text(page, "utf-8")
        history.write_sidecar(path, records)


def _rows(columns: Columns, quantiles: Sequence[float]) -> list[list[str]]:
    """Return a row for each measurement that any instance has."""
    rows = []
    for name in (name for name in SUMMARISED if columns.get(name) is not None):
        known = _known(columns, name)
        if known.any():
            values = spread(columns[name], quantiles)
            rows.append([name, str(int(known.sum())), *map(_written, values)])
    return rows


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if abs(value) >= LONG else f"{value:.4g}"


def _known(columns: Columns, name: str) -> Array:
    column: Any = columns[name]
    return np.asarray(~np.isnan(column) if column.dtype.kind == "f" else np.ones(len(column), bool))


def _extremes(columns: Columns, volume: Volume, image: Volume | None) -> list[Thumbnail]:
    """Return pictures of the instances that stand out, one each; what the border cuts is not the smallest."""
    table: Any = columns
    corners = [np.stack([table[f"{axis}_{end}"] for axis in "zyx"], axis=1) for end in ("min", "max")]
    found: dict[int, dict[str, str]] = {}
    for words, name, highest in EXTREMES:
        if columns.get(name) is None:
            continue
        usable = _known(columns, name) & (table[name] > 0)
        if not highest:
            usable &= ~table["touches_border"]
        ranked = np.flatnonzero(usable)
        order = np.argsort(-table[name][ranked] if highest else table[name][ranked], kind="stable")
        for row in ranked[order][:EACH].tolist():
            found.setdefault(row, {})[words] = f"{name} {_written(float(table[name][row]))}"
    pictures = []
    for row, reasons in found.items():
        number = int(table["id"][row])
        box = best_view(volume, number, corners[0][row], corners[1][row])
        palette = Palette.of({number: "shown"}, {"shown": POINTED_OUT})
        picture = picture_of(box, [volume], [palette], [number], image)
        measured = list(dict.fromkeys(reasons.values()))
        cut = ["cut by the border"] if table["touches_border"][row] else []
        told = f"{number}: {', '.join([*measured, *cut])}, z {box.start[0]}"
        pictures.append(Thumbnail(picture, ", ".join(reasons), told + bar_words(box, volume)))
    return pictures
