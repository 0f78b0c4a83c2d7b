"""Maps that several runs write into one zarr, a part each."""

from __future__ import annotations

import itertools
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stages.networks import write_model, write_volume

from mitotools.errors import TargetError, UsageError
from mitotools.parameters import PredictParameters
from mitotools.run.running import Running
from mitotools.stages.blocks.parts_of_volume import Part
from mitotools.stages.predict import predict_volume
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

HOW = PredictParameters(precision="float32", backend="torch")
QUIET = Running(threads=2, resume=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with raw.h5, model.safetensors, and direct.zarr."""
    folder = tmp_path_factory.mktemp("parts")
    grey = np.random.default_rng(0).integers(0, 256, (40, 140, 150), np.uint8)
    write_volume(folder / "raw.h5", grey)
    write_model(folder / "model.safetensors", patch=(16, 64, 64))
    predicted(folder, folder / "direct.zarr", None)
    return folder


def predicted(folder, target, part, running=QUIET, **change):
    raw, maps = (parse_volume_path(str(path)) for path in (folder / "raw.h5", target))
    own = Part(*part) if part else None
    predict_volume(raw, maps, folder / "model.safetensors", replace(HOW, **change), running, own)


def content(path):
    with open_volume(parse_volume_path(str(path))) as volume:
        return volume.read(Box.whole(volume.spec.size))


SIZES = st.tuples(*[st.integers(1, 300)] * 3)
UNITS = st.tuples(*[st.integers(1, 40)] * 3)


@given(size=SIZES, unit=UNITS, count=st.integers(1, 12))
def test_the_parts_of_a_volume_cover_it_once_and_end_at_whole_units(size, unit, count):
    boxes = [Part(number, count).box(size, unit) for number in range(1, count + 1)]
    full = [box for box in boxes if not box.is_empty]
    assert sum(np.prod(box.shape) for box in full) == np.prod(size)
    for one, other in itertools.combinations(full, 2):
        assert one.intersection(other).is_empty
    for box in full:
        assert Box.whole(size).contains(box)
        assert all(a % u == 0 for a, u in zip(box.start, unit, strict=True))
        assert all(b % u == 0 or b == n for b, u, n in zip(box.stop, unit, size, strict=True))


def test_parts_are_compact_and_about_as_large():
    # 8 parts of 400 x 400 x 400 voxels are its octants; 3 are a third of it each.
    octants = [Part(number, 8).box((400, 400, 400), (1, 1, 1)) for number in range(1, 9)]
    assert {box.shape for box in octants} == {(200, 200, 200)}
    thirds = [Part(number, 3).box((100, 900, 100), (1, 1, 1)) for number in (1, 2, 3)]
    assert [box.shape for box in thirds] == [(100, 300, 100)] * 3


def test_the_part_that_completes_the_set_gives_the_maps_their_name(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    for number in (2, 3, 1):
        assert not target.exists()
        predicted(folder, target, (number, 3))
    assert np.array_equal(content(target), content(folder / "direct.zarr"))
    assert [path.name for path in tmp_path.iterdir()] == ["maps.zarr"]


def test_parts_that_start_together_do_not_disturb_each_other(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: predicted(folder, target, (number, 4)), range(1, 5)))
    assert np.array_equal(content(target), content(folder / "direct.zarr"))
    assert [path.name for path in tmp_path.iterdir()] == ["maps.zarr"]


def test_more_parts_than_chunks_leave_some_with_nothing_to_do(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    for number in range(1, 21):
        predicted(folder, target, (number, 20))
    assert np.array_equal(content(target), content(folder / "direct.zarr"))


def test_a_part_that_is_stopped_is_continued(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    windows = []

    def stop_at_the_fifth(items, total, label, unit):
        for item in items:
            windows.append(item)
            if len(windows) == 5:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        predicted(folder, target, (1, 2), replace(QUIET, track=stop_at_the_fifth))
    predicted(folder, target, (2, 2))
    assert not target.exists()
    predicted(folder, target, (1, 2))
    assert np.array_equal(content(target), content(folder / "direct.zarr"))


@pytest.mark.parametrize(
    ("part", "change", "named"), [((1, 3), {}, "parts"), ((2, 2), {"overlap": 0.5}, "overlap")]
)
def test_a_part_of_something_else_is_refused(folder, tmp_path, part, change, named):
    target = tmp_path / "maps.zarr"
    predicted(folder, target, (1, 2))
    with pytest.raises(TargetError, match=rf"was begun with other {named}\. Delete what there is first"):
        predicted(folder, target, part, **change)
    predicted(folder, target, (2, 2))
    assert np.array_equal(content(target), content(folder / "direct.zarr"))


def test_maps_that_are_there_are_not_written_again(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    shutil.copytree(folder / "direct.zarr", target)
    predicted(folder, target, (1, 2))
    with pytest.raises(TargetError, match="exists already"):
        predicted(folder, target, (1, 2), replace(QUIET, resume=False))
    assert [path.name for path in tmp_path.iterdir()] == ["maps.zarr"]


@pytest.mark.parametrize("name", ["maps.h5", "maps.tif", "maps.npy", "maps"])
def test_several_runs_write_a_zarr_alone_which_is_said_before_anything_is_read(tmp_path, name):
    # There is neither a volume nor a model.
    with pytest.raises(UsageError, match=r"several runs cannot write .*maps.* together\. Write a \.zarr"):
        predicted(tmp_path, tmp_path / name, (1, 2))
    assert list(tmp_path.iterdir()) == []


def test_several_runs_replace_nothing(folder, tmp_path):
    with pytest.raises(UsageError, match="would be lost with each part"):
        predicted(folder, tmp_path / "maps.zarr", (1, 2), replace(QUIET, force=True))
    assert list(tmp_path.iterdir()) == []


def parts_folder(target):
    return target.with_name(f"{target.name}.unfinished.parts")


def test_parts_never_join_what_a_run_of_the_whole_left(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    half_predicted(folder, target, dtype="float32")
    with pytest.raises(
        TargetError, match=r"maps\.zarr\.unfinished: another run is writing all of this output"
    ):
        predicted(folder, target, (1, 2))
    shutil.rmtree(tmp_path / "maps.zarr.unfinished")
    for number in (1, 2):
        predicted(folder, target, (number, 2))
    assert content(target).dtype == np.uint8
    assert np.array_equal(content(target), content(folder / "direct.zarr"))


def half_predicted(folder, target, running=QUIET, **change):
    """Leave what a run of the whole leaves that is killed."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    kept = target.with_name("kept")

    def killed(items, total, label, unit):
        shutil.copytree(unfinished, kept)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predicted(folder, target, None, replace(running, track=killed), **change)
    kept.rename(unfinished)


def test_a_run_of_the_whole_does_not_join_parts_and_force_starts_over(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    predicted(folder, target, (1, 2))
    for running in (QUIET, replace(QUIET, resume=False)):
        with pytest.raises(TargetError, match=r"parts of this output are being written.*--force"):
            predicted(folder, target, None, running)
    predicted(folder, target, None, replace(QUIET, resume=False, force=True))
    assert np.array_equal(content(target), content(folder / "direct.zarr"))
    assert [path.name for path in tmp_path.iterdir()] == ["maps.zarr"]


def test_the_second_part_after_a_run_of_the_whole_began_again_does_not_complete_it(folder, tmp_path):
    """Else what that run had not written would be zeros in maps that are called complete."""
    target = tmp_path / "maps.zarr"
    predicted(folder, target, (1, 2))
    half_predicted(folder, target, replace(QUIET, force=True))
    with pytest.raises(TargetError, match="another run is writing all of this output"):
        predicted(folder, target, (2, 2))
    assert not target.exists()


def test_parts_whose_volume_is_gone_are_refused(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    predicted(folder, target, (1, 2))
    shutil.rmtree(parts_folder(target) / "maps.zarr.unfinished")
    with pytest.raises(
        TargetError, match=r"has lost its volume\. Delete that folder, and run all parts again"
    ):
        predicted(folder, target, (2, 2))


def test_parts_whose_volume_is_another_than_was_begun_are_refused(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    predicted(folder, target, (1, 2))
    metadata = parts_folder(target) / "maps.zarr.unfinished" / "0" / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"uint8"', '"int8"'))
    with pytest.raises(
        TargetError, match=r"\.parts: is not what was begun .* Delete that folder, and run all parts again"
    ):
        predicted(folder, target, (2, 2))


@pytest.mark.parametrize("words", ["", "{", "[" * 10**5, "\udcff"])
def test_parts_of_nobody_knows_what_are_refused(folder, tmp_path, words):
    target = tmp_path / "maps.zarr"
    predicted(folder, target, (1, 2))
    (parts_folder(target) / "made.json").write_bytes(words.encode(errors="surrogateescape"))
    with pytest.raises(TargetError, match=r"made\.json: cannot be read"):
        predicted(folder, target, (2, 2))


def test_force_does_not_take_the_volume_from_under_a_part_that_runs(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    refused = pytest.raises(TargetError, match=r"another run is writing this output\. Wait for it")
    with stopped_inside(folder, target), refused:
        predicted(folder, target, None, replace(QUIET, force=True))
    predicted(folder, target, (2, 2))
    assert np.array_equal(content(target), content(folder / "direct.zarr"))


@contextmanager
def stopped_inside(folder, target):
    """Run the block while the first of two parts is half done."""
    inside, go_on = threading.Event(), threading.Event()

    def wait_after_the_first(items, total, label, unit):
        for item in items:
            yield item
            inside.set()
            go_on.wait()

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(predicted, folder, target, (1, 2), replace(QUIET, track=wait_after_the_first))
        try:
            assert inside.wait(60)
            yield
        finally:
            go_on.set()
        run.result()


def test_what_a_kill_left_after_the_volume_got_its_name_goes(folder, tmp_path):
    target = tmp_path / "maps.zarr"
    predicted(folder, target, (1, 2))
    shutil.copytree(parts_folder(target), tmp_path / "kept")
    predicted(folder, target, (2, 2))
    (tmp_path / "kept").rename(parts_folder(target))
    shutil.rmtree(parts_folder(target) / "maps.zarr.unfinished")
    predicted(folder, target, (2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["maps.zarr"]
