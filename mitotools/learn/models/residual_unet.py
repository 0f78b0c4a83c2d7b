"""The residual U-Net of U3D-BC (Lee et al. 2017, arXiv 1706.00120; Wei et al., MICCAI 2020).

At every level a convolution with norm and ELU, then a residual block of two convolutions. The decoder
convolves, upsamples linearly and adds the skip. The stem and the head are (1, 5, 5) convolutions.
Levels that begin flat and decoders of their own make it the network that won the MitoEM challenge (Li et al.
2021, arXiv 2104.07961).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from mitotools.errors import ModelError
from mitotools.learn.models import blocks
from mitotools.learn.models.blocks import CUBE, FLAT, RIM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from mitotools.learn.models.blocks import Kernel

MOST_LEVELS = 10
"""Each level halves the window; with more than this, nothing would be left of any."""


class ResidualUNet(nn.Module):
    """A residual U-Net with summed skips.

    Parameters
    ----------
    in_channels, out_channels : int
    filters : sequence of int
        Channels of each level, finest first.
    isotropic : bool
        Whether the voxels are about as long in z as in the plane: if so, pooling halves z too.
    norm : {"batch", "group", "instance"}
    fold : (z, y, x)
        Voxels that are one voxel to the network. Where voxels are small next to what is looked for, most of
        the work at full resolution is wasted: with (2, 2, 2) the network does 1 / 8 of it.
    flat_levels : int or None
        Levels, finest first, with (1, 3, 3) kernels and without pooling in z; the others have (3, 3, 3)
        kernels. None: one, as the paper has it for 30 x 8 x 8 nm, or none for isotropic voxels. As many as
        there are filters: a 2D network, which treats every slice alone.
    padding : {"zero", "replicate"}
    squeeze : bool
        Squeeze-and-excitation in every residual block.
    flat_entry : bool
        Whether a level's first convolution is (1, 3, 3) whatever its others are.
    own_decoders : bool
        Whether every output channel has a decoder of its own.

    Raises
    ------
    ModelError
        Where a setting makes no network.
    """

    surplus = 0
    """Voxels by which the lengths of the input exceed multiples of `stride`."""

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        isotropic: bool = False,
        norm: str = "batch",
        fold: Sequence[int] = (1, 1, 1),
        flat_levels: int | None = None,
        padding: str = "zero",
        squeeze: bool = False,
        flat_entry: bool = False,
        own_decoders: bool = False,
    ) -> None:
        super().__init__()
        blocks.check_filters(filters, MOST_LEVELS)
        flat = (0 if isotropic else 1) if flat_levels is None else flat_levels
        if flat < 0:
            raise ModelError("flat_levels", f"expected 0 or more, found {flat}")
        self.fold = blocks.checked_kernel("fold", fold)
        self.pools: list[Kernel] = [
            (2, 2, 2) if isotropic and level >= flat else (1, 2, 2) for level in range(len(filters) - 1)
        ]
        kernels = [FLAT if level < flat else CUBE for level in range(len(filters))]
        if self.fold == (1, 1, 1):
            self.stem: nn.Module = blocks.activated(
                blocks.convolution(in_channels, filters[0], RIM, padding), norm
            )
        else:
            self.stem = blocks.FoldedStem(in_channels, filters[0], self.fold, norm, padding)
        self.down = nn.ModuleList(
            nn.Sequential(
                blocks.activated(
                    blocks.convolution(before, channels, FLAT if flat_entry else kernel, padding), norm
                ),
                blocks.Residual(channels, kernel, norm, padding, squeeze),
            )
            for before, channels, kernel in zip([filters[0], *filters], filters, kernels, strict=False)
        )
        self.up = nn.ModuleList(
            Decoder(channels, filters, kernels, self.pools, self.fold, norm, padding, squeeze)
            for channels in ([1] * out_channels if own_decoders else [out_channels])
        )

    @property
    def stride(self) -> Kernel:
        """(z, y, x) voxels of the input that are one voxel at the coarsest level."""
        z, y, x = self.fold
        for pool in self.pools:
            z, y, x = z * pool[0], y * pool[1], x * pool[2]
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
        blocks.check_multiples(volume, self.stride)
        features = [self.down[0](self.stem(volume))]
        for pool, level in zip(self.pools, self.down[1:], strict=True):
            features.append(level(functional.max_pool3d(features[-1], pool)))
        return torch.cat([decoder(features) for decoder in self.up], dim=1)


class Decoder(nn.Module):
    """From the features of every level, finest first, to logits."""

    def __init__(
        self,
        out_channels: int,
        filters: Sequence[int],
        kernels: Sequence[Kernel],
        pools: Sequence[Kernel],
        fold: Kernel,
        norm: str,
        padding: str,
        squeeze: bool,
    ) -> None:
        super().__init__()
        self.pools = tuple(pools)
        self.narrow = nn.ModuleList(
            blocks.activated(blocks.convolution(above, channels, kernel, padding), norm)
            for above, channels, kernel in zip(filters[1:], filters, kernels, strict=False)
        )
        self.residual = nn.ModuleList(
            blocks.Residual(channels, kernel, norm, padding, squeeze)
            for channels, kernel in zip(filters[:-1], kernels, strict=False)
        )
        if fold == (1, 1, 1):
            self.head: nn.Module = blocks.convolution(filters[0], out_channels, RIM, padding, bias=True)
        else:
            self.head = blocks.FoldedHead(filters[0], out_channels, fold, padding)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        features = levels[-1]
        for index in reversed(range(len(self.pools))):
            features = self.narrow[index](features)
            factor = tuple(float(length) for length in self.pools[index])
            features = functional.interpolate(features, scale_factor=factor, mode="trilinear")
            features = self.residual[index](features + levels[index])
        logits: Tensor = self.head(features)
        return logits
