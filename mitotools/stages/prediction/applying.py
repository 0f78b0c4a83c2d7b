"""A model at work on one volume: everything that does not depend on the part that is computed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mitotools.learn.backends import backend_of
from mitotools.learn.device import chosen_device, one_torch_thread
from mitotools.learn.infer import WindowPredictor
from mitotools.learn.library import read_model
from mitotools.learn.normalise import read_finite
from mitotools.learn.windows import WindowGrid, blended, padded
from mitotools.run.engine import ordered_map
from mitotools.run.running import silent
from mitotools.segment.images.resample import resample_image
from mitotools.stages.blocks.views import source_box
from mitotools.stages.prediction.picking import Between, picked_slices
from mitotools.volume.blocks import Box, size3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from mitotools.conventions import Array, Size
    from mitotools.learn.metadata import Normalisation
    from mitotools.parameters import PredictParameters
    from mitotools.run.running import Tracker
    from mitotools.stages.blocks.pieces import Seen

    Probabilities = npt.NDArray[np.float32]

LARGEST = 255
"""Of the integers that stand for probabilities 0 to 1."""

_loading = threading.Lock()


@dataclass(frozen=True)
class Applied:
    """How a model is applied: what a process needs to know to load it.

    Parameters
    ----------
    model : Path
    changed_ns : int
        When the file was written last.
    parameters : PredictParameters
        Device, precision and backend are no longer "auto".
    normalisation : Normalisation
    """

    model: Path
    changed_ns: int
    parameters: PredictParameters
    normalisation: Normalisation

    def predictor(self, threads: int) -> WindowPredictor:
        """Return the network, ready to be applied; a process keeps the last one.

        The blocks that a process computes at once wait for the first to load it: torch cannot trace two
        networks at a time, and there would be two in memory.
        """
        with _loading:
            return _predictor(self, threads)


@lru_cache(maxsize=1)
def _predictor(applied: Applied, threads: int) -> WindowPredictor:
    how = applied.parameters
    network, metadata = read_model(applied.model, how.as_program)
    device = chosen_device(how.device)
    backend = backend_of(how.backend, network, metadata.patch_voxels, device, how.precision, threads)
    return WindowPredictor(backend, applied.normalisation, how.tta, metadata.targets)


@contextmanager
def network_let_go() -> Iterator[None]:
    """Let go of the network that this process has loaded, at the end."""
    try:
        yield
    finally:
        _predictor.cache_clear()


@dataclass(frozen=True)
class Prediction:
    """The maps of a volume, block by block, wherever a block is sent.

    Parameters
    ----------
    seen : Seen
        The grey values as the network sees them.
    size : (z, y, x) voxels
        Of the maps: those of the volume, which `seen` may have been resampled from.
    applied : Applied
    windows : WindowGrid
        Over `seen`.
    channels : int
    dtype : numpy.dtype
    """

    seen: Seen
    size: Size
    applied: Applied
    windows: WindowGrid
    channels: int
    dtype: np.dtype[np.generic]

    @property
    def is_resampled(self) -> bool:
        """Whether the network sees other voxels than those of the volume."""
        return self.windows.size != self.size

    def __call__(self, box: Box, threads: int, track: Tracker = silent, label: str = "") -> Array:
        """Return the (C, Z, Y, X) maps of a box, in the type of the new volume."""
        whole = np.empty((self.channels, *box.shape), self.dtype)
        for slab, maps in self.slabs(box, threads, track, label):
            whole[(slice(None), *slab.relative_to(box.start).slices)] = maps
        return whole

    def slabs(
        self, box: Box, threads: int, track: Tracker = silent, label: str = ""
    ) -> Iterator[tuple[Box, Array]]:
        """Yield the maps of `box` in slabs of whole slices, from the first to the last."""
        if not self.is_resampled:
            for slab, probabilities in self._blended(box, threads, track, label):
                yield slab, quantised(probabilities, self.dtype)
            return
        if self.windows.size[0] < self.size[0]:
            yield from self._between_picked(box, threads, track, label)
            return
        below = source_box(box, self.windows.size, self.size, labels=False)
        coarse = self._coarse(below, threads, track, label)
        own = resample_image(coarse, box.start, box.stop, self.windows.size, self.size)
        yield box, quantised(own, self.dtype)

    def _between_picked(
        self, box: Box, threads: int, track: Tracker, label: str
    ) -> Iterator[tuple[Box, Array]]:
        """Yield maps of a volume whose slices were picked: along z they lie where those did."""
        picked = picked_slices(self.size[0], self.windows.size[0])
        made_of = [Between.of(z, picked) for z in range(box.start[0], box.stop[0])]
        first, last = made_of[0].before, made_of[-1].after
        old, new = size3((1, *self.windows.size[1:])), size3((1, *self.size[1:]))
        plane = Box((0, *box.start[1:]), (1, *box.stop[1:]))
        below = source_box(plane, old, new, labels=False)
        seen = Box((first, *below.start[1:]), (last + 1, *below.stop[1:]))
        coarse = self._coarse(seen, threads, track, label)
        for z, slices in enumerate(made_of, start=box.start[0]):
            mean = slices.of_slices(coarse, first)[:, np.newaxis]
            own = resample_image(mean, plane.start, plane.stop, old, new)
            yield plane.shifted((z, 0, 0)), quantised(own, self.dtype)

    def _coarse(self, box: Box, threads: int, track: Tracker, label: str) -> Probabilities:
        """Return the maps of a box of `seen`."""
        whole = np.empty((self.channels, *box.shape), np.float32)
        for slab, probabilities in self._blended(box, threads, track, label):
            whole[(slice(None), *slab.relative_to(box.start).slices)] = probabilities
        return whole

    def _blended(
        self, box: Box, threads: int, track: Tracker, label: str
    ) -> Iterator[tuple[Box, Probabilities]]:
        predictor = self.applied.predictor(threads)

        def predicted(index: Size) -> Probabilities:
            return predictor(padded(self._read, self.windows.box(index), self.windows.size))

        indices = self.windows.touching(box)
        with one_torch_thread():
            results = ordered_map(predicted, indices, predictor.at_once)
            yield from blended(self.windows, box, track(results, len(indices), label, "windows"))

    def _read(self, box: Box) -> Array:
        return read_finite(self.seen, box)


def quantised(probabilities: Probabilities, dtype: np.dtype[np.generic]) -> Array:
    """Return (C, Z, Y, X) probabilities in the type of maps: floor(255 p) for uint8.

    Where windows are blended, weights sum to one but for rounding: more than 1 is no probability.
    """
    maps = np.empty(probabilities.shape, dtype)
    for channel, of_channel in zip(maps, probabilities, strict=True):
        for new, old in zip(channel, of_channel, strict=True):  # a slice: little memory beside the maps
            clipped = np.clip(old, 0, 1)
            new[...] = np.floor(clipped * LARGEST) if dtype == np.uint8 else clipped
    return maps
