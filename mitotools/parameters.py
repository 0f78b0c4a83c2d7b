"""Every tunable number and its default, on one page: help reads them here, and outputs record their own."""

from __future__ import annotations

from dataclasses import dataclass

AFFINITY_OFFSETS = (
    (-1, 0, 0),
    (0, -1, 0),
    (0, 0, -1),
    (-2, 0, 0),
    (0, -9, 0),
    (0, 0, -9),
    (0, -9, -9),
    (0, 9, -9),
)
"""The (z, y, x) edges of the mutex watershed: the nearest, and 60 to 100 nm far in voxels of 30, 8, 8 nm."""


@dataclass(frozen=True)
class DecodeParameters:
    """How maps become instances; the thresholds are probabilities (spec: Wei et al., MICCAI 2020)."""

    method: str = "mw"
    """Name of a decoder in `segment.decoders`."""
    seed_foreground: float = 0.85
    """A seed voxel's mask is above this (mw)."""
    seed_contour: float = 0.6
    """A seed voxel's contour is below this (mw, bcd, cc, multicut)."""
    foreground: float = 0.8
    """An instance's voxel has a mask above this."""
    min_size_voxels: int = 1024
    """Instances with fewer voxels are dropped."""
    min_seed_voxels: int = 32
    """Markers with fewer voxels are dropped (mw)."""
    landscape: str = "mask"
    """What is flooded from high to low: mask, or mask-contour (mw, bcd)."""
    seed_distance: float = 0.5
    """A seed voxel's signed distance, -1 to 1, is above this (bcd)."""
    foreground_distance: float = 0.0
    """The signed distance of an instance's voxel is above this (bcd)."""
    link_iou: float = 0.3
    """Profiles of neighbouring slices with at least this IoU may be linked (iou)."""
    as_program: str = "mitotools"
    """How voxels join components: the nearest one, or, as pytc does it, a grey dilation of the ids (cc)."""
    supervoxels: str = "3d"
    """What the multicut joins: 3d supervoxels, or 2d superpixels of each slice (multicut)."""
    beta: float = 0.5
    """Above one half the multicut cuts more, below it joins more (multicut)."""
    affinity_low: float = 0.3
    """Edges with an affinity of at most this are cut; a voxel without any other is background."""
    affinity_high: float = 0.95
    """Voxels that an affinity above this joins are never separated (waterz, zwatershed)."""
    merge_affinity: float = 0.6
    """Regions merge while the affinity of their border is above this (waterz, zwatershed)."""
    scoring: str = "mean"
    """What the affinity of a border is: mean, quantile-Q or quantile-Q-max (waterz)."""
    merge_size_voxels: int = 256
    """Regions that both have so many voxels stay apart (zwatershed)."""
    affinity_offsets: tuple[tuple[int, int, int], ...] = AFFINITY_OFFSETS
    """Where the other end of each channel's edges is; the nearest attract, the others repel (mutex)."""
    mutex_bias: float = 0.5
    """Above one half the edges that repel go before more of those that attract (mutex)."""


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
    min_truth_size_voxels: int | None = None
    """These two: other than the protocol's."""
    errors: ErrorParameters = ErrorParameters()
    ignore_border: bool = False
    """Leave out instances that the border of the volume cuts, as those outside a size class are."""
    bootstrap: int = 0
    """Samples of instances from which intervals of AP are taken; 0: no intervals."""


@dataclass(frozen=True)
class ConvertParameters:
    """What changes from one file to the other; None: nothing."""

    voxel_size_nm: tuple[float, float, float] | None = None
    labels: bool = False
    """Voxels are ids, whatever their type."""
    scale: tuple[float, float, float] | None = None
    """Voxels (z, y, x) of the new volume for every one of the old."""
    clip_percentiles: tuple[float, float] | None = None
    """The grey values that become 0 and 255."""
    dtype: str | None = None
    pad_voxels: tuple[int, int, int] = (0, 0, 0)
    """Margin of zeros on both sides (z, y, x)."""
    chunks: tuple[int, int, int] | None = None
    shards: tuple[int, int, int] | None = None
    compression: str = "default"
    levels: int = 1
    """Resolutions of an OME-Zarr image."""
    zarr_format: int = 3


@dataclass(frozen=True)
class MergeParameters:
    """How tiles become one volume."""

    blend: str = "bump"
    """Name of the weight of overlapping tiles in `mitotools.volume.blend`."""
    fill: float | None = None
    """Value of voxels that no tile covers; None makes them an error."""
    chunks: tuple[int, int, int] | None = None
    compression: str = "default"


@dataclass(frozen=True)
class FilterParameters:
    """Which instances stay, and in which type: None, the smallest that holds their ids."""

    min_size_voxels: int = 0
    relabel: bool = False
    """Number those that stay 1..n, in the order of their ids."""
    where: str | None = None
    """A condition that those that stay fulfil (see `segment.where`); None: there is none."""
    keep_ids: tuple[int, ...] | None = None
    """Those that may stay; None: all."""
    drop_ids: tuple[int, ...] = ()
    clear_border: bool = False
    erode_voxels: int = 0
    """Steps in which all instances lose their outermost voxels, before any are chosen."""
    dilate_voxels: int = 0
    """Steps in which they gain the background around them, thereafter."""
    split: bool = False
    """Make every 26-connected piece of an instance one of its own, thereafter."""
    fill_holes: bool = False
    """Give background that one instance encloses to it, before they erode."""
    dtype: str | None = None
    edits: tuple[str, ...] = ()
    """What is put right by hand, before anything else (see `mitotools.stages.filtering.edits`)."""


