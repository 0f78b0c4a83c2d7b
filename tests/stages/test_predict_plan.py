"""Maps of tiles, computed apart and put together again."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from stages.networks import write_model, write_phantom

from mitotools.errors import MachineError, TargetError
from mitotools.parameters import MergeParameters, PredictParameters, TileParameters
from mitotools.run.running import Running
from mitotools.stages import predict as stage
from mitotools.stages.blocks.parts_of_volume import Part
from mitotools.stages.merge import merge_tiles
from mitotools.stages.predict import predict_plan, predict_volume
from mitotools.stages.tile import tile_volume
from mitotools.volume.path import parse_volume_path
from mitotools.volume.plan import write_plan

EXACT = PredictParameters(precision="float32", overlap=0.4, backend="torch")
QUIET = Running(threads=2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with raw.h5, model.safetensors, its direct maps and a plan of 8 tiles."""
    folder = tmp_path_factory.mktemp("shared")
    raw, _ = write_phantom(folder)
    model = write_model(folder / "model.safetensors")
    predict_volume(raw, parse_volume_path(str(folder / "direct.h5")), model, EXACT, QUIET)
    planned(folder, (12, 20, 22), (0, 0, 0), "plan.json")
    return folder


@pytest.fixture
def tiles(shared, tmp_path):
    """A folder with all tiles of the plan."""
    folder = tmp_path / "tiles"
    apply(shared, folder)
    return folder


def planned(shared, size, halo, name):
    source = parse_volume_path(str(shared / "raw.h5"))
    tile_volume(source, shared / name, TileParameters(size, halo), Running(force=True))
    return shared / name


def apply(shared, folder, part=(1, 1), plan="plan.json", model=None, running=QUIET, resume=None, **change):
    model = model or shared / "model.safetensors"
    parameters = replace(EXACT, **change)
    running = replace(running, resume=resume)
    return predict_plan(shared / plan, folder, model, parameters, running, Part(*part))


def merged(folder):
    target = folder.parent / "merged.h5"
    merge_tiles([str(folder)], parse_volume_path(str(target)), MergeParameters(), Running(force=True))
    return content(target)


def content(path):
    with h5py.File(path) as file:
        return file["main"][:]


@pytest.mark.parametrize(
    ("size", "halo"),
    [
        ((12, 20, 22), (0, 0, 0)),
        ((7, 40, 13), (3, 0, 5)),
        ((24, 17, 44), (2, 9, 1)),
        ((99, 99, 99), (4, 4, 4)),
    ],
)
def test_merged_tiles_equal_the_direct_maps_bit_for_bit(shared, tmp_path, size, halo):
    planned(shared, size, halo, "other.json")
    apply(shared, tmp_path / "tiles", plan="other.json")
    assert np.array_equal(merged(tmp_path / "tiles"), content(shared / "direct.h5"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_parts_on_other_numbers_of_threads_equal_the_direct_maps(shared, tmp_path, precision):
    folder, direct = tmp_path / "tiles", parse_volume_path(str(tmp_path / "direct.h5"))
    done = [
        apply(shared, folder, (number, 2), running=Running(threads=number), precision=precision)
        for number in (1, 2)
    ]
    assert [len(paths) for paths in done] == [4, 4]
    raw, parameters = parse_volume_path(str(shared / "raw.h5")), replace(EXACT, precision=precision)
    predict_volume(raw, direct, shared / "model.safetensors", parameters, QUIET)
    assert np.array_equal(merged(folder), content(direct.file))


def test_parts_started_together_share_a_new_folder(shared, tmp_path, monkeypatch):
    folder, all_have_written = tmp_path / "tiles", threading.Barrier(2)

    def write_together(*arguments):
        write_plan(*arguments)
        all_have_written.wait(timeout=20)

    monkeypatch.setattr(stage, "write_plan", write_together)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda number: apply(shared, folder, (number, 2)), (1, 2)))
    assert [len(paths) for paths in done] == [4, 4]
    assert np.array_equal(merged(folder), content(shared / "direct.h5"))
    assert {path.suffix for path in folder.iterdir()} == {".h5", ".json"}


@pytest.mark.parametrize("count", [1, 2, 3, 8, 20])
def test_every_tile_belongs_to_one_part(count):
    tiles = list(range(8))
    parts = [Part(number, count).of(tiles) for number in range(1, count + 1)]
    assert [tile for part in parts for tile in part] == tiles
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_tiles_name_their_extent_and_carry_their_core_and_history(shared, tmp_path):
    planned(shared, (12, 20, 22), (2, 3, 4), "halo.json")
    paths = apply(shared, tmp_path / "tiles", plan="halo.json")
    assert paths[0].name == "raw_0-14-0-23-0-26.h5"
    with h5py.File(paths[0]) as file:
        assert file["main"].shape == (2, 14, 23, 26)
        assert file["main"].attrs["core"].tolist() == [0, 12, 0, 20, 0, 22]
        assert "mitotools train" in file["main"].attrs["history"]


def test_resuming_computes_what_is_missing_and_leaves_the_rest(shared, tiles):
    paths = sorted(tiles.glob("*.h5"))
    for path in (paths[1], paths[6]):
        path.unlink()
    times = {path: path.stat().st_mtime_ns for path in tiles.iterdir()}
    assert sorted(apply(shared, tiles, resume=True)) == [paths[1], paths[6]]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert np.array_equal(merged(tiles), content(shared / "direct.h5"))


