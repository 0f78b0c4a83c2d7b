"""Plans of a grid, and cut tiles."""

from __future__ import annotations

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from mitotools.errors import InputError, TargetError, UsageError
from mitotools.parameters import TileParameters
from mitotools.run.running import Running
from mitotools.stages.tile import tile_volume
from mitotools.volume.path import VolumePath, parse_volume_path
from mitotools.volume.plan import read_plan

VOLUME = np.arange(5 * 6 * 7, dtype="uint8").reshape(5, 6, 7)
PARAMETERS = TileParameters(size_voxels=(5, 4, 4), halo_voxels=(1, 1, 1))
TILES = {
    "raw_0-5-0-5-0-5.h5": ([0, 5, 0, 4, 0, 4], np.s_[0:5, 0:5, 0:5]),
    "raw_0-5-0-5-3-7.h5": ([0, 5, 0, 4, 4, 7], np.s_[0:5, 0:5, 3:7]),
    "raw_0-5-3-6-0-5.h5": ([0, 5, 4, 6, 0, 4], np.s_[0:5, 3:6, 0:5]),
    "raw_0-5-3-6-3-7.h5": ([0, 5, 4, 6, 4, 7], np.s_[0:5, 3:6, 3:7]),
}


@pytest.fixture
def raw(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["main"] = VOLUME
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
    return tmp_path / "raw.h5"


def tile(source, target, parameters=PARAMETERS, **running):
    running = Running(**{"threads": 2, "command_line": "mitotools tile raw tiles", **running})
    return tile_volume(parse_volume_path(str(source)), target, parameters, running)


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_tiles_are_named_by_their_extent_and_state_their_core(raw, tmp_path):
    plan = tile(raw, tmp_path / "tiles")
    assert plan.count == 4
    assert names_in(tmp_path / "tiles") == ["plan.json", *sorted(TILES)]
    for name, (core, index) in TILES.items():
        with h5py.File(tmp_path / "tiles" / name) as file:
            assert np.array_equal(file["main"], VOLUME[index])
            attributes = file["main"].attrs
            assert attributes["core"].tolist() == core
            assert attributes["volume_size"].tolist() == [5, 6, 7]
            assert attributes["voxel_size_nm"].tolist() == [30, 8, 8]
            assert json.loads(attributes["history"])[-1]["command_line"] == "mitotools tile raw tiles"


def test_the_plan_beside_the_tiles_names_the_volume_and_reads_back(raw, tmp_path):
    plan = tile(raw, tmp_path / "tiles")
    assert json.loads((tmp_path / "tiles" / "plan.json").read_text())["volume"] == "../raw.h5"
    found = read_plan(tmp_path / "tiles" / "plan.json")
    assert (found.volume, found.name, found.tiles) == (plan.volume, plan.name, plan.tiles)


def test_a_plan_alone_cuts_nothing(raw, tmp_path):
    plan = tile(raw, tmp_path / "plan.json")
    assert names_in(tmp_path) == ["plan.json", "raw.h5"]
    assert json.loads((tmp_path / "plan.json").read_text())["volume"] == "raw.h5"
    found = read_plan(tmp_path / "plan.json")
    assert found.tiles == plan.tiles
    assert found.shape == (5, 6, 7)
    assert found.voxel_size_nm == (30, 8, 8)
    assert found.history[0]["parameters"] == {"size_voxels": [5, 4, 4], "halo_voxels": [1, 1, 1]}


def test_a_crop_is_planned_in_its_own_coordinates(raw, tmp_path):
    plan = tile(f"{raw}[1:5,2:,:]", tmp_path / "plan.json")
    assert plan.shape == (4, 4, 7)
    assert read_plan(tmp_path / "plan.json").volume == VolumePath(
        str(raw), None, ((1, 5), (2, None), (0, None))
    )


def test_channels_are_cut_together(tmp_path):
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["main"] = np.stack([VOLUME, VOLUME + 1])
    tile(tmp_path / "maps.h5", tmp_path / "tiles")
    with h5py.File(tmp_path / "tiles" / "maps_0-5-3-6-3-7.h5") as file:
        assert np.array_equal(file["main"], np.stack([VOLUME, VOLUME + 1])[:, :, 3:, 3:])


@pytest.mark.parametrize(
    ("pattern", "name"), [("stack", "stack"), ("stack/*.png", "stack"), ("stack/z000?.png", "stack")]
)
def test_tiles_of_slices_are_named_after_their_folder(raw, tmp_path, pattern, name):
    from mitotools.parameters import ConvertParameters
    from mitotools.stages.convert import convert_volume

    convert_volume(VolumePath(str(raw)), VolumePath(str(tmp_path / "stack")), ConvertParameters(), Running())
    assert tile(tmp_path / pattern, tmp_path / "plan.json").name == name


def test_existing_tiles_are_replaced_by_force_alone(raw, tmp_path):
    tile(raw, tmp_path / "tiles")
    with pytest.raises(TargetError, match="exists already"):
        tile(raw, tmp_path / "tiles")
    tile(raw, tmp_path / "tiles", TileParameters((5, 6, 7)), force=True)
    assert names_in(tmp_path / "tiles") == ["plan.json", "raw_0-5-0-6-0-7.h5"]


def test_resuming_leaves_the_same_plan_alone_and_refuses_another_by_name(raw, tmp_path, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "plan.json"
    tile(raw, path, resume=True)
    before = path.read_bytes(), path.stat().st_mtime_ns
    tile(raw, path, resume=True, command_line="mitotools tile --resume")
    assert caplog.messages == [f"{path} is complete already"]
    with pytest.raises(TargetError, match=r"was made with other size_voxels\. Use --force to replace it"):
        tile(raw, path, TileParameters((5, 6, 7), PARAMETERS.halo_voxels), resume=True)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["main"] = VOLUME
    with pytest.raises(TargetError, match=r"was made with other .*other\.h5"):
        tile(tmp_path / "other.h5", path, resume=True)
    with pytest.raises(TargetError, match=r"was made with other crop of .*raw\.h5"):
        tile(f"{raw}[0:4,:,:]", path, resume=True)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    tile(raw, path, TileParameters((5, 6, 7)), resume=True, force=True)
    assert read_plan(path).count == 1


def test_resuming_replaces_no_file_that_is_no_plan(raw, tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(TargetError, match="is there, but unreadable"):
        tile(raw, tmp_path / "plan.json", resume=True)
    assert (tmp_path / "plan.json").read_text() == "{}"


def test_tiles_that_the_disk_may_have_no_room_for_are_said_before_they_are_cut(
    raw, tmp_path, caplog, monkeypatch
):
    """Tiles of 5 x 5 x 5, 5 x 5 x 4, 5 x 3 x 5 and 5 x 3 x 4 bytes, 360 together."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=360))
    tile(raw, tmp_path / "enough")
    assert caplog.messages == []
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=359))
    tile(raw, tmp_path / "less")
    assert caplog.messages == [f"{tmp_path / 'less'} needs 1M of disk uncompressed, and 1M are free"]


@pytest.mark.parametrize("other", ["notes.txt", "maps.h5", "more/notes.txt"])
def test_force_deletes_no_folder_that_holds_more_than_tiles(raw, tmp_path, other):
    tile(raw, tmp_path / "tiles")
    (tmp_path / "tiles" / other).parent.mkdir(exist_ok=True)
    (tmp_path / "tiles" / other).write_text("precious")
    with pytest.raises(TargetError, match="other things"):
        tile(raw, tmp_path / "tiles", force=True)
    assert (tmp_path / "tiles" / other).read_text() == "precious"


def test_a_target_that_is_neither_plan_nor_folder_is_refused(raw, tmp_path):
    with pytest.raises(TargetError, match=r"a plan ends in \.json"):
        tile(raw, tmp_path / "tiles.h5")
    assert names_in(tmp_path) == ["raw.h5"]


def test_more_tiles_than_anybody_means_are_wrong_usage(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("main", shape=(200, 200, 200), dtype="u1", chunks=(200, 200, 200))
    for target in ("plan.json", "tiles"):
        with pytest.raises(UsageError, match="--size: makes more than 100000 tiles"):
            tile(tmp_path / "raw.h5", tmp_path / target, TileParameters((1, 1, 1)))
    assert names_in(tmp_path) == ["raw.h5"]


def test_a_halo_that_makes_tiles_the_same_is_wrong_usage(raw, tmp_path):
    with pytest.raises(UsageError, match="hold the same voxels"):
        tile(raw, tmp_path / "tiles", TileParameters((3, 6, 7), (3, 0, 0)))
    assert tile(raw, tmp_path / "tiles", TileParameters((3, 6, 7), (1, 0, 0))).count == 2


def test_a_source_that_breaks_off_leaves_no_tiles(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("main", data=np.random.default_rng(0).random((8, 64, 64)), chunks=(1, 64, 64))
        offset = file["main"].id.get_chunk_info(5).byte_offset
    with (tmp_path / "raw.h5").open("r+b") as file:
        file.truncate(offset + 100)
    with pytest.raises(InputError):
        tile(tmp_path / "raw.h5", tmp_path / "tiles", TileParameters((1, 64, 64)))
    assert names_in(tmp_path) == ["raw.h5"]
