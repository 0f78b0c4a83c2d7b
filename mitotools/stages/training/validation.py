"""Scoring a network that is being trained: its maps of a volume, decoded as well as they can be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import UsageError
from mitotools.learn.checkpoint import save_model
from mitotools.parameters import DecodeParameters, EvaluateParameters, PredictParameters
from mitotools.run.memory import free_bytes, resident_bytes
from mitotools.run.running import print_nothing, silent, without_warnings
from mitotools.stages.decoding.any_size import parameters_used
from mitotools.stages.predict import predict_volume
from mitotools.stages.tune import tune_decoding
from mitotools.temporary import temporary_folder
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mitotools.learn.metadata import ModelMetadata, Normalisation
    from mitotools.learn.models import Module
    from mitotools.parameters import TrainParameters
    from mitotools.run.running import Running
    from mitotools.stages.tune import Trial

_SEEDS = {
    "seed_foreground": (0.6, 0.75, 0.9),
    "seed_contour": (0.35, 0.6),
    "foreground": (0.35, 0.5, 0.65, 0.8),
    "min_size_voxels": (128, 512, 1024),
}

DECODING: dict[tuple[str, ...], tuple[str, Mapping[str, Sequence[Any]]]] = {
    ("mask",): ("cc", {"foreground": (0.35, 0.5, 0.65, 0.8, 0.9), "min_size_voxels": (128, 512, 1024)}),
    ("mask", "contour"): ("mw", _SEEDS),
    ("mask", "contour", "distance"): ("bcd", {**_SEEDS, "seed_distance": (0.2, 0.5)}),
    ("z", "y", "x"): (
        "zwatershed",
        {
            "merge_affinity": (0.3, 0.5, 0.7),
            "affinity_high": (0.9, 0.99),
            "min_size_voxels": (128, 512, 1024),
        },
    ),
}
"""For each set of maps the method, and the values of its options that are tried: coarsely, since it is done
ten times in a training. Maps of a Mvoxel take a sixth of a second to decode and score; those of mask and
contour are decoded 24 times."""


def check_channels(channels: tuple[str, ...]) -> None:
    """Raise UsageError where maps of these channels are not decoded here."""
    if channels not in DECODING:
        known = "; ".join(",".join(names) for names in DECODING)
        given = ",".join(channels)
        raise UsageError("--validate", f"scores maps of {known}, and not of {given}", "Leave it out")


@dataclass(frozen=True)
class Score:
    """How well the maps of a network can be decoded.

    Parameters
    ----------
    ap : float
        AP-75 of all instances, the mean over volumes.
    decode : dict
        The options with which it is reached, `method` among them.
    jaccard : float
        Of the foreground, at these options.
    """

    ap: float
    decode: dict[str, Any]
    jaccard: float


@dataclass(frozen=True)
class Validation:
    """Volumes with labels that a network is scored on.

    Parameters
    ----------
    pairs : sequence of (VolumePath, VolumePath)
        Grey values and labels.
    parameters : TrainParameters
    running : Running
    grey_values : mapping of VolumePath to Normalisation
        Of crops of what is learnt from, which the network is to see as it saw the rest.
    """

    pairs: Sequence[tuple[VolumePath, VolumePath]]
    parameters: TrainParameters
    running: Running
    grey_values: Mapping[VolumePath, Normalisation] = field(default_factory=dict)

    def score(self, network: Module, metadata: ModelMetadata) -> Score:
        """Return how well a network does."""
        # What the training itself has in memory is not to be taken out of the budget once more.
        memory = resident_bytes() + (self.running.memory_bytes or free_bytes() // 2)
        quiet = replace(
            self.running, track=silent, status=print_nothing, force=True, resume=None, memory_bytes=memory
        )
        method, grid = DECODING[metadata.targets]
        # Of dozens of options some leave no instance, and the user chose none.
        quietly = without_warnings("mitotools.stages.decoding.any_size")
        with temporary_folder() as folder, quietly:
            model = folder / "model.safetensors"
            save_model(model, network, metadata)
            found = [self._trials(folder, model, pair, method, grid, quiet) for pair in self.pairs]
        return _best(found)

    def _trials(
        self,
        folder: Path,
        model: Path,
        pair: tuple[VolumePath, VolumePath],
        method: str,
        grid: Mapping[str, Sequence[Any]],
        running: Running,
    ) -> list[Trial]:
        maps = VolumePath(str(folder / "maps.zarr"))
        # The same arithmetic as in training, and nothing that has to be converted first.
        how = PredictParameters(
            device=self.parameters.device, precision=self.parameters.precision, backend="torch"
        )
        grey_values = self.grey_values.get(pair[0])
        predict_volume(pair[0], maps, model, how, running, normalisation=grey_values)
        base = DecodeParameters(method=method)
        trials, _ = tune_decoding(maps, pair[1], base, grid, EvaluateParameters(), running)
        return trials


def _best(found: list[list[Trial]]) -> Score:
    """Return the options that are best over all volumes: each has tried the same ones."""
    by_options: dict[DecodeParameters, list[Trial]] = {}
    for trials in found:
        for trial in trials:
            by_options.setdefault(trial.parameters, []).append(trial)

    def rank(options: DecodeParameters) -> tuple[float, ...]:
        return tuple(np.mean([trial.rank for trial in by_options[options]], axis=0))

    best = min(by_options, key=rank)
    trials = by_options[best]
    jaccards = [trial.report["foreground"]["jaccard"] or 0.0 for trial in trials]
    aps = [trial.ap or 0.0 for trial in trials]
    return Score(float(np.mean(aps)), parameters_used(best), float(np.mean(jaccards)))
