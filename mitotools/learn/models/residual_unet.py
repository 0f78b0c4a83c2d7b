"""The residual 3D U-Net of U3D-BC (Lee et al. 2017, arXiv 1706.00120; Wei et al., MICCAI 2020).

At every level a convolution with norm and ELU, then a residual block of two convolutions. The decoder
convolves, upsamples linearly and adds the skip. The stem and the head are (1, 5, 5) convolutions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from mitotools.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Kernel = tuple[int, int, int]

RIM: Kernel = (1, 5, 5)
"""Kernel of the stem and the head."""

GROUPS = 8
"""Groups of a group norm."""

MOST_LEVELS = 10
"""Each level halves the window; with more than this, nothing would be left of any."""


class ResidualUNet(nn.Module):
    """A residual 3D U-Net with summed skips.

    Parameters
    ----------
    in_channels, out_channels : int
    filters : sequence of int
        Channels of each level, finest first.
    isotropic : bool
        Whether the voxels are about as long in z as in the plane. If not, the first level's kernels are
        (1, 3, 3) and pooling leaves z alone, as the paper has it for 30 x 8 x 8 nm; if so, all kernels are
        (3, 3, 3) and pooling halves z too.
    norm : {"batch", "group"}
    fold : (z, y, x)
        Voxels that are one voxel to the network. Where voxels are small next to what is looked for, most of
        the work at full resolution is wasted: with (2, 2, 2) a strided stem and a learned upsampling as head
        frame a network that does 1 / 8 of it.

    Raises
    ------
    ModelError
        Where a setting makes no network.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        isotropic: bool = False,
        norm: str = "batch",
        fold: Sequence[int] = (1, 1, 1),
    ) -> None:
        super().__init__()
        if not 1 <= len(filters) <= MOST_LEVELS or min(filters) < 1:
            raise ModelError(
                "filters", f"expected 1 to {MOST_LEVELS} positive numbers, found {_list(filters)}"
            )
        if len(fold) != 3 or min(fold) < 1:
            raise ModelError("fold", f"expected three positive numbers, found {_list(fold)}")
        levels = range(len(filters))
        self.pool: Kernel = (2, 2, 2) if isotropic else (1, 2, 2)
        self.fold: Kernel = (fold[0], fold[1], fold[2])
        kernels: list[Kernel] = [(3, 3, 3) if isotropic or level else (1, 3, 3) for level in levels]
        if self.fold == (1, 1, 1):
            self.stem = _convolution(in_channels, filters[0], RIM, norm)
            self.head: nn.Module = nn.Conv3d(filters[0], out_channels, RIM, padding=_same(RIM))
        else:
            self.stem = nn.Sequential(
                nn.Conv3d(in_channels, filters[0], self.fold, stride=self.fold, bias=False),
                _norm(norm, filters[0]),
                nn.ELU(),
            )
            self.head = nn.ConvTranspose3d(filters[0], out_channels, self.fold, stride=self.fold)
        self.down = nn.ModuleList(
            _Level(filters[max(level - 1, 0)], filters[level], kernels[level], norm) for level in levels
        )
        self.narrow = nn.ModuleList(
            _convolution(filters[level + 1], filters[level], kernels[level], norm) for level in levels[:-1]
        )
        self.up = nn.ModuleList(_Residual(filters[level], kernels[level], norm) for level in levels[:-1])

    @property
    def stride(self) -> Kernel:
        """(z, y, x) voxels of the input that are one voxel at the coarsest level."""
        z, y, x = (f * p ** len(self.up) for f, p in zip(self.fold, self.pool, strict=True))
        return z, y, x

    def forward(self, volume: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        volume : (N, in_channels, Z, Y, X), lengths in multiples of `stride`

        Returns
        -------
        (N, out_channels, Z, Y, X)

        Raises
        ------
        ValueError
            Where a length is no multiple.
        """
        if any(length % step for length, step in zip(volume.shape[2:], self.stride, strict=True)):
            raise ValueError(f"expected multiples of {self.stride}, found {tuple(volume.shape[2:])}")
        features = self.stem(volume)
        skips: list[Tensor] = []
        for index, level in enumerate(self.down):
            if index:
                skips.append(features)
                features = functional.max_pool3d(features, self.pool)
            features = level(features)
        for index in reversed(range(len(self.up))):
            features = self.narrow[index](features)
            features = functional.interpolate(
                features, scale_factor=tuple(float(length) for length in self.pool), mode="trilinear"
            )
            features = self.up[index](features + skips[index])
        logits: Tensor = self.head(features)
        return logits


class _Level(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, kernel: Kernel, norm: str) -> None:
        super().__init__(
            _convolution(in_channels, out_channels, kernel, norm), _Residual(out_channels, kernel, norm)
        )


class _Residual(nn.Module):
    """x + two convolutions of x, then ELU."""

    def __init__(self, channels: int, kernel: Kernel, norm: str) -> None:
        super().__init__()
        self.first = _convolution(channels, channels, kernel, norm)
        self.second = nn.Sequential(
            nn.Conv3d(channels, channels, kernel, padding=_same(kernel), bias=False), _norm(norm, channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.elu(features + self.second(self.first(features)))


def _convolution(in_channels: int, out_channels: int, kernel: Kernel, norm: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel, padding=_same(kernel), bias=False),
        _norm(norm, out_channels),
        nn.ELU(),
    )


def _norm(name: str, channels: int) -> nn.Module:
    if name == "batch":
        return nn.BatchNorm3d(channels)
    if name == "group":
        groups = max(count for count in range(1, GROUPS + 1) if channels % count == 0)
        return nn.GroupNorm(groups, channels)
    raise ModelError(f"norm {name}", "no such norm; there are batch, group")


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values)) or "none"


def _same(kernel: Kernel) -> Kernel:
    z, y, x = (length // 2 for length in kernel)
    return z, y, x
