"""``mitotools stats`` on instances as a whole: skeletons, meshes, and several tables in one picture."""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest
import trimesh
from PIL import Image

from mitotools.cli.main import run
from mitotools.history import read_sidecar

SIZE = (12, 40, 60)


def rods():
    """A rod of 4 x 10 x 46 voxels along x, and a block of 4 x 12 x 12 that touches the border."""
    labels = np.zeros(SIZE, "uint16")
    labels[2:6, 5:15, 5:51] = 9
    labels[8:12, 20:32, 30:42] = 700
    return labels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, voxel_size in (("labels", (30.0, 8.0, 8.0)), ("unknown", None)):
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = rods()
            if voxel_size:
                file["main"].attrs["voxel_size_nm"] = voxel_size
    return tmp_path


def printed(line, capsys):
    assert run(line.split()) == 0
    out = capsys.readouterr().out
    return list(csv.DictReader(out.splitlines(), delimiter="\t"))


def refused(line, capsys, status=2):
    assert run(line.split()) == status
    return capsys.readouterr().err


def test_skeletons_add_their_columns_behind_the_others(folder, capsys):
    plain = printed("stats labels.h5 -q", capsys)
    rod, block = printed("stats labels.h5 -q --skeleton", capsys)
    assert {name: rod[name] for name in plain[0]} == plain[0]
    assert list(rod)[len(plain[0]) :][:4] == ["skeleton_voxels", "branches", "branch_points", "end_points"]
    # The rod is 46 x 8 nm long and 80 nm wide, of 120 nm in z; it has one branch with two ends.
    assert float(rod["skeleton_length_um"]) == pytest.approx(0.368, rel=0.05)
    assert float(rod["thickness_mean_nm"]) == pytest.approx(80, rel=0.1)
    assert (rod["branches"], rod["end_points"], rod["beads"], rod["neck_radius_nm"]) == ("1", "2", "1", "")
    assert float(block["thickness_max_nm"]) == pytest.approx(96, rel=0.1)


def test_without_a_voxel_size_skeletons_are_counted_and_not_measured(folder, capsys):
    rod, _ = printed("stats unknown.h5 -q --skeleton", capsys)
    assert int(rod["skeleton_voxels"]) > 30
    assert (rod["branches"], rod["skeleton_length_um"], rod["beads"]) == ("1", "", "")


@pytest.mark.parametrize("how", ["-t 1", "-t 3", "--workers 1", "--memory 9G"])
def test_skeletons_are_the_same_however_they_are_computed(folder, capsys, how):
    assert run(["convert", "labels.h5", "cut.zarr", "--chunks", "5,7,11", "-q"]) == 0
    assert printed(f"stats cut.zarr -q --skeleton {how}", capsys) == printed(
        "stats labels.h5 -q --skeleton", capsys
    )


@pytest.mark.parametrize("kind", ["ply", "obj"])
def test_a_mesh_of_each_instance_lies_where_the_instance_does(folder, capsys, kind):
    rows = printed(f"stats labels.h5 -q --mesh meshes --mesh-format {kind}", capsys)
    assert sorted(path.name for path in (folder / "meshes").iterdir()) == [f"700.{kind}", f"9.{kind}"]
    for row in rows:
        mesh = trimesh.load(folder / "meshes" / f"{row['id']}.{kind}")
        assert mesh.is_watertight
        assert mesh.volume / 1e9 == pytest.approx(float(row["volume_um3"]), rel=0.01)
        centre = [float(row[f"centroid_{axis}_nm"]) for axis in "xyz"]
        assert mesh.center_mass == pytest.approx(centre, abs=1)
    (record,) = read_sidecar(folder / "meshes")
    assert record["parameters"]["mesh_format"] == kind


def test_a_folder_of_meshes_is_replaced_with_force_alone_and_one_of_other_things_never(folder, capsys):
    assert run(["stats", "labels.h5", "--mesh", "meshes", "-q"]) == 0
    assert "meshes: exists already. Use --force" in refused("stats labels.h5 --mesh meshes", capsys, 1)
    (folder / "meshes" / "5.ply").write_bytes(b"of an earlier run")
    assert run(["stats", "labels.h5", "--mesh", "meshes", "-q", "-f"]) == 0
    assert sorted(path.name for path in (folder / "meshes").iterdir()) == ["700.ply", "9.ply"]
    (folder / "meshes" / "thesis.txt").write_text("mine")
    words = refused("stats labels.h5 --mesh meshes -f", capsys, 1)
    assert "is a folder with other things in it, which --force would delete" in words


def test_meshes_need_a_voxel_size(folder, capsys):
    words = refused("stats unknown.h5 --mesh meshes", capsys, 1)
    assert "unknown.h5: has no voxel size, which plots, reports and meshes need" in words
    assert not list(folder.glob("meshes*"))


@pytest.mark.parametrize("option", ["--plot p.png", "--report p.html", "--mesh p"])
def test_a_voxel_size_that_is_missing_is_said_before_anything_is_measured(
    folder, capsys, monkeypatch, option
):
    monkeypatch.setattr("mitotools.stages.stats.all_tables", pytest.fail)
    line = f"stats unknown.h5 --skeleton -o t.tsv {option}"
    assert "unknown.h5: has no voxel size, which plots, reports and meshes need" in refused(line, capsys, 1)


