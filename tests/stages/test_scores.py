"""The table of scores holds every instance, and does not depend on how the volume was cut."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest
from map_phantoms import mask_contour_maps, phantom_truth

from mitotools import history
from mitotools.errors import TargetError, UsageError
from mitotools.parameters import DecodeParameters
from mitotools.run.running import Running
from mitotools.segment.measures.confidence import confidence_columns, confidence_part
from mitotools.stages.decode import decode_volume
from mitotools.volume.path import VolumePath

PARAMETERS = DecodeParameters(min_size_voxels=64)


@pytest.fixture
def maps(tmp_path):
    array = mask_contour_maps(phantom_truth(2))[:, :20, :64, :64]
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["main"] = array
    return array


def scored(folder, maps_name="maps.h5", target="labels.h5", parameters=PARAMETERS, **running):
    decode_volume(
        VolumePath(str(folder / maps_name)),
        VolumePath(str(folder / target)),
        parameters,
        Running(**{"threads": 2, **running}),
        scores=folder / "scores.tsv",
    )
    with (folder / "scores.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_table_is_that_of_the_arrays(tmp_path, maps):
    rows = scored(tmp_path)
    with h5py.File(tmp_path / "labels.h5") as file:
        labels = file["main"][:]
    whole = tuple(slice(0, n) for n in labels.shape)
    columns = confidence_columns(confidence_part(labels, maps[0], maps[1], (0, 0, 0), whole))
    assert len(rows) == labels.max() > 5
    for name, values in columns.items():
        assert [row[name] for row in rows] == [str(value) for value in values.tolist()]


def test_blocks_change_no_digit(tmp_path, maps, monkeypatch):
    expected = scored(tmp_path)
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 1)
    assert scored(tmp_path, target="labels.zarr", force=True, threads=3) == expected


def test_without_a_contour_its_column_is_empty(tmp_path, maps):
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["main"] = maps[:1]
    rows = scored(tmp_path, "mask.h5")
    assert {row["mean_contour_at_surface"] for row in rows} == {""}
    assert all(0 < float(row["score"]) <= 1 for row in rows)


def test_the_table_carries_the_history_of_the_labels(tmp_path, maps):
    scored(tmp_path, command_line="mitotools decode maps.h5 labels.h5")
    (record,) = history.read_sidecar(tmp_path / "scores.tsv")
    assert record["command_line"] == "mitotools decode maps.h5 labels.h5"


def test_scores_of_labels_that_are_complete_are_written_without_decoding(tmp_path, maps):
    expected = scored(tmp_path, target="labels.zarr")
    (tmp_path / "scores.tsv").unlink()
    steps = []

    def watched(items, total, label, unit):
        steps.append(label)
        yield from items

    assert scored(tmp_path, target="labels.zarr", resume=True, track=watched) == expected
    assert steps == ["score"]


def test_a_table_that_exists_is_kept(tmp_path, maps):
    (tmp_path / "scores.tsv").write_text("mine")
    with pytest.raises(TargetError, match="exists already"):
        scored(tmp_path)
    assert (tmp_path / "scores.tsv").read_text() == "mine"
    assert not (tmp_path / "labels.h5").exists()


@pytest.mark.parametrize("name", ["labels.h5", "labels.zarr"])
def test_a_table_that_no_such_run_wrote_is_kept_when_it_resumes(tmp_path, maps, name):
    (tmp_path / "scores.tsv").write_text("mine")
    with pytest.raises(TargetError, match=r"scores\.tsv: exists already"):
        scored(tmp_path, target=name, resume=True)
    assert (tmp_path / "scores.tsv").read_text() == "mine"
    assert not (tmp_path / name).exists()


def test_a_table_of_other_parameters_is_kept_when_a_run_resumes(tmp_path, maps):
    scored(tmp_path)
    before = (tmp_path / "scores.tsv").read_text()
    with pytest.raises(TargetError, match=r"scores\.tsv: was made with other min_size_voxels"):
        scored(tmp_path, target="others.h5", parameters=DecodeParameters(min_size_voxels=65), resume=True)
    assert (tmp_path / "scores.tsv").read_text() == before
    assert not (tmp_path / "others.h5").exists()


def test_scores_that_are_complete_are_not_written_again(tmp_path, maps, said):
    scored(tmp_path, target="labels.zarr", resume=True)
    written = (tmp_path / "scores.tsv").stat().st_mtime_ns
    scored(tmp_path, target="labels.zarr", resume=True, track=pytest.fail)
    assert (tmp_path / "scores.tsv").stat().st_mtime_ns == written
    assert f"{tmp_path / 'scores.tsv'} is complete already" in said.messages


def test_affinities_have_no_scores(tmp_path, maps):
    with pytest.raises(UsageError, match="--scores: --method mutex reads affinities"):
        scored(tmp_path, parameters=DecodeParameters("mutex"))


def test_no_instance_is_a_table_without_rows(tmp_path):
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["main"] = np.zeros((2, 4, 5, 6), np.uint8)
    assert scored(tmp_path) == []
    assert (tmp_path / "scores.tsv").read_text().startswith("id\tvoxels\t")
