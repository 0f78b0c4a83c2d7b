"""Stages on labels that measure: the same table however the volume is stored and the work is cut."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mitotools.errors import InputError
from mitotools.parameters import StatsParameters
from mitotools.run.running import Running
from mitotools.segment.measures.measure import measurement_columns
from mitotools.stages.measuring.one_pass import measure_volume
from mitotools.stages.stats import measure_instances
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath, parse_volume_path

CUTS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
PLAIN, SUMMARY = StatsParameters(), StatsParameters(summary=True)


def stored(folder, name, array, chunks=None, voxel_size_nm=(30.0, 8.0, 8.0)):
    path = VolumePath(str(folder / f"{name}.zarr"))
    spec = VolumeSpec(array.shape, array.dtype, voxel_size_nm, chunks=chunks or array.shape)
    with create_volume(path, spec, force=True) as writer:
        writer.write(Box.whole(array.shape), array)
    return path


def random_labels(seed, dtype="uint16"):
    return np.random.default_rng(seed).integers(0, 6, (5, 7, 9)).astype(dtype)


def cell(table, name, row=0):
    return table.rows[row][table.names.index(name)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few voxels, so that even these volumes are cut."""
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 64)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=CUTS, other=CUTS, threads=st.integers(1, 3))
def test_stats_are_the_same_for_every_chunking(tmp_path, chunks, other, threads):
    labels, hosts = random_labels(3), random_labels(4)
    raw = random_labels(5, "uint8") * 40
    found = [
        measure_instances(
            stored(tmp_path, "labels", labels, first),
            PLAIN,
            running,
            raw=stored(tmp_path, "raw", raw, second),
            within=stored(tmp_path, "hosts", hosts, first),
        )
        for first, second, running in ((None, None, Running(1)), (chunks, other, Running(threads)))
    ]
    assert found[0].rows == found[1].rows
    assert found[0].names == found[1].names


def test_worker_processes_give_the_same_table(tmp_path):
    labels = stored(tmp_path, "labels", random_labels(3), (2, 4, 4))
    raw = stored(tmp_path, "raw", random_labels(5, "uint8"), (2, 4, 4))
    alone = measure_instances(labels, PLAIN, Running(1), raw=raw)
    assert measure_instances(labels, PLAIN, Running(2, workers=2), raw=raw).rows == alone.rows


def test_ids_beyond_64_bits_of_sign_are_counted_as_they_are(tmp_path):
    labels = np.full((1, 1, 3), 2**64 - 1, "uint64")
    assert measure_instances(stored(tmp_path, "a", labels), PLAIN, Running()).rows[0][:2] == (2**64 - 1, 3)


def test_the_columns_have_their_units_in_their_names(tmp_path):
    labels = stored(tmp_path, "labels", random_labels(1))
    raw = stored(tmp_path, "raw", random_labels(1, "uint8"))
    table = measure_instances(labels, PLAIN, Running(), raw=raw, within=labels)
    assert table.names == [
        "id", "voxels", "volume_um3", "z_min", "y_min", "x_min", "z_max", "y_max", "x_max",
        "centroid_z_nm", "centroid_y_nm", "centroid_x_nm", "nearest_nm", "touches_border", "major_axis_nm",
        "middle_axis_nm", "minor_axis_nm", "elongation", "flatness", "surface_um2", "sphericity",
        "complexity_index", "intensity_mean", "intensity_std", "neighbours", "contact_um2", "host",
        "host_share",
    ]  # fmt: skip
    assert cell(table, "host") == cell(table, "id")
    assert cell(table, "host_share") == 1.0


def test_an_empty_volume_has_a_table_with_its_header_and_a_summary(tmp_path):
    empty = stored(tmp_path, "empty", np.zeros((2, 3, 4), "uint8"))
    table = measure_instances(empty, PLAIN, Running(), raw=empty, within=empty)
    assert table.rows == []
    assert table.names[-1] == "host_share"
    found = dict(measure_instances(empty, SUMMARY, Running()).rows)
    assert (found["count"], found["volume_fraction"], found["density_per_um3"]) == (0, 0.0, 0.0)
    assert found["voxels_mean"] is None
    assert measure_instances(empty, SUMMARY, Running(), within=empty).rows == []


