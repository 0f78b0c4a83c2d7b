"""Conditions on every column that stats has without other volumes, and what they cost."""

from __future__ import annotations

import re

import numpy as np
import pytest
import zarr
from command_runs import least_memory, succeeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mitotools.errors import InputError, MachineError, UsageError
from mitotools.parameters import FilterParameters, StatsParameters
from mitotools.run.running import Running
from mitotools.stages.filter import filter_volume
from mitotools.stages.stats import measure_instances
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

PROPERTY = {
    "max_examples": 15,
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
CUTS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
ROW = np.array([[[1, 1, 2, 0, 0, 3, 0, 0, 0, 4, 4, 4]]], "uint8")
"""Of 10 nm; 1 touches 2. Middles at 0.5, 2, 5 and 10: the nearest are 15, 15, 30 and 50 nm away."""


@pytest.fixture
def small_blocks(monkeypatch, small_chunks):
    """Blocks of a few voxels, so that even these volumes are cut."""
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 64)


def stored(folder, labels, chunks=None, voxel_size=(10.0, 10.0, 10.0)):
    path = VolumePath(str(folder / "labels.zarr"))
    spec = VolumeSpec(labels.shape, labels.dtype, voxel_size, chunks=chunks or labels.shape)
    with create_volume(path, spec, force=True) as writer:
        writer.write(Box.whole(labels.shape), labels)
    return path


def filtered(folder, source, running=None, **parameters):
    target = VolumePath(str(folder / "out.zarr"))
    filter_volume(source, target, FilterParameters(**parameters), running or Running(2, force=True))
    return zarr.open_array(folder / "out.zarr" / "0")[:]


def staying(folder, labels, **parameters):
    found = filtered(folder, stored(folder, labels), **parameters)
    return [int(number) for number in np.unique(found) if number]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("neighbours == 1", [1, 2]),
        ("contact_um2 * 1e6 == 100", [1, 2]),
        ("nearest_nm > 20", [3, 4]),
        ("nearest_nm == 15 or nearest_nm == 50", [1, 2, 4]),
        ("complexity_index > 0 and sphericity > 0 and surface_um2 > 0", [1, 2, 3, 4]),
        ("neighbours == 0 and voxels < 2", [3]),
    ],
)
def test_a_condition_may_be_on_any_column(tmp_path, condition, ids):
    assert staying(tmp_path, ROW, where=condition) == ids


