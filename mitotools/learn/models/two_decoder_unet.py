"""The network of the winner of the MitoEM challenge (Li et al. 2021, arXiv 2104.07961).

A residual U-Net whose levels begin with a (1, 3, 3) convolution, followed by a residual block of two
(3, 3, 3) convolutions; mask and contour have decoders of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.learn.models.residual_unet import ResidualUNet

if TYPE_CHECKING:
    from collections.abc import Sequence


class TwoDecoderUNet(ResidualUNet):
    """A residual U-Net with anisotropic blocks and a decoder for every output channel.

    Parameters
    ----------
    in_channels, out_channels, filters, isotropic, norm, fold, padding, squeeze
        As of `ResidualUNet`.

    Raises
    ------
    ModelError
        Where a setting makes no network.
    """

    flat_entry = True

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        isotropic: bool = False,
        norm: str = "batch",
        fold: Sequence[int] = (1, 1, 1),
        padding: str = "zero",
        squeeze: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, filters, isotropic, norm, fold, 0, padding, squeeze)

    @staticmethod
    def decoders(out_channels: int) -> list[int]:
        """Return the output channels of each decoder."""
        return [1] * out_channels
