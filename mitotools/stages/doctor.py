"""What a machine and an installation offer."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from mitotools import __version__
from mitotools.learn.device import devices
from mitotools.learn.installed import installed_models
from mitotools.run.budget import written
from mitotools.run.engine import available_threads
from mitotools.run.memory import free_bytes
from mitotools.temporary import left_behind, room_for_temporaries
from mitotools.volume.formats.hdf5_filters import available_filters

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PACKAGE = "mitotools"

EXTRAS = {
    "neuroglancer": ("neuroglancer", "tensorstore"),
    "hdf5plugin": ("hdf5plugin",),
    "cluster": ("distributed",),
    "s3": ("s3fs",),
    "gcs": ("gcsfs",),
    "http": ("aiohttp",),
    "tiff": ("imagecodecs",),
    "affinities": ("mwatershed", "waterz"),
    "multicut": ("bioimage-cpp",),
    "parquet": ("pyarrow",),
    "tensorboard": ("tensorboard",),
    "openvino": ("openvino",),
}
"""Packages of each, as pyproject.toml has them."""


def examine() -> dict[str, str]:
    """Return names and words, in the order in which people ask."""
    room = room_for_temporaries()
    found = {
        PACKAGE: __version__,
        "python": f"{platform.python_version()}, {sys.executable}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "threads": str(available_threads()),
        "free memory": written(free_bytes()),
        f"free disk in {room}": _free_disk(room),
        "temporaries left by killed runs": ", ".join(map(str, left_behind())) or "none",
        **devices(),
        "HDF5 filters": ", ".join(available_filters()),
        "models": ", ".join(installed_models()) or "none installed",
    }
    return found | {f"extra {name}": _state(name, packages) for name, packages in EXTRAS.items()}


def _free_disk(folder: Path) -> str:
    try:
        return written(shutil.disk_usage(folder).free)
    except OSError as error:
        return f"it cannot hold temporaries ({error.strerror}): set MITOTOOLS_TMPDIR to another folder"


def _state(extra: str, packages: Iterable[str]) -> str:
    versions, missing = [], []
    for package in packages:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    return f"missing: pip install '{PACKAGE}[{extra}]'" if missing else ", ".join(versions)
