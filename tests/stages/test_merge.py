"""Tiles of our own plans, put together again."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from tile_files import merge, read, save

from mitotools.errors import InputError, TargetError, UsageError
from mitotools.parameters import MergeParameters, TileParameters
from mitotools.run.running import Running
from mitotools.stages.tile import tile_volume
from mitotools.volume.atomic import remove
from mitotools.volume.path import VolumePath

VOLUME = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype="uint8")
GRID = TileParameters((5, 4, 4), (1, 1, 1))
NAMES = ["raw_0-5-0-5-0-5.h5", "raw_0-5-0-5-3-7.h5", "raw_0-5-3-6-0-5.h5", "raw_0-5-3-6-3-7.h5"]


def cut(folder, array, parameters=GRID, **attributes):
    save(folder / "raw.h5", array, **attributes)
    running = Running(threads=2, command_line="tile", force=True)
    return tile_volume(VolumePath(str(folder / "raw.h5")), folder / "tiles", parameters, running)


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
HALOS = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=SIZES,
    size=SIZES,
    halo=HALOS,
    channels=st.none() | st.integers(1, 3),
    dtype=st.sampled_from(["uint8", "uint64", "float32", "bool"]),
    blend=st.sampled_from(["bump", "gaussian", "none"]),
    threads=st.integers(1, 3),
    block_bytes=st.integers(1, 500),
    target=st.sampled_from(["out.h5", "out.zarr"]),
)
def test_cut_tiles_merge_into_the_volume_whatever_their_size_and_halo(
    tmp_path, monkeypatch, shape, size, halo, channels, dtype, blend, threads, block_bytes, target
):
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", block_bytes)
    shape = shape if channels is None else (channels, *shape)
    array = np.random.default_rng(1).integers(0, 2**8, shape).astype(dtype)
    size = tuple(
        max(side, -(-length // 3)) for side, length in zip(size, shape[-3:], strict=True)
    )  # 27 tiles
    try:
        cut(tmp_path, array, TileParameters(size, halo))
    except UsageError:
        reject()
    merge(tmp_path / "tiles", tmp_path / target, MergeParameters(blend), threads=threads, force=True)
    found, spec = read(tmp_path / target)
    assert spec.dtype == array.dtype
    assert found.shape == array.shape
    assert np.array_equal(found, array)


@pytest.mark.parametrize("name", ["t.unfinished", "t.unfinished/plan.json", "t.unfinished/*.h5"])
def test_tiles_that_are_not_all_cut_are_refused_once(tmp_path, name):
    cut(tmp_path, VOLUME)
    (tmp_path / "tiles").rename(tmp_path / "t.unfinished")
    with pytest.raises(InputError) as caught:
        merge(tmp_path / name, tmp_path / "out.h5")
    assert str(caught.value).startswith(f"{tmp_path / 't.unfinished'}: is not finished: another run")


@pytest.mark.parametrize("name", ["tiles", "tiles/plan.json", "tiles/*.h5", "til*/raw_*.h5"])
def test_tiles_are_named_by_folder_plan_or_pattern(tmp_path, name):
    cut(tmp_path, VOLUME)
    merge(tmp_path / name, tmp_path / "out.h5")
    assert np.array_equal(read(tmp_path / "out.h5")[0], VOLUME)


def test_tiles_are_named_one_by_one_in_any_order_and_twice_is_once(tmp_path):
    cut(tmp_path, VOLUME)
    files = [tmp_path / "tiles" / name for name in reversed(NAMES)]
    merge([*files, tmp_path / "tiles"], tmp_path / "out.h5")
    found, spec = read(tmp_path / "out.h5")
    assert np.array_equal(found, VOLUME)
    assert [entry["path"] for entry in spec.history[-1]["inputs"]] == [str(file) for file in reversed(files)]


def test_voxel_size_and_history_come_from_the_tiles(tmp_path):
    cut(tmp_path, VOLUME, voxel_size_nm=(30.0, 8.0, 8.0))
    merge(tmp_path / "tiles", tmp_path / "out.zarr")
    _, spec = read(tmp_path / "out.zarr")
    assert spec.voxel_size_nm == (30, 8, 8)
    assert [record["command_line"] for record in spec.history] == ["tile", "merge"]
    assert spec.history[-1]["parameters"] == {
        "blend": "bump",
        "fill": None,
        "chunks": None,
        "compression": "default",
    }


def test_a_halo_is_dropped_whatever_it_holds(tmp_path):
    cut(tmp_path, VOLUME)
    with h5py.File(tmp_path / "tiles" / NAMES[0], "r+") as file:
        file["main"][:, 4:], file["main"][:, :, 4:] = 99, 99
    merge(tmp_path / "tiles", tmp_path / "out.h5")
    assert np.array_equal(read(tmp_path / "out.h5")[0], VOLUME)


def test_a_missing_tile_is_a_hole_that_is_named_or_filled(tmp_path):
    cut(tmp_path, VOLUME)
    (tmp_path / "tiles" / NAMES[2]).unlink()
    with pytest.raises(
        InputError,
        match=r"leave holes: \[0:5,4:6,0:4\]\. Predict the other parts first, or give --fill VALUE",
    ) as caught:
        merge(tmp_path / "tiles", tmp_path / "out.h5")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()
    merge(tmp_path / "tiles", tmp_path / "out.h5", MergeParameters(fill=7))
    expected = VOLUME.copy()
    expected[:, 4:, :4] = 7
    assert np.array_equal(read(tmp_path / "out.h5")[0], expected)


def test_a_tile_that_the_plan_names_and_is_missing_is_listed(tmp_path):
    cut(tmp_path, VOLUME)
    (tmp_path / "tiles" / NAMES[2]).unlink()
    with pytest.raises(InputError, match=f"1 of 4 tiles: cannot be used: .*{NAMES[2]}: no such file"):
        merge(tmp_path / "tiles" / "plan.json", tmp_path / "out.h5")


def test_tiles_that_the_plan_names_and_are_missing_are_holes_where_these_are_filled(tmp_path):
    cut(tmp_path, VOLUME)
    (tmp_path / "tiles" / NAMES[2]).unlink()
    merge(tmp_path / "tiles" / "plan.json", tmp_path / "out.h5", MergeParameters(fill=7))
    expected = VOLUME.copy()
    expected[:, 4:, :4] = 7
    assert np.array_equal(read(tmp_path / "out.h5")[0], expected)
    for name in NAMES:
        (tmp_path / "tiles" / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="the tiles: there are none"):
        merge(tmp_path / "tiles" / "plan.json", tmp_path / "none.h5", MergeParameters(fill=7))


@pytest.mark.parametrize("is_labels", [False, True])
def test_tiles_of_labels_become_labels(tmp_path, is_labels):
    cut(tmp_path, VOLUME, **({"is_labels": 1} if is_labels else {}))
    merge(tmp_path / "tiles", tmp_path / "out.zarr")
    assert read(tmp_path / "out.zarr")[1].is_labels == is_labels


def test_broken_tiles_are_listed_and_counted(tmp_path):
    cut(tmp_path, np.tile(VOLUME, (2, 2, 2)), TileParameters((5, 6, 4)))
    files = sorted((tmp_path / "tiles").glob("*.h5"))
    for file in files[:6]:
        file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(InputError, match=r"6 of 16 tiles: cannot be used: .* and 1 more\.") as caught:
        merge(tmp_path / "tiles", tmp_path / "out.h5")
    assert str(caught.value).count("cannot be read as HDF5") == 5
    assert "\n" not in str(caught.value)


def test_tiles_of_two_plans_are_not_mixed(tmp_path):
    cut(tmp_path, VOLUME)
    (tmp_path / "tiles").rename(tmp_path / "first")
    cut(tmp_path, VOLUME, TileParameters((5, 6, 7)))
    with pytest.raises(InputError, match="they belong to more than one plan"):
        merge([tmp_path / "first", tmp_path / "tiles"], tmp_path / "out.h5")


THIRD = VOLUME[:, 3:, :5]
STATED = {"core": (0, 5, 4, 6, 0, 4), "volume_size": (5, 6, 7)}
UNFIT = [
    (THIRD.astype("uint16"), STATED, "has type uint16, but"),
    (THIRD[None], STATED, "has channels 1, but"),
    (THIRD, {**STATED, "volume_size": (5, 6, 8)}, "has volume size"),
    (THIRD, {}, "has volume size None, but"),
    (THIRD, {**STATED, "voxel_size_nm": (8, 8, 8)}, "has voxel size"),
    (THIRD, {"core": (0, 5, 4, 7, 0, 4), "volume_size": (5, 9, 7)}, "state the core [0:5,4:7,0:4]"),
    (THIRD, {**STATED, "core": (0, 5, 6, 4, 0, 4)}, "state the core"),
    (THIRD, {**STATED, "volume_size": (5, 5, 7)}, "state the core"),
    (THIRD, {**STATED, "core": (-5, 5, 4, 6, 0, 4)}, "state the core"),
    (THIRD[:, :, :4], STATED, "its name states"),
    (np.zeros((5, 3)), {}, "expected three dimensions"),
]


@pytest.mark.parametrize(("array", "attributes", "why"), UNFIT, ids=[case[2] for case in UNFIT])
def test_a_tile_that_does_not_fit_the_others_is_named(tmp_path, array, attributes, why):
    cut(tmp_path, VOLUME)
    save(tmp_path / "tiles" / NAMES[2], array, **attributes)
    with pytest.raises(InputError) as caught:
        merge(tmp_path / "tiles", tmp_path / "out.h5")
    assert why in str(caught.value)
    assert NAMES[2] in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_other_files_among_the_tiles_are_an_error_and_hidden_ones_are_not(tmp_path):
    cut(tmp_path, VOLUME)
    (tmp_path / "tiles" / f"._{NAMES[0]}").write_text("left behind by macOS")
    merge(tmp_path / "tiles", tmp_path / "tiles" / "maps.h5")
    with pytest.raises(InputError, match=r"maps\.h5: its name does not end in _z0-z1"):
        merge(tmp_path / "tiles", tmp_path / "out.h5")


@pytest.mark.parametrize("name", ["nowhere", "nowhere.json", "empty", "empty/*.h5"])
def test_no_tiles_are_an_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        merge(tmp_path / name, tmp_path / "out.h5")


def test_an_existing_target_is_refused_before_the_tiles_are_opened(tmp_path):
    (tmp_path / "out.h5").write_text("precious")
    with pytest.raises(TargetError, match="exists already"):
        merge(tmp_path / "nowhere", tmp_path / "out.h5")
    assert (tmp_path / "out.h5").read_text() == "precious"


def test_a_tile_that_disappears_during_the_work_leaves_no_volume(tmp_path):
    cut(tmp_path, VOLUME)

    def remove_a_tile(items, total, label, unit):
        (tmp_path / "tiles" / NAMES[3]).unlink()
        yield from items

    with pytest.raises(InputError, match="no such file"):
        merge(tmp_path / "tiles", tmp_path / "out.zarr", track=remove_a_tile, threads=1)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith("out")]
    remove(tmp_path / "tiles")
