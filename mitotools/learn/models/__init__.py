"""The model table. To add a network: one module, one line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from mitotools.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from mitotools.conventions import Size


@dataclass(frozen=True)
class Architecture:
    """A network: its name, and the class that builds it from keyword arguments."""

    name: str
    module: str
    class_name: str


MODELS = (Architecture("residual-unet", "mitotools.learn.models.residual_unet", "ResidualUNet"),)


class Network(Protocol):
    """What every network offers beyond being a module."""

    @property
    def stride(self) -> Size:
        """(z, y, x) voxels of which the lengths of its input have to be multiples."""


def stride_of(network: nn.Module) -> Size:
    """Return the (z, y, x) voxels of which the lengths of a network's input have to be multiples."""
    return cast("Network", network).stride


def build(name: str, settings: dict[str, Any]) -> nn.Module:
    """Build a network with fresh weights.

    Raises
    ------
    ModelError
        Where there is no network of that name.
    """
    for architecture in MODELS:
        if architecture.name == name:
            network = getattr(importlib.import_module(architecture.module), architecture.class_name)
            built: nn.Module = network(**settings)
            return built
    known = ", ".join(architecture.name for architecture in MODELS)
    raise ModelError(name, f"no such network; there are {known}")
