"""What would stop a training, or spoil it, found out before it begins."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from mitotools.errors import InputError
from mitotools.learn.models import stride_of, surplus_of
from mitotools.learn.models.blocks import GROUPS
from mitotools.learn.normalise import normalisation_of
from mitotools.learn.patches import SCANNED_VOXELS
from mitotools.parameters import PredictParameters
from mitotools.stages.blocks.pieces import read_labels
from mitotools.stages.prediction.plan import by, seen_by
from mitotools.stages.prediction.rescaling import factors
from mitotools.volume.blocks import block_shape, grid
from mitotools.volume.files import open_volume
from mitotools.volume.same_size import require_same_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mitotools.conventions import Size, VoxelSize
    from mitotools.history import Input
    from mitotools.learn.metadata import ModelMetadata
    from mitotools.learn.models import Module
    from mitotools.parameters import TrainParameters
    from mitotools.stages.training.data import Pair
    from mitotools.volume.base import Volume


def check_validation(pairs: Sequence[Pair], metadata: ModelMetadata) -> list[Input]:
    """Refuse what a network could not be scored on, and return what it is scored on.

    Parameters
    ----------
    pairs : sequence of (VolumePath, VolumePath)
        Grey values and labels.
    metadata : ModelMetadata
        Of the network.

    Raises
    ------
    InputError
        Where the grey values are not what the network can be applied to, or the labels hold no instance.
    """
    inputs = []
    for raw_path, labels_path in pairs:
        with open_volume(raw_path, "image") as raw, open_volume(labels_path, "labels") as labels:
            require_same_size(raw, labels)
            try:
                seen_by(raw, metadata, PredictParameters.rescale)
                normalisation_of(raw)
            except InputError as error:
                raise InputError(f"{raw_path}{raw_path.crop}", error.why, error.what_next) from error
            blocks = grid(labels.spec.size, block_shape(labels.spec.size, labels.spec.chunks, SCANNED_VOXELS))
            if not max([read_labels(labels, box, threads=1).max() for box in blocks]):
                raise InputError(f"{labels_path}{labels_path.crop}", "has no instance to be scored on")
            inputs += [raw.source(), labels.source()]
    return inputs


def check_norm(patch: Size, network: Module, parameters: TrainParameters, processes: int) -> None:
    """Raise InputError where a norm has one number to make something of: it needs others of its channels.

    Parameters
    ----------
    patch : (z, y, x) voxels
    network : Module
    parameters : TrainParameters
    processes : int
        That share a batch.
    """
    surplus = surplus_of(network)
    coarsest = [-(-(n - surplus) // s) + surplus for n, s in zip(patch, stride_of(network), strict=True)]
    # The decoder begins with as many channels as the level above has, before it enlarges them.
    is_alone = parameters.batch == processes and min(parameters.filters[-2:]) <= GROUPS
    if math.prod(coarsest) == 1 and {"instance": True, "group": is_alone}.get(parameters.norm):
        why = f"leave the coarsest level one voxel, of which {parameters.norm} norm makes nothing"
        raise InputError(f"patches of {by(patch)} voxels", why, "Use a larger --patch, or fewer filters")


def warn_of_smaller(patch: Size, volumes: Sequence[Volume]) -> None:
    """Say once which volumes do not hold a patch."""
    small = {
        one.name: one for one in volumes if any(p > n for p, n in zip(patch, one.spec.size, strict=True))
    }
    if small:
        message = "patches of %s voxels are larger than %s: what is missing is mirrored"
        logging.getLogger(__name__).warning(message, by(patch), ", ".join(small))


def warn_of_other_voxels(
    sizes_nm: Mapping[str, VoxelSize | None], like: str, like_nm: VoxelSize | None, patch: Size
) -> None:
    """Say which volumes have voxels so unlike others that predict would resample them: training does not.

    Parameters
    ----------
    sizes_nm : mapping of str to (z, y, x) nanometres
        Volumes and their voxels.
    like : str
        The model, or the volume, whose voxels they should have.
    like_nm : (z, y, x) nanometres
    patch : (z, y, x) voxels
    """
    for name, size_nm in sizes_nm.items():
        if size_nm is None or like_nm is None:
            continue
        scale = factors(size_nm, like_nm, sees_one_slice=patch[0] == 1)
        if scale != (1.0, 1.0, 1.0):
            logging.getLogger(__name__).warning(
                "%s has voxels of %s nm, %s of %s nm, and train resamples nothing: "
                "'mitotools convert --scale %s' makes them alike",
                name,
                by(size_nm),
                like,
                by(like_nm),
                ",".join(f"{factor:g}" for factor in scale),
            )
