"""A network applied to one window."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import torch

from mitotools.errors import UsageError
from mitotools.learn.normalise import to_network, to_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from mitotools.conventions import Array
    from mitotools.learn.backends import Backend
    from mitotools.learn.metadata import Normalisation

    Order = tuple[int, int, int]

SYMMETRIES = {1: (1, 1), 4: (4, 1), 8: (4, 2), 16: (8, 2), 48: (8, 6)}
"""How many can be averaged: by how many mirrorings and orders of the axes."""

_Z, _Y, _X = -3, -2, -1
_PLAIN = (_Z, _Y, _X)


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
    slopes : sequence of float
        The s of the map sigmoid(s logit) of each channel (see `mitotools.learn.targets.map_slopes`).
    """

    def __init__(
        self, backend: Backend, normalisation: Normalisation, tta: int, slopes: Sequence[float] = (1.0,)
    ) -> None:
        self._backend = backend
        self._slopes = torch.tensor(slopes, device=backend.device)[:, None, None, None]
        self._normalisation = normalisation
        self._symmetries = symmetries(tta)

    @property
    def at_once(self) -> int:
        """Windows that are best computed at the same time, on a thread each."""
        return self._backend.at_once

    @property
    def torch_threads(self) -> int:
        """Threads that torch is best allowed in each of them."""
        return self._backend.torch_threads

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
        total: torch.Tensor | None = None
        for order, flips in self._symmetries:
            turned = image.movedim(order, _PLAIN)
            output = self._probabilities(turned.flip(flips) if flips else turned)
            output = output.flip(flips) if flips else output
            output = output.movedim(_PLAIN, order)
            total = output if total is None else total.add_(output)
        assert total is not None  # noqa: S101 (there is a symmetry at least)
        mean: npt.NDArray[np.float32] = total.div_(len(self._symmetries)).cpu().numpy()
        return mean

    def _probabilities(self, image: torch.Tensor) -> torch.Tensor:
        return self._backend(image).mul_(self._slopes).sigmoid_()


def symmetries(count: int) -> list[tuple[Order, list[int]]]:
    """Return the symmetries of test-time augmentation: (order of the axes, axes to mirror).

    1: none; 4: mirrored in x and y; 8: with y and x exchanged as well; 16: mirrored in z as well; 48: all of
    a cube. Axes count from the last, -1.

    Raises
    ------
    UsageError
        Where the count is another.
    """
    if count not in SYMMETRIES:
        raise UsageError(f"tta {count}", f"expected one of {', '.join(map(str, SYMMETRIES))}")
    mirrored, turned = SYMMETRIES[count]
    flips = [[], [_Y], [_X], [_Y, _X], [_Z], [_Z, _Y], [_Z, _X], [_Z, _Y, _X]][:mirrored]
    orders = [(z, y, x) for z, y, x in permutations(_PLAIN)][:turned]  # y and x are exchanged first
    return [(order, list(axes)) for order in orders for axes in flips]
