"""Weights of overlapping windows and tiles, one axis at a time: the weight of a voxel is their product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    Weights = npt.NDArray[np.float64]

BLENDS = ("bump", "gaussian", "none")

FLOOR = 1e-4
"""Added to every weight, so that a voxel at the rim of the only window that holds it counts."""


def profile(blend: str, length: int) -> Weights:
    """Return the weight along one axis of a window, largest in its middle.

    Parameters
    ----------
    blend : {"bump", "gaussian", "none"}
        "bump" is exp(1 - 1 / (1 - u^2)), "gaussian" has a standard deviation of an eighth of the window, and
        with "none" the window whose middle is nearest takes all (in `partition`).
    length : int
        Voxels of the window.

    Returns
    -------
    (length,) float64, positive
    """
    u = (np.arange(length) + 0.5) / length * 2 - 1
    if blend == "bump":
        return FLOOR + np.exp(1 - 1 / (1 - u**2))
    if blend == "gaussian":
        return FLOOR + np.exp(-0.5 * (u / 0.25) ** 2)
    if blend == "none":
        return 1 - np.abs(u)
    raise UsageError(blend, f"no such blending; there are {', '.join(BLENDS)}")


def partition(blend: str, starts: list[int], length: int) -> list[Weights]:
    """Return the weights of windows along one axis, so that they sum to 1 at every voxel.

    Because window grids are products of axes, the product of three such weights sums to 1 as well: no sum of
    weights has to be kept beside the sum of predictions.

    Parameters
    ----------
    blend : str
    starts : list of int
        First voxel of each window, ascending, without gaps between windows.
    length : int
        Voxels of a window.

    Returns
    -------
    list of (length,) float64, one a window
    """
    own = profile(blend, length)
    total = np.zeros(starts[-1] + length)
    for start in starts:
        part = total[start : start + length]
        part[:] = np.maximum(part, own) if blend == "none" else part + own
    if blend != "none":
        return [own / total[start : start + length] for start in starts]
    return _winners(own, total, starts)


def _winners(own: Weights, best: Weights, starts: list[int]) -> list[Weights]:
    """Give each voxel to the first window in which it is nearest to the middle."""
    taken = np.zeros(best.size, dtype=bool)
    weights = []
    for start in starts:
        span = slice(start, start + own.size)
        wins = (own >= best[span]) & ~taken[span]
        taken[span] |= wins
        weights.append(wins.astype(np.float64))
    return weights
