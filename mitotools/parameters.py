"""Every tunable number and its default, on one page.

The commands' help reads the defaults from here, and every output records the values that it was made with.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodeParameters:
    """How maps become instances; the thresholds are probabilities (spec: Wei et al., MICCAI 2020)."""

    method: str = "mw"
    """Name of a decoder in `mitotools.segment.decoders`."""
    seed_foreground: float = 0.85
    """A seed voxel's mask is above this (mw)."""
    seed_contour: float = 0.6
    """A seed voxel's contour is below this (mw, cc)."""
    foreground: float = 0.8
    """An instance's voxel has a mask above this."""
    min_size_voxels: int = 1024
    """Instances with fewer voxels are dropped."""
    min_seed_voxels: int = 32
    """Markers with fewer voxels are dropped (mw)."""


@dataclass(frozen=True)
class EvaluationProtocol:
    """One published way to compute AP by size class."""

    name: str
    size_limits_voxels: tuple[int, int]
    """Upper limits, included, of the small and the medium class."""
    min_truth_size_voxels: int
    """Truth instances with fewer voxels become background."""


PROTOCOLS = (
    EvaluationProtocol("paper", (5000, 15000), 0),
    EvaluationProtocol("challenge2021", (5000, 30000), 2000),
)


@dataclass(frozen=True)
class ErrorParameters:
    """When an instance counts as split, merged, missed or spurious."""

    share: float = 0.1
    """The least part of a truth instance that a prediction must hold to count as a piece of it."""
    size_voxels: int = 500
    """The least number of voxels of such a piece."""
    found_iou: float = 0.1
    """An instance without a partner of at least this IoU is missed (truth) or spurious (prediction)."""


@dataclass(frozen=True)
class EvaluateParameters:
    """How a prediction is scored against the truth."""

    protocol: str = "paper"
    iou: tuple[float, ...] = (0.75,)
    """Thresholds that the table shows and that `detection` holds."""
    sizes_voxels: tuple[int, int] | None = None
    """Size limits other than the protocol's."""
    min_truth_size_voxels: int | None = None
    """A least truth size other than the protocol's."""


@dataclass(frozen=True)
class TileParameters:
    """The grid of a plan, in voxels (z, y, x)."""

    size_voxels: tuple[int, int, int] = (128, 512, 512)
    halo_voxels: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class PredictParameters:
    """How a model is applied to a volume."""

    overlap: float = 0.25
    """Part of a window, along each axis, that it shares with the next one."""
    blend: str = "bump"
    """Name of a window weight in `mitotools.volume.blend`."""
    tta: int = 1
    """Number of symmetries averaged: 1, 4, 8 or 16."""
    device: str = "auto"
    precision: str = "auto"
    dtype: str = "uint8"
