"""What is made of a volume that another process changes while it is read is not passed off as made of one."""

from __future__ import annotations

import os
import pickle

import h5py
import numpy as np
import pytest
from volume_files import values, write

from mitotools.errors import InputError
from mitotools.parameters import ConvertParameters, MergeParameters
from mitotools.run.running import Running
from mitotools.stages.convert import convert_volume
from mitotools.stages.merge import merge_tiles
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath

OLD, NEW = values((4, 5, 6)), values((4, 5, 6), seed=1)


def changed(path, change):
    """Open a volume, change it, and return the error, or nothing."""
    try:
        with open_volume(VolumePath(str(path))):
            change()
    except InputError as error:
        return str(error)
    return ""


def replaced(path, other):
    """Put another file or folder in the place of one, as a command does."""
    path.rename(path.with_name("old"))
    other.rename(path)


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "v.tif", "v.npy", "v.nii", "v.precomputed", "slices"])
def test_a_volume_that_another_command_replaces_is_an_error_at_the_end(tmp_path, name):
    path = tmp_path / name
    write(path, OLD, voxel_size=(30.0, 8.0, 8.0))
    other = tmp_path / "other" / name
    other.parent.mkdir()
    write(other, NEW, voxel_size=(30.0, 8.0, 8.0))
    told = changed(path, lambda: replaced(path, other))
    what_next = "What was made of it may be of both: make it again with --force"
    assert told == f"{path}: was changed while it was read. {what_next}."


def test_a_slice_that_is_changed_or_removed_is_an_error(tmp_path):
    path = tmp_path / "slices"
    write(path, OLD)
    third = sorted(path.iterdir())[2]
    assert "was changed" in changed(path, lambda: os.utime(third, ns=(0, 0)))
    assert "was changed" in changed(path, third.unlink)


def test_what_is_written_into_a_file_is_a_change(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, OLD)
    os.utime(path, ns=(0, 0))
    assert "was changed" in changed(path, lambda: np.save(path, NEW))


def test_label_images_that_are_added_to_a_zarr_do_not_change_its_image(tmp_path):
    image = tmp_path / "v.zarr"
    write(image, OLD)
    assert not changed(image, lambda: write(VolumePath(str(image), "labels/mito"), OLD, is_labels=True))


def test_other_files_of_the_folder_change_nothing(tmp_path):
    for name in ("v.h5", "w.h5"):
        write(tmp_path / name, OLD)
    assert not changed(tmp_path / "v.h5", lambda: write(tmp_path / "w.h5", NEW, force=True))


@pytest.mark.parametrize("name", ["v.h5", "v.zarr", "slices"])
def test_a_volume_may_be_replaced_by_what_is_made_of_it(tmp_path, name):
    write(tmp_path / name, OLD)
    assert not changed(tmp_path / name, lambda: write(tmp_path / name, NEW, force=True))


def test_another_error_is_told_first(tmp_path):
    path = tmp_path / "v.h5"
    write(path, OLD)

    def fails():
        path.unlink()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        changed(path, fails)


def test_the_files_of_a_volume_are_not_sent_to_other_processes(tmp_path):
    write(tmp_path / "slices", values((200, 3, 3)))
    with open_volume(VolumePath(str(tmp_path / "slices"))) as volume:
        assert len(pickle.dumps(volume)) < 2000


def test_a_command_whose_input_is_replaced_ends_with_the_error_and_keeps_its_output(tmp_path):
    source, target = tmp_path / "v.h5", tmp_path / "out.npy"
    write(source, OLD)
    write(tmp_path / "w.h5", NEW)

    def replacing(items, total, label, unit):
        replaced(source, tmp_path / "w.h5")
        yield from items

    running = Running(threads=1, track=replacing)
    with pytest.raises(InputError, match="was changed while it was read"):
        convert_volume(VolumePath(str(source)), VolumePath(str(target)), ConvertParameters(), running)
    # This file was opened before, and is read to its end under its other name.
    np.testing.assert_array_equal(np.load(target), OLD)
    with h5py.File(source) as file:
        np.testing.assert_array_equal(file["main"], NEW)


def test_a_tile_that_is_replaced_while_tiles_are_merged_is_named(tmp_path):
    first, second = tmp_path / "t_0-4-0-5-0-6.h5", tmp_path / "t_4-8-0-5-0-6.h5"
    write(first, OLD)
    write(second, OLD)
    write(tmp_path / "other.h5", NEW)

    def replacing(items, total, label, unit):
        replaced(second, tmp_path / "other.h5")
        yield from items

    tiles, target = [str(first), str(second)], tmp_path / "v.npy"
    with pytest.raises(InputError, match=rf"{second.name}: was changed while it was read"):
        merge_tiles(tiles, VolumePath(str(target)), MergeParameters(), Running(threads=1, track=replacing))
    np.testing.assert_array_equal(np.load(target), np.concatenate([OLD, NEW]))
