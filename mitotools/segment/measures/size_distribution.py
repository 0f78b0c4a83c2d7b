"""How the sizes of instances are distributed, and how volume grows with length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mitotools.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from mitotools.conventions import Array, Mask

    Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
"""Of all intervals."""

LEAST_FITTED = 10
"""Instances of a table: what is fitted to fewer says more of chance than of sizes."""


@dataclass(frozen=True)
class ExponentialFit:
    """Volumes that follow an exponential from the smallest on.

    Parameters
    ----------
    smallest_um3 : float
        Where the distribution begins.
    mean_um3 : float
        The mean of what volumes have above `smallest_um3`: the scale of the exponential.
    low_um3, high_um3 : float
        The interval of `mean_um3`.
    """

    smallest_um3: float
    mean_um3: float
    low_um3: float
    high_um3: float

    def density_per_decade(self, volumes_um3: Floats) -> Floats:
        """Return the share of instances per factor of ten in volume, at given volumes."""
        above = (volumes_um3 - self.smallest_um3) / self.mean_um3
        density = np.log(10) * volumes_um3 / self.mean_um3 * np.exp(-np.maximum(above, 0))
        return np.asarray(np.where(above < 0, 0, density), np.float64)


@dataclass(frozen=True)
class LineFit:
    """A straight line through points on logarithmic axes: volume = 10^intercept * length^slope.

    Parameters
    ----------
    slope, intercept : float
        Of log10 volume (um^3) over log10 length (um).
    low, high : float
        The interval of the slope.
    r : float
        Pearson's correlation of the logarithms; 0 where all volumes are the same.
    count : int
        Instances with both.
    """

    slope: float
    intercept: float
    low: float
    high: float
    r: float
    count: int

    def volumes_um3(self, lengths_um: Floats) -> Floats:
        """Return the volumes on the line."""
        return np.asarray(10**self.intercept * lengths_um**self.slope, np.float64)


@dataclass(frozen=True, eq=False)
class SizeDistribution:
    """What a table says of sizes.

    Parameters
    ----------
    name : str
        Of the table.
    volumes_um3 : (N,) float64
    touches_border : (N,) bool
        Which are cut by the border of the volume; all False where the table does not say.
    lengths_um : (N,) float64 or None
        Of skeletons, NaN where there is none; None where the table has none at all.
    exponential : ExponentialFit or None
        None with fewer than `LEAST_FITTED` instances, or fewer than two different volumes of whole ones.
    line : LineFit or None
        None with fewer than `LEAST_FITTED` points, or of one length.
    """

    name: str
    volumes_um3: Floats
    touches_border: Mask
    lengths_um: Floats | None
    exponential: ExponentialFit | None
    line: LineFit | None

    @property
    def is_small(self) -> bool:
        """Whether there are too few instances to fit anything to."""
        return len(self.volumes_um3) < LEAST_FITTED


def size_distribution(name: str, columns: Mapping[str, Array | None]) -> SizeDistribution:
    """Return the distribution of the sizes in a table of instances.

    Parameters
    ----------
    name : str
        Of the table.
    columns : mapping of str to (N,) array or None
        With ``volume_um3``; ``touches_border`` and ``skeleton_length_um`` if known.

    Raises
    ------
    InputError
        Where there are no volumes, or one is no number above 0.
    """
    volumes = _required_volumes(name, columns)
    cut, lengths = columns.get("touches_border"), columns.get("skeleton_length_um")
    touches = np.zeros(len(volumes), bool) if cut is None else np.asarray(cut, bool)
    lengths = None if lengths is None else np.asarray(lengths, np.float64)
    exponential = fit_exponential(volumes, touches) if len(volumes) >= LEAST_FITTED else None
    line = None if lengths is None else fit_line(lengths, volumes)
    if line is not None and line.count < LEAST_FITTED:
        line = None
    return SizeDistribution(name, volumes, touches, lengths, exponential, line)


def _required_volumes(name: str, columns: Mapping[str, Array | None]) -> Floats:
    if "volume_um3" not in columns:
        why, what_next = "has no column volume_um3", "Give a table that 'mitotools stats' made"
        raise InputError(name, why, what_next)
    column = columns["volume_um3"]
    if column is None:
        why = "has no volumes in um3: the voxel size is unknown"
        raise InputError(name, why, "Give it with 'mitotools convert --voxel-size', and measure again")
    if column.dtype.kind not in "uif" or not (np.isfinite(column) & (column > 0)).all():
        raise InputError(name, "its column volume_um3 holds other things than numbers above 0")
    return np.asarray(column, np.float64)


def fit_exponential(volumes_um3: Floats, is_cut: Mask) -> ExponentialFit | None:
    """Fit an exponential by maximum likelihood.

    Its scale is all that instances have above the smallest whole one, divided by the number of the other
    whole ones: the total time on test over the number of events, with left truncation and right censoring
    (Epstein and Sobel, J. Am. Stat. Assoc. 48, 1953; Lawless, Statistical Models and Methods for Lifetime
    Data, 2nd ed. 2003, chapter 4). The interval is that of the chi-squared distribution with twice as many
    degrees of freedom: exact where nothing is cut, else nearly so. That large instances are cut more often is
    not modelled otherwise.

    Parameters
    ----------
    volumes_um3 : (N,) float64
    is_cut : (N,) bool
        Instances of which only a part is seen: their volume is at least this much.

    Returns
    -------
    ExponentialFit or None
        None where no whole instance is larger than the smallest.
    """
    whole = volumes_um3[~is_cut]
    if len(whole) == 0:
        return None
    start = float(whole.min())
    events = len(whole) - 1
    # A cut instance that is seen to be smaller may be of any size: it says nothing.
    total = float(np.maximum(volumes_um3[is_cut] - start, 0).sum() + (whole - start).sum())
    if events < 1 or total <= 0:
        return None
    low, high = stats.chi2.ppf([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2], 2 * events)
    return ExponentialFit(start, total / events, float(2 * total / low), float(2 * total / high))


def fit_line(lengths_um: Floats, volumes_um3: Floats) -> LineFit | None:
    """Fit volume over length by least squares, both in logarithms.

    Parameters
    ----------
    lengths_um, volumes_um3 : (N,) float64
        Instances without a length above 0 are left out. Those that the border cuts have lost of both.

    Returns
    -------
    LineFit or None
        None with fewer than three instances, or where all are of one length. The interval of the slope is
        that of Student's t with two degrees of freedom less than instances.
    """
    used = (lengths_um > 0) & (volumes_um3 > 0)
    x, y = np.log10(lengths_um[used]), np.log10(volumes_um3[used])
    if len(x) < 3 or np.ptp(x) == 0:
        return None
    found = stats.linregress(x, y)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * found.stderr)
    slope, r = float(found.slope), float(found.rvalue) if np.ptp(y) > 0 else 0.0
    return LineFit(slope, float(found.intercept), slope - half, slope + half, r, len(x))
