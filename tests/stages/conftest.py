import logging
from dataclasses import replace

import pytest

import mitotools.learn  # noqa: F401 (before torch, for the setting it makes)
from mitotools.volume.base import VolumeSpec


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Paths of a raw volume and its labels."""
    from stages.networks import write_phantom  # which loads torch

    return write_phantom(tmp_path_factory.mktemp("phantom"))


@pytest.fixture
def said(caplog, monkeypatch):
    """What commands log, from info on."""
    monkeypatch.setattr(logging.getLogger("mitotools"), "propagate", True)
    caplog.set_level(logging.INFO, "mitotools")
    return caplog


@pytest.fixture
def small_chunks(monkeypatch):
    """Let new volumes on the grid of another be stored in chunks of a few voxels."""
    on_same_grid = VolumeSpec.on_same_grid

    def small(*words, **more):
        return replace(on_same_grid(*words, **more), chunks=(3, 4, 5))

    monkeypatch.setattr(VolumeSpec, "on_same_grid", small)
