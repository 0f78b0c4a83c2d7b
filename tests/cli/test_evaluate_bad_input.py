"""What `mitotools evaluate` says, word for word, of labels that are none or do not belong together."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run

TRUTH = np.array([[[0, 5, 5, 5], [0, 0, 6, 6]]], np.uint16)
VOLUMES = {
    "truth": TRUTH,
    "prediction": TRUTH.astype(np.uint32),
    "signed": TRUTH.astype(np.int64) - 5,
    "harmless": TRUTH.astype(np.int8),
    "float": TRUTH.astype(np.float32),
    "nothing": np.zeros_like(TRUTH),
    "longer": np.repeat(TRUTH, 3, axis=0),
    "wider": np.repeat(TRUTH, 2, axis=2),
    "long_maps": np.repeat(np.stack([TRUTH, TRUTH]), 3, axis=1),
    "maps": np.stack([TRUTH, TRUTH]).astype(np.uint8),
    "broken": np.full(TRUTH.shape, np.nan, np.float16),
    "text": np.array([[[b"a", b"b"]]]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, array in VOLUMES.items():
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = array
    return tmp_path


SHAPES = "prediction.h5 and {}: have different shapes, (1, 2, 4) and {}."

MESSAGES = {
    "prediction.h5 signed.h5": "signed.h5: holds the negative id -5. Ids are 0 and above.",
    "signed.h5 truth.h5": "signed.h5: holds the negative id -5. Ids are 0 and above.",
    "prediction.h5 float.h5": (
        "float.h5: expected integer labels, found float32. Run 'mitotools decode' first."
    ),
    "float.h5 truth.h5": ("float.h5: expected integer labels, found float32. Run 'mitotools decode' first."),
    "prediction.h5 text.h5": "text.h5: expected numbers, found |S1.",
    "prediction.h5 maps.h5": "maps.h5: expected (z, y, x), found 2 channels. Select one: maps.h5[0].",
    "prediction.h5 wider.h5": SHAPES.format("wider.h5", "(1, 2, 8)"),
    "prediction.h5 longer.h5": (
        SHAPES.format("longer.h5", "(3, 2, 4)")
        + " They differ in z alone: crop longer.h5[0:1,:,:] would fit."
    ),
    "prediction.h5 longer.h5[1:3,0:2,:]": (
        SHAPES.format("longer.h5", "(2, 2, 4)")
        + " They differ in z alone: crop longer.h5[1:2,:,:] would fit."
    ),
    "prediction.h5[0:1,:,1:3] long_maps.h5[1,1:3,:,1:3]": (
        "prediction.h5 and long_maps.h5: have different shapes, (1, 2, 2) and (2, 2, 2)."
        " They differ in z alone: crop long_maps.h5[1,1:2,:,1:3] would fit."
    ),
    "prediction.h5 truth.h5 --heatmap wider.h5": SHAPES.format("wider.h5", "(1, 2, 8)"),
    "prediction.h5 truth.h5 --heatmap broken.h5": (
        "heatmap: expected values from -65536 to 65536, found nan to nan. Scale it first."
    ),
    "prediction.h5 truth.h5 --heatmap maps.h5[2]": "maps.h5: has channels 0 to 1, not 2:3.",
    "prediction.h5 truth.h5 --heatmap nowhere.h5": "nowhere.h5: no such file or folder.",
    "prediction.h5 truth.h5 --scores truth.h5": (
        "truth.h5: expected (N, 2) numbers, id and score, found (1, 2, 4) uint16."
    ),
}


@pytest.mark.parametrize(("line", "message"), MESSAGES.items())
def test_bad_labels_are_one_line_and_status_1(folder, capsys, line, message):
    assert run(["evaluate", *line.split(), "--save-overlap", "both.overlap"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"mitotools evaluate: {message}\n")
    assert sorted(file.stem for file in folder.iterdir()) == sorted(VOLUMES)


def test_a_heatmap_and_scores_are_wrong_usage(folder, capsys):
    line = "prediction.h5 truth.h5 --heatmap maps.h5 --scores scores.tsv"
    assert run(["evaluate", *line.split()]) == 2
    assert capsys.readouterr().err == (
        "mitotools evaluate: --heatmap: ranks the predictions, and so does --scores. Give one.\n"
    )
    assert run(["evaluate", "--combine", "a.json", "b.json", "--heatmap", "maps.h5"]) == 2
    assert "--combine: reads scores, and computes none" in capsys.readouterr().err


def report(capsys, line):
    """Return the report of a comparison of which nothing is said besides."""
    assert run(["evaluate", *line.split(), "--format", "json", "--no-progress"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return json.loads(printed.out)


def test_signed_labels_without_a_negative_id_are_labels(folder, capsys):
    assert report(capsys, "harmless.h5 truth.h5")["ap"]["0.95"]["all"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("line", "ap"),
    [("nothing.h5 nothing.h5", None), ("prediction.h5 nothing.h5", None), ("nothing.h5 truth.h5", 0)],
)
def test_sides_without_instances_give_a_report_and_tables_with_a_header(folder, capsys, line, ap):
    found = report(capsys, f"{line} --matches m.tsv --bootstrap 3 --heatmap maps.h5")
    assert {by_class["all"] for by_class in found["ap"].values()} == {ap}
    header, *rows = (folder / "m.tsv").read_text().splitlines()
    assert header.split("\t") == [
        "truth", "prediction", "truth_voxels", "prediction_voxels", "iou", "verdict", "errors"
    ]  # fmt: skip
    assert len(rows) == found["prediction"]["instances"] + found["truth"]["instances"]
    assert run(["evaluate", *line.split(), "--format", "tsv", "-q"]) == 0
    assert capsys.readouterr().out.startswith("score\tsmall\tmedium\tlarge\tall\n")


def test_voxel_sizes_do_not_matter_known_or_not(folder, capsys):
    plain = report(capsys, "prediction.h5 truth.h5")
    with h5py.File("truth.h5", "a") as file:
        file["main"].attrs["voxel_size_nm"] = (30, 8, 8)
    known = report(capsys, "prediction.h5 truth.h5")
    assert plain.pop("history") != []
    known.pop("history")
    assert known == plain


def test_ids_beyond_63_bits_keep_their_digits_on_both_sides(folder, capsys):
    large = np.where(TRUTH > 0, np.uint64(2**63) + TRUTH, 0).astype(np.uint64)
    neighbours = np.where(large > 0, large - np.uint64(1), 0)
    for name, array in (("large", large), ("neighbours", neighbours)):
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = array
    (folder / "scores.tsv").write_text(f"id\tscore\n{2**63 + 4}\t.25\n{2**63 + 5}\t.5\n")

    found = report(
        capsys, "neighbours.h5 large.h5 --matches m.tsv --scores scores.tsv --save-overlap both.overlap"
    )

    assert found["ap"]["0.95"]["all"] == pytest.approx(1)
    rows = [line.split("\t")[:2] for line in (folder / "m.tsv").read_text().splitlines()[1:]]
    assert rows == [[str(2**63 + n), str(2**63 + n - 1)] for n in (5, 6)]
    again = report(capsys, "both.overlap --scores scores.tsv")
    assert again["ap"] == found["ap"]
