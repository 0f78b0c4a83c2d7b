"""What a training tells while it runs: tables of every number, TensorBoard, and a plot of both."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TextIO

from mitotools import history
from mitotools.errors import TargetError, UsageError
from mitotools.learn.board import Board
from mitotools.volume.atomic import create_file
from mitotools.volume.table import field, tsv_lines

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from mitotools.history import History

Row = dict[str, Any]

TRAINING, VALIDATION = "training.tsv", "validation.tsv"

DRAWN = ("iteration", "loss", "learning_rate")
"""What is kept of an iteration for the plot: there may be 150 000 of them."""

NUMBERS = {TRAINING: DRAWN, VALIDATION: ("iteration", "ap75", "jaccard")}
"""Without which a row is not drawn."""


def check_log(folder: Path | None, plot: Path | None, *, force: bool, resume: bool = False) -> None:
    """Raise an error where a training cannot tell what it does, before it does anything.

    Parameters
    ----------
    folder, plot : Path or None
        As `TrainingLog` takes them.
    force : bool
        Whether what is there may be replaced.
    resume : bool
        Whether tables that are there may be continued, and a plot with a history be drawn again.

    Raises
    ------
    UsageError, TargetError
    """
    if plot is not None:
        from mitotools.stages.plots import check_plot  # noqa: PLC0415 (loads matplotlib)

        check_plot(plot, force=force or (resume and history.is_of_a_run(plot)))
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--log {folder}", "is no folder")
    for name in (TRAINING, VALIDATION):
        if (folder / name).exists() and not (force or resume):
            raise TargetError(str(folder / name), "exists already", "Use --force to replace it")


class TrainingLog:
    """Two tables in a folder, a row an iteration and a row a validation, and a plot; or nothing.

    Parameters
    ----------
    folder : Path or None
        Made where it is not there.
    iterations : int
        That are over in a run which is continued: rows of later ones are dropped.
    plot : Path, optional
        ``.png`` or ``.html``, drawn after each validation and at the end, of what is in the tables; of this
        run alone where there is no folder.
    records : History
        Of the training, written beside the tables and the plot.
    """

    def __init__(
        self, folder: Path | None, iterations: int = 0, plot: Path | None = None, records: History = ()
    ) -> None:
        self._folder = folder
        self._iterations = iterations
        self._plot = plot
        self._records = records
        self._drawn: dict[str, list[Row]] = {TRAINING: [], VALIDATION: []}
        self._files: dict[str, TextIO] = {}
        self._board: Board | None = None

    def __enter__(self) -> TrainingLog:
        """Make the folder, and take in what it tells of an earlier run."""
        if self._folder is None:
            return self
        self._folder.mkdir(parents=True, exist_ok=True)
        self._board = Board.in_folder(self._folder, self._iterations)
        for name, rows in self._drawn.items():
            header, *lines = _lines_before(self._folder / name, self._iterations) or [""]
            columns = header.split("\t")
            found = (dict(zip(columns, map(_value, line.split("\t")), strict=True)) for line in lines)
            rows += [row for row in found if all(isinstance(row.get(n), int | float) for n in NUMBERS[name])]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the tables, and draw what is in them."""
        for file in self._files.values():
            file.close()
        if self._board is not None:
            self._board.close()
        self._draw()

    def trained(self, row: Row) -> None:
        """Note the numbers of an iteration."""
        self._add(TRAINING, row)
        if self._plot is not None:
            self._drawn[TRAINING].append({name: row[name] for name in DRAWN})

    def validated(self, row: Row) -> None:
        """Note the numbers of a validation."""
        logging.getLogger("mitotools").info(
            "iteration %d: AP-75 %.3f, Jaccard %.3f", row["iteration"], row["ap75"], row["jaccard"]
        )
        self._add(VALIDATION, row)
        drawn = self._drawn[VALIDATION]
        drawn[:] = [*(old for old in drawn if old["iteration"] < row["iteration"]), row]
        self._draw()

    def _add(self, name: str, row: Row) -> None:
        if self._folder is None:
            return
        if name not in self._files:
            # A run that was stopped while it noted a validation comes to it again.
            last = min(self._iterations, row["iteration"] - 1)
            self._files[name] = _continued(self._folder / name, list(row), last)
            history.write_sidecar(self._folder / name, self._records)
        print("\t".join(field(value) for value in row.values()), file=self._files[name], flush=True)
        if self._board is not None:
            self._board.add(name.removesuffix(".tsv"), row)

    def _draw(self) -> None:
        if self._plot is None or not self._drawn[TRAINING]:
            return
        from mitotools.view.curves import write_curves  # noqa: PLC0415 (loads matplotlib)

        with create_file(self._plot, force=True) as path:
            suffix = self._plot.suffix.lower()
            write_curves(path, suffix, self._drawn[TRAINING], self._drawn[VALIDATION])
            history.write_sidecar(path, self._records)


def _continued(path: Path, columns: list[str], iterations: int) -> TextIO:
    """Open a table to add to it: with its header, and without rows of iterations that will come again."""
    header = next(tsv_lines(columns, []))
    old = _lines_before(path, iterations)
    kept = old[1:] if old[:1] == [header] else []
    file = path.open("w", encoding="utf-8")
    file.write("".join(f"{line}\n" for line in (header, *kept)))
    return file


def _lines_before(path: Path, iterations: int) -> list[str]:
    """Return the header of a table, and the rows of so many iterations.

    A crash may leave half a row, and people may have changed what stands there.
    """
    if not iterations or not path.exists():
        return []
    header, *lines = path.read_text("utf-8", errors="replace").splitlines(keepends=True) or [""]
    columns = header.count("\t")
    whole = [line for line in lines if line.endswith("\n") and line.count("\t") == columns]
    kept = [line for line in whole if _is_before(line.split("\t", 1)[0], iterations)]
    return [line.rstrip("\n") for line in (header, *kept)]


def _is_before(iteration: str, iterations: int) -> bool:
    number = _value(iteration)
    return isinstance(number, int) and number <= iterations


def _value(text: str) -> Any:
    """Return a field as the number that it is, if it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
