"""Decoding that is killed half-way, for real, and continued by processes: the labels are those of one run."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import zarr
from command_runs import finished, least_memory, lines, names_in, started, succeeds, wait_until
from map_phantoms import mask_contour_maps, phantom_truth

from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders import decoder

OPTIONS = ["--min-size", "100", "--min-seed", "8"]
PARAMETERS = {"min_size_voxels": 100, "min_seed_voxels": 8}


@pytest.fixture(scope="module")
def maps():
    """Phantoms, mirrored and put side by side: objects cross the faces of the smallest blocks."""
    array = mask_contour_maps(phantom_truth(1))
    for axis in (1, 2, 3):
        array = np.concatenate([array, np.flip(array, axis)], axis)
    return np.concatenate([array, array], axis=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, maps):
    folder = tmp_path_factory.mktemp("killed")
    zarr.create_array(folder / "maps.zarr", data=maps, chunks=(2, 16, 64, 64))
    (folder / "measured").mkdir()
    return folder


@pytest.mark.parametrize(
    ("method", "otherwise"),
    [("mw", ["--workers", "2"]), ("cc", ["-t", "3", "--memory", "1G"])],
    ids=["mw, processes", "cc, threads"],
)
def test_decoding_that_is_killed_continues(folder, maps, method, otherwise):
    options = OPTIONS if method == "mw" else OPTIONS[:2]
    command = ["decode", "../maps.zarr", "v.zarr", "--method", method, *options]
    least = least_memory(folder / "measured", *command, "-t", "1")
    place = folder / f"{method}{len(otherwise)}{otherwise[0]}"
    place.mkdir()
    journal = place / "v.zarr.parts.unfinished.journal"
    process = started(place, *command, "-t", "1", "--memory", f"{least + 3}M")
    wait_until(lambda: len(lines(journal)) >= 3, process)
    os.kill(process.pid, signal.SIGKILL)
    finished(process)
    done = len(lines(journal))
    assert f"continuing after {done} blocks" in succeeds(place, *command, *otherwise, "--resume")
    assert names_in(place) == ["v.zarr"]
    expected = decoder(method).decode(maps, DecodeParameters(method, **PARAMETERS))
    assert expected.max() > 100
    assert np.array_equal(zarr.open_array(place / "v.zarr" / "0")[:], expected)
