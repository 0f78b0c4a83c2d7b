"""Thinning of a mask to curves, without the interpreter's lock.

The order is that of Lee, Kashyap and Chu (CVGIP: Graph. Models Image Process. 56:462, 1994): layer by
layer, from six sides in turn, voxels are taken off that are no end of a curve and whose going changes no
piece, hole or cavity. Whether a voxel has become an end by the going of others of the same side is looked
at again before it goes. Where that is left out (scikit-image 0.26), curves that are two voxels wide are
eaten from their ends: of some straight rods nothing remains.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask

_NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=3) if any(offset)]


def _bits(chosen: list[bool]) -> int:
    return sum(1 << number for number, is_chosen in enumerate(chosen) if is_chosen)


def _adjacent(reach: int) -> Array:
    """Return for each of 26 neighbours the bits of those that are a step of at most so many axes away."""
    away = np.array(_NEIGHBOURS)[:, np.newaxis] - np.array(_NEIGHBOURS)
    near = (abs(away).max(axis=2) == 1) & (abs(away).sum(axis=2) <= reach)
    return np.array([_bits(row) for row in near.tolist()], np.int64)


_ACROSS_CORNERS = _adjacent(3)
_ACROSS_FACES = _adjacent(1)
_FACES = _bits([abs(np.array(offset)).sum() == 1 for offset in _NEIGHBOURS])
_FACES_AND_EDGES = _bits([abs(np.array(offset)).sum() <= 2 for offset in _NEIGHBOURS])
_SIDES = np.array([n for n, offset in enumerate(_NEIGHBOURS) if abs(np.array(offset)).sum() == 1])


def thin(mask: Mask) -> Mask:
    """Return the skeleton of a mask: curves one voxel wide, across faces, edges and corners.

    Parameters
    ----------
    mask : (Z, Y, X) bool
        Without voxels at the border. Around a cavity a closed shell remains.

    Returns
    -------
    (Z, Y, X) bool
        With as many pieces and holes as the mask; at least one voxel of every piece.
    """
    states = np.ascontiguousarray(mask).astype(np.uint8)
    flat = np.ravel_multi_index(tuple((np.array(_NEIGHBOURS) + 1).T), mask.shape)
    middle = int(np.ravel_multi_index((1, 1, 1), mask.shape))
    _thin(states.reshape(-1), flat - middle)
    return states > 0


@njit(nogil=True, cache=True)
def _neighbourhood(states: Array, place: int, steps: Array) -> int:
    """Return which of the 26 neighbours are in the mask, as bits."""
    bits = 0
    for number in range(26):
        if states[place + steps[number]]:
            bits |= 1 << number
    return bits


@njit(nogil=True, cache=True)
def _grown(seed: int, allowed: int, adjacent: Array) -> int:
    """Return the bits that are connected to some within those allowed."""
    found, fresh = seed, seed
    while fresh:
        reached = 0
        for number in range(26):
            if fresh >> number & 1:
                reached |= adjacent[number]
        fresh = reached & allowed & ~found
        found |= fresh
    return found


@njit(nogil=True, cache=True)
def _may_go(bits: int) -> bool:
    """Whether a voxel with such neighbours is no end of a curve, and simple.

    A voxel is simple if its neighbours inside are connected, and those outside are, as far as they share a
    face with it (Malandain and Bertrand, Proc. ICPR C, 232, 1992).
    """
    if bits & (bits - 1) == 0:
        return False
    if _grown(bits & -bits, bits, _ACROSS_CORNERS) != bits:
        return False
    outside = ~bits & _FACES_AND_EDGES
    beside = outside & _FACES
    return beside != 0 and beside & ~_grown(beside & -beside, outside, _ACROSS_FACES) == 0


@njit(nogil=True, cache=True)
def _thin(states: Array, steps: Array) -> None:
    """Take voxels off a flat mask, in place: 0 is outside, 1 inside, 2 in the list of the border, too."""
    border = np.empty(np.count_nonzero(states), np.int32)
    count = 0
    for place in range(len(states)):
        if states[place]:
            for side in _SIDES:
                if not states[place + steps[side]]:
                    states[place] = 2
                    border[count] = place
                    count += 1
                    break
    gone = 1
    while gone:
        gone = 0
        for side in _SIDES:
            count, taken = _take(states, steps, side, border, count)
            gone += taken


@njit(nogil=True, cache=True)
def _take(states: Array, steps: Array, side: int, border: Array, count: int) -> tuple[int, int]:
    """Take voxels off one side, and list those that come to light; return how many are listed, and went."""
    # First all, then one by one: else a whole row would go from its end, each voxel uncovering the next.
    for number in range(count):
        if not states[border[number] + steps[side]]:
            states[border[number]] = 3
    kept, listed = 0, count
    number = 0
    while number < listed:
        place = border[number]
        number += 1
        if states[place] == 3:
            states[place] = 2
            if _may_go(_neighbourhood(states, place, steps)):
                states[place] = 0
                for other in _SIDES:
                    if states[place + steps[other]] == 1:
                        states[place + steps[other]] = 2
                        border[listed] = place + steps[other]
                        listed += 1
        if states[place]:
            border[kept] = place
            kept += 1
    return kept, listed - kept
