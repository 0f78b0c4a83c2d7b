"""Labels as seen from a step away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mitotools.conventions import Labels, Size


def neighbours(labels: Labels, offsets: Sequence[Size]) -> Iterator[Labels]:
    """Yield, for each offset, the label at v + offset of every voxel v.

    Parameters
    ----------
    labels : (Z, Y, X) unsigned integer
        Beyond its border every axis goes on as at the border.
    offsets : sequence of (z, y, x) voxels

    Yields
    ------
    (Z, Y, X) view of a padded copy
    """
    margin = [max(map(abs, steps)) for steps in zip(*offsets, strict=True)]
    padded = np.pad(labels, [(m, m) for m in margin], mode="edge")
    for offset in offsets:
        starts = [m + step for m, step in zip(margin, offset, strict=True)]
        yield padded[tuple(slice(a, a + n) for a, n in zip(starts, labels.shape, strict=True))]
