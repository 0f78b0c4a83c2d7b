"""What the networks are built of: convolutions with norm and ELU, residual blocks, stems and heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from mitotools.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Kernel = tuple[int, int, int]

FLAT: Kernel = (1, 3, 3)
CUBE: Kernel = (3, 3, 3)
RIM: Kernel = (1, 5, 5)
"""Kernel of the stem and the head of a network that works on the voxels as they are."""

GROUPS = 8
"""Groups of a group norm."""

SQUEEZE = 4
"""Squeeze-and-excitation looks at the channels through so many times fewer numbers."""

PADDINGS: dict[str, Literal["zeros", "replicate"]] = {"zero": "zeros", "replicate": "replicate"}
"""Names of paddings, and what torch calls them. With replication a network is applied at .98 instead of 1.18
Mvoxel/s, and trained at .27 instead of .40 (filters 28 to 80, bfloat16, two cores)."""


class Convolution(nn.Conv3d):
    """A convolution that learns from inputs of two slices as well.

    Where the kernel is longer than the input's depth (unless that is 1), torch's bfloat16 convolution on
    processors with AVX512-bf16 finds no gradient of the weights: it returns what lay in that memory before
    (torch 2.13.0, oneDNN 3.12.0, `jit_bf16:avx512_core_bf16`). Slices of zeros, where those of the padding
    lie, change nothing else.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Return (N, C, Z, Y, X), convolved."""
        depth, length = image.shape[-3], self.kernel_size[0]
        if not self.training or not 1 < depth < length:
            return super().forward(image)
        deep = functional.pad(image, (0, 0, 0, 0, 0, length - depth))
        return super().forward(deep)[..., :depth, :, :]


def convolution(
    in_channels: int, out_channels: int, kernel: Kernel, padding: str, bias: bool = False
) -> nn.Conv3d:
    """Return a convolution whose output has the size of its input.

    Raises
    ------
    ModelError
        Where there is no padding of that name.
    """
    if padding not in PADDINGS:
        raise ModelError(f"padding {padding}", f"no such padding; there are {', '.join(PADDINGS)}")
    z, y, x = (length // 2 for length in kernel)
    kind = Convolution if padding == "zero" else nn.Conv3d  # replicated slices make any input deep enough
    return kind(
        in_channels, out_channels, kernel, padding=(z, y, x), bias=bias, padding_mode=PADDINGS[padding]
    )


def normalised(convolution: nn.Conv3d, norm: str) -> nn.Sequential:
    """Return a convolution followed by its norm."""
    return nn.Sequential(convolution, norm_layer(norm, convolution.out_channels))


def activated(convolution: nn.Conv3d, norm: str) -> nn.Sequential:
    """Return a convolution followed by its norm and ELU."""
    return nn.Sequential(convolution, norm_layer(norm, convolution.out_channels), nn.ELU())


def norm_layer(name: str, channels: int) -> nn.Module:
    """Return a norm.

    Raises
    ------
    ModelError
        Where there is none of that name.
    """
    if name == "batch":
        return nn.BatchNorm3d(channels)
    if name == "group":
        groups = max(count for count in range(1, GROUPS + 1) if channels % count == 0)
        return nn.GroupNorm(groups, channels)
    if name == "instance":
        return nn.InstanceNorm3d(channels, affine=True)
    raise ModelError(f"norm {name}", "no such norm; there are batch, group, instance")


class Residual(nn.Module):
    """x + two convolutions of x, then ELU."""

    def __init__(self, channels: int, kernel: Kernel, norm: str, padding: str, squeeze: bool) -> None:
        super().__init__()
        self.first = activated(convolution(channels, channels, kernel, padding), norm)
        self.second = normalised(convolution(channels, channels, kernel, padding), norm)
        if squeeze:
            self.second.append(SqueezeExcitation(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Take and return (N, C, Z, Y, X)."""
        return functional.elu(features + self.second(self.first(features)))


class SqueezeExcitation(nn.Module):
    """Weights of the channels, found from the mean of each (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // SQUEEZE, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, narrow, bias=False),
            nn.ELU(),
            nn.Linear(narrow, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Take and return (N, C, Z, Y, X)."""
        weights: Tensor = self.fc(features.mean(dim=(2, 3, 4)))
        return features * weights[:, :, None, None, None]


class FoldedStem(nn.Module):
    """Every cuboid of `fold` voxels becomes the channels of one, which a (3, 3, 3) convolution reads.

    The same numbers as a convolution of kernel 3 fold and stride fold, which took 2.5 times as long
    (99 and 40 ms for forward and backward of 64 x 128 x 128 voxels, fold 2, bfloat16, two cores).
    """

    def __init__(self, in_channels: int, out_channels: int, fold: Kernel, norm: str, padding: str) -> None:
        super().__init__()
        self.fold = fold
        z, y, x = fold
        self.convolution = activated(convolution(in_channels * z * y * x, out_channels, CUBE, padding), norm)

    def forward(self, volume: Tensor) -> Tensor:
        """Return the features of a volume whose lengths are multiples of the fold."""
        n, c, *size = volume.shape
        (a, b, d), (z, y, x) = self.fold, (length // f for length, f in zip(size, self.fold, strict=True))
        parts = volume.reshape(n, c, z, a, y, b, x, d).permute(0, 1, 3, 5, 7, 2, 4, 6)
        folded = parts.reshape(n, c * a * b * d, z, y, x)
        features: Tensor = self.convolution(folded.contiguous(memory_format=torch.channels_last_3d))
        return features


class FoldedHead(nn.Module):
    """A (3, 3, 3) convolution gives all the voxels that one voxel of the features stands for.

    The same numbers as a transposed convolution of kernel 3 fold and stride fold, which took four times as
    long (93 and 23 ms, measured as for the stem). Each voxel sees 27 of the features: with a transposed
    convolution of kernel fold, which sees one, boundaries keep to the coarse grid.
    """

    def __init__(self, in_channels: int, out_channels: int, fold: Kernel, padding: str) -> None:
        super().__init__()
        self.fold = fold
        z, y, x = fold
        self.convolution = convolution(in_channels, out_channels * z * y * x, CUBE, padding, bias=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return a volume that is larger by the fold."""
        parts: Tensor = self.convolution(features)
        n, c, z, y, x = parts.shape
        a, b, d = self.fold
        parts = parts.reshape(n, c // (a * b * d), a, b, d, z, y, x).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return parts.reshape(n, c // (a * b * d), z * a, y * b, x * d)


def checked_kernel(name: str, lengths: Sequence[int]) -> Kernel:
    """Return three positive numbers.

    Raises
    ------
    ModelError
        Where there are not three, or they are not positive.
    """
    if len(lengths) != 3 or min(lengths) < 1:
        raise ModelError(name, f"expected three positive numbers, found {listed(lengths)}")
    return lengths[0], lengths[1], lengths[2]


def check_filters(filters: Sequence[int], most_levels: int) -> None:
    """Raise ModelError where the numbers of channels make no network."""
    if not 1 <= len(filters) <= most_levels or min(filters) < 1:
        raise ModelError("filters", f"expected 1 to {most_levels} positive numbers, found {listed(filters)}")


def check_multiples(volume: Tensor, stride: Kernel) -> None:
    """Raise ValueError where a length of a (N, C, Z, Y, X) tensor is no multiple of the stride."""
    if any(length % step for length, step in zip(volume.shape[2:], stride, strict=True)):
        raise ValueError(f"expected multiples of {stride}, found {tuple(volume.shape[2:])}")


def listed(values: Sequence[int]) -> str:
    """Return numbers in words."""
    return ", ".join(map(str, values)) or "none"
