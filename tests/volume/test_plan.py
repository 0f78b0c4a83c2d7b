"""Plans of tiles, and the names of tile files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from volume_files import outcome, refusal

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import Plan, Tile, extent_in_name, flat, read_plan, unflat, write_plan

PLAN = Plan(
    volume=VolumePath("raw.h5", "volumes/raw", ((0, 10), (5, None), (0, None)), 1),
    name="raw",
    shape=(10, 9, 8),
    size=(10, 5, 5),
    halo=(1, 2, 3),
    voxel_size_nm=(30.0, 8.0, 8.0),
    history=({"command_line": "mitotools tile"},),
)
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))


def save(folder, plan=PLAN):
    folder.mkdir(exist_ok=True)
    write_plan(folder / "plan.json", plan, folder)
    return folder / "plan.json"


def changed(file, **changes):
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **changes}))
    return file


def test_the_tiles_of_a_plan_are_blocks_with_their_halo_in_raster_order():
    assert PLAN.count == 4
    assert PLAN.tiles == [
        Tile(Box((0, 0, 0), (10, 5, 5)), Box((0, 0, 0), (10, 7, 8))),
        Tile(Box((0, 0, 5), (10, 5, 8)), Box((0, 0, 2), (10, 7, 8))),
        Tile(Box((0, 5, 0), (10, 9, 5)), Box((0, 3, 0), (10, 9, 8))),
        Tile(Box((0, 5, 5), (10, 9, 8)), Box((0, 3, 2), (10, 9, 8))),
    ]
    assert PLAN.file_name(PLAN.tiles[3]) == "raw_0-10-3-9-2-8.h5"


@given(shape=SIZES, size=SIZES, halo=SIZES)
def test_cores_cover_every_voxel_once_and_lie_in_their_tiles(shape, size, halo):
    plan = replace(PLAN, shape=shape, size=size, halo=halo)
    names = {plan.file_name(tile) for tile in plan.tiles}
    assert bool(plan.flaw) == (len(names) < len(plan.tiles))
    counts = np.zeros(shape, int)
    for tile in plan.tiles:
        counts[tile.core.slices] += 1
        assert tile.extent.contains(tile.core)
        assert Box.whole(shape).contains(tile.extent)
        assert extent_in_name(plan.file_name(tile)) == tile.extent
    assert (counts == 1).all()
    assert len(plan.tiles) == plan.count
    assert plan.largest in {tile.extent.shape for tile in plan.tiles}
    assert math.prod(plan.largest) == max(math.prod(tile.extent.shape) for tile in plan.tiles)


def test_a_plan_reads_back_with_its_volume_relative_to_where_it_lies(tmp_path, monkeypatch):
    plan = replace(PLAN, volume=replace(PLAN.volume, file=str(tmp_path / "data" / "raw.h5")))
    file = save(tmp_path / "plans", plan)
    assert json.loads(file.read_text())["volume"] == "../data/raw.h5:volumes/raw[1,0:10,5:,0:]"
    assert read_plan(file) == plan
    (tmp_path / "plans").rename(tmp_path / "moved")
    assert read_plan(tmp_path / "moved" / "plan.json") == plan
    monkeypatch.chdir(tmp_path / "moved")
    (tmp_path / "data").mkdir()
    assert read_plan(Path("plan.json")).volume.file == "../data/raw.h5"


def test_a_plan_states_its_tiles_for_other_programs(tmp_path):
    tiles = json.loads(save(tmp_path).read_text())["tiles"]
    assert tiles[3] == {"core": [0, 10, 5, 9, 5, 8], "extent": [0, 10, 3, 9, 2, 8]}


@pytest.mark.parametrize(
    "volume", ["cell.zarr:labels/mito", "slices/*.png", "stack", "a:b.tif", "-odd [name].h5"]
)
@pytest.mark.parametrize("voxel_size_nm", [None, (12.5, 3.25, 1 / 3)])
def test_any_volume_reads_back(tmp_path, volume, voxel_size_nm):
    file, _, dataset = volume.partition(":labels")
    path = VolumePath(str(tmp_path / file), f"labels{dataset}" if dataset else None)
    plan = replace(PLAN, volume=path, voxel_size_nm=voxel_size_nm)
    assert read_plan(save(tmp_path, plan)) == plan


HUGE = 10**18


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "something else"},
        {"kind": None},
        {"name": "../../etc/passwd"},
        {"name": "/etc/passwd"},
        {"name": "a\0b"},
        {"name": "a\nb"},
        {"name": 5},
        {"volume": 5},
        {"volume": ""},
        {"volume": "raw.h5[1,2,3]"},
        {"shape": [10, 9]},
        {"shape": [10, 9, 8, 7]},
        {"shape": [0, 9, 8]},
        {"shape": [-10, 9, 8]},
        {"shape": [10.5, 9, 8]},
        {"shape": [float("inf"), 9, 8]},
        {"shape": [float("nan"), 9, 8]},
        {"shape": "10"},
        {"shape": None},
        {"shape": [HUGE, HUGE, HUGE]},
        {"size": [1, 1, 1], "shape": [10**4, 10**4, 10**4]},
        {"size": [1, 1, 1], "shape": [1, 10**5, 2], "halo": [0, 0, 0]},
        {"size": [0, 5, 5]},
        {"size": [-5, 5, 5]},
        {"size": ["5", 5, 5]},
        {"halo": [-1, 0, 0]},
        {"halo": [HUGE, HUGE, HUGE]},
        {"halo": [0, 5, 0]},
        {"voxel_size_nm": 5},
        {"voxel_size_nm": ["a", "b", "c"]},
    ],
    ids=str,
)
def test_a_hostile_plan_is_refused(tmp_path, change):
    error = refusal(read_plan, changed(save(tmp_path), **change))
    assert isinstance(error, InputError)
    assert "is not a plan" in str(error)


@pytest.mark.parametrize("key", ["kind", "volume", "name", "shape", "size", "halo", "voxel_size_nm"])
def test_a_plan_with_something_missing_is_refused(tmp_path, key):
    file = save(tmp_path)
    content = json.loads(file.read_text())
    del content[key]
    file.write_text(json.dumps(content))
    assert "is not a plan" in str(refusal(read_plan, file))


@pytest.mark.parametrize("content", [b"", b"words", b"[]", b"5", b"null", b"\xff", b"[" * 10**5])
def test_what_is_no_plan_is_refused(tmp_path, content):
    (tmp_path / "plan.json").write_bytes(content)
    assert "is not a plan" in str(refusal(read_plan, tmp_path / "plan.json"))


def test_a_plan_that_is_not_there_is_an_error(tmp_path):
    assert "no such file" in str(refusal(read_plan, tmp_path / "plan.json"))
    assert "no such file" in str(refusal(read_plan, tmp_path))


def test_a_halo_larger_than_the_volume_and_an_odd_history_do_no_harm(tmp_path):
    plan = read_plan(changed(save(tmp_path), size=[10, 9, 8], halo=[HUGE, HUGE, HUGE], history=[1, {"a": 1}]))
    assert plan.tiles == [Tile(Box.whole(plan.shape), Box.whole(plan.shape))]
    assert plan.history == ({"a": 1},)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4), max_leaves=6)  # fmt: skip


@given(
    key=st.sampled_from(["volume", "name", "shape", "size", "halo", "voxel_size_nm", "history"]), value=JSON
)
def test_any_value_in_a_plan_is_read_or_refused(tmp_path_factory, key, value):
    file = changed(save(tmp_path_factory.getbasetemp() / "any"), **{key: value})
    assert isinstance(outcome(read_plan, file), Plan | InputError)


@pytest.mark.parametrize(
    ("name", "extent"),
    [
        ("rat_0-13-0-40-50-96.h5", (0, 13, 0, 40, 50, 96)),
        ("rat_run_2_0-13-0-40-50-96.h5", (0, 13, 0, 40, 50, 96)),
        ("rat_run_2_0-13-0-40-50-96_xy.h5", (0, 13, 0, 40, 50, 96)),
        ("rat_0-13-0-40-50-96_txyz.hdf5", (0, 13, 0, 40, 50, 96)),
        ("RAT_0-13-0-40-50-96_TXY.H5", (0, 13, 0, 40, 50, 96)),
        ("rat_1-2-3-4-5-6_0-13-0-40-50-96.hdf", (0, 13, 0, 40, 50, 96)),
        ("_0-13-0-40-50-96.h5", (0, 13, 0, 40, 50, 96)),
        ("rat-1_0-13-0-40-50-96.h5", (0, 13, 0, 40, 50, 96)),
        ("0-13-0-40-50-96.h5", None),
        ("rat_0-13-0-40-50.h5", None),
        ("rat_0-13-0-40-50-96-7.h5", None),
        ("rat_0-13-0-40-50-96_xy_2.h5", None),
        ("rat_0-13-0-40-50-96.tif", None),
        ("rat_0-13-0--40-50-96.h5", None),
        ("maps.h5", None),
        ("", None),
    ],
)
def test_a_tile_states_its_extent_in_its_name(name, extent):
    assert extent_in_name(name) == (None if extent is None else unflat(extent))


def test_an_extent_is_written_axis_by_axis():
    assert flat(Box((1, 3, 5), (2, 4, 6))) == (1, 2, 3, 4, 5, 6)
    assert unflat((1, 2, 3, 4, 5, 6)) == Box((1, 3, 5), (2, 4, 6))
