"""The model table. To add a network: one module, one line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from mitotools.errors import ModelError
from mitotools.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    Module = nn.Module

    from mitotools.conventions import Size


@dataclass(frozen=True)
class Architecture:
    """A network: its name, and the class that builds it from keyword arguments.

    Parameters
    ----------
    name, module, class_name : str
    takes : tuple of str
        Arguments of the class, besides those that all networks have, that training sets.
    fixed : mapping
        Arguments that the name stands for.
    """

    name: str
    module: str
    class_name: str
    takes: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)


MODELS = (
    Architecture(
        "residual-unet",
        "mitotools.learn.models.residual_unet",
        "ResidualUNet",
        ("isotropic", "fold", "flat_levels", "padding", "squeeze"),
    ),
    Architecture(
        "two-decoder-unet",
        "mitotools.learn.models.residual_unet",
        "ResidualUNet",
        ("isotropic", "fold", "padding", "squeeze"),
        {"flat_levels": 0, "flat_entry": True, "own_decoders": True},
    ),
    Architecture("pytc-unet", "mitotools.learn.models.pytc_unet", "PytcUNet", ("squeeze",)),
    Architecture(
        "pytc-unet-plus", "mitotools.learn.models.pytc_unet", "PytcUNet", ("squeeze",), {"plus": True}
    ),
)

OPTIONAL = ("fold", "flat_levels", "padding", "squeeze")
"""Settings of training that only some networks take."""


class Network(Protocol):
    """What every network offers beyond being a module."""

    @property
    def stride(self) -> Size:
        """(z, y, x) voxels of which the lengths of its input have to be multiples."""

    @property
    def surplus(self) -> int:
        """Voxels by which they have to exceed such multiples."""


def stride_of(network: nn.Module) -> Size:
    """Return the (z, y, x) voxels of which the lengths of a network's input have to be multiples."""
    return cast("Network", network).stride


def surplus_of(network: nn.Module) -> int:
    """Return the voxels by which the lengths of a network's input have to exceed multiples of its stride."""
    return cast("Network", network).surplus


def fits(network: nn.Module, size: Sequence[int]) -> bool:
    """Return whether a network takes inputs of a size, in voxels (z, y, x)."""
    surplus = surplus_of(network)
    return all(
        length > surplus and (length - surplus) % step == 0
        for length, step in zip(size, stride_of(network), strict=True)
    )


def smallest_input(network: nn.Module) -> Size:
    """Return a small (z, y, x) size of inputs that a network takes, with some voxels left at every level."""
    surplus = surplus_of(network)
    z, y, x = (2 * step + surplus for step in stride_of(network))
    return z, y, x


def build(name: str, settings: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh weights.

    Raises
    ------
    ModelError
        Where there is no network of that name.
    """
    architecture = _named(name)
    network = getattr(importlib.import_module(architecture.module), architecture.class_name)
    built: nn.Module = network(**settings, **architecture.fixed)
    return built


def settings_of(parameters: TrainParameters, out_channels: int, *, isotropic: bool) -> dict[str, Any]:
    """Return the arguments, as JSON values, of the network that training asks for.

    Parameters
    ----------
    parameters : TrainParameters
    out_channels : int
    isotropic : bool
        Whether the voxels are about as long in z as in the plane.

    Raises
    ------
    ModelError
        Where there is no network of that name, or it has no such setting.
    """
    architecture = _named(parameters.architecture)
    values: dict[str, Any] = {name: getattr(parameters, name) for name in OPTIONAL}
    for name, value in values.items():
        if name not in architecture.takes and value != getattr(TrainParameters(), name):
            raise ModelError(name, f"the network {architecture.name} has no such setting")
    values = {
        "in_channels": 1,
        "out_channels": out_channels,
        "filters": parameters.filters,
        "norm": parameters.norm,
        **{name: value for name, value in {"isotropic": isotropic, **values}.items()
           if name in architecture.takes},
    }  # fmt: skip
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _named(name: str) -> Architecture:
    for architecture in MODELS:
        if architecture.name == name:
            return architecture
    known = ", ".join(architecture.name for architecture in MODELS)
    raise ModelError(name, f"no such network; there are {known}")