@pytest.mark.usefixtures("small_blocks")
@settings(**PROPERTY)
@given(chunks=CUTS, seed=st.integers(0, 999), threads=st.integers(1, 3))
@pytest.mark.parametrize(
    "column", ["surface_um2", "sphericity", "complexity_index", "neighbours", "contact_um2", "nearest_nm"]
)
def test_instances_stay_by_the_values_that_stats_prints_whatever_the_chunks(
    tmp_path, column, chunks, seed, threads
):
    rng = np.random.default_rng(seed)
    labels = (rng.integers(1, 9, (5, 7, 9)) * (rng.random((5, 7, 9)) < 0.4)).astype("uint16")
    table = measure_instances(stored(tmp_path, labels), StatsParameters(), Running(1))
    values = {row[0]: row[table.names.index(column)] for row in table.rows}
    limit = sorted(values.values())[len(values) // 2]

    source = stored(tmp_path, labels, chunks)
    found = filtered(tmp_path, source, Running(threads, force=True), where=f"{column} >= {limit!r}")

    kept = [number for number, value in values.items() if value >= limit]
    assert np.array_equal(found, np.where(np.isin(labels, kept), labels, 0))


@pytest.mark.usefixtures("small_blocks")
@settings(**PROPERTY)
@given(chunks=CUTS, seed=st.integers(0, 999))
def test_neighbours_are_those_of_the_new_shapes(tmp_path, chunks, seed):
    rng = np.random.default_rng(seed)
    labels = (rng.integers(1, 5, (5, 7, 9)) * (rng.random((5, 7, 9)) < 0.05)).astype("uint8")
    source = stored(tmp_path, labels, chunks)

    found = filtered(tmp_path, source, dilate_voxels=1, where="neighbours > 0")

    larger = labels.copy()
    for number in (4, 3, 2, 1):
        larger[ndimage.binary_dilation(labels == number) & (labels == 0)] = number
    touching = []
    for number in (1, 2, 3, 4):
        around = larger[ndimage.binary_dilation(larger == number)]
        if np.any((around != 0) & (around != number)):
            touching.append(number)
    assert np.array_equal(found, np.where(np.isin(larger, touching), larger, 0))


def test_what_is_split_is_measured_piece_by_piece(tmp_path):
    labels = np.array([[[5, 5, 0, 5, 0, 0, 0, 9]]], "uint8")  # 5 at 0.5; 10 at 3; 9 at 7
    found = filtered(tmp_path, stored(tmp_path, labels), split=True, where="nearest_nm <= 25")
    assert found.tolist() == [[[5, 5, 0, 10, 0, 0, 0, 0]]]


def test_surfaces_and_contacts_are_measured_only_where_they_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("mitotools.stages.filter.all_tables", None)
    cheap = "voxels > 1 and z_min == 0 and volume_um3 > 0 and nearest_nm > 0 and elongation > 0"
    assert staying(tmp_path, ROW, where=cheap, min_size_voxels=1, clear_border=False) == [1, 4]
    with pytest.raises(TypeError):
        staying(tmp_path, ROW, where="neighbours > 0")


def test_the_only_instance_is_near_to_none(tmp_path):
    labels = np.array([[[7, 7, 0]]], "uint8")
    assert staying(tmp_path, labels, where="nearest_nm > 0") == []
    assert staying(tmp_path, labels, where="not nearest_nm < 1000") == [7]


def test_a_name_that_is_no_column_is_refused_with_all_that_are_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("mitotools.stages.filter._reshaped", None)
    names = measure_instances(stored(tmp_path, ROW), StatsParameters(), Running(1)).names
    with pytest.raises(UsageError) as caught:
        staying(tmp_path, ROW, where="surface > 3")
    assert str(caught.value) == f"--where: there is no column 'surface'. There is {', '.join(names)}."


@pytest.mark.parametrize("column", ["surface_um2", "complexity_index", "contact_um2", "nearest_nm"])
def test_a_column_that_takes_the_voxel_size_is_refused_without(tmp_path, monkeypatch, column):
    monkeypatch.setattr("mitotools.stages.filter._reshaped", None)
    with pytest.raises(InputError) as caught:
        filtered(tmp_path, stored(tmp_path, ROW, voxel_size=None), where=f"{column} > 1")
    assert str(caught.value) == (
        f"--where: {column} cannot be computed where the voxel size is unknown. "
        "Give it with 'mitotools convert --voxel-size'."
    )


def test_neighbours_take_no_voxel_size(tmp_path):
    found = filtered(tmp_path, stored(tmp_path, ROW, voxel_size=None), where="neighbours > 0")
    assert np.unique(found).tolist() == [0, 1, 2]


def least_mib(folder, source, **parameters):
    with pytest.raises(MachineError) as caught:
        filtered(folder, source, Running(1, force=True, memory_bytes=1), **parameters)
    return int(re.search(r"The least is (\d+)M", str(caught.value))[1])


@pytest.mark.parametrize(
    "parameters",
    [{"min_size_voxels": 1}, {"dilate_voxels": 3}, {"split": True}, {"where": "neighbours >= 0"}],
)
def test_the_least_memory_is_that_of_all_steps(tmp_path, parameters):
    labels = np.zeros((32, 128, 128), "uint64")  # measured in small chunks, written in one of as many voxels
    labels[3:9, 20:40, 20:50] = 3
    source = stored(tmp_path, labels, (1, 16, 16))
    filtered(tmp_path, source, Running(1, force=True), **parameters)  # whatever is loaded on the way
    least = least_mib(tmp_path, source, **parameters)
    running = Running(1, force=True, memory_bytes=(least + 3) * 2**20)
    assert filtered(tmp_path, source, running, **parameters).any()


def test_too_little_memory_to_write_is_said_before_anything_is_read(tmp_path, monkeypatch):
    for step in ("stages.filter.measure_volume", "stages.filtering.regions.map_blocks"):
        monkeypatch.setattr(f"mitotools.{step}", None)
    assert least_mib(tmp_path, stored(tmp_path, ROW), split=True, fill_holes=True) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", ["--min-size 1", "--fill-holes --split", "--erode 1 --where neighbours>=0"]
)
def test_the_least_memory_is_enough_for_a_process_that_has_loaded_nothing_yet(tmp_path, options):
    labels = np.zeros((64, 256, 256), "uint64")
    labels[3:9, 20:40, 20:50] = 3
    stored(tmp_path, labels, (8, 64, 64))
    command = ["filter", "labels.zarr", "out.zarr", *options.split(), "-t", "1"]
    least = least_memory(tmp_path, *command)
    succeeds(tmp_path, *command, "--memory", f"{least + 3}M")
