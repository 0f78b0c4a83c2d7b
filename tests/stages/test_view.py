"""Pictures of volumes that the test builds, looked at pixel by pixel."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image, ImageColor
from stages.networks import write_volume

from mitotools.cli.main import run
from mitotools.stages import view
from mitotools.stages.scoring.judging import LEGEND
from mitotools.view.montage import picture_bytes

RAW = np.full((12, 60, 60), 100, np.uint8)
RAW[:, :, 0] = 0
RAW[:, :, 1] = 200


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A volume, what is true (1, 2, 3), and what was found: a hit, a miss and a false positive."""
    monkeypatch.chdir(tmp_path)
    truth = np.zeros(RAW.shape, np.uint8)
    truth[1:6, 5:15, 5:25] = 1
    truth[1:6, 25:35, 5:25] = 2
    found = np.zeros(RAW.shape, np.uint8)
    found[1:6, 5:15, 5:25] = 7
    found[6:11, 40:55, 30:50] = 9
    for name, array in (("raw", RAW), ("truth", truth), ("found", found)):
        write_volume(tmp_path / f"{name}.h5", array)
    return tmp_path


def colours_in(path) -> set[tuple[int, ...]]:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    return set(map(tuple, np.unique(pixels, axis=0).tolist()))


def of(kind: str) -> tuple[int, ...]:
    return ImageColor.getrgb(LEGEND[kind])


def test_colours_tell_what_became_of_instances(folder, capsys):
    assert run(["view", "raw.h5", "found.h5", "--truth", "truth.h5", "-o", "a.png", "--slices", "3,8"]) == 0
    assert {of("hit"), of("missed"), of("false positive")} <= colours_in(folder / "a.png")
    told = capsys.readouterr().err
    assert "a.png: slices 3, 8 along z" in told
    assert "found.h5: hit 1, poor fit 0, missed 1, false positive 1, split 0, merged 0" in told


def test_the_kind_of_an_instance_is_that_of_the_volume_not_of_the_slice(folder):
    """Slice 8 has no truth at all, and slice 3 no false positive."""
    counts = []
    for place in (3, 8):
        name = f"{place}.png"
        assert (
            run(["view", "raw.h5", "found.h5", "--truth", "truth.h5", "-o", name, "--slices", str(place)])
            == 0
        )
        with Image.open(folder / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))[:-56].reshape(-1, 3)  # above the legend
        counts.append([int((pixels == of(kind)).all(axis=1).sum() > 0) for kind in LEGEND])
    assert counts == [[1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]]


def test_a_higher_threshold_makes_a_hit_a_poor_fit(folder, capsys):
    nearly = np.zeros(RAW.shape, np.uint8)
    nearly[1:5, 5:15, 5:25] = 7  # 4 of the 5 slices: IoU .8
    write_volume(folder / "nearly.h5", nearly)
    for iou, told in (("0.8", "hit 1, poor fit 0, missed 1,"), ("0.81", "hit 0, poor fit 1, missed 1,")):
        words = [
            "view",
            "raw.h5",
            "nearly.h5",
            "--truth",
            "truth.h5",
            "-o",
            "a.png",
            "--hit-iou",
            iou,
            "--force",
        ]
        assert run(words) == 0
        assert told in capsys.readouterr().err


def test_slices_are_chosen_where_the_instances_asked_for_are_and_only_they_are_outlined(folder, capsys):
    assert run(["view", "raw.h5", "found.h5", "-o", "a.png", "--ids", "9"]) == 0
    assert "slices 6, 7, 8, 9, 10 along z" in capsys.readouterr().err
    assert run(["view", "raw.h5", "found.h5", "-o", "b.png", "--ids", "9", "--slices", "3"]) == 0
    assert all(r == g == b for r, g, b in colours_in(folder / "b.png"))


def test_of_the_truth_only_what_fits_the_instances_asked_for_is_outlined(folder):
    line = ["view", "raw.h5", "found.h5", "--truth", "truth.h5", "--slices", "3"]
    assert run([*line, "--ids", "7", "-o", "hit.png"]) == 0
    assert run([*line, "-o", "all.png"]) == 0
    missed = []
    for name in ("hit.png", "all.png"):
        with Image.open(folder / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))[:-56]  # above the legend
        missed.append(bool((pixels == of("missed")).all(axis=2).any()))
    assert missed == [False, True]


def test_a_row_is_named_with_its_crop(folder, monkeypatch):
    drawn = []
    monkeypatch.setattr(view, "draw_slices", lambda path, rows, *_: (path.touch(), drawn.extend(rows)))
    assert run(["view", "raw.h5[2:8,:,:]", "found.h5[2:8,:,:]", "-o", "a.png", "--slices", "0"]) == 0
    assert [(name, row[0].caption) for name, row in drawn] == [("found.h5[2:8,0:,0:]", "z 0")]


