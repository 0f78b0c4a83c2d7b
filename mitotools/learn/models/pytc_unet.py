"""The residual U-Nets of PyTorch Connectomics v1, as its MitoEM configurations of 2021 train them.

Unlike the paper's network, levels 0 to 2 look at slices alone, and so do all residual blocks; pooling is
(1, 2, 2) twice, then 2 twice. The tensors have the names and shapes that its checkpoints give them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn
from torch.nn import functional

from mitotools.errors import ModelError
from mitotools.learn.models import blocks
from mitotools.learn.models.blocks import CUBE, FLAT, RIM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from mitotools.learn.models.blocks import Kernel

KERNELS: tuple[Kernel, ...] = (FLAT, FLAT, FLAT, CUBE, CUBE)
"""Of the first convolution of each level, down and up."""

STEPS: tuple[Kernel, ...] = ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
"""By which each level is smaller than the one before."""

POINT: Kernel = (1, 1, 1)


class PytcUNet(nn.Module):
    """``unet_3d`` of PyTorch Connectomics, or its ``unet_plus_3d``.

    Parameters
    ----------
    in_channels, out_channels : int
    filters : sequence of 5 int
        Channels of each level, finest first.
    norm : {"batch", "group"}
    squeeze : bool
        Squeeze-and-excitation in every residual block.
    pooling : bool
        Downsample by max-pooling, for inputs of lengths in multiples of (4, 16, 16); if not, by strided
        convolutions, for inputs that are longer than such a multiple by 1.
    plus : bool
        Whether the bottleneck is non-local, and added at every level of the decoder.

    Raises
    ------
    ModelError
        Where a setting makes no network.
    """

    stride: Kernel = (4, 16, 16)

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        norm: str = "batch",
        squeeze: bool = False,
        pooling: bool = True,
        plus: bool = False,
    ) -> None:
        super().__init__()
        blocks.check_filters(filters, len(KERNELS))
        if len(filters) != len(KERNELS):
            raise ModelError("filters", f"expected {len(KERNELS)} numbers, found {blocks.listed(filters)}")
        if norm not in ("batch", "group"):
            raise ModelError(f"norm {norm}", "this network has batch or group")
        self.pooling = pooling
        self.surplus = 0 if pooling else 1
        self.conv_in = _layer(in_channels, filters[0], RIM, norm)
        self.down_layers = nn.ModuleList(
            nn.Sequential(
                nn.MaxPool3d(step) if pooling and level else nn.Identity(),
                _layer(filters[max(level - 1, 0)], filters[level], kernel, norm, POINT if pooling else step),
                _PytcResidual(filters[level], norm, squeeze),
            )
            for level, (kernel, step) in enumerate(zip(KERNELS, STEPS, strict=True))
        )
        self.up_layers = nn.ModuleList(
            nn.ModuleList(
                [
                    _layer(filters[level], filters[level - 1], KERNELS[level], norm),
                    _PytcResidual(filters[level - 1], norm, squeeze),
                ]
            )
            for level in range(1, len(filters))
        )
        self.feat_layers = nn.ModuleList(
            # Padded although there is nothing to pad for: the weights were trained so.
            _layer(filters[-1], channels, POINT, norm, margin=(1, 1, 1))
            for channels in (filters[:-1] if plus else [])
        )
        self.non_local = _NonLocal(filters[-1], norm) if plus else nn.Identity()
        self.conv_out = nn.Sequential(
            blocks.convolution(filters[0], out_channels, RIM, "replicate", bias=True)
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        volume : (N, in_channels, Z, Y, X), lengths `surplus` more than multiples of `stride`

        Returns
        -------
        (N, out_channels, Z, Y, X)

        Raises
        ------
        ValueError
            Where a length is another one.
        """
        lengths = tuple(volume.shape[2:])
        if any((length - self.surplus) % s for length, s in zip(lengths, self.stride, strict=True)):
            more = f" and {self.surplus} more" if self.surplus else ""
            raise ValueError(f"expected multiples of {self.stride}{more}, found {lengths}")
        features = self.conv_in(volume)
        skips: list[Tensor] = []
        for level in self.down_layers:
            features = level(features)
            skips.append(features)
        features = coarsest = self.non_local(skips.pop())
        for index in reversed(range(len(self.up_layers))):
            narrow, residual = cast("nn.ModuleList", self.up_layers[index])
            skip = skips.pop()
            features = self._enlarged(narrow(features), skip) + skip
            if self.feat_layers:
                features = features + self._enlarged(self.feat_layers[index](coarsest), skip)
            features = residual(features)
        logits: Tensor = self.conv_out(features)
        return logits

    def _enlarged(self, features: Tensor, like: Tensor) -> Tensor:
        return functional.interpolate(
            features, size=like.shape[2:], mode="trilinear", align_corners=not self.pooling
        )


class _PytcResidual(nn.Module):
    def __init__(self, channels: int, norm: str, squeeze: bool) -> None:
        super().__init__()
        second = nn.Sequential(
            blocks.convolution(channels, channels, FLAT, "replicate"), _pytc_norm(norm, channels)
        )
        self.conv = nn.Sequential(_layer(channels, channels, FLAT, norm), second)
        if squeeze:
            self.conv = nn.Sequential(self.conv, blocks.SqueezeExcitation(channels))

    def forward(self, features: Tensor) -> Tensor:
        return functional.elu(features + self.conv(features))


class _NonLocal(nn.Module):
    """Every voxel gathers from all others, weighted by likeness (Wang et al., CVPR 2018)."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        half = max(channels // 2, 1)
        self.theta, self.phi, self.g = (nn.Conv3d(channels, half, 1) for _ in range(3))
        self.W = nn.Sequential(nn.Conv3d(half, channels, 1), _pytc_norm(norm, channels))

    def forward(self, features: Tensor) -> Tensor:
        theta, phi, values = (part(features).flatten(2) for part in (self.theta, self.phi, self.g))
        gathered = functional.scaled_dot_product_attention(
            theta.transpose(1, 2), phi.transpose(1, 2), values.transpose(1, 2), scale=1.0
        )
        spread = gathered.transpose(1, 2).reshape(values.shape[:2] + features.shape[2:])
        return features + cast("Tensor", self.W(spread))


def _layer(
    in_channels: int,
    out_channels: int,
    kernel: Kernel,
    norm: str,
    step: Kernel = POINT,
    margin: Kernel | None = None,
) -> nn.Sequential:
    z, y, x = margin or (length // 2 for length in kernel)
    convolution = nn.Conv3d(
        in_channels, out_channels, kernel, step, (z, y, x), bias=False, padding_mode="replicate"
    )
    return nn.Sequential(convolution, _pytc_norm(norm, out_channels), nn.ELU())


def _pytc_norm(name: str, channels: int) -> nn.Module:
    if name == "group" and channels % blocks.GROUPS:
        raise ModelError("norm group", f"{channels} channels do not divide into {blocks.GROUPS} groups")
    return blocks.norm_layer(name, channels)
