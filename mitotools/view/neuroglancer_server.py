"""Volumes served to Neuroglancer, in a browser of this machine."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitotools.errors import MitotoolsError, extra

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mitotools.conventions import VoxelSize

ADDRESS = "127.0.0.1"
"""Nobody else can connect."""

SHADER = "#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }"


@dataclass(frozen=True)
class Served:
    """One layer.

    Parameters
    ----------
    name : str
    data : array-like
        (Z, Y, X) grey values or ids, read where it is indexed.
    is_labels : bool
    has_meshes : bool
        Whether surfaces may be made of it, for which all of it is read.
    """

    name: str
    data: Any
    is_labels: bool = False
    has_meshes: bool = False


@contextmanager
def served(layers: Sequence[Served], voxel_size_nm: VoxelSize | None, port: int = 0) -> Iterator[str]:
    """Show layers in a viewer, and yield the address that a browser of this machine opens.

    Parameters
    ----------
    layers : sequence of Served
        Of one shape.
    voxel_size_nm : (z, y, x) or None
    port : int
        0: any that is free.

    Raises
    ------
    MitotoolsError
        Where Neuroglancer is not installed, or the port is in use.
    """
    with extra("--neuroglancer", "Neuroglancer", "neuroglancer"):
        import neuroglancer  # noqa: PLC0415 (an extra)
    units, scales = ("", (1, 1, 1)) if voxel_size_nm is None else ("nm", voxel_size_nm)
    space = neuroglancer.CoordinateSpace(names=["z", "y", "x"], units=units, scales=scales)
    _check_port(port)
    neuroglancer.set_server_bind_address(ADDRESS, port)
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        state.dimensions = space
        for layer in layers:
            state.layers[layer.name] = _layer_of(neuroglancer, layer, space)
        state.display_dimensions = ["x", "y", "z"]  # slices first
        state.layout = "4panel"
    try:
        yield viewer.get_viewer_url()
    finally:
        neuroglancer.stop()


def _check_port(port: int) -> None:
    """Raise MitotoolsError where a port is in use: Neuroglancer would leave an open socket behind."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ADDRESS, port))
    except OSError as error:
        why = f"cannot be listened on ({error.strerror})"
        raise MitotoolsError(f"--port {port}", why, "Choose another") from error


def _layer_of(neuroglancer: Any, layer: Served, space: Any) -> Any:
    kind = "segmentation" if layer.is_labels else "image"
    source = neuroglancer.LocalVolume(layer.data, dimensions=space, volume_type=kind)
    if not layer.is_labels:
        return neuroglancer.ImageLayer(source=source, shader=SHADER)
    if not layer.has_meshes:
        source = neuroglancer.LayerDataSource(
            url=source, subsources={"default": True}, enable_default_subsources=False
        )
    return neuroglancer.SegmentationLayer(source=source)