def test_without_voxel_size_voxels_are_counted_and_it_is_said_once(tmp_path, caplog):
    labels = stored(tmp_path, "a", random_labels(1), voxel_size_nm=None)
    table = measure_instances(labels, PLAIN, Running())
    assert cell(table, "voxels") > 0
    assert cell(table, "neighbours") > 0
    assert [name for name, value in zip(table.names, table.rows[0], strict=True) if value is None] == [
        "volume_um3", "centroid_z_nm", "centroid_y_nm", "centroid_x_nm", "nearest_nm", "major_axis_nm",
        "middle_axis_nm", "minor_axis_nm", "elongation", "flatness", "surface_um2", "sphericity",
        "complexity_index", "contact_um2",
    ]  # fmt: skip
    assert caplog.text.count("the voxel size is unknown") == 1


def test_the_summary_of_three_instances(tmp_path):
    labels = np.zeros((4, 10, 10), "uint8")
    labels[1, 1, 1:3], labels[2, 4, 1:5], labels[0, 0, 0:6] = 1, 2, 3  # 2, 4, 6 voxels
    table = measure_instances(
        stored(tmp_path, "a", labels, voxel_size_nm=(1000.0, 500.0, 500.0)), SUMMARY, Running()
    )
    assert table.names == ["name", "value"]
    found = dict(table.rows)
    assert found["count"] == 3
    assert found["touching_border"] == 1
    assert found["whole_volume_um3"] == 100.0
    assert found["density_per_um3"] == 3 / 100
    assert found["volume_fraction"] == 12 / 400
    assert found["voxels_mean"] == 4.0
    assert found["voxels_q50"] == 4.0
    assert found["voxels_q25"] == 3.0
    assert found["volume_um3_q75"] == 5 * 0.25
    assert "intensity_mean_mean" not in found


def test_the_summary_with_hosts_has_a_row_for_each(tmp_path):
    labels = np.array([[[1, 1, 2, 0, 3, 3]]], "uint8")
    hosts = np.array([[[7, 7, 7, 7, 9, 9]]], "uint16")
    table = measure_instances(
        stored(tmp_path, "a", labels), SUMMARY, Running(), within=stored(tmp_path, "b", hosts)
    )
    assert [cell(table, "host", row) for row in range(2)] == [7, 9]
    assert [cell(table, "count", row) for row in range(2)] == [2, 1]
    assert [cell(table, "volume_fraction", row) for row in range(2)] == [3 / 4, 1.0]


def test_the_history_names_all_inputs_and_what_was_asked(tmp_path):
    labels = stored(tmp_path, "a", random_labels(1))
    crop = parse_volume_path(f"{labels.file}[0:5,:,:]")
    (record,) = measure_instances(labels, SUMMARY, Running(command_line="mitotools x"), within=crop).history
    assert record["command_line"] == "mitotools x"
    assert record["parameters"]["summary"] is True
    assert [source["path"] for source in record["inputs"]] == [labels.file] * 2
    json.dumps(record)


def test_what_cannot_be_measured_together_is_refused(tmp_path):
    labels = stored(tmp_path, "a", random_labels(1))
    other = stored(tmp_path, "b", np.zeros((5, 7, 8), "uint8"))
    with pytest.raises(InputError, match=r"different shapes, \(5, 7, 9\) and \(5, 7, 8\)"):
        measure_instances(labels, PLAIN, Running(), raw=other)
    with pytest.raises(InputError, match="different shapes"):
        measure_instances(labels, PLAIN, Running(), within=other)
    zarr.create_array(tmp_path / "float.zarr", data=np.zeros((5, 7, 9), "float32"))
    with pytest.raises(InputError, match="grey values in integers of 8 or 16 bits, found float32"):
        measure_instances(labels, PLAIN, Running(), raw=VolumePath(str(tmp_path / "float.zarr")))


def test_the_measurements_that_filter_reads_know_the_border(tmp_path):
    labels = np.zeros((5, 5, 5), "uint8")
    labels[0, 2, 2], labels[2, 2, 2] = 1, 2
    with open_volume(stored(tmp_path, "a", labels, (2, 2, 2)), "labels") as volume:
        found = measure_volume(volume, Running(), "measure")
    assert measurement_columns(found, None)["touches_border"].tolist() == [True, False]
