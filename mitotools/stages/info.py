"""What a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotools.learn.installed import installed_models, model_file
from mitotools.learn.metadata import read_metadata
from mitotools.volume.files import open_volume
from mitotools.volume.formats import OME_ZARR, format_of
from mitotools.volume.plan import is_plan, read_plan

if TYPE_CHECKING:
    from mitotools.history import History
    from mitotools.volume.path import VolumePath

MODEL_SUFFIXES = (".safetensors", ".pt", ".pth", ".model")

Description = dict[str, Any]


def describe(path: VolumePath) -> tuple[Description, History]:
    """Return what a volume, model or plan is, as JSON values, and its history.

    Raises
    ------
    InputError
    """
    suffix = Path(path.file).suffix.lower()
    if not Path(path.file).exists() and path.file in installed_models():
        return _model(model_file(Path(path.file)))
    if is_plan(Path(path.file)):
        return _plan(path)
    if suffix in MODEL_SUFFIXES:
        return _model(Path(path.file))
    return _volume(path)


def _volume(path: VolumePath) -> tuple[Description, History]:
    with open_volume(path) as volume:
        spec = volume.spec
    description = {
        "kind": "volume",
        "format": format_of(path.file).name,
        "shape": list(spec.shape),
        "dtype": str(spec.dtype),
        "voxel_size_nm": spec.voxel_size_nm,
        "chunks": list(spec.chunks),
        "bytes": spec.nbytes,
    }
    if format_of(path.file) is OME_ZARR:
        description |= {
            "zarr_format": spec.zarr_format,
            **({"shards": list(spec.shards)} if spec.shards else {}),
            "levels": spec.levels,
            "labels": spec.is_labels,
        }
    return description, spec.history


def _plan(path: VolumePath) -> tuple[Description, History]:
    plan = read_plan(Path(path.file))
    description = {
        "kind": "plan",
        "volume": str(plan.volume),
        "shape": list(plan.shape),
        "voxel_size_nm": plan.voxel_size_nm,
        "tiles": len(plan.tiles),
        "size": list(plan.size),
        "halo": list(plan.halo),
    }
    return description, plan.history


def _model(path: Path) -> tuple[Description, History]:
    metadata = read_metadata(path)
    described = metadata.as_json()
    card = described.pop("card")
    return {"kind": "model", **card, **described}, metadata.history