@pytest.mark.parametrize("option", ["--plot p.png", "--report p.html"])
def test_what_was_measured_is_kept_where_a_picture_fails(folder, capsys, option):
    (folder / "other.tsv").write_text("id\n4\n")
    words = refused(f"stats labels.h5 other.tsv -q -o t.tsv {option}", capsys, 1)
    assert words.startswith("mitotools stats: other.tsv: has no column volume_um3")
    rows = [line.split("\t")[:2] for line in (folder / "t.tsv").read_text().splitlines()]
    assert rows == [["source", "id"], ["labels.h5", "9"], ["labels.h5", "700"], ["other.tsv", "4"]]


def test_parts_of_one_volume_are_sources_of_their_own(folder, capsys):
    rows = printed("stats labels.h5[0:7,:,:] labels.h5[7:12,:,:] -q", capsys)
    assert [(row["source"], row["id"]) for row in rows] == [
        ("labels.h5[0:7,0:,0:]", "9"), ("labels.h5[7:12,0:,0:]", "700")
    ]  # fmt: skip
    words = refused("stats labels.h5[0:7,:,:] labels.h5[0:7,:,:]", capsys)
    assert "labels.h5[0:7,0:,0:]: is given twice" in words


def test_a_tile_set_is_a_volume_and_no_table(folder, capsys):
    labels = np.array([[[3, 3, 0], [0, 0, 8]], [[3, 0, 0], [0, 0, 0]]], np.uint8)
    for z, plane in enumerate(labels):
        Image.fromarray(plane).save(f"{z}.png")
    content = {"image": ["0.png", "1.png"], "depth": 2, "height": 2, "width": 3, "dtype": "uint8"}
    (folder / "set.json").write_text(json.dumps(content))
    rows = printed("stats set.json -q", capsys)
    assert [(row["id"], row["voxels"]) for row in rows] == [("3", "3"), ("8", "1")]


def test_a_json_table_without_rows_is_a_table_that_adds_none(folder, capsys):
    with h5py.File("empty.h5", "w") as file:
        file["main"] = np.zeros(SIZE, "uint8")
    assert run(["stats", "empty.h5", "-o", "empty.json", "-q"]) == 0
    assert printed("stats empty.json -q", capsys) == []
    rows = printed("stats empty.json labels.h5 -q", capsys)
    assert [(row["source"], row["id"]) for row in rows] == [("labels.h5", "9"), ("labels.h5", "700")]


def test_several_sources_make_one_table_that_says_whose_row_it_is(folder, capsys):
    assert run(["stats", "labels.h5", "--skeleton", "-o", "one.tsv", "-q"]) == 0
    rows = printed("stats one.tsv unknown.h5 -q", capsys)
    assert [(row["source"], row["id"]) for row in rows] == [
        ("one.tsv", "9"), ("one.tsv", "700"), ("unknown.h5", "9"), ("unknown.h5", "700"),
    ]  # fmt: skip
    assert [bool(row["skeleton_length_um"]) for row in rows] == [True, True, False, False]
    assert [row["voxels"] for row in rows] == ["1840", "576"] * 2


@pytest.mark.parametrize("suffix", ["tsv", "csv", "json", "parquet"])
def test_a_table_that_stats_wrote_is_read_as_it_was_printed(folder, capsys, suffix):
    assert run(["stats", "labels.h5", "--skeleton", "-o", f"t.{suffix}", "-q"]) == 0
    assert printed(f"stats t.{suffix} -q", capsys) == printed("stats labels.h5 --skeleton -q", capsys)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("t.tsv --raw labels.h5", "--raw: t.tsv is a table already, not a label volume"),
        ("t.tsv --skeleton", "--skeleton: t.tsv is a table already, not a label volume"),
        ("t.tsv --summary", "--summary: t.tsv is a table already, not a label volume"),
        ("labels.h5 unknown.h5 --within labels.h5", "--within: belongs to one volume. There are 2."),
        ("labels.h5 unknown.h5 --mesh m", "--mesh: belongs to one volume. There are 2."),
        ("labels.h5 labels.h5", "labels.h5: is given twice"),
        ("labels.h5 --plot p.pdf", "p.pdf: a plot is one of .png, .html"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, capsys, line, words):
    assert run(["stats", "labels.h5", "-o", "t.tsv", "-q"]) == 0
    assert words in refused(f"stats {line}", capsys)
    assert not list(folder.glob("*.p*"))
    assert not list(folder.glob("m*"))


def test_a_plot_shows_all_tables_and_keeps_their_history(folder, capsys):
    assert run(["stats", "labels.h5", "--skeleton", "-o", "one.tsv", "-q"]) == 0
    assert run(["stats", "one.tsv", "labels.h5", "--skeleton", "--plot", "p.png"]) == 2
    assert run(["stats", "one.tsv", "labels.h5", "--plot", "p.png", "-q"]) == 0
    capsys.readouterr()
    with Image.open(folder / "p.png") as image:
        assert image.size[0] > 800
    assert len(read_sidecar(folder / "p.png")) == 2
    assert run(["stats", "one.tsv", "labels.h5", "--plot", "p.html", "-q", "--summary", "-f"]) == 2
    assert run(["stats", "labels.h5", "--plot", "p.html", "-q", "--summary"]) == 0
    page = (folder / "p.html").read_text()
    assert "labels.h5" in page
    assert "<svg" in page
    assert "://" not in page.replace("http://www.w3.org", "")  # nothing is fetched


def test_a_plot_of_volumes_in_voxels_says_what_is_missing(folder, capsys):
    words = refused("stats unknown.h5 --plot p.png", capsys, 1)
    assert "unknown.h5" in words.splitlines()[-1]
    assert "voxel size" in words.splitlines()[-1]
    assert not list(folder.glob("p.png*"))
