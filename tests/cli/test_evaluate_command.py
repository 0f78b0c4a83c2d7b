"""``mitotools evaluate`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli.test_reports import on_a_terminal
from click.testing import CliRunner

from mitotools.cli.main import mitotools, run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A truth of three instances, one of which the prediction misses; one false alarm; bad files."""
    monkeypatch.chdir(tmp_path)
    truth = np.zeros((4, 8, 40), "uint16")
    truth[1:3, 1:7, 2:10], truth[1:3, 1:7, 12:20], truth[1:3, 1:7, 22:26] = 5, 6, 7
    prediction = np.zeros_like(truth)
    prediction[1:3, 1:7, 2:10], prediction[1:3, 1:7, 12:20], prediction[1:3, 1:7, 30:40] = 1, 2, 3
    arrays = {
        "truth": truth,
        "prediction": prediction,
        "mask": prediction == 3,
        "float": truth.astype("float32"),
        "signed": -truth.astype("int32"),
        "empty": np.zeros((0, 8, 40), "uint16"),
        "other": truth[:, :, :-1],
        "channels": np.zeros((3, 4, 8, 40), "uint16"),
    }
    for name, array in arrays.items():
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = array
    (tmp_path / "scores.tsv").write_text("id\tmask\tscore\n1\t1\t.9\n2\t1\t.8\n3\t1\t.1\n")
    (tmp_path / "twice.tsv").write_text("id\tscore\n1\t.9\n1\t.8\n")
    return tmp_path


BOTH = "prediction.h5 truth.h5"


