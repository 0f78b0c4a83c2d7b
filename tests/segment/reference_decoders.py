"""The decoders once more, slow and obvious, in dictionaries and a heap: what the fast ones must equal."""

import heapq
import itertools
import math
from collections import deque
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from mitotools.parameters import DecodeParameters

FACES = [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
CORNERS = [step for step in itertools.product((-1, 0, 1), repeat=3) if step != (0, 0, 0)]
IN_PLANE = [step for step in CORNERS if step[0] == 0]
WINDOW = list(itertools.product((0,), range(-2, 3), range(-2, 3)))


def reference(maps, parameters):
    """The labels of (C, Z, Y, X) uint8 maps, by the method that the parameters name."""
    return METHODS[parameters.method](maps, parameters)


def typed(number):
    """The decimal that was typed: 0.3 is three tenths, not the float next to it."""
    return Fraction(str(number))


def level(probability):
    return math.floor(255 * typed(probability))


def distance_level(distance):
    """The floor of the x of 2 x / 255 - 1 = distance: whole numbers above the one are above the other."""
    return math.floor(255 * (typed(distance) + 1) / 2)


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
    maps = maps.astype(int)
    seed = maps[0] > level(parameters.seed_foreground)
    if len(maps) == 2:
        seed = seed & (maps[1] < level(parameters.seed_contour))
    return flooded(seed, maps[0] > level(parameters.foreground), landscape(maps, parameters), parameters)


def distance_watershed(maps, parameters):
    mask, contour, distance = maps = maps.astype(int)
    seed = (mask > level(parameters.seed_foreground)) & (contour < level(parameters.seed_contour))
    seed = seed & (distance > distance_level(parameters.seed_distance))
    foreground = mask > level(parameters.foreground)
    foreground = foreground & (distance > distance_level(parameters.foreground_distance))
    return flooded(seed, foreground, landscape(maps, parameters), parameters)


def landscape(maps, parameters):
    """What is flooded from high to low."""
    if parameters.landscape == "mask":
        return maps[0]
    return np.maximum(maps[0] - maps[1], 0)


def flooded(seed, foreground, heights, parameters):
    markers = without_small(components(seed, CORNERS), parameters.min_seed_voxels)
    numbers = {position: markers[position] for position in sorted(markers) if foreground[position]}
    heap = [(-heights[position], arrival, position) for arrival, position in enumerate(numbers)]
    heapq.heapify(heap)
    while heap:
        _, _, position = heapq.heappop(heap)
        for near in neighbours(position, FACES, seed.shape):
            if foreground[near] and near not in numbers:
                heapq.heappush(heap, (-heights[near], len(numbers), near))
                numbers[near] = numbers[position]
    return as_labels(without_small(numbers, parameters.min_size_voxels), seed.shape)


def connected_components(maps, parameters):
    foreground = maps[0].astype(int) > level(parameters.foreground)
    numbers = components(foreground, CORNERS)
    if len(maps) == 2:
        cores = foreground & (maps[1].astype(int) < level(parameters.seed_contour))
        join = {"mitotools": joined_to_nearest, "pytc": dilated}[parameters.as_program]
        numbers = join(components(cores, CORNERS), foreground)
    return as_labels(without_small(numbers, parameters.min_size_voxels), foreground.shape)


def joined_to_nearest(cores, foreground):
    """The cores, and voxels of the foreground near them with the number of the nearest."""
    joined = dict(cores)
    for position in voxels(foreground.shape):
        near = [
            (dy * dy + dx * dx, cores[z, y, x])
            for (_, dy, dx), (z, y, x) in window(position, foreground.shape)
            if (z, y, x) in cores
        ]
        if foreground[position] and position not in cores and near:
            joined[position] = min(near)[1]
    return joined


def dilated(cores, foreground):
    """Every voxel, background too, with the largest number of its window."""
    largest = {
        position: max(cores.get(near, 0) for _, near in window(position, foreground.shape))
        for position in voxels(foreground.shape)
    }
    return {position: number for position, number in largest.items() if number}


def window(position, shape):
    for step in WINDOW:
        for near in neighbours(position, [step], shape):
            yield step, near


def profile_tracking(maps, parameters):
    mask = maps[0].astype(int) > level(parameters.foreground)
    numbers = components(mask, IN_PLANE)
    profiles = {}  # number -> slice, pixels
    for (z, y, x), number in numbers.items():
        profiles.setdefault(number, (z, set()))[1].add((y, x))
    chains = {number: number for number in profiles}
    for earlier, later in sorted(links(profiles, typed(parameters.link_iou))):
        chains[later] = chains[earlier]
    numbers = {position: chains[number] for position, number in numbers.items()}
    return as_labels(without_small(numbers, parameters.min_size_voxels), mask.shape)


def links(profiles, least):
    """Pairs of profiles that belong together, each profile in one pair with the slice before and after."""
    candidates = []
    for (a, (z, here)), (b, (other_z, there)) in itertools.combinations(sorted(profiles.items()), 2):
        if other_z == z + 1 and here & there:
            iou = Fraction(len(here & there), len(here | there))
            candidates += [(-iou, a, b)] if iou >= least else []
    continued, preceded = set(), set()
    for _, a, b in sorted(candidates):
        if a not in continued and b not in preceded:
            continued.add(a)
            preceded.add(b)
            yield a, b


METHODS = {
    "mw": watershed,
    "cc": connected_components,
    "bcd": distance_watershed,
    "iou": profile_tracking,
}
CHANNELS = {"mw": (1, 2), "cc": (1, 2), "bcd": (3,), "iou": (1,)}

LEVELS = (0, 51, 102, 153, 255)  # 0.2, 0.4 and 0.6 are levels: whether a threshold is strict shows
FEW_SEEDS, MANY_SEEDS = (0.2, 0.3, 0.3, 0.15, 0.05), (0.3, 0.2, 0.2, 0.1, 0.2)


@st.composite
def decoding_tasks(draw, method="mw"):
    """Small maps of few grey levels, full of plateaus and ties, and parameters that cut between them."""
    channels = draw(st.sampled_from(CHANNELS[method]))
    # Drawn integers would be small ones, and small maps have one instance.
    shape = draw(st.sampled_from([(1, 1, 30), (2, 1, 20), (30, 1, 1), (1, 9, 10), (3, 6, 7), (4, 8, 9)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([FEW_SEEDS, MANY_SEEDS]))
    maps = rng.choice(LEVELS, (channels, *shape), p=density).astype(np.uint8)
    alike = draw(st.sampled_from([0, 0.5, 0.9]))
    for z in range(1, shape[0]):  # profiles that resemble those of the slice before
        same = rng.random(maps[:, z].shape) < alike
        maps[:, z][same] = maps[:, z - 1][same]
    # -0.6, -0.2, 0.2 and 0.6 are the signed distances of the levels between the ends.
    distances = st.sampled_from([-1, -0.6, -0.2, 0, 0.2, 0.6])
    parameters = DecodeParameters(
        method=method,
        seed_foreground=draw(st.sampled_from([0.4, 0.6, 0.9])),
        seed_contour=draw(st.sampled_from([0.2, 0.4, 0.6, 0.9])),
        foreground=draw(st.sampled_from([0, 0.2, 0.4, 0.6])),
        min_seed_voxels=draw(st.sampled_from([0, 0, 1, 2, 3])),
        min_size_voxels=draw(st.sampled_from([0, 1, 2, 3, 4, 5, 27])),  # 27: more than a window
        landscape=draw(st.sampled_from(["mask", "mask-contour"])) if channels > 1 else "mask",
        seed_distance=draw(distances),
        foreground_distance=draw(distances),
        link_iou=draw(st.sampled_from([0, 0.2, 0.25, 0.3, 0.5, 0.6, 1])),
        as_program=draw(st.sampled_from(["mitotools", "pytc"])) if method == "cc" else "mitotools",
    )
    return maps, parameters