def test_resuming_starts_where_there_is_nothing_and_ends_where_all_is_there(shared, tmp_path):
    assert len(apply(shared, tmp_path / "tiles", resume=True)) == 8
    assert apply(shared, tmp_path / "tiles", resume=True) == []


def test_resuming_replaces_a_tile_that_a_killed_run_left_unfinished(shared, tiles):
    (first, *_) = sorted(tiles.glob("*.h5"))
    first.rename(first.with_name(first.name + ".unfinished"))
    assert apply(shared, tiles, resume=True) == [first]
    assert list(tiles.glob("*.unfinished")) == []


def test_existing_tiles_are_refused(shared, tiles):
    with pytest.raises(TargetError, match="exists already"):
        apply(shared, tiles)


@pytest.mark.parametrize("change", [{"overlap": 0.5}, {"tta": 4}, {"blend": "none"}, {"dtype": "float32"}])
def test_resuming_with_another_parameter_is_refused_by_its_name(shared, tiles, change):
    (name,) = change
    with pytest.raises(TargetError, match=rf"holds tiles made with other {name}\. Use --force"):
        apply(shared, tiles, resume=True, **change)


def test_resuming_with_another_model_is_refused(shared, tiles, tmp_path):
    other = write_model(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(TargetError, match=r"made with other model\."):
        apply(shared, tiles, model=other, resume=True)


def test_a_part_with_another_model_than_the_others_is_refused(shared, tmp_path):
    apply(shared, tmp_path / "tiles", (1, 2))
    other = write_model(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(TargetError, match=r"made with other overlap, model\."):
        apply(shared, tmp_path / "tiles", (2, 2), model=other, overlap=0.5)


def test_resuming_with_another_volume_is_refused(shared, tiles, tmp_path):
    for name in ("raw.h5", "plan.json"):
        shutil.copy(shared / name, tmp_path / name)  # the same voxels, yet another file
    with pytest.raises(TargetError, match=r"made with other volume\."):
        apply(tmp_path, tiles, model=shared / "model.safetensors", resume=True)


def test_resuming_with_another_grid_is_refused(shared, tiles):
    planned(shared, (12, 20, 11), (0, 0, 2), "finer.json")
    with pytest.raises(TargetError, match=r"made with other size, halo\."):
        apply(shared, tiles, plan="finer.json", resume=True)


def test_one_part_is_not_started_over_with_another_model_beside_tiles_of_the_others(shared, tiles):
    other = write_model(tiles.parent / "other.safetensors", seed=1)
    with pytest.raises(TargetError, match=r"made with other model\. Delete it first"):
        apply(shared, tiles, (1, 2), model=other, running=Running(threads=2, force=True))
    apply(shared, tiles, (1, 2), running=Running(threads=2, force=True))  # the same tiles once more


def test_tiles_that_the_disk_may_have_no_room_for_are_said_before_they_are_computed(
    shared, tmp_path, caplog, monkeypatch
):
    """Two maps of 24 x 40 x 44 bytes are 84480; the last of two parts is half of them."""
    folder = tmp_path / "tiles"
    warning = f"{folder} needs 1M of disk uncompressed, and 1M are free"
    for part, free, words in (((1, 1), 84480, []), ((1, 1), 84479, [warning]), ((2, 2), 42240, [])):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        caplog.clear()
        apply(shared, folder, part, running=replace(QUIET, force=True))
        assert caplog.messages == words


def test_a_dry_run_says_how_much_disk_the_tiles_need(shared, tmp_path):
    needs = {}
    apply(shared, tmp_path / "tiles", running=replace(QUIET, dry_run=needs.update))
    assert (needs["tiles"], needs["disk_uncompressed"]) == ("8", "1M")
    assert needs["disk_free"][-1] in "MG"
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_unfinished_tile(shared, tmp_path):
    def track(items, total, label, unit):
        yield from list(items)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(shared, tmp_path / "tiles", running=Running(threads=2, track=track))
    assert [path.name for path in Path(tmp_path / "tiles").iterdir()] == ["plan.json"]


def test_a_budget_too_small_for_a_window_is_refused_before_any_tile_is_computed(shared, tmp_path):
    with pytest.raises(MachineError, match="is too little for this"):
        apply(shared, tmp_path / "tiles", running=replace(QUIET, memory_bytes=2**28))
    assert not (tmp_path / "tiles").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dry_run_of_a_plan_says_how_large_tiles_are_and_what_they_take(shared, tmp_path, workers):
    plan = planned(shared, (12, 20, 22), (2, 4, 0), "with_halo.json")
    needs = {}
    running = replace(QUIET, dry_run=needs.update, workers=workers)
    assert apply(shared, tmp_path / "tiles", plan=plan.name, running=running) == []
    assert (needs["tiles"], needs["block"], needs["at_once"]) == ("8", "14x24x22", str(max(workers, 1)))
    # Of 8 tiles of 14 x 24 x 22 voxels, two channels each; MiB are rounded up.
    assert needs["disk_uncompressed"] == "1M"
    assert int(needs["memory"].removesuffix("M")) > 100 * (1 + workers)
    assert not (tmp_path / "tiles").exists()
