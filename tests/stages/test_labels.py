"""Stages on labels: the same result however the volume is stored and the work is cut."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mitotools.cli.main import run
from mitotools.parameters import EvaluateParameters, FilterParameters
from mitotools.run.running import Running
from mitotools.stages.evaluate import evaluate_volumes
from mitotools.stages.filter import filter_volume
from mitotools.volume.path import VolumePath

CUTS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))


def stored(folder, name, array, chunks=None):
    path = folder / f"{name}.zarr"
    zarr.create_array(path, data=array, chunks=chunks or array.shape, overwrite=True)
    return VolumePath(str(path))


def random_labels(seed, dtype="uint16"):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 6, (5, 7, 9)).astype(dtype)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few voxels, so that even these volumes are cut."""
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 64)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=CUTS, seed=st.integers(0, 1000), threads=st.integers(1, 3))
def test_filter_is_the_same_for_every_chunking(tmp_path, chunks, seed, threads):
    labels = random_labels(seed)
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    least = int(np.median(counts))
    source = stored(tmp_path, "labels", labels, chunks)
    target = VolumePath(str(tmp_path / "out.zarr"))
    kept, found = filter_volume(source, target, FilterParameters(least), Running(threads, force=True))
    staying = ids[counts >= least]
    assert (kept, found) == (len(staying), len(ids))
    expected = np.where(np.isin(labels, staying), labels, 0)
    assert np.array_equal(zarr.open_array(f"{target.file}/0")[:], expected)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=CUTS, other=CUTS, threads=st.integers(1, 3))
def test_evaluate_is_the_same_for_every_chunking(tmp_path, chunks, other, threads):
    a, b = random_labels(1), random_labels(2)
    whole = evaluate_volumes(
        stored(tmp_path, "a", a), stored(tmp_path, "b", b), EvaluateParameters(), Running(1)
    )
    cut = evaluate_volumes(
        stored(tmp_path, "a", a, chunks),
        stored(tmp_path, "b", b, other),
        EvaluateParameters(),
        Running(threads),
    )
    del whole["history"], cut["history"]
    assert json.dumps(cut) == json.dumps(whole)


def test_filter_writes_the_smallest_type_that_holds_the_ids(tmp_path):
    labels = np.zeros((2, 3, 4), "uint32")
    labels[0], labels[1, 0, 0] = 200, 70000
    target = tmp_path / "out.zarr"
    filter_volume(stored(tmp_path, "a", labels), VolumePath(str(target)), FilterParameters(2), Running())
    written = zarr.open_array(target / "0")
    assert written.dtype == np.uint8
    assert set(np.unique(written[:])) == {0, 200}


def test_filter_relabels_in_the_order_of_ids(tmp_path):
    labels = np.array([[[9, 9, 4, 4, 0, 7]]], "uint8")
    target = tmp_path / "out.zarr"
    parameters = FilterParameters(2, relabel=True)
    filter_volume(stored(tmp_path, "a", labels), VolumePath(str(target)), parameters, Running())
    assert zarr.open_array(target / "0")[:].tolist() == [[[2, 2, 1, 1, 0, 0]]]


def test_an_empty_labeling_gives_an_empty_table_with_its_header(tmp_path, capsys):
    source = stored(tmp_path, "a", np.zeros((2, 3, 4), "uint8"))
    assert run(["stats", source.file, "-q"]) == 0
    assert capsys.readouterr().out.split("\t")[0] == "id"


def test_sizes_and_least_truth_size_override_the_protocol(tmp_path):
    truth = np.array([[[1, 1, 2, 2, 2, 0]]], "uint8")
    source = stored(tmp_path, "a", truth)
    parameters = EvaluateParameters(sizes_voxels=(2, 10), min_truth_size_voxels=3)
    report = evaluate_volumes(source, source, parameters, Running())
    assert report["sizes"] == [2, 10]
    assert report["truth"]["instances"] == 1
    assert report["prediction"]["instances"] == 2
    assert report["ap"]["0.75"]["small"] is None
