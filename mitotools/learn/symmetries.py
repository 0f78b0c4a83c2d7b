"""Test-time augmentation: in which ways a window is turned, and how its maps are turned back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from mitotools.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Size

    Order = tuple[int, int, int]
    Slices = tuple[slice, slice, slice]

SYMMETRIES = {1: (1, 1), 4: (4, 1), 8: (4, 2), 16: (8, 2), 48: (8, 6)}
"""How many can be averaged: by how many mirrorings and orders of the axes."""

_Z, _Y, _X = -3, -2, -1
PLAIN = (_Z, _Y, _X)
"""The axes in their own order; they count from the last, -1."""


def symmetries(count: int) -> list[tuple[Order, list[int]]]:
    """Return the symmetries of test-time augmentation: (order of the axes, axes to mirror).

    1: none; 4: mirrored in x and y; 8: with y and x exchanged as well; 16: mirrored in z as well; 48: all of
    a cube. Axes count from the last, -1.

    Raises
    ------
    UsageError
        Where the count is another.
    """
    if count not in SYMMETRIES:
        raise UsageError(f"tta {count}", f"expected one of {', '.join(map(str, SYMMETRIES))}")
    mirrored, turned = SYMMETRIES[count]
    flips = [[], [_Y], [_X], [_Y, _X], [_Z], [_Z, _Y], [_Z, _X], [_Z, _Y, _X]][:mirrored]
    orders = [(z, y, x) for z, y, x in permutations(PLAIN)][:turned]  # y and x are exchanged first
    return [(order, list(axes)) for order in orders for axes in flips]


@dataclass(frozen=True)
class Move:
    """Where a channel of maps that were turned back belongs.

    Parameters
    ----------
    channel : int
    of, to : (z, y, x) slices
        Which voxels of it are which ones of `channel`.
    """

    channel: int
    of: Slices
    to: Slices


def channels_turned_back(offsets: Sequence[Size | None], order: Order, flips: Sequence[int]) -> list[Move]:
    """Return where each channel belongs after a symmetry is undone.

    An affinity is between two voxels and is stored at one of them. When its window was mirrored, the network
    has stored it at the other one; when axes were exchanged, in the channel of the other axis.

    Parameters
    ----------
    offsets : sequence of C (z, y, x) voxels
        Of the affinity of each channel; None where the channel is something else.
    order, flips
        See `symmetries`.

    Raises
    ------
    UsageError
        Where a step is that of no channel afterwards.
    """
    return [_move(channel, offset, offsets, order, flips) for channel, offset in enumerate(offsets)]


def _move(
    channel: int, offset: Size | None, offsets: Sequence[Size | None], order: Order, flips: Sequence[int]
) -> Move:
    if offset is None:
        return Move(channel, (slice(None),) * 3, (slice(None),) * 3)
    steps = {
        axis: -step if turned in flips else step
        for turned, axis, step in zip(PLAIN, order, offset, strict=True)
    }
    step, back = ((sign * steps[_Z], sign * steps[_Y], sign * steps[_X]) for sign in (1, -1))
    if step in offsets:
        return Move(offsets.index(step), (slice(None),) * 3, (slice(None),) * 3)
    if back not in offsets:
        steps_of = (",".join(map(str, one)) for one in (offset, step))
        why = "turns affinities at {} into some at {}, which the model does not have".format(*steps_of)
        raise UsageError("--tta", why, "Use fewer")
    return Move(offsets.index(back), _all_but(step), _all_but(back))


def _all_but(step: Size) -> Slices:
    """Return the voxels that have another one at a step from them."""
    z, y, x = (slice(max(-n, 0), -n if n > 0 else None) for n in step)
    return z, y, x
