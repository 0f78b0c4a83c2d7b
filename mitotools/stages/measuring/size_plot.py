"""Tables of instances in one picture: how large they are, and how long for their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools import history
from mitotools.segment.measures.size_distribution import size_distribution
from mitotools.stages.plots import check_plot
from mitotools.view.distributions import write_distributions
from mitotools.volume.atomic import create_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mitotools.history import History
    from mitotools.stages.measuring.one_pass import Columns


def plot_sizes(file: Path, tables: Mapping[str, Columns], records: History, *, force: bool) -> None:
    """Draw the distribution of volumes and, where there are skeletons, volume against length.

    Parameters
    ----------
    file : Path
        ``.png``, or ``.html`` for a page with the fitted numbers.
    tables : mapping of str to columns
        By what they are called in the picture.
    records : History
        Of all of them, written beside the file.
    force : bool
        Replace what is there.

    Raises
    ------
    InputError
        Where a table has no volumes, since its voxel size was unknown.
    UsageError, TargetError
    """
    check_plot(file, force=force)
    drawn = [size_distribution(name, columns) for name, columns in tables.items()]
    with create_file(file, force=force) as path:
        write_distributions(path, file.suffix.lower(), drawn)
        history.write_sidecar(path, records)
