"""What a training learns from: volumes, their labels, and what of them does not count."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mitotools.errors import UsageError
from mitotools.volume.path import parse_crop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.volume.path import Bounds, VolumePath


@dataclass(frozen=True)
class Labelled:
    """A volume with labels to learn from.

    Parameters
    ----------
    raw, labels : VolumePath
        (Z, Y, X), of the same size.
    ignore : VolumePath, optional
        Of the same size: voxels that are not 0 do not count.
    held_out : VolumePath, optional
        The raw volume with a crop that is not learnt from.
    """

    raw: VolumePath
    labels: VolumePath
    ignore: VolumePath | None = None
    held_out: VolumePath | None = None


Pair = tuple["VolumePath", "VolumePath"]


def labelled(
    pairs: Sequence[Pair], ignore: Sequence[VolumePath | None], validate_crop: str
) -> tuple[list[Labelled], list[Pair]]:
    """Return what is learnt from, and what is held out of the first volume to be scored on.

    Parameters
    ----------
    pairs : sequence of (VolumePath, VolumePath)
        Grey values and labels.
    ignore : sequence of VolumePath or None
        Of the first pairs.
    validate_crop : str
        Of the first pair, ``Z0:Z1,Y0:Y1,X0:X1``, or empty.

    Raises
    ------
    UsageError
    """
    if len(ignore) > len(pairs):
        why = f"is given more often ({len(ignore) - 1}) than --also ({len(pairs) - 1})"
        raise UsageError("--also-ignore", why)
    data = [Labelled(*pair) for pair in pairs]
    data[: len(ignore)] = [replace(one, ignore=path) for one, path in zip(data, ignore, strict=False)]
    if not validate_crop:
        return data, []
    first = data[0]
    if first.raw.crop or first.labels.crop:
        raise UsageError("--validate-crop", "is a crop of whole volumes", "Use --validate with a crop")
    ranges = _ranges(validate_crop)
    raw, labels = (replace(path, ranges=ranges) for path in (first.raw, first.labels))
    data[0] = replace(first, held_out=raw)
    return data, [(raw, labels)]


def _ranges(crop: str) -> tuple[Bounds, Bounds, Bounds]:
    """Return the ranges of a crop along three axes, as a path has them."""
    what = f"--validate-crop {crop}"
    with suppress(UsageError):
        ranges, channels = parse_crop(crop, what)
        if ranges is not None and channels is None:
            return ranges
    raise UsageError(what, "is not Z0:Z1,Y0:Y1,X0:X1")
