"""A network applied to one window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mitotools.errors import UsageError
from mitotools.learn.device import arithmetic, chosen_device, chosen_precision, memory_in_words, placed
from mitotools.learn.normalise import to_network, to_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from mitotools.conventions import Array
    from mitotools.learn.metadata import Normalisation
    from mitotools.parameters import PredictParameters

SYMMETRIES = (1, 4, 8, 16)
"""Numbers of symmetries that can be averaged."""
WITH_TRANSPOSE = 8
"""From this number on, y and x are exchanged."""
WITH_Z = 16

_Z, _Y, _X = 1, 2, 3  # axes of a window, (C, Z, Y, X)


class WindowPredictor:
    """Applies a network to single windows, always one at a time: how work is cut never changes a result.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    normalisation : Normalisation
        Of the volume's grey values.
    parameters : PredictParameters
    threads : int
    slopes : sequence of float
        The s of the map sigmoid(s logit) of each channel (see `mitotools.learn.targets.map_slopes`).
    """

    def __init__(
        self,
        network: nn.Module,
        normalisation: Normalisation,
        parameters: PredictParameters,
        threads: int,
        slopes: Sequence[float] = (1.0,),
    ) -> None:
        self._slopes = torch.tensor(slopes)[:, None, None, None]
        self._device = chosen_device(parameters.device)
        self._precision = chosen_precision(parameters.precision, self._device)
        self._network = placed(network, self._device)
        self._normalisation = normalisation
        self._symmetries = symmetries(parameters.tta)
        torch.set_num_threads(threads)

    def __call__(self, window: Array) -> npt.NDArray[np.float32]:
        """Return probabilities.

        Parameters
        ----------
        window : (Z, Y, X) grey values

        Returns
        -------
        (C, Z, Y, X) float32 in 0..1, the mean over the symmetries
        """
        image = torch.from_numpy(to_network(to_unit(window, self._normalisation)))[None].to(self._device)
        total = torch.zeros(())
        for transpose, flips in self._symmetries:
            turned = image.transpose(_Y, _X) if transpose else image
            output = self._apply(turned.flip(flips) if flips else turned)
            output = output.flip(flips) if flips else output
            total = total + (output.transpose(_Y, _X) if transpose else output)
        mean: npt.NDArray[np.float32] = (total / len(self._symmetries)).numpy()
        return mean

    def _apply(self, image: torch.Tensor) -> torch.Tensor:
        batch = image[None].contiguous(memory_format=torch.channels_last_3d)
        words = memory_in_words(self._device, "Use --device cpu, or a model with smaller patches")
        with words, torch.inference_mode(), arithmetic(self._precision, self._device):
            logits: torch.Tensor = self._network(batch)
        return (logits[0].float().cpu() * self._slopes).sigmoid()


def symmetries(count: int) -> list[tuple[bool, list[int]]]:
    """Return the symmetries of test-time augmentation: (exchange y and x, axes to mirror).

    1: none; 4: mirrored in x and y; 8: with y and x exchanged as well; 16: mirrored in z as well.

    Raises
    ------
    UsageError
        Where the count is another.
    """
    if count not in SYMMETRIES:
        raise UsageError(f"tta {count}", f"expected one of {', '.join(map(str, SYMMETRIES))}")
    flips = [[]] if count == 1 else [[], [_Y], [_X], [_Y, _X]]
    if count >= WITH_Z:
        flips = flips + [[_Z, *axes] for axes in flips]
    transposes = [False, True] if count >= WITH_TRANSPOSE else [False]
    return [(transpose, list(axes)) for transpose in transposes for axes in flips]
