"""Batches of patches, prepared in other processes while the network is at work."""

from __future__ import annotations

import itertools
import logging
import math
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mitotools.errors import InputError, MitotoolsError
from mitotools.learn.targets import channel_names, make_targets
from mitotools.learn.targets.shape import TargetShape

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from mitotools.conventions import Mask
    from mitotools.learn.patches import Mixture
    from mitotools.learn.processes import Processes
    from mitotools.learn.targets import Target
    from mitotools.parameters import TrainParameters

    Images = Tensor
    _Item = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Mask | None]

QUIET_START = "mitotools.learn.quiet_start"
"""What the process that forks loader processes loads first."""

BATCHES_AHEAD = 2
"""Of each loader process."""

THREADS_A_LOADER = 4
"""Without a GPU one process in so many threads prepares batches; the threads are the network's."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (asked for its size alone)
"""Where Linux keeps what processes share: in a container there may be little."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What a step of the training sees.

    Parameters
    ----------
    images : (N, 1, Z, Y, X) float32 in -1..1
    targets : (N, C, Z, Y, X) float32
        See `mitotools.learn.targets.make_targets`.
    valid : (N, Z, Y, X) bool, or None
        Voxels that count in the loss; None: all.
    """

    images: Tensor
    targets: Tensor
    valid: Tensor | None = None

    @property
    def valid_voxels(self) -> int:
        """Voxels that count, of all patches together."""
        return self.images.numel() if self.valid is None else int(self.valid.sum())

    def pin_memory(self) -> Batch:
        """Return the batch where a GPU can fetch it while it computes."""
        valid = None if self.valid is None else self.valid.pin_memory()
        return Batch(self.images.pin_memory(), self.targets.pin_memory(), valid)


class Patches(Dataset[Any]):
    """All patches of a training, by number: what is drawn for one depends on the seed and its number alone.

    Parameters
    ----------
    mixture : Mixture
    targets : sequence of Target
    parameters : TrainParameters
    """

    def __init__(self, mixture: Mixture, targets: Sequence[Target], parameters: TrainParameters) -> None:
        self._mixture = mixture
        self._targets = list(targets)
        self._seed = parameters.seed
        self._width_nm, self._erode = parameters.contour_width_nm, parameters.erode_voxels

    def __getitem__(self, number: int) -> _Item | MitotoolsError:
        """Return image, targets and valid; what is wrong with a volume travels as a value."""
        try:
            patch, source = self._mixture.draw(np.random.default_rng([number, self._seed]))
        except MitotoolsError as error:
            return error
        shape = TargetShape.of(source.voxel_size_nm, self._width_nm, self._erode)
        truths = make_targets(patch.labels, self._targets, shape)
        valid = None if patch.valid is None or patch.valid.all() else patch.valid
        return patch.image[np.newaxis], truths, valid


def batches(
    patches: Patches,
    parameters: TrainParameters,
    processes: Processes,
    loaders: int,
    first: int = 0,
) -> Generator[Batch]:
    """Yield this process's part of each batch, for ever.

    Parameters
    ----------
    patches : Patches
    parameters : TrainParameters
    processes : Processes
        Each takes every so-manieth patch of a batch, whose patches are the same for any number of processes.
    loaders : int
        Processes that prepare batches; 0: this one does.
    first : int
        The number of batches that are over.

    Raises
    ------
    MitotoolsError
        Where something is wrong with a volume.
    InputError
        Where a loader process died.
    """
    numbers = _numbers(parameters.batch, processes, first)
    multiprocessing.set_forkserver_preload(["__main__", QUIET_START])
    loader = DataLoader(
        patches,
        batch_sampler=numbers,
        num_workers=loaders,
        collate_fn=_collated,
        prefetch_factor=BATCHES_AHEAD if loaders else None,
        worker_init_fn=_end_with_training,
        multiprocessing_context="forkserver" if loaders else None,
        pin_memory=parameters.device.startswith("cuda"),
    )
    iterator = iter(loader)
    try:
        while True:
            batch = _next(iterator, loaders)
            if isinstance(batch, MitotoolsError):
                raise batch
            yield batch
    finally:
        del iterator  # which ends the loader processes, though an error may keep this frame


def loaders_for(parameters: TrainParameters, patch_bytes: int, threads: int, device: str) -> int:
    """Return how many processes prepare batches: as asked, or as many as the device keeps busy.

    Parameters
    ----------
    parameters : TrainParameters
    patch_bytes : int
        Of an image with its targets.
    threads : int
    device : str
    """
    wanted = parameters.loaders
    if wanted is None:
        wanted = max(threads - 2, 1) if device.startswith("cuda") else math.ceil(threads / THREADS_A_LOADER)
    each = (BATCHES_AHEAD + 1) * parameters.batch * patch_bytes
    fitting = shutil.disk_usage(SHARED_MEMORY).free // each if SHARED_MEMORY.is_dir() else wanted
    if fitting >= wanted:
        return wanted
    logging.getLogger(__name__).warning(
        "%s has room for %d of %d loader processes%s. "
        "In a container, give more of it (docker run --shm-size).",
        SHARED_MEMORY,
        fitting,
        wanted,
        "" if fitting else ": the network waits while patches are prepared",
    )
    return fitting


def bytes_of_patch(shape: tuple[int, int, int], targets: Sequence[Target]) -> int:
    """Return what an image, its targets and what is valid of it take."""
    return math.prod(shape) * (4 + 4 * len(channel_names(targets)) + 1)


def _numbers(batch: int, processes: Processes, first: int) -> Iterator[list[int]]:
    for number in itertools.count(first):
        yield list(range(number * batch, (number + 1) * batch))[processes.rank :: processes.count]


def _end_with_training(_: int) -> None:
    """Have a loader process end when the training does, however that ends, and not before.

    A terminal sends Ctrl-C to loader processes too, while the training may need one more batch. When the
    training is killed, the process that forked this one, which PyTorch watches, lives on with this one.
    What fails in a batch reaches the training as a value; a thread that hands over a batch which nobody
    fetches any more has nothing to say.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _say_nothing
    threading.Thread(target=_wait_for_training, daemon=True).start()


def _say_nothing(*_: object) -> None:
    pass


def _wait_for_training() -> None:
    training = multiprocessing.parent_process()
    if training is not None:
        training.join()
        os._exit(1)


def _next(iterator: Iterator[Batch | MitotoolsError], loaders: int) -> Batch | MitotoolsError:
    try:
        return next(iterator)
    except (RuntimeError, OSError, EOFError) as error:
        if not loaders or str(error).startswith("Caught "):  # raised there: the text holds its traceback
            raise
        why = f"ended ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    return InputError("a loader process", why, "Is there too little memory? Try --set loaders=0")


def _collated(items: list[_Item | MitotoolsError]) -> Batch | MitotoolsError:
    patches = []
    for item in items:
        if isinstance(item, MitotoolsError):
            return item
        patches.append(item)
    images, truths, valid = zip(*patches, strict=True)
    return Batch(_stacked(images), _stacked(truths), _stacked_valid(valid))


def _stacked(arrays: Sequence[npt.NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def _stacked_valid(masks: Sequence[Mask | None]) -> Tensor | None:
    some = next((mask for mask in masks if mask is not None), None)
    if some is None:
        return None
    return _stacked([np.ones_like(some) if mask is None else mask for mask in masks])
