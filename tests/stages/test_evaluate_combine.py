"""Means of the scores of several volumes."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from mitotools.errors import InputError, UsageError
from mitotools.parameters import ErrorParameters, EvaluateParameters
from mitotools.run.running import Running
from mitotools.stages.combine import combine_reports
from mitotools.stages.evaluate import EvaluateFiles, evaluate_volumes
from mitotools.volume.path import VolumePath

PAPER = EvaluateParameters()


def report_of(folder, name, prediction, truth, parameters=PAPER, **beside):
    """Write the report of two rows of voxels, and of others beside them."""
    paths = []
    for side, row in {"prediction": prediction, "truth": truth, **beside}.items():
        paths.append(VolumePath(str(folder / f"{name}_{side}.h5")))
        with h5py.File(paths[-1].file, "w") as file:
            file["main"] = np.array([[row]], np.uint8)
    files = EvaluateFiles(**dict(zip(beside, paths[2:], strict=True)))
    report = evaluate_volumes(*paths[:2], parameters, Running(1, command_line=f"make {name}"), files)
    (folder / f"{name}.json").write_text(json.dumps(report))
    return folder / f"{name}.json"


@pytest.fixture
def both(tmp_path):
    """A: one of two truths found, one false alarm. B: the truth found."""
    return [
        report_of(tmp_path, "a", [1, 1, 1, 0, 0, 2], [5, 5, 5, 6, 6, 0]),
        report_of(tmp_path, "b", [1, 1, 1, 1, 0, 0], [5, 5, 5, 5, 0, 0]),
    ]


def test_scores_are_means_and_counts_are_sums(both):
    combined = combine_reports(both, Running(1))

    one = combined["detection"]["0.75"]["all"]
    assert {key: one[key] for key in ("tp", "fp", "fn")} == {"tp": 2, "fp": 1, "fn": 1}
    assert one["precision"] == pytest.approx((1 / 2 + 1) / 2)
    assert one["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert one["accuracy"] == pytest.approx((1 / 3 + 1) / 2)
    assert combined["ap"]["0.75"]["all"] == pytest.approx((51 / 101 + 1) / 2)
    assert combined["foreground"]["recall"] == pytest.approx((3 / 5 + 1) / 2)
    assert combined["errors"] == {"split": 0, "merged": 0, "missed": 1, "spurious": 1}
    assert combined["truth"]["instances"] == 3
    assert combined["prediction"]["voxels"] == 8


def test_a_score_that_is_not_defined_everywhere_is_the_mean_of_the_others(tmp_path):
    with_truth = report_of(tmp_path, "a", [1, 1, 0], [1, 1, 0])
    without = report_of(tmp_path, "b", [0, 0, 1], [0, 0, 0])

    combined = combine_reports([with_truth, without], Running(1))

    assert combined["ap"]["0.75"]["all"] == pytest.approx(1)
    assert combined["ap"]["0.75"]["large"] is None
    assert combined["voi"] == {"split": 0, "merge": 0}


def test_a_combined_report_has_the_form_of_its_parts_and_names_them(both):
    combined = combine_reports(both, Running(1, command_line="mitotools evaluate --combine"))

    parts = [json.loads(file.read_text()) for file in both]
    assert list(combined) == [*list(parts[0])[:-1], "volumes", "history"]
    assert combined["truth"]["path"] == ", ".join(part["truth"]["path"] for part in parts)
    assert [volume["ap"] for volume in combined["volumes"]] == [part["ap"] for part in parts]
    assert [record["command_line"] for record in combined["history"]] == [
        "make a", "make b", "mitotools evaluate --combine"
    ]  # fmt: skip
    assert [entry["path"] for entry in combined["history"][-1]["inputs"]] == [str(file) for file in both]


def test_three_volumes_weigh_the_same(both):
    combined = combine_reports([both[0], both[1], both[1]], Running(1))

    assert combined["ap"]["0.75"]["all"] == pytest.approx((51 / 101 + 2) / 3)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        (EvaluateParameters("challenge2021"), "has protocol challenge2021, .*a.json has paper"),
        (EvaluateParameters(sizes_voxels=(1, 2)), "has sizes 1,2, .*a.json has 5000,15000"),
        (EvaluateParameters(iou=(0.5,)), "has iou 0.5, .*a.json has 0.75"),
        (EvaluateParameters(ignore_border=True), "of it and .*a.json, one was scored with --ignore-border"),
        (EvaluateParameters(min_truth_size_voxels=2), "has min_truth_size 2, .*a.json has 0"),
        (
            EvaluateParameters(errors=ErrorParameters(0.2, 30, 0.3)),
            "has error_thresholds found_iou 0.3, piece_share 0.2, piece_size 30, "
            ".*a.json has found_iou 0.1, piece_share 0.1, piece_size 500",
        ),
    ],
)
def test_reports_that_were_not_scored_in_one_way_are_refused(both, tmp_path, parameters, why):
    other = report_of(tmp_path, "c", [1, 1, 0], [1, 1, 0], parameters)

    with pytest.raises(InputError, match=why):
        combine_reports([both[0], other], Running(1))


def test_what_was_left_out_is_added_up_and_named(tmp_path):
    border = EvaluateParameters(ignore_border=True)
    rows = [1, 1, 0, 2, 0, 3], [5, 5, 0, 6, 0, 0]
    one = report_of(tmp_path, "a", *rows, border, ignore=[0, 0, 0, 0, 1, 1])
    two = report_of(tmp_path, "b", *rows, border, ignore=[1, 0, 0, 0, 0, 0])
    without = report_of(tmp_path, "c", *rows, border)

    combined = combine_reports([one, two, without], Running(1))

    # One row and one slice: the border cuts whatever is there.
    assert combined["ignore_border"] == {"prediction": 2 + 3 + 3, "truth": 2 + 2 + 2}
    paths = ", ".join(str(tmp_path / f"{name}_ignore.h5") for name in "ab")
    assert combined["ignore"] == {"path": paths, "voxels": 2 + 1}


def test_the_heatmaps_that_ranked_predictions_are_named(tmp_path):
    files = [report_of(tmp_path, name, [1, 2], [5, 6], heatmap=[0, 9]) for name in "ab"]
    paths = ", ".join(str(tmp_path / f"{name}_heatmap.h5") for name in "ab")
    assert combine_reports(files, Running(1))["heatmap"] == {"path": paths}


def test_a_combined_report_goes_with_those_that_were_scored_as_it_was(tmp_path):
    rows = [1, 1, 0], [5, 5, 0]
    plain = report_of(tmp_path, "plain", *rows)
    border = report_of(tmp_path, "border", *rows, EvaluateParameters(ignore_border=True))
    both = tmp_path / "both.json"
    both.write_text(json.dumps(combine_reports([border, border], Running(1))))

    assert combine_reports([both, border], Running(1))["truth"]["instances"] == 3
    with pytest.raises(
        InputError, match=r"plain\.json: of it and .*both\.json, one was scored with --ignore"
    ):
        combine_reports([both, plain], Running(1))


def test_reports_at_an_iou_of_1_are_combined(tmp_path):
    parameters = EvaluateParameters(iou=(0.5, 1.0))
    files = [
        report_of(tmp_path, "a", [1, 1, 0, 2], [5, 5, 0, 6], parameters),
        report_of(tmp_path, "b", [1, 1, 1, 2], [5, 5, 0, 6], parameters),
    ]
    hits = [counts["all"]["tp"] for counts in combine_reports(files, Running(1))["detection"].values()]
    assert hits == [2 + 2, 2 + 1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no JSON", "is no JSON"),
        ("[" * 10**5, "is no JSON"),
        ("[1, 2]", "is no report: it has no protocol"),
        ('{"protocol": "paper"}', "is no report: it has no iou"),
    ],
    ids=["words", "deep", "list", "object"],
)
def test_what_is_no_report_is_refused(both, text, why):
    both[1].write_text(text)

    with pytest.raises(InputError, match=why):
        combine_reports(both, Running(1))


@pytest.mark.parametrize(
    ("key", "value"),
    [("ap", {"all": "high"}), ("detection", {"0.75": {"all": None}}), ("foreground", {"jaccard": True}),
     ("errors", {"split": 0}), ("truth", {"path": 3, "instances": 1, "voxels": 1}), ("sizes", [5000]),
     ("iou", ["0.75"]), ("iou", [2]), ("iou", None), ("history", {}), ("error_thresholds", {"found_iou": 1}),
     ("ignore", {"path": "a.h5"}), ("ignore_border", 3), ("heatmap", {"path": None})],
)  # fmt: skip
def test_a_report_that_was_tampered_with_is_refused(both, key, value):
    for file in both:
        file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(InputError, match=f"a.json: is no report: its {key} is not as evaluate writes it"):
        combine_reports(both, Running(1))


def test_one_report_is_wrong_usage_and_a_missing_one_is_named(both, tmp_path):
    with pytest.raises(UsageError, match="two reports or more"):
        combine_reports(both[:1], Running(1))
    with pytest.raises(InputError, match=r"missing\.json: No such file"):
        combine_reports([both[0], tmp_path / "missing.json"], Running(1))
