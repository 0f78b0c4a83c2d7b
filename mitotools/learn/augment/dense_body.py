"""Paint electron-dense bodies into the background: lysosomes, lipofuscin, myelin cut along its sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mitotools.learn.augment.nodes import node_weights

if TYPE_CHECKING:
    from mitotools.conventions import Array, Mask
    from mitotools.learn.augment.context import Context, Parameters

BODIES = 8
"""So many are drawn; those are painted that few instances are in the way of."""

RADII_NM = (100.0, 700.0)
LOG_ASPECT = 0.5
"""Radii along the axes leave their mean by up to this power of e."""

NODES = (4, 4, 4)
ROUGHNESS = 0.7
"""Up to how much of its radius the surface leaves the ellipsoid, drawn at nodes on a grid around the body."""

GREY = (0.15, 0.5)
"""Of the mean of the patch: darker than mitochondria, which can be as smooth."""

KEPT = (0.1, 0.4)
"""The part of the contrast that was there before, and of the noise."""

MOST_COVERED = 0.02
"""A body of which more than this part would lie on instances is not painted."""

USUAL_NM = (30.0, 8.0, 8.0)
"""Size of a voxel where it is unknown."""


def draw(rng: np.random.Generator, context: Context) -> Parameters:
    """Draw bodies that may be painted."""
    return {"bodies": [_body(rng, context) for _ in range(BODIES)]}


def _body(rng: np.random.Generator, context: Context) -> Parameters:
    radius_nm = np.exp(rng.uniform(*np.log(RADII_NM)) + rng.uniform(-LOG_ASPECT, LOG_ASPECT, 3))
    return {
        "middle": (rng.random(3) * context.patch).tolist(),
        "radii": (radius_nm / (context.voxel_size_nm or USUAL_NM)).tolist(),
        "bumps": rng.uniform(-ROUGHNESS, ROUGHNESS, NODES).tolist(),
        "grey": float(rng.uniform(*GREY)),
        "kept": float(rng.uniform(*KEPT)),
    }


def apply(image: Array, labels: Array, valid: Mask | None, parameters: Parameters) -> None:  # noqa: ARG001
    """Paint the bodies behind the instances of a (Z, Y, X) float32 image in 0..1, in place."""
    mean = image.mean()
    for body in parameters["bodies"]:
        box = _box(image.shape, body)
        opacity = _opacity(box, body)
        hidden = labels[box] > 0
        if np.count_nonzero(opacity[hidden]) > MOST_COVERED * np.count_nonzero(opacity):
            continue
        opacity[hidden] = 0
        part = image[box]
        painted = mean * np.float32(body["grey"]) + (part - mean) * np.float32(body["kept"])
        part += opacity * (np.maximum(painted, 0) - part)


def _box(shape: tuple[int, ...], body: Parameters) -> tuple[slice, ...]:
    """Return the voxels that a body can reach."""
    farthest = [(1 + ROUGHNESS) * radius + 1 for radius in body["radii"]]
    return tuple(
        slice(max(int(middle - far), 0), max(min(int(middle + far) + 1, length), 0))
        for length, middle, far in zip(shape, body["middle"], farthest, strict=True)
    )


def _opacity(box: tuple[slice, ...], body: Parameters) -> Array:
    """Return how much of each voxel a body takes, 0 to 1: at its surface a pixel or two are between."""
    axes = [
        (np.arange(part.start, part.stop, dtype=np.float32) - np.float32(middle)) / np.float32(radius)
        for part, middle, radius in zip(box, body["middle"], body["radii"], strict=True)
    ]
    nodes = np.array(body["bumps"], np.float32)
    bumps = np.einsum("kji,zk,yj,xi->zyx", nodes, *map(_weights, axes), optimize=True)
    z, y, x = axes
    distance = np.sqrt((z * z)[:, None, None] + (y * y)[:, None] + x * x)
    pixels = np.float32(min(body["radii"][1:]))
    return np.asarray(np.clip((1 + bumps - distance) * pixels + np.float32(0.5), 0, 1))


def _weights(axis: Array) -> Array:
    """Return the (length, nodes) weights of the nodes from end to end of a body."""
    reach = 1 + ROUGHNESS
    return node_weights(np.clip((axis + reach) / (2 * reach), 0, 1) * (NODES[0] - 1), NODES[0])
