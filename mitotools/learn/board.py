"""Numbers of a training for TensorBoard, where it is installed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Board:
    """Writes TensorBoard's event files.

    Parameters
    ----------
    writer : torch.utils.tensorboard.SummaryWriter
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    @classmethod
    def in_folder(cls, folder: Path, iterations: int) -> Board | None:
        """Return a board that continues after so many iterations, or None where it cannot be loaded."""
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (an extra)
        except ImportError:
            logging.getLogger(__name__).info(
                "no TensorBoard files are written: pip install 'mitotools[tensorboard]'"
            )
            return None
        return cls(SummaryWriter(str(folder), purge_step=iterations + 1 if iterations else None))

    def add(self, group: str, row: dict[str, Any]) -> None:
        """Add the numbers of an iteration, whose number is among them."""
        for name, value in row.items():
            if name != "iteration" and isinstance(value, int | float):
                self._writer.add_scalar(f"{group}/{name}", value, row["iteration"])

    def close(self) -> None:
        """Write what is not yet written."""
        self._writer.close()
