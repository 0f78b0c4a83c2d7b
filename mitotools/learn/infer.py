"""A network applied to one window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mitotools.learn.normalise import to_network, to_unit
from mitotools.learn.symmetries import PLAIN, channels_turned_back, symmetries
from mitotools.learn.targets import map_slopes
from mitotools.learn.targets.affinity import affinity_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.learn.backends import Backend
    from mitotools.learn.metadata import Normalisation


class WindowPredictor:
    """Applies a network to single windows, each for itself: how work is cut never changes a result.

    It may be called from several threads, `at_once` of which it keeps busy.

    Parameters
    ----------
    backend : Backend
    normalisation : Normalisation
        Of the volume's grey values.
    tta : int
        Number of symmetries that are averaged.
    channels : sequence of str
        Names of the maps; affinities among them are moved to where they are stored when they are turned back.
    """

    def __init__(
        self, backend: Backend, normalisation: Normalisation, tta: int, channels: Sequence[str]
    ) -> None:
        self._backend = backend
        self._slopes = torch.tensor(map_slopes(channels), device=backend.device)[:, None, None, None]
        self._normalisation = normalisation
        offsets = [affinity_offset(channel) for channel in channels]
        self._symmetries = [(*way, channels_turned_back(offsets, *way)) for way in symmetries(tta)]

    @property
    def at_once(self) -> int:
        """Windows that are best computed at the same time, on a thread each."""
        return self._backend.at_once

    @torch.inference_mode()
    def __call__(self, window: Array) -> npt.NDArray[np.float32]:
        """Return probabilities.

        Parameters
        ----------
        window : (Z, Y, X) grey values

        Returns
        -------
        (C, Z, Y, X) float32 in 0..1, the mean over the symmetries
        """
        image = torch.from_numpy(to_network(to_unit(window, self._normalisation))).to(self._backend.device)
        total = counts = None
        for order, flips, moves in self._symmetries:
            turned = image.movedim(order, PLAIN)
            output = self._probabilities(turned.flip(flips) if flips else turned)
            output = output.flip(flips) if flips else output
            output = output.movedim(PLAIN, order)
            if total is None or counts is None:  # the first symmetry changes nothing
                total, counts = output, torch.ones_like(output, dtype=torch.uint8)
                continue
            for channel, move in enumerate(moves):
                total[move.channel][move.to].add_(output[channel][move.of])
                counts[move.channel][move.to].add_(1)
        assert total is not None and counts is not None  # noqa: S101, PT018 (there is a symmetry at least)
        mean: npt.NDArray[np.float32] = total.div_(counts).cpu().numpy()
        return mean

    def _probabilities(self, image: torch.Tensor) -> torch.Tensor:
        return self._backend(image).mul_(self._slopes).sigmoid_()