def test_a_legend_lists_the_kinds_that_there_are_with_their_counts(folder, monkeypatch):
    legends = []
    monkeypatch.setattr(view, "draw_slices", lambda path, *of: (path.touch(), legends.append(of[-1])))
    assert run(["view", "raw.h5", "found.h5", "--truth", "truth.h5", "-o", "a.png"]) == 0
    assert list(legends[0]) == ["hit 1", "missed 1", "false positive 1", "dotted: truth"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["found.h5", "--ids", "9,4,5"], "found.h5: has no instance 4, 5."),
        (["--truth", "truth.h5"], "--truth: judges predictions, and there are none. Name LABELS too."),
        (["found.h5", "--slices", "12"], "raw.h5: has slices 0 to 11 along z, not 12."),
        (["small.h5"], "small.h5 and raw.h5: have different shapes, (3, 4, 5) and (12, 60, 60)."),
        (["found.h5", "--truth", "small.h5"], "have different shapes"),
    ],
)
def test_what_cannot_be_drawn_is_said(folder, capsys, words, why):
    write_volume(folder / "small.h5", np.ones((3, 4, 5), np.uint8))
    assert run(["view", "raw.h5", *words, "-o", "a.png"]) > 0
    told = capsys.readouterr().err
    assert why in told
    assert told.count("\n") == 1
    assert not (folder / "a.png").exists()


def test_a_picture_that_exists_is_kept_and_no_volume_is_read_for_nothing(folder, capsys):
    (folder / "a.png").write_text("mine")
    assert run(["view", "raw.h5", "found.h5", "--truth", "truth.h5", "-o", "a.png"]) == 1
    assert (folder / "a.png").read_text() == "mine"
    assert "hit" not in capsys.readouterr().err


@pytest.mark.parametrize(("axis", "shape"), [("z", (60, 60)), ("y", (12, 60)), ("x", (12, 60))])
def test_slices_across_any_axis_are_drawn_with_the_proportions_of_the_voxels(folder, axis, shape):
    write_volume(folder / "flat.h5", RAW, voxel_size_nm=(20.0, 5.0, 5.0))
    assert run(["view", "flat.h5", "-o", "a.png", "--axis", axis, "--slices", "4"]) == 0
    with Image.open(folder / "a.png") as picture:
        width, height = picture.size
    stretch = 1 if axis == "z" else 4
    assert (height - 34 - 26) / (width - 8) == pytest.approx(stretch * shape[0] / shape[1], rel=0.02)


@pytest.mark.parametrize("target", ["a.png", "a.html"])
@pytest.mark.parametrize("longest", ["1024", "16"], ids=["as it is", "made smaller"])
@pytest.mark.parametrize("kind", ["mask", "holes"])
def test_masks_and_volumes_with_holes_are_drawn(folder, capsys, kind, target, longest):
    array = RAW > 150 if kind == "mask" else np.where(RAW > 150, np.nan, RAW).astype(np.float32)
    write_volume(folder / "odd.h5", array)
    assert run(["view", "odd.h5", "truth.h5", "-o", target, "--slices", "3", "--longest", longest]) == 0
    assert capsys.readouterr().err == f"mitotools view: {target}: slices 3 along z, 0.1 MB\n"


@pytest.mark.parametrize(
    "line",
    [
        "raw.h5 -o a.png",
        "raw.h5 found.h5 -o a.png --slices 3",
        "raw.h5 -o a.html",
        "raw.h5 -o a.png --axis x",
    ],
)
def test_a_budget_that_is_too_small_is_refused_and_the_least_is_enough(folder, capsys, line):
    assert run(["view", *line.split(), "--memory", "10M"]) == 1
    words = capsys.readouterr().err
    least = int(re.search(r"--memory: 10M is too little for this\. The least is (\d+)M\.$", words)[1])
    assert not list(folder.glob("a.*"))
    # Some more, because this process has read a volume since then.
    assert run(["view", *line.split(), "--memory", f"{least + 10}M"]) == 0


def test_a_picture_of_more_slices_needs_more_memory():
    """Of 1000 x 1000 pixels 110 bytes while one is drawn, and 8 for each that is in the picture."""
    assert picture_bytes((1000, 1000), None, 6, 1024) == 158 * 10**6
    # Of slices that are enlarged (120 to 480) or stretched (30 nm to 10), their pixels as they are shown.
    assert picture_bytes((120, 120), None, 1, 1024) == 480 * 480 * 118
    assert picture_bytes((1000, 1000), (30.0, 10.0), 1, 4096) == 3 * 118 * 10**6
    # Larger ones are read as they are.
    assert picture_bytes((2000, 2000), None, 1, 1000) == 4 * 118 * 10**6
