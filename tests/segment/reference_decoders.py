"""The decoders once more, slow and obvious, in dictionaries and a heap: what the fast ones must equal."""

import heapq
import itertools
import math
from collections import deque

import numpy as np
from hypothesis import strategies as st

from mitotools.parameters import DecodeParameters

FACES = [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
CORNERS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step != (0, 0, 0)]


def voxels(shape):
    """All positions, in raster order."""
    return itertools.product(*map(range, shape))


def neighbours(position, steps, shape):
    for step in steps:
        near = tuple(a + b for a, b in zip(position, step, strict=True))
        if all(0 <= a < limit for a, limit in zip(near, shape, strict=True)):
            yield near


def components(mask, steps):
    """Position -> number, numbers in raster order of the components' first voxels."""
    numbers = {}
    count = 0
    for start in voxels(mask.shape):
        if not mask[start] or start in numbers:
            continue
        count += 1
        numbers[start] = count
        waiting = deque([start])
        while waiting:
            for near in neighbours(waiting.popleft(), steps, mask.shape):
                if mask[near] and near not in numbers:
                    numbers[near] = count
                    waiting.append(near)
    return numbers


def without_small(numbers, least):
    sizes = {}
    for number in numbers.values():
        sizes[number] = sizes.get(number, 0) + 1
    return {position: number for position, number in numbers.items() if sizes[number] >= least}


def as_labels(numbers, shape):
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers.values())), start=1)}
    labels = np.zeros(shape, np.uint64)
    for position, number in numbers.items():
        labels[position] = ranks[number]
    return labels


def watershed(maps, parameters):
    mask = maps[0].astype(int)
    seed = mask > math.floor(255 * parameters.seed_foreground)
    if len(maps) == 2:
        seed = seed & (maps[1].astype(int) < math.floor(255 * parameters.seed_contour))
    foreground = mask > math.floor(255 * parameters.foreground)
    markers = without_small(components(seed, CORNERS), parameters.min_seed_voxels)

    numbers = {position: markers[position] for position in sorted(markers) if foreground[position]}
    heap = [(-mask[position], arrival, position) for arrival, position in enumerate(numbers)]
    heapq.heapify(heap)
    while heap:
        _, _, position = heapq.heappop(heap)
        for near in neighbours(position, FACES, mask.shape):
            if foreground[near] and near not in numbers:
                heapq.heappush(heap, (-mask[near], len(numbers), near))
                numbers[near] = numbers[position]
    return as_labels(without_small(numbers, parameters.min_size_voxels), mask.shape)


def connected_components(maps, parameters):
    foreground = maps[0].astype(int) > math.floor(255 * parameters.foreground)
    numbers = components(foreground, CORNERS)
    if len(maps) == 2:
        cores = foreground & (maps[1].astype(int) < math.floor(255 * parameters.seed_contour))
        numbers = components(cores, CORNERS)
        numbers |= dict(joining(numbers, foreground))
    return as_labels(without_small(numbers, parameters.min_size_voxels), foreground.shape)


def joining(numbers, foreground):
    """Voxels of the foreground near components, and the number of the nearest."""
    for z, y, x in voxels(foreground.shape):
        if not foreground[z, y, x] or (z, y, x) in numbers:
            continue
        window = itertools.product((-2, -1, 0, 1, 2), repeat=2)
        near = [(math.hypot(dy, dx), numbers.get((z, y + dy, x + dx))) for dy, dx in window]
        near = [(distance, number) for distance, number in near if number is not None]
        if near:
            yield (z, y, x), min(near)[1]


LEVELS = (0, 51, 102, 153, 255)  # 0.2, 0.4 and 0.6 are levels: whether a threshold is strict shows
FEW_SEEDS, MANY_SEEDS = (0.2, 0.3, 0.3, 0.15, 0.05), (0.3, 0.2, 0.2, 0.1, 0.2)


@st.composite
def decoding_tasks(draw):
    """Small maps of few grey levels, full of plateaus and ties, and parameters that cut between them."""
    channels = draw(st.integers(1, 2))
    # Drawn integers would be small ones, and small maps have one instance.
    shape = draw(st.sampled_from([(1, 1, 30), (2, 1, 20), (30, 1, 1), (1, 9, 10), (3, 6, 7), (4, 8, 9)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    maps = rng.choice(LEVELS, (channels, *shape), p=draw(st.sampled_from([FEW_SEEDS, MANY_SEEDS]))).astype(
        np.uint8
    )
    parameters = DecodeParameters(
        seed_foreground=draw(st.sampled_from([0.4, 0.6, 0.9])),
        seed_contour=draw(st.sampled_from([0.2, 0.4, 0.6, 0.9])),
        foreground=draw(st.sampled_from([0, 0.2, 0.4, 0.6])),
        min_seed_voxels=draw(st.sampled_from([0, 0, 1, 2, 3])),
        min_size_voxels=draw(st.integers(0, 5)),
    )
    return maps, parameters
