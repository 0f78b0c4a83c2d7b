"""Voxels and instances that are left out; tables; processes."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import zarr

from mitotools.errors import InputError, TargetError
from mitotools.history import read_sidecar
from mitotools.parameters import ErrorParameters, EvaluateParameters
from mitotools.run.running import Running
from mitotools.stages.evaluate import EvaluateFiles, evaluate_volumes
from mitotools.volume.path import VolumePath, parse_volume_path

PAPER = EvaluateParameters()


def stored(folder, name, array):
    with h5py.File(folder / f"{name}.h5", "w") as file:
        file["main"] = array
    return VolumePath(str(folder / f"{name}.h5"))


def boxes(size, *corners):
    """Return a volume with cubes of 2 x 2 x 2 voxels, numbered from 1, at (z, y, x) corners."""
    array = np.zeros(size, np.uint16)
    for number, (z, y, x) in enumerate(corners, start=1):
        array[z : z + 2, y : y + 2, x : x + 2] = number
    return array


@pytest.fixture
def noise():
    """Two labelings that half agree."""
    generator = np.random.default_rng(5)
    truth = np.kron(generator.integers(0, 9, (4, 6, 8)), np.ones((3, 4, 4), int)).astype(np.uint8)
    changed = np.kron(generator.random((6, 12, 16)) < 0.3, np.ones((2, 2, 2), bool))
    return np.where(changed, 9, truth).astype(np.uint8), truth


def without(report, *keys):
    return {key: value for key, value in report.items() if key not in ("history", *keys)}


def test_ignored_voxels_are_as_if_they_were_not_there(tmp_path, noise):
    prediction, truth = (stored(tmp_path, name, array) for name, array in zip("pt", noise, strict=True))
    mask = np.zeros(noise[0].shape, np.float32)
    mask[:, :, 20:] = -0.5
    files = EvaluateFiles(ignore=stored(tmp_path, "mask", mask))
    crops = [parse_volume_path(f"{path.file}[:,:,0:20]") for path in (prediction, truth)]

    report = evaluate_volumes(prediction, truth, PAPER, Running(2), files)
    cropped = evaluate_volumes(*crops, PAPER, Running(2))

    sides = "prediction", "truth"
    for side, path in zip(sides, crops, strict=True):
        assert cropped[side] == {**report[side], "path": path.file + path.crop}
    assert without(report, "ignore", *sides) == without(cropped, *sides)
    assert report["ignore"] == {"path": files.ignore.file, "voxels": 12 * 24 * 12}
    assert [entry["path"] for entry in report["history"][-1]["inputs"]] == [
        prediction.file, truth.file, files.ignore.file
    ]  # fmt: skip


def test_a_volume_to_ignore_has_the_size_of_the_others(tmp_path, noise):
    prediction, truth = (stored(tmp_path, name, array) for name, array in zip("pt", noise, strict=True))
    files = EvaluateFiles(ignore=stored(tmp_path, "mask", np.zeros((12, 24, 31), bool)))

    with pytest.raises(InputError, match=r"mask\.h5: have different shapes"):
        evaluate_volumes(prediction, truth, PAPER, Running(1), files)


def test_instances_at_the_border_are_neither_hit_nor_miss_nor_false_alarm(tmp_path):
    size = (8, 8, 8)
    # Inside: a hit. At the border: a hit, a miss, and a false alarm.
    truth = stored(tmp_path, "truth", boxes(size, (2, 2, 2), (0, 4, 4), (4, 0, 4)))
    prediction = stored(tmp_path, "prediction", boxes(size, (2, 2, 2), (0, 4, 4), (4, 4, 6)))

    whole = evaluate_volumes(prediction, truth, PAPER, Running(1))
    inside = evaluate_volumes(prediction, truth, EvaluateParameters(ignore_border=True), Running(1))

    counts = [
        [report["detection"]["0.75"]["all"][key] for key in ("tp", "fp", "fn")] for report in (whole, inside)
    ]
    assert counts == [[2, 1, 1], [1, 0, 0]]
    assert (whole["errors"]["missed"], inside["errors"]["missed"]) == (1, 0)
    assert inside["ap"]["0.75"]["all"] == pytest.approx(1)
    assert whole["ap"]["0.75"]["all"] < 0.9
    assert inside["ignore_border"] == {"prediction": 2, "truth": 2}
    assert "ignore_border" not in whole
    assert inside["foreground"] == whole["foreground"]


def test_the_border_is_that_of_the_volume_and_not_of_blocks(tmp_path, noise, monkeypatch):
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 1)
    blocks = []

    def watched(items, total, label, unit):
        blocks.append(total)
        yield from items

    reports = []
    for chunks in ((12, 24, 32), (5, 7, 6)):
        paths = []
        for name, array in zip("pt", noise, strict=True):
            inside = np.pad(array, 1)  # nothing is at the border but
            inside[0, 0, 0] = 200  # this
            path = tmp_path / f"{name}{chunks[0]}.zarr"
            zarr.create_array(path, shape=inside.shape, chunks=chunks, dtype="u1")[:] = inside
            paths.append(VolumePath(str(path)))
        parameters = EvaluateParameters(ignore_border=True, bootstrap=5)
        reports.append(evaluate_volumes(*paths, parameters, Running(2, track=watched)))
    sides = ("prediction", "truth")

    assert blocks[1] > 20 > blocks[0]
    assert reports[0]["ignore_border"] == {"prediction": 1, "truth": 1}
    assert without(reports[0], *sides) == without(reports[1], *sides)


@pytest.mark.slow
def test_processes_find_the_same(tmp_path, noise):
    paths = []
    for name, array in zip("ptm", [*noise, noise[1] == 4], strict=True):
        path = tmp_path / f"{name}.zarr"
        zarr.create_array(path, shape=array.shape, chunks=(4, 8, 8), dtype=array.dtype)[:] = array
        paths.append(VolumePath(str(path)))
    files = EvaluateFiles(ignore=paths[2])
    parameters = EvaluateParameters(ignore_border=True, bootstrap=5)

    alone = evaluate_volumes(*paths[:2], parameters, Running(2), files)
    with_processes = evaluate_volumes(*paths[:2], parameters, Running(2, workers=2), files)

    assert without(with_processes) == without(alone)
    assert with_processes["ignore"]["voxels"] == int((noise[1] == 4).sum())


def test_what_an_error_is_can_be_chosen(tmp_path):
    truth = np.array([[[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]], np.uint8)
    prediction = np.array([[[1, 1, 1, 1, 1, 1, 1, 2, 2, 2]]], np.uint8)
    paths = [stored(tmp_path, "p", prediction), stored(tmp_path, "t", truth)]

    def errors(*chosen):
        parameters = EvaluateParameters(errors=ErrorParameters(*chosen))
        return evaluate_volumes(*paths, parameters, Running(1))["errors"]

    assert errors()["split"] == 0  # its pieces have fewer than 500 voxels
    assert errors(0.1, 1)["split"] == 1
    assert errors(0.31, 1)["split"] == 0
    assert errors(0.1, 4)["split"] == 0
    assert errors(0.1, 1, 0.71)["missed"] == 1


def test_the_table_of_matches_has_a_header_a_row_an_instance_and_a_history(tmp_path):
    truth = stored(tmp_path, "truth", boxes((9, 9, 9), (2, 2, 2), (6, 6, 6)))
    prediction = stored(tmp_path, "prediction", 5 * boxes((9, 9, 9), (2, 2, 2)))
    files = EvaluateFiles(matches=tmp_path / "matches.tsv")

    report = evaluate_volumes(prediction, truth, PAPER, Running(1, command_line="mitotools evaluate"), files)

    assert files.matches.read_text() == (
        "truth\tprediction\ttruth_voxels\tprediction_voxels\tiou\tverdict\terrors\n"
        "1\t5\t8\t8\t1.0\ttp\t\n"
        "2\t\t8\t\t0.0\tfn\tmissed\n"
    )
    assert json.dumps(list(read_sidecar(files.matches))) == json.dumps(report["history"])
    assert report["history"][-1]["command_line"] == "mitotools evaluate"


def test_matches_are_those_of_the_first_threshold(tmp_path):
    truth = stored(tmp_path, "t", np.array([[[1, 1, 1, 1, 1]]], np.uint8))
    prediction = stored(tmp_path, "p", np.array([[[1, 1, 1, 0, 0]]], np.uint8))
    verdicts = []
    for number, ious in enumerate([(0.5, 0.75), (0.75, 0.5)]):
        file = tmp_path / f"{number}.tsv"
        parameters = EvaluateParameters(iou=ious)
        evaluate_volumes(prediction, truth, parameters, Running(1), EvaluateFiles(matches=file))
        verdicts.append([line.split("\t")[5] for line in file.read_text().splitlines()[1:]])

    assert verdicts == [["tp"], ["fn", "fp"]]


@pytest.mark.parametrize("output", ["matches", "save_overlap"])
def test_an_output_that_exists_is_kept_before_anything_is_read(tmp_path, output):
    (tmp_path / "there").write_text("old")
    missing = VolumePath(str(tmp_path / "missing.h5"))

    with pytest.raises(TargetError, match="exists already"):
        evaluate_volumes(missing, missing, PAPER, Running(1), EvaluateFiles(**{output: tmp_path / "there"}))

    assert (tmp_path / "there").read_text() == "old"


def test_force_replaces_an_output(tmp_path, noise):
    prediction, truth = (stored(tmp_path, name, array) for name, array in zip("pt", noise, strict=True))
    (tmp_path / "there").write_text("old")

    evaluate_volumes(
        prediction, truth, PAPER, Running(1, force=True), EvaluateFiles(matches=tmp_path / "there")
    )

    assert (tmp_path / "there").read_text().startswith("truth\tprediction")
