"""Where the voxels of a patch come from: all that moves voxels is one look-up, so that it costs one.

Positions are relative to the middle of the array, which a patch and its larger surroundings share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from mitotools.conventions import Array, Size

    Numbers = npt.NDArray[np.float32]
    Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Sampling:
    """The source of each voxel of a patch: one plane of positions for all slices, which sections vary.

    Parameters
    ----------
    depths : (Z,) float32
        The slice that each slice comes from.
    plane : (2, Y, X) float32
        The y and x that each pixel comes from.
    angles : (Z,) float32
        By how much a section lies turned about the middle, in radians.
    shifts : (Z, 2) float32
        By how many pixels in y and x a section lies shifted.
    """

    depths: Numbers
    plane: Numbers
    angles: Numbers
    shifts: Numbers

    @classmethod
    def still(cls, patch: Size) -> Sampling:
        """Return the sampling that leaves a patch as it is."""
        axes = [np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2) for n in patch]
        plane = np.stack(np.meshgrid(axes[1], axes[2], indexing="ij"))
        return cls(axes[0], plane, np.zeros(patch[0], np.float32), np.zeros((patch[0], 2), np.float32))

    def transformed(self, matrix: Array) -> Sampling:
        """Return the sampling with its positions in the plane multiplied by a (2, 2) matrix."""
        return replace(self, plane=np.einsum("ij,jyx->iyx", np.asarray(matrix, np.float32), self.plane))


def rotation(radians: float) -> Array:
    """Return the (2, 2) matrix that turns (y, x) about the middle."""
    return np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]], np.float32)


class Sampler:
    """Looks up patches in arrays of one shape.

    Parameters
    ----------
    sampling : Sampling
    source : (z, y, x) voxels
        The shape of the arrays. Positions outside are moved to the border.
    """

    def __init__(self, sampling: Sampling, source: Size) -> None:
        last = [n - 1 for n in source]
        self._depths = np.clip(sampling.depths + last[0] / 2, 0, last[0])
        sections = [
            (float(angle), float(y), float(x))
            for angle, (y, x) in zip(sampling.angles, sampling.shifts, strict=True)
        ]
        taps = {section: _Taps(_positions(sampling, section, last), source[2]) for section in set(sections)}
        self._taps = [taps[section] for section in sections]
        self._shape = (len(sections), *sampling.plane.shape[1:])

    def of(self, array: Array) -> Array:
        """Return the patch of a (Z, Y, X) array, in its type: floats are interpolated, others the nearest."""
        patch = np.empty(self._shape, array.dtype)
        linear = array.dtype.kind == "f"
        for depth, taps, out in zip(self._depths, self._taps, patch, strict=True):
            if linear:
                taps.interpolate(_between(array, float(depth)), out)
            else:
                taps.nearest(array[round(float(depth))], out)
        return patch


class _Taps:
    """The four pixels around each position in a plane, and how near each position is to them."""

    def __init__(self, positions: Numbers, width: int) -> None:
        corner = np.floor(positions)
        self._width = width
        self._to_y, self._to_x = positions - corner
        self._corner = _index(corner, width)
        self._nearest = _index(np.rint(positions), width)

    def nearest(self, plane: Array, out: Array) -> None:
        np.take(plane.ravel(), self._nearest, out=out, mode="clip")

    def interpolate(self, plane: Array, out: Array) -> None:
        """Write the linear interpolation; beyond the last row or column, neighbours have no weight."""
        flat = np.ascontiguousarray(plane).ravel()

        def neighbour(offset: int) -> Array:
            return np.take(flat[min(offset, flat.size - 1) :], self._corner, mode="clip")

        np.take(flat, self._corner, out=out, mode="clip")
        _lean(out, neighbour(1), self._to_x)
        below = neighbour(self._width)
        _lean(below, neighbour(self._width + 1), self._to_x)
        _lean(out, below, self._to_y)


def _lean(values: Array, others: Array, weight: Array) -> None:
    """Move values in place towards others, which are used up."""
    others -= values
    others *= weight
    values += others


def _positions(sampling: Sampling, section: tuple[float, float, float], last: list[int]) -> Numbers:
    """Return the (2, Y, X) positions of a section in arrays whose last indices are given."""
    angle, *shift = section
    plane = sampling.transformed(rotation(angle)).plane if angle else sampling.plane
    moved = np.stack([plane[i] + np.float32(shift[i] + last[i + 1] / 2) for i in (0, 1)])
    limits = np.array(last[1:], np.float32)[:, np.newaxis, np.newaxis]
    return np.clip(moved, np.float32(0), limits, out=moved)


def _index(positions: Numbers, width: int) -> Indices:
    whole = positions.astype(np.intp)
    return np.asarray(whole[0] * width + whole[1])


def _between(array: Array, depth: float) -> Array:
    """Return the plane at a depth, interpolated where it lies between two slices."""
    below = int(depth)
    weight = array.dtype.type(depth - below)
    if weight == 0:
        return np.asarray(array[below])
    return np.asarray(array[below] * (1 - weight) + array[below + 1] * weight)
