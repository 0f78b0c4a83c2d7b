"""The methods that split maps into instances, one a module.

A module of the table has a function ``decode(maps, parameters)`` that returns labels numbered 1..n; its
maps have passed `Decoder.require`. The command line reads the names for its help, so this file imports no
array library.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from mitotools.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mitotools.conventions import Labels, Maps
    from mitotools.parameters import DecodeParameters


@dataclass(frozen=True)
class Decoder:
    """One line of the table."""

    name: str
    """The word after ``--method``."""
    title: str
    """What it does, for the help."""
    channels: tuple[tuple[str, ...], ...]
    """The sets of channels that it takes, in the order of the maps; none: it says so itself."""
    options: tuple[str, ...]
    """The fields of `DecodeParameters` that it reads."""
    module: str
    """Where its ``decode`` is."""
    bytes_per_voxel: int = 0
    """What it takes in memory, labels and maps included; 0: it works block by block."""

    def decode(self, maps: Maps, parameters: DecodeParameters) -> Labels:
        """Split maps into instances, after `require`."""
        self.require(maps)
        labels: Labels = import_module(self.module).decode(maps, parameters)
        return labels

    def require(self, maps: Maps) -> None:
        """Refuse maps that this decoder cannot read.

        Parameters
        ----------
        maps : (C, Z, Y, X) array of uint8
            One of the sets of `channels`.

        Raises
        ------
        InputError
            If the type, the number of axes or the number of channels is another one.
        """
        if maps.ndim != 4 or maps.dtype.name != "uint8":
            given = f"{maps.dtype.name} with {maps.ndim} axes"
            raise InputError(f"decoder {self.name}", f"needs uint8 maps with axes c, z, y, x, not {given}")
        self.require_channels(len(maps))

    def require_channels(self, count: int) -> None:
        """Raise `InputError` for maps with another number of channels than this decoder reads."""
        if self.channels and count not in {len(names) for names in self.channels}:
            needed = " or ".join(f"{len(names)} ({', '.join(names)})" for names in self.channels)
            fewest = min(self.channels, key=len)
            chosen = ",".join(f"{name}={place}" for place, name in enumerate(fewest))
            raise InputError(
                f"decoder {self.name}",
                f"reads this many channels: {needed}; the maps have {count}",
                f"Say which they are, as in --channels {chosen}" if count > len(fewest) else "",
            )

    def selected(self, channels: Mapping[str, int]) -> tuple[int, ...]:
        """Return the channels of maps in this decoder's order.

        Parameters
        ----------
        channels : mapping of str to int
            Which channel is what.

        Raises
        ------
        UsageError
            If these are not the channels that the decoder reads.
        """
        for names in self.channels:
            if set(names) == set(channels):
                return tuple(channels[name] for name in names)
        needed = " or ".join(",".join(f"{name}=N" for name in names) for names in self.channels)
        given = ",".join(channels)
        raise UsageError(f"--channels {given}", f"--method {self.name} does not read them", f"Give {needed}")


_SEEDS = ("seed_foreground", "seed_contour", "foreground", "min_size_voxels", "min_seed_voxels", "landscape")
_AFFINITIES = (("z", "y", "x"),)

DECODERS: tuple[Decoder, ...] = (
    Decoder(
        "mw",
        "marker-controlled watershed",
        (("mask",), ("mask", "contour")),
        _SEEDS,
        "mitotools.segment.decoders.watershed",
    ),
    Decoder(
        "cc",
        "connected components",
        (("mask",), ("mask", "contour")),
        ("foreground", "seed_contour", "min_size_voxels", "as_program"),
        "mitotools.segment.decoders.connected_components",
    ),
    Decoder(
        "bcd",
        "mw with a signed distance",
        (("mask", "contour", "distance"),),
        (*_SEEDS, "seed_distance", "foreground_distance"),
        "mitotools.segment.decoders.watershed",
    ),
    Decoder(
        "iou",
        "profiles of slices, tracked",
        (("mask",),),
        ("foreground", "link_iou", "min_size_voxels"),
        "mitotools.segment.decoders.profiles",
    ),
    Decoder(
        "waterz",
        "watershed of affinities, agglomerated",
        _AFFINITIES,
        ("affinity_low", "affinity_high", "merge_affinity", "scoring", "min_size_voxels"),
        "mitotools.segment.decoders.waterz",
        48,
    ),
    Decoder(
        "zwatershed",
        "watershed of affinities, linked by size",
        _AFFINITIES,
        ("affinity_low", "affinity_high", "merge_affinity", "merge_size_voxels", "min_size_voxels"),
        "mitotools.segment.decoders.zwatershed",
        34,
    ),
    Decoder(
        "mutex",
        "mutex watershed of near and far affinities",
        (),
        ("affinity_offsets", "affinity_low", "mutex_bias", "min_size_voxels"),
        "mitotools.segment.decoders.mutex",
        665,
    ),
    Decoder(
        "multicut",
        "multicut of supervoxels",
        (("mask",), ("mask", "contour")),
        ("foreground", "seed_contour", "min_size_voxels", "supervoxels", "beta"),
        "mitotools.segment.decoders.multicut",
        22,
    ),
)


def decoder(name: str) -> Decoder:
    """Return the decoder of this name.

    Raises
    ------
    UsageError
        If there is none.
    """
    for entry in DECODERS:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in DECODERS)
    raise UsageError(f"method {name}", "no decoder has this name", f"Choose one of {names}")
