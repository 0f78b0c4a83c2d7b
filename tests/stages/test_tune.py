"""Options of decode are tried on saved maps, and ranked as evaluate scores what decode writes."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from map_phantoms import mask_contour_maps, phantom_truth

from mitotools.errors import InputError, UsageError
from mitotools.parameters import DecodeParameters, EvaluateParameters
from mitotools.run.running import Running
from mitotools.stages.decode import decode_volume
from mitotools.stages.evaluate import evaluate_volumes
from mitotools.stages.tune import tune_decoding
from mitotools.volume.path import VolumePath

SCORING = EvaluateParameters()
BASE = DecodeParameters(min_size_voxels=128)
GRID = {"seed_contour": (0.2, 0.6, 1.0), "min_size_voxels": (1, 400)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    truth = phantom_truth(1)[:24, :96, :96]
    for name, array in (("maps", mask_contour_maps(phantom_truth(1))[:, :24, :96, :96]), ("truth", truth)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["main"] = array
    return folder


def named(folder, name):
    return VolumePath(str(folder / name))


def tuned(folder, grid=GRID, scoring=SCORING, **running):
    maps, truth = named(folder, "maps.h5"), named(folder, "truth.h5")
    return tune_decoding(maps, truth, BASE, grid, scoring, Running(**{"threads": 2, **running}))


def test_every_point_scores_what_decode_and_evaluate_say(folder):
    trials, _ = tuned(folder)
    assert len(trials) == 6
    for number, trial in enumerate(trials):
        labels = named(folder, f"labels{number}.h5")
        decode_volume(named(folder, "maps.h5"), labels, trial.parameters, Running(2))
        report = evaluate_volumes(labels, named(folder, "truth.h5"), EvaluateParameters(), Running(2))
        for key in ("ap", "detection", "voi", "foreground", "errors"):
            assert trial.report[key] == report[key], (key, trial.parameters)
        assert trial.report["prediction"]["instances"] == report["prediction"]["instances"]
        assert trial.ap == report["ap"]["0.75"]["all"]


def test_the_best_comes_first(folder):
    trials, _ = tuned(folder)
    scores = [trial.ap for trial in trials]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]
    # With contours left out, all that touches is one; with a threshold of .2 hardly a seed is left.
    assert trials[0].parameters.seed_contour == 0.6


def test_several_thresholds_are_ranked_by_their_mean(folder):
    trials, _ = tuned(folder, {"seed_contour": (0.4, 0.8)}, EvaluateParameters(iou=(0.5, 0.9)))
    for trial in trials:
        by_threshold = [
            trial.report["ap"][name]["all"] for name in ("0.50", "0.90") if name in trial.report["ap"]
        ]
        by_threshold = by_threshold or [trial.report["ap"][name]["all"] for name in trial.report["detection"]]
        assert trial.ap == pytest.approx(np.mean(by_threshold))


def test_points_that_differ_in_size_alone_are_decoded_once(folder):
    steps = []

    def watched(items, total, label, unit):
        steps.append((label, total, unit))
        yield from items

    tuned(folder, track=watched)
    assert steps == [("tune", 3, "points")]


@pytest.mark.slow
def test_processes_find_the_same(folder):
    alone, _ = tuned(folder)
    with_processes, _ = tuned(folder, threads=2, workers=2)
    assert [(trial.parameters, trial.report) for trial in alone] == [
        (trial.parameters, trial.report) for trial in with_processes
    ]


def test_the_record_names_the_grid_and_both_inputs(folder):
    _, records = tuned(folder, command_line="mitotools tune")
    assert records[-1]["parameters"]["grid"] == {"seed_contour": (0.2, 0.6, 1.0), "min_size_voxels": (1, 400)}
    assert [entry["path"] for entry in records[-1]["inputs"]] == [
        str(folder / "maps.h5"),
        str(folder / "truth.h5"),
    ]


def test_an_option_that_the_method_does_not_read_is_refused(folder):
    with pytest.raises(UsageError, match="--grid link_iou: --method mw does not read it"):
        tuned(folder, {"link_iou": (0.1, 0.2)})


def test_a_truth_of_another_size_is_refused(folder, tmp_path):
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["main"] = np.zeros((24, 96, 95), np.uint8)
    with pytest.raises(InputError, match="have different shapes"):
        tune_decoding(
            named(folder, "maps.h5"),
            named(tmp_path, "truth.h5"),
            BASE,
            GRID,
            EvaluateParameters(),
            Running(2),
        )
