"""What a file holds."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitotools import history
from mitotools.errors import InputError
from mitotools.learn.installed import installed_models, model_file
from mitotools.learn.metadata import is_model, read_metadata
from mitotools.volume import mesh_file
from mitotools.volume.files import open_volume
from mitotools.volume.formats import OME_ZARR, format_by_suffix, format_of
from mitotools.volume.plan import is_plan, read_plan
from mitotools.volume.table import SUFFIXES
from mitotools.volume.table_reading import read_table

if TYPE_CHECKING:
    from mitotools.history import History
    from mitotools.run.running import Running
    from mitotools.volume.path import VolumePath

MODEL_SUFFIXES = (".safetensors", ".pt", ".pth", ".model")
"""Of files that are none of ours, and were meant to be."""

KINDS = {".toml": "options", ".html": "page", ".png": "picture"}
"""What a file is that is known by the history beside it alone; else "file"."""

Description = dict[str, Any]


def describe(path: VolumePath, running: Running) -> tuple[Description, History]:
    """Return what a volume, a model, or what else a command wrote is, as JSON values, and its history.

    The name of an installed model means the model; a folder that is called like it is named with a slash.

    Raises
    ------
    InputError
    """
    file = Path(path.file)
    suffix = file.suffix.lower()
    if not (suffix and file.exists()) and path.file in installed_models():
        return _model(model_file(file))
    if suffix in MODEL_SUFFIXES or is_model(file):
        return _model(file)
    if is_plan(file):
        return _json(file)
    if suffix in SUFFIXES and suffix != ".json":  # one that is left is a tile set
        return _table(file)
    if file.is_file() and not format_by_suffix(path.file):
        if zipfile.is_zipfile(file):
            return _overlap(file, running)
        if history.sidecar(file).is_file():
            described = {"kind": KINDS.get(suffix, "file"), "bytes": file.stat().st_size}
            return described, history.read_sidecar(file)
    if meshes := _meshes(file):
        return {"kind": "meshes", "files": meshes}, history.read_sidecar(file)
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


def _json(file: Path) -> tuple[Description, History]:
    """Describe a table, a report of `evaluate`, or what has to be a plan."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        content = None  # reading it as a plan will say what is wrong
    if isinstance(content, list):
        return _table(file)
    if isinstance(content, dict) and {"protocol", "history"} <= content.keys():
        return _report(file, content)
    return _plan(file)


def _report(file: Path, content: dict[str, Any]) -> tuple[Description, History]:
    try:
        volumes = content.get("volumes", [content])
        paths = {side: [str(volume[side]["path"]) for volume in volumes] for side in ("prediction", "truth")}
    except (KeyError, TypeError) as error:
        what_next = "Make one with 'mitotools evaluate --format json'"
        raise InputError(str(file), f"is not a report ({error})", what_next) from error
    described = {"kind": "report", "protocol": str(content["protocol"]), **paths}
    return described, history.from_records(content["history"])


def _table(file: Path) -> tuple[Description, History]:
    columns, records = read_table(file)
    rows = max((len(column) for column in columns.values() if column is not None), default=0)
    return {"kind": "table", "rows": rows, "columns": list(columns)}, records


def _overlap(file: Path, running: Running) -> tuple[Description, History]:
    from mitotools.stages.scoring.overlap_file import load_overlap  # noqa: PLC0415 (numba loads slowly)

    comparison, origin, records = load_overlap(file, running)
    compared = {"prediction": origin.prediction, "truth": origin.truth}
    return {"kind": "overlap", **compared, "overlaps": len(comparison.overlap.count)}, records


def _meshes(folder: Path) -> int:
    """Return how many meshes there are in a folder, if it is one."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sum(file.suffix.lower() in mesh_file.SUFFIXES for file in files)


def _plan(file: Path) -> tuple[Description, History]:
    plan = read_plan(file)
    description = {
        "kind": "plan",
        "volume": str(plan.volume),
        "shape": list(plan.shape),
        "voxel_size_nm": plan.voxel_size_nm,
        "tiles": plan.count,
        "size": list(plan.size),
        "halo": list(plan.halo),
    }
    return description, plan.history


def _model(path: Path) -> tuple[Description, History]:
    metadata = read_metadata(path)
    described = metadata.as_json()
    card = described.pop("card")
    return {"kind": "model", **card, **described}, metadata.history
