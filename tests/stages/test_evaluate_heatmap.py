"""Predictions ranked by the mean of a heatmap over them."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from segment import reference_scores
from segment.labelings import pairs

from mitotools.errors import InputError, UsageError
from mitotools.parameters import PROTOCOLS, EvaluateParameters
from mitotools.run.running import Running
from mitotools.segment.scores.average_precision import average_precision, iou_thresholds, scores_by_id
from mitotools.segment.scores.comparison import compare_block
from mitotools.segment.scores.instances import instances_of
from mitotools.stages.evaluate import EvaluateFiles, evaluate_overlap, evaluate_volumes
from mitotools.stages.scoring.comparing import Asked, compare_volumes
from mitotools.volume.path import VolumePath, parse_volume_path

PAPER = EvaluateParameters()


def stored(folder, **arrays):
    """Write one file a name, in small chunks; return their names."""
    for name, array in arrays.items():
        chunks = (1,) * (array.ndim - 3) + (2, 8, 8)
        zarr.create_array(folder / f"{name}.zarr", shape=array.shape, chunks=chunks, dtype=array.dtype)[:] = (
            array
        )
    return [VolumePath(str(folder / f"{name}.zarr")) for name in arrays]


@pytest.fixture
def row(tmp_path):
    """Prediction 1 fits the truth of 3 voxels; prediction 2 has 4 voxels elsewhere; 2 maps."""
    maps = np.array([[2, 2, 2, 0, 1, 1, 1, 1], [0, 0, 0, 0, 5, 5, 5, 9]]).reshape(2, 1, 1, 8)
    arrays = {"prediction": [1, 1, 1, 0, 2, 2, 2, 2], "truth": [7, 7, 7, 0, 0, 0, 0, 0]}
    return stored(
        tmp_path,
        **{name: np.array(values, np.uint8).reshape(1, 1, 8) for name, values in arrays.items()},
        maps=maps.astype(np.uint8),
    )


@pytest.fixture
def noise(tmp_path):
    """Two labelings that half agree, 2 maps, and what to ignore."""
    generator = np.random.default_rng(11)
    truth = np.kron(generator.integers(0, 30, (3, 4, 5)), np.ones((3, 6, 5), int)).astype(np.uint16)
    changed = np.kron(generator.random((3, 8, 5)) < 0.3, np.ones((3, 3, 5), bool))
    return stored(
        tmp_path,
        prediction=np.where(changed, truth[::-1, ::-1] + 30, truth).astype(np.uint64) << 40,
        truth=truth,
        maps=generator.random((2, *truth.shape)).astype(np.float32),
        ignore=(generator.random(truth.shape) < 0.1).astype(np.uint8),
    )


def without_history(report):
    return {key: value for key, value in report.items() if key != "history"}


def test_predictions_are_ranked_by_the_mean_of_all_channels_or_of_one_that_is_named(row):
    prediction, truth, maps = row
    first = parse_volume_path(f"{maps.file}[0]")

    by_size, by_all, by_first = (
        evaluate_volumes(prediction, truth, PAPER, Running(1), EvaluateFiles(heatmap=heatmap))
        for heatmap in (None, maps, first)
    )

    # Only in the first channel is the prediction that fits above the false alarm.
    aps = [report["ap"]["0.50"]["all"] for report in (by_size, by_all, by_first)]
    assert aps == [pytest.approx(1 / 2), pytest.approx(1 / 2), pytest.approx(1)]
    assert [report["score"] for report in (by_size, by_all, by_first)] == ["size", "heatmap", "heatmap"]
    assert by_all["heatmap"] == {"path": maps.file}
    assert "heatmap" not in by_size
    inputs = by_all["history"][-1]["inputs"]
    assert [entry["path"] for entry in inputs] == [path.file for path in row]


@given(pair=pairs(), data=st.data())
@settings(deadline=None, max_examples=30)
def test_ap_is_that_of_the_definition_with_means_as_scores(pair, data):
    prediction, truth = pair
    values = data.draw(st.lists(st.integers(0, 3), min_size=truth.size, max_size=truth.size))
    heatmap = np.array(values, np.uint8).reshape(truth.shape)
    counts = reference_scores.overlap_counts(prediction, truth)
    means = {number: heatmap[prediction == number].mean() for number in np.unique(prediction).tolist()}
    (limits, thresholds) = (5, 20), iou_thresholds("paper").values()
    expected = reference_scores.average_precision(counts, limits, list(thresholds), means)

    compared = compare_block(prediction, truth, heatmap=heatmap)
    instances = instances_of(compared.overlap)
    ranks = scores_by_id(instances.predictions.ids, *compared.heat.scores())
    found = average_precision(instances, replace(PROTOCOLS[0], size_limits_voxels=limits), ranks)

    for name, values in expected.items():
        assert [-1 if row[name] is None else row[name] for row in found.values()] == values


def test_blocks_threads_and_chunks_change_no_sum(noise, tmp_path, monkeypatch):
    prediction, truth, maps, ignore = noise
    whole = compare_volumes(Asked(prediction, truth, ignore, maps), Running(1)).comparison.heat
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 1)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file.create_dataset("main", data=zarr.open_array(maps.file)[:], chunks=(1, 3, 8, 8))
    blocks = []

    def watched(items, total, label, unit):
        blocks.append(total)
        yield from items

    assert len(whole) > 20
    assert whole.sums[:, 0].sum() == 2 * (zarr.open_array(ignore.file)[:] == 0).sum()
    for heatmap in (maps, VolumePath(str(tmp_path / "maps.h5"))):
        asked = Asked(prediction, truth, ignore, heatmap)
        found = compare_volumes(asked, Running(2, track=watched)).comparison.heat
        assert (found.ids.tolist(), found.sums.tolist()) == (whole.ids.tolist(), whole.sums.tolist())
    assert min(blocks) > 10


def test_the_report_of_a_heatmap_is_that_of_its_means_as_a_table(noise, tmp_path):
    prediction, truth, maps, _ = noise
    labels, values = zarr.open_array(prediction.file)[:], zarr.open_array(maps.file)[:].astype(float)
    means = [(number, values[:, labels == number].mean()) for number in np.unique(labels).tolist()]
    scores = tmp_path / "scores.csv"
    scores.write_text("".join(f"{number},{float(mean)!r}\n" for number, mean in means if number))
    parameters = EvaluateParameters(bootstrap=3)

    by_size, by_heatmap, by_file = (
        evaluate_volumes(prediction, truth, parameters, Running(2), files)
        for files in (EvaluateFiles(), EvaluateFiles(heatmap=maps), EvaluateFiles(scores=scores))
    )

    assert by_heatmap["ap"] == by_file["ap"] != by_size["ap"]
    assert by_heatmap["bootstrap"] == by_file["bootstrap"]


@pytest.mark.slow
def test_processes_find_the_same(noise):
    prediction, truth, maps, ignore = noise
    files = EvaluateFiles(ignore=ignore, heatmap=maps)

    alone, others = (
        evaluate_volumes(prediction, truth, PAPER, running, files)
        for running in (Running(2), Running(2, workers=2))
    )

    assert json.dumps(without_history(others)) == json.dumps(without_history(alone))


def test_a_saved_table_keeps_the_ranking_and_a_table_of_scores_goes_before_it(noise, tmp_path):
    prediction, truth, maps, _ = noise
    file = tmp_path / "a.overlap"
    parameters = EvaluateParameters(bootstrap=3)
    files = EvaluateFiles(heatmap=maps, save_overlap=file)
    expected = evaluate_volumes(prediction, truth, parameters, Running(1), files)

    assert without_history(evaluate_overlap(file, parameters, Running(1))) == without_history(expected)

    scores = tmp_path / "scores.csv"
    scores.write_text("".join(f"{number << 40},{-number}\n" for number in range(1, 61)))
    by_file = evaluate_overlap(file, parameters, Running(1), EvaluateFiles(scores=scores))
    assert by_file["score"] == "file"
    assert "heatmap" not in by_file
    assert by_file["ap"] != expected["ap"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("heat_rests", None),
        ("heat_ids", np.array([1, 2, 3, 4], np.uint64)),
        ("heat_values", np.array([0, 0, 0])),
        ("heat_wholes", np.array([1.0, 2.0, 3.0])),
    ],
)
def test_a_saved_table_with_damaged_sums_is_refused(row, tmp_path, name, column):
    file = tmp_path / "a.overlap"
    evaluate_volumes(*row[:2], PAPER, Running(1), EvaluateFiles(heatmap=row[2], save_overlap=file))
    with np.load(file) as old:
        columns = {**old, name: column}
    assert len(columns["heat_ids"]) >= 3
    with file.open("wb") as opened:
        np.savez_compressed(opened, **{key: kept for key, kept in columns.items() if kept is not None})

    with pytest.raises(InputError, match="is no table of overlaps"):
        evaluate_overlap(file, PAPER, Running(1))


def test_a_heatmap_where_everything_is_ignored_leaves_a_report_of_nothing(row):
    prediction, _, maps = row
    everything = parse_volume_path(f"{maps.file}[0]")
    report = evaluate_volumes(
        prediction, prediction, PAPER, Running(1), EvaluateFiles(ignore=prediction, heatmap=everything)
    )
    assert report["score"] == "heatmap"
    assert report["prediction"]["instances"] == 0
    assert report["ap"]["0.75"]["all"] is None


def test_a_heatmap_and_scores_contradict(row, tmp_path):
    files = EvaluateFiles(heatmap=row[2], scores=tmp_path / "scores.csv")
    with pytest.raises(UsageError) as error:
        evaluate_volumes(*row[:2], PAPER, Running(1), files)
    assert str(error.value) == "--heatmap: ranks the predictions, and so does --scores. Give one."


def test_a_saved_table_takes_no_heatmap(row, tmp_path):
    file = tmp_path / "a.overlap"
    evaluate_volumes(*row[:2], PAPER, Running(1), EvaluateFiles(save_overlap=file))
    with pytest.raises(UsageError, match="--heatmap: needs the volumes"):
        evaluate_overlap(file, PAPER, Running(1), EvaluateFiles(heatmap=row[2]))


def test_a_heatmap_of_another_size_is_refused_and_both_are_named(row, tmp_path):
    (other,) = stored(tmp_path, other=np.zeros((2, 1, 1, 7), np.uint8))
    with pytest.raises(InputError) as error:
        evaluate_volumes(*row[:2], PAPER, Running(1), EvaluateFiles(heatmap=other))
    assert str(error.value) == (
        f"{row[0].file} and {other.file}: have different shapes, (1, 1, 8) and (1, 1, 7)."
    )
