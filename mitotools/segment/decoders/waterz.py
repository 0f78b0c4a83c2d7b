"""Watershed of affinities and agglomeration by the waterz library (``waterz``)."""

from __future__ import annotations

import os
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import UsageError, extra
from mitotools.segment.affinities import as_instances, watershed_levels
from mitotools.segment.components import grey_level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mitotools.conventions import Labels, Maps
    from mitotools.parameters import DecodeParameters

QUANTILES = range(10, 100, 5)
BINS = 256

_standard_output = Lock()


def decode(maps: Maps, parameters: DecodeParameters) -> Labels:
    """Split affinity maps into instances by the waterz library.

    A watershed of the edges above `affinity_low`, where those above `affinity_high` are never cut, gives
    fragments; a voxel without such an edge is background. Fragments merge, best first, while the affinity of
    their border is above `merge_affinity`; `scoring` says what that is:

    - ``mean``: the mean of the border's edges;
    - ``quantile-Q``: their Q-th percentile, Q = 10, 15 ... 95;
    - ``quantile-Q-max``: of each two fragments of the watershed the highest edge alone counts, and when their
      regions merge, the Q-th percentile of these.

    These are the functions that the library's wheels hold; it would compile others. Quantiles are of the 256
    values of a map, and queued in as many bins, which loses nothing; means are queued as they are.

    The library takes the whole maps in memory, and one thread. The same maps give the same labels on every
    run; equal scores are merged in an order that another build of the library may change. Whatever is written
    to the standard output of the process meanwhile is discarded, as the library writes there.

    Parameters
    ----------
    maps : (3, Z, Y, X) array of uint8
        Affinities z, y, x to the neighbour before: probabilities times 255. Edges that leave the volume are
        ignored.
    parameters : DecodeParameters
        `affinity_low`, `affinity_high`, `merge_affinity`, `scoring` and `min_size_voxels`.

    Returns
    -------
    (Z, Y, X) array of the smallest unsigned type
        Instances numbered 1..n in raster order of their first voxel.

    Raises
    ------
    UsageError
        If `affinity_low` is not below `affinity_high`, or there is no such scoring.
    MitotoolsError
        If the library is not installed.

    References
    ----------
    J. Funke et al., Large Scale Image Segmentation with Structured Loss based Deep Learning for Connectome
    Reconstruction, IEEE TPAMI 41, 2019 (arXiv 1709.02974).
    """
    low, high = watershed_levels(parameters)
    function, bins = _scoring(parameters.scoring)
    level = grey_level(parameters.merge_affinity)
    # The library puts a value in the middle of its bin.
    threshold = 1 - ((level + 1) / BINS if bins else level / 255)
    with extra("method waterz", "the library waterz", "affinities"):
        import waterz  # noqa: PLC0415 (an extra)
    library: Any = waterz  # by its types, it may return more than labels
    affinities = np.divide(maps, 255, dtype=np.float32, order="C")
    with _silence():
        (segments,) = library.agglomerate(
            affinities,
            [threshold],
            aff_threshold_low=(low + 0.5) / 255,
            aff_threshold_high=(high + 0.5) / 255,
            scoring_function=function,
            discretize_queue=bins,
        )
    del affinities
    return as_instances(segments, int(segments.max()), parameters.min_size_voxels)


def _scoring(name: str) -> tuple[str, int]:
    """Return the library's name of a scoring function, and the bins of its queue; 0: it is exact."""
    if name == "mean":
        return "OneMinus<MeanAffinity<RegionGraphType,ScoreValue>>", 0
    histogram = "OneMinus<HistogramQuantileAffinity<RegionGraphType,{},ScoreValue,{},{}>>"
    quantiles = {
        f"quantile-{q}{end}": histogram.format(q, BINS, only_highest)
        for q in QUANTILES
        for end, only_highest in (("", "false"), ("-max", "true"))
    }
    if name not in quantiles:
        raise UsageError(
            f"scoring {name}",
            "there is no such scoring",
            f"Choose mean, quantile-Q or quantile-Q-max with Q = {', '.join(map(str, QUANTILES))}",
        )
    return quantiles[name], BINS


@contextmanager
def _silence() -> Iterator[None]:
    """Discard what the library writes to standard output, from Python and from C++.

    The C++ part flushes its last line itself. One thread at a time, or one would restore what another
    discards.
    """
    with _standard_output, Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