def report(capsys, line):
    assert run(["evaluate", *line.split(), "--format", "json", "-q"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_table_of_scores_ranks_the_predictions(folder, capsys):
    by_size, by_score = (report(capsys, f"{BOTH} {option}") for option in ("", "--scores scores.tsv"))
    # The false alarm is the largest prediction; its score is the lowest.
    assert by_size["ap"]["0.75"]["all"] == pytest.approx(2 / 3 * 67 / 101)
    assert by_score["ap"]["0.75"]["all"] == pytest.approx(67 / 101)
    assert (by_size["score"], by_score["score"]) == ("size", "file")


def test_a_heatmap_ranks_the_predictions_by_its_mean_over_channels_or_one_of_them(folder, capsys):
    with h5py.File("prediction.h5") as file, h5py.File("heat.h5", "w") as target:
        prediction = file["main"][()]
        target["maps"] = np.stack([prediction < 3, np.where(prediction == 3, 9, 0)]).astype("float16")
    aps = {
        name: report(capsys, f"{BOTH} --heatmap {name}")["ap"]["0.75"]["all"]
        for name in ("heat.h5", "heat.h5:maps", "heat.h5[0]", "heat.h5:maps[0,:,:,:]", "heat.h5[1]")
    }
    false_alarm_first, last = pytest.approx(2 / 3 * 67 / 101), pytest.approx(67 / 101)
    assert list(aps.values()) == [false_alarm_first, false_alarm_first, last, last, false_alarm_first]


def test_a_heatmap_may_come_through_a_pipe(folder, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(folder))
    sent = CliRunner().invoke(mitotools, ["convert", "mask.h5", "-", "-q"]).stdout
    line = [*BOTH.split(), "--heatmap", "-", "--ignore", "mask.h5", "--format", "json", "-q"]
    result = CliRunner().invoke(mitotools, ["evaluate", *line], input=sent)
    assert json.loads(result.stdout)["heatmap"] == {"path": sent.strip()}
    assert not Path(sent.strip()).exists()


def test_scores_may_lie_in_hdf5(folder, capsys):
    with h5py.File("scores.h5", "w") as file:
        file["main"] = [[1, 0.9], [2, 0.8], [3, 0.1]]
    by_score = report(capsys, f"{BOTH} --scores scores.h5:main")
    assert by_score["ap"]["0.75"]["all"] == pytest.approx(67 / 101)
    assert by_score["history"][-1]["inputs"][-1]["path"] == str(folder / "scores.h5:main")


def test_ignored_voxels_and_the_border_are_left_out(folder, capsys):
    counts = [
        report(capsys, f"{BOTH} {option}")["detection"]["0.75"]["all"]["fp"]
        for option in ("", "--ignore mask.h5", "--ignore-border")
    ]
    assert counts == [1, 0, 0]


def test_a_saved_table_stands_for_both_volumes(folder, capsys):
    first = report(capsys, f"{BOTH} --save-overlap both.overlap --iou 0.6")
    second = report(capsys, "both.overlap --iou 0.6")
    assert first.pop("history") != second.pop("history")
    assert first == second
    assert first["prediction"]["path"] == str(folder / "prediction.h5")


def test_a_report_names_the_part_of_a_file_that_was_compared(folder, capsys):
    with h5py.File("heat.h5", "w") as file:
        file["maps"] = np.zeros((2, 4, 8, 40), np.uint8)
    crop = "[0:4,0:8,0:30]"
    line = f"prediction.h5{crop} truth.h5:main{crop} --heatmap heat.h5:maps[1,0:4,0:8,0:30]"
    found = report(capsys, f"{line} --ignore mask.h5{crop}")
    assert [found[name]["path"] for name in ("prediction", "truth", "heatmap", "ignore")] == [
        f"{folder}/prediction.h5{crop}",
        f"{folder}/truth.h5:main{crop}",
        f"{folder}/heat.h5:maps[1,0:4,0:8,0:30]",
        f"{folder}/mask.h5{crop}",
    ]


def test_matches_name_what_became_of_every_instance(folder, capsys):
    report(capsys, f"{BOTH} --matches m.tsv")
    assert [line.split("\t")[5:] for line in (folder / "m.tsv").read_text().splitlines()] == [
        ["verdict", "errors"], ["tp", ""], ["tp", ""], ["fn", "missed"], ["fp", "spurious"]
    ]  # fmt: skip
    assert (folder / "m.tsv.history.json").is_file()


def test_matches_say_which_instances_are_pieces_if_small_ones_count(folder, capsys):
    with h5py.File("pieces.h5", "w") as file, h5py.File("truth.h5") as truth:
        file["main"] = np.where(np.arange(40) < 14, 1, 2) * (truth["main"][()] == 6)
    options = "--piece-size 10 --piece-share 0.2 --found-iou 0.3"
    assert report(capsys, "pieces.h5 truth.h5")["errors"]["split"] == 0
    errors = report(capsys, f"pieces.h5 truth.h5 {options} --matches m.tsv")["errors"]
    # Truth 6 is 8 wide, its pieces are 2 and 6.
    assert errors == {"split": 1, "merged": 0, "missed": 2, "spurious": 1}
    told = [line.split("\t")[-1] for line in (folder / "m.tsv").read_text().splitlines()[1:]]
    assert sorted(told) == ["missed", "missed", "split", "spurious"]


def test_intervals_stand_below_their_ap(folder, capsys):
    assert run(["evaluate", *BOTH.split(), "--bootstrap", "50"]) == 0
    first = capsys.readouterr().out
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in first.splitlines()}
    assert list(rows)[1:7] == [
        "AP 0.75", "AP 0.75 low", "AP 0.75 high", "AP 0.50:0.95", "AP 0.50:0.95 low", "AP 0.50:0.95 high"
    ]  # fmt: skip
    low, ap, high = (float(rows[name][-1]) for name in ("AP 0.75 low", "AP 0.75", "AP 0.75 high"))
    assert low < ap < high
    assert rows["truths"] == ["3", "0", "0", "3"]
    assert run(["evaluate", *BOTH.split(), "--bootstrap", "50"]) == 0
    assert capsys.readouterr().out == first


def test_a_volume_to_ignore_may_come_through_a_pipe(folder, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(folder))
    sent = CliRunner().invoke(mitotools, ["convert", "mask.h5", "-", "-q"]).stdout
    line = [*BOTH.split(), "--ignore", "-", "--format", "json", "-q"]
    result = CliRunner().invoke(mitotools, ["evaluate", *line], input=sent)
    assert json.loads(result.stdout)["ignore"]["voxels"] == 120
    assert not Path(sent.strip()).exists()


def test_reports_are_combined(folder, capsys):
    for name, line in (("a", BOTH), ("b", "truth.h5 truth.h5")):
        (folder / f"{name}.json").write_text(json.dumps(report(capsys, line)))
    combined = report(capsys, "--combine a.json b.json")
    assert combined["ap"]["0.75"]["all"] == pytest.approx((2 / 3 * 67 / 101 + 1) / 2)
    assert run(["evaluate", "--combine", "a.json", "b.json", "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == [
        "prediction", "truth", "prediction", "truth", "protocol", "overall"
    ]  # fmt: skip


@pytest.mark.slow
def test_processes_print_the_same(folder, capsys):
    alone, others = (report(capsys, f"{BOTH} --ignore mask.h5 {more}") for more in ("", "--workers 2 -t 2"))
    assert alone.pop("history")[-1]["parameters"] == others.pop("history")[-1]["parameters"]
    assert alone == others


def test_the_table_shows_who_is_who_and_how_sure_it_is(folder):
    line = f"{BOTH} --bootstrap 20 --ignore mask.h5 --ignore-border --scores scores.tsv -q"
    shown = on_a_terminal(["evaluate", *line.split()]).splitlines()
    assert shown[0] == f"prediction {folder / 'prediction.h5'}: 2 instances, 192 voxels"
    assert shown[1] == f"truth      {folder / 'truth.h5'}: 3 instances, 240 voxels"
    assert shown[2] == "protocol   paper: small up to 5000 voxels, medium up to 15000"
    assert shown[3] == "ranked     by the scores of a table"
    assert shown[4] == f"ignored    {folder / 'mask.h5'}: 120 voxels"
    assert shown[5] == "left out   0 predictions and 0 truths at the border"
    assert shown[6] == "low, high  95% interval of AP, 20 samples of the instances"
    rows = {line[:24].strip(): line[24:].split() for line in shown[7:]}
    assert rows[""] == []
    assert rows["AP 0.75"] == ["0.663", "-1", "-1", "0.663"]
    assert rows["truths"] == ["3", "0", "0", "3"]
    assert rows["missed instances"] == ["1"]


def test_a_narrow_terminal_shows_the_same_digits(folder):
    line = ["evaluate", *BOTH.split(), "--bootstrap", "20", "-q"]
    assert on_a_terminal(line, columns=40).split() == on_a_terminal(line).split()


BAD_INPUT = {
    "float labels": ("float.h5 truth.h5", "float.h5: expected integer labels, found float32"),
    "float truth": ("prediction.h5 float.h5", "float.h5: expected integer labels, found float32"),
    "negative ids": ("prediction.h5 signed.h5", "signed.h5: holds the negative id -7"),
    "empty volume": ("empty.h5 truth.h5", "empty.h5: is empty"),
    "other shape": ("prediction.h5 other.h5", "have different shapes, (4, 8, 40) and (4, 8, 39)"),
    "mask of other shape": (f"{BOTH} --ignore other.h5", "have different shapes"),
    "mask with channels": (f"{BOTH} --ignore channels.h5", "Select one: channels.h5[0]"),
    "missing mask": (f"{BOTH} --ignore nowhere.h5", "nowhere.h5: no such file or folder"),
    "ids listed twice": (f"{BOTH} --scores twice.tsv", "twice.tsv: id 1 is listed more than once"),
    "missing scores": (f"{BOTH} --scores nowhere.tsv", "nowhere.tsv: No such file or directory"),
    "no scores": (f"{BOTH} --scores truth.h5", "truth.h5"),
    "one volume": ("truth.h5", "is no table of overlaps (File is not a zip file). Give PREDICTION and TRUTH"),
    "missing folder": (f"{BOTH} --matches nowhere/m.tsv", "the folder nowhere does not exist"),
    "existing file": (f"{BOTH} --save-overlap mask.h5", "exists already. Use --force to replace it"),
    "no report": ("--combine scores.tsv truth.h5", "scores.tsv: is no JSON"),
}
BAD_USAGE = {
    "three volumes": (f"{BOTH} truth.h5", "truth.h5: is one volume too many"),
    "no volume": ("", "Missing argument"),
    "pipe alone": ("-", "TRUTH: is missing"),
    "two pipes": ("- truth.h5 --ignore -", "only one input"),
    "one report": ("--combine a.json", "--combine: takes two reports or more"),
    "scoring reports": ("--combine a.json b.json --iou 0.5", "--combine: reads scores, and computes none"),
    "files of reports": ("--combine a.json b.json --matches m", "reads scores, and computes none"),
    "two outputs, one file": (f"{BOTH} --matches m --save-overlap m", "m: is to be two files"),
    "no share": (f"{BOTH} --piece-share 2", "--piece-share"),
    "negative samples": (f"{BOTH} --bootstrap -1", "--bootstrap"),
    "samples for ever": (f"{BOTH} --bootstrap {10**20}", "is not in the range 0<=x<=10000"),
}


@pytest.mark.parametrize(("line", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line_and_status_1(folder, capsys, line, message):
    assert_refused(folder, capsys, line, message, 1)


@pytest.mark.parametrize(("line", "message"), BAD_USAGE.values(), ids=BAD_USAGE)
def test_wrong_usage_is_one_line_and_status_2(folder, capsys, line, message):
    assert_refused(folder, capsys, line, message, 2)


def assert_refused(folder, capsys, line, message, status):
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert run(["evaluate", *line.split()]) == status
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("mitotools evaluate: ")
    assert message in printed.err
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
