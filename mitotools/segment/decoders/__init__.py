"""The methods that split maps into instances, one a module.

A module of the table has one public function ``decode(maps, parameters)`` that returns labels numbered 1..n.
The command line reads the names for its help, so this file imports no array library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from mitotools.errors import InputError, UsageError

if TYPE_CHECKING:
    from mitotools.conventions import Labels, Maps
    from mitotools.parameters import DecodeParameters

    Decode = Callable[[Maps, DecodeParameters], Labels]


@dataclass(frozen=True)
class Decoder:
    """One line of the table."""

    name: str
    """The word after ``--method``."""
    title: str
    """What it does, for the help."""
    channels: tuple[tuple[str, ...], ...]
    """The sets of channels that it takes, in the order that they have in the maps."""
    module: str
    """Where its ``decode`` is."""

    def load(self) -> Decode:
        """Import the module and return its ``decode``."""
        decode: Decode = import_module(self.module).decode
        return decode

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
        needed = " or ".join(f"{len(names)} ({', '.join(names)})" for names in self.channels)
        if maps.ndim != 4 or maps.dtype.name != "uint8":
            given = f"{maps.dtype.name} with {maps.ndim} axes"
            raise InputError(f"decoder {self.name}", f"needs uint8 maps with axes c, z, y, x, not {given}")
        if len(maps) not in {len(names) for names in self.channels}:
            raise InputError(
                f"decoder {self.name}", f"needs channels {needed}, and the maps have {len(maps)}"
            )


DECODERS: tuple[Decoder, ...] = (
    Decoder(
        "mw",
        "marker-controlled watershed",
        (("mask",), ("mask", "contour")),
        "mitotools.segment.decoders.watershed",
    ),
    Decoder(
        "cc",
        "connected components",
        (("mask",), ("mask", "contour")),
        "mitotools.segment.decoders.connected_components",
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