@dataclass(frozen=True)
class StatsParameters:
    """What is told of instances: a row for each, or a summary of all, or of each host, with quantiles."""

    skeleton: bool = False
    """Whether instances are measured along their skeletons, which takes longer than all the rest."""
    mesh_format: str = "ply"
    """Of the files with surfaces: ply, or obj."""
    summary: bool = False
    quantiles: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class ViewParameters:
    """A picture of slices with outlined instances."""

    slices: tuple[int, ...] | None = None
    """Positions along `axis`; None: some, evenly spaced, of those that hold `ids`."""
    axis: str = "z"
    columns: int = 3
    ids: tuple[int, ...] | None = None
    """Instances to outline; None: all."""
    hit_iou: float = 0.75
    """The least of a hit, where there is a truth."""
    longest: int = 1024
    """Pixels of the longer side of slices; larger ones are resampled."""


@dataclass(frozen=True)
class TileParameters:
    """The grid of a plan, in voxels (z, y, x)."""

    size_voxels: tuple[int, int, int] = (128, 512, 512)
    halo_voxels: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class TrainParameters:
    """A network, what it learns, and how.

    The defaults are those of U3D-BC (Wei et al., MICCAI 2020; optimisation of the 2021 update).
    """

    preset: str = "u3d-bc"
    architecture: str = "residual-unet"
    """Name of a network in `mitotools.learn.models`."""
    targets: tuple[str, ...] = ("mask", "contour")
    """Names of targets in `mitotools.learn.targets`, one output channel each."""
    filters: tuple[int, ...] = (28, 36, 48, 64, 80)
    """Channels at each level of the network, finest first."""
    fold: tuple[int, ...] = (1, 1, 1)
    """(z, y, x) voxels that are one voxel to the network; 2,2,2 makes it 8 times faster."""
    flat_levels: int | None = None
    """Levels, finest first, with (1, 3, 3) kernels; None: 1, or 0 for isotropic voxels."""
    norm: str = "batch"
    """batch, or group or instance (which work with fewer than 4 patches a batch)."""
    padding: str = "zero"
    """What convolutions see beyond the patch: zero, or the nearest voxel (replicate)."""
    squeeze: bool = False
    """Whether residual blocks weigh their channels (squeeze-and-excitation)."""
    patch_voxels: tuple[int, int, int] | None = None
    """Shape of a patch; None: one of the next two, cut to what the volume holds."""
    section_patch_voxels: tuple[int, int, int] = (32, 256, 256)
    """Where voxels are longer in z; the paper's."""
    isotropic_patch_voxels: tuple[int, int, int] = (112, 112, 112)
    """Where they are not; the paper's for the Lucchi volume."""
    recipe: str = "2021"
    """Name of a list of augmentations in `mitotools.learn.augment`."""
    augment: tuple[str, ...] | None = None
    """NAME:P, each an augmentation and its probability where it is not the recipe's."""
    optimizer: str = "sgd"
    """sgd, or adam."""
    batch: int = 4
    iterations: int = 150_000
    minutes: float | None = None
    """Stop after this time of training, the learning rate decayed by then; scoring and saving come on top."""
    learning_rate: float = 0.04
    momentum: float = 0.9
    weight_decay: float = 1e-4
    """Not on norms and biases."""
    warmup_iterations: int = 1000
    """At most a twentieth of the run."""
    contour_width_nm: float = 32.0
    """Width of the contour band, half of it on either side of the boundary."""
    affinity_offsets: tuple[tuple[int, int, int], ...] = AFFINITY_OFFSETS[:3]
    """(z, y, x) voxels from a voxel to the other end of an edge: a channel of the target affinity each."""
    erode_voxels: int = 0
    """What each of two touching instances loses where they meet, before targets are made."""
    loss: str = "weighted"
    """Cross entropy: weighted (the rarer class of a patch counts more), or plain."""
    uniform_share: float = 0.4
    """Part of the patches drawn anywhere; the others hold foreground."""
    accumulate: int = 1
    """Batches that are taken for one step."""
    clip_gradient: float = 0.0
    """Longest gradient; 0: any."""
    ema_decay: float = 0.999
    """Of the average of the weights, which is what is saved; 0: the last weights are."""
    loaders: int | None = None
    """Processes that prepare batches; 0: none, the network waits; None: as many as the device keeps busy."""
    validations: int = 10
    """How often the network is scored, where there is something to score it on."""
    save_minutes: float = 5.0
    """How often the training is saved, so that it can be resumed."""
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class PredictParameters:
    """How a model is applied to a volume."""

    overlap: float = 0.25
    """Part of a window, along each axis, that it shares with the next one."""
    blend: str = "bump"
    """Name of a window weight in `mitotools.volume.blend`."""
    tta: int = 1
    """Number of symmetries averaged: 1, 4, 8, 16 or 48."""
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    """Name of a backend in `mitotools.learn.backends`."""
    as_program: str = ""
    """What the model is a checkpoint of (see `learn.library.read_model`); "": a model of ours."""
    rescale: str = "auto"
    """Whether a volume is resampled to the voxels of the training: auto (where they differ much) or none."""
    dtype: str = "uint8"
