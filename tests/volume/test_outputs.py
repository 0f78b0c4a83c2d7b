"""An output appears under its name when it is complete, and not before; nothing is lost."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from volume_files import read, refusal, values, write

from mitotools.errors import TargetError
from mitotools.volume.atomic import create_file
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.outputs import check_target, create_volume
from mitotools.volume.path import VolumePath, parse_volume_path

NAMES = ["v.h5", "v.zarr", "v.tif", "v"]
OLD, NEW = values((2, 3, 4), seed=1), values((2, 3, 4), seed=2)
SPEC = VolumeSpec(NEW.shape, NEW.dtype)


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def half_written(target, error, *, force=False):
    """Fail with `error` after the first slice."""

    def work():
        with create_volume(VolumePath(str(target)), SPEC, force=force) as writer:
            writer.write(Box((0, 0, 0), (1, 3, 4)), NEW[:1])
            raise error

    with pytest.raises(type(error)):
        work()


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_failure_leaves_nothing(tmp_path, name, error):
    half_written(tmp_path / name, error)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_leaves_what_it_would_have_replaced(tmp_path, name):
    write(tmp_path / name, OLD)
    before = names_in(tmp_path)
    half_written(tmp_path / name, ValueError("wrong"), force=True)
    assert names_in(tmp_path) == before
    assert np.array_equal(read(tmp_path / name)[0], OLD)
    assert len(read(tmp_path / name)[1].history) == 1


@pytest.mark.parametrize("name", NAMES)
def test_nothing_stands_under_the_name_while_it_is_written(tmp_path, name):
    with create_volume(VolumePath(str(tmp_path / name)), SPEC) as writer:
        writer.write(Box.whole((2, 3, 4)), NEW)
        assert names_in(tmp_path) == [f"{name}.unfinished", f"{name}.unfinished.journal"]
    assert f"{name}.unfinished" not in names_in(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_volume_is_replaced_by_force_alone(tmp_path, name):
    write(tmp_path / name, OLD)
    error = refusal(write, tmp_path / name, NEW)
    assert isinstance(error, TargetError)
    assert "exists already. Use --force to replace it" in str(error)
    assert np.array_equal(read(tmp_path / name)[0], OLD)
    before = names_in(tmp_path)
    write(tmp_path / name, NEW, force=True)
    assert np.array_equal(read(tmp_path / name)[0], NEW)
    assert names_in(tmp_path) == before


def test_a_file_makes_way_for_a_folder_of_the_same_name(tmp_path):
    for name in ("v.zarr", "v"):
        (tmp_path / name).write_text("a file")
        write(tmp_path / name, NEW, force=True)
        assert np.array_equal(read(tmp_path / name)[0], NEW)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_killed_run_left_is_reported_and_force_starts_over(tmp_path, name):
    leftover = tmp_path / f"{name}.unfinished"
    if name in ("v.zarr", "v"):
        leftover.mkdir()
        (leftover / "zarr.json").write_text("half")
    else:
        leftover.write_text("half")
    error = refusal(write, tmp_path / name, NEW)
    assert isinstance(error, TargetError)
    assert f"{name}.unfinished: another run is writing this output, or was killed" in str(error)
    assert leftover.exists()
    write(tmp_path / name, NEW, force=True)
    assert np.array_equal(read(tmp_path / name)[0], NEW)
    assert not leftover.exists()


def test_a_folder_that_was_about_to_be_replaced_is_reported(tmp_path):
    write(tmp_path / "v.zarr", OLD)
    (tmp_path / "v.zarr").rename(tmp_path / "v.zarr.replaced")
    assert "v.zarr.replaced: is what a run that was killed" in str(refusal(write, tmp_path / "v.zarr", NEW))
    write(tmp_path / "v.zarr", NEW, force=True)
    assert names_in(tmp_path) == ["v.zarr"]


def test_a_users_own_copy_with_another_suffix_is_left_alone(tmp_path):
    write(tmp_path / "v.zarr", OLD)
    (tmp_path / "v.zarr.old").mkdir()
    (tmp_path / "v.zarr.old" / "precious").write_text("data")
    write(tmp_path / "v.zarr", NEW, force=True)
    assert (tmp_path / "v.zarr.old" / "precious").read_text() == "data"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.zarr", "notes.txt"),
        ("v.zarr", "analysis/notes.txt"),
        ("v", "notes.txt"),
        ("v", "analysis/z0000.png"),
        ("v.h5", "z0000.txt"),
    ],
)
def test_force_deletes_no_folder_that_holds_other_things(tmp_path, name, content):
    if name == "v.h5":
        (tmp_path / name).mkdir()
    else:
        write(tmp_path / name, OLD)
    (tmp_path / name / content).parent.mkdir(exist_ok=True)
    (tmp_path / name / content).write_text("precious")
    error = refusal(write, tmp_path / name, NEW, force=True)
    assert isinstance(error, TargetError)
    assert "other things" in str(error)
    assert (tmp_path / name / content).read_text() == "precious"


def test_a_zarr_of_several_images_is_one_thing_and_force_replaces_it(tmp_path):
    write(tmp_path / "v.zarr", OLD)
    write(tmp_path / "v.zarr" / "labels.zarr", OLD)
    (tmp_path / "v.zarr" / ".DS_Store").write_text("")
    write(tmp_path / "v.zarr", NEW, force=True)
    assert names_in(tmp_path / "v.zarr") == ["0", "zarr.json"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_force_deletes_no_label_images_inside_the_image(tmp_path, zarr_format):
    write(tmp_path / "v.zarr", OLD, zarr_format=zarr_format)
    labels = VolumePath(str(tmp_path / "v.zarr"), "labels/mito")
    for array in (OLD, NEW):  # which force does replace
        with create_volume(labels, SPEC, force=True) as writer:
            writer.write(Box.whole((2, 3, 4)), array)
    error = refusal(write, tmp_path / "v.zarr", NEW, force=True)
    assert isinstance(error, TargetError)
    assert "v.zarr: holds label images (mito), which --force would delete. Move" in str(error)
    assert np.array_equal(read(f"{tmp_path}/v.zarr/labels/mito")[0], NEW)
    (tmp_path / "v.zarr" / "labels").rename(tmp_path / "labels")
    write(tmp_path / "v.zarr", NEW, force=True)
    assert np.array_equal(read(tmp_path / "v.zarr")[0], NEW)


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    for name in NAMES[:3]:
        write(tmp_path / f"real_{name}", OLD)
        (tmp_path / name).symlink_to(tmp_path / f"real_{name}")
        write(tmp_path / name, NEW, force=True)
        assert np.array_equal(read(tmp_path / f"real_{name}")[0], OLD)
        assert np.array_equal(read(tmp_path / name)[0], NEW)


@pytest.mark.parametrize("name", ["v.h5", "v.tif", "v.nii.gz"])
def test_a_folder_with_the_name_of_a_file_is_not_filled_with_slices(tmp_path, name):
    (tmp_path / name).mkdir()
    assert "is a folder" in str(refusal(check_target, parse_volume_path(str(tmp_path / name)), force=True))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere/v.h5", "nowhere does not exist"),
        ("v.h5:main", "an output is a whole file"),
        ("v.h5[0:1,:,:]", "an output is a whole volume, not a crop"),
        ("v.xyz", "unknown suffix '.xyz'"),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_any_work(tmp_path, name, why):
    error = refusal(check_target, parse_volume_path(str(tmp_path / name)))
    assert isinstance(error, TargetError)
    assert why in str(error)


def test_a_sidecar_does_not_outlive_its_volume(tmp_path):
    write(tmp_path / "v.tif", OLD)
    write(tmp_path / "v.tif", NEW, history=(), force=True)
    assert read(tmp_path / "v.tif")[1].history == ()


def test_a_new_file_is_never_there_without_its_sidecar(tmp_path, monkeypatch):
    seen = []
    replace = Path.replace

    def recorded(path, target):
        seen.append(names_in(tmp_path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", recorded)
    write(tmp_path / "v.tif", NEW)
    assert seen == [["v.tif.history.json", "v.tif.unfinished", "v.tif.unfinished.journal"]]


@pytest.mark.parametrize("renames", [1, 2])
@pytest.mark.parametrize("force", [False, True])
def test_an_interruption_while_a_file_takes_its_place_waits_for_the_sidecar(
    tmp_path, monkeypatch, renames, force
):
    if force:
        write(tmp_path / "v.tif", OLD)
    left = iter(range(1, 3))

    def interrupting(change):
        def changed(path, target):
            if next(left) == renames:
                signal.raise_signal(signal.SIGINT)
            return change(path, target)

        return changed

    monkeypatch.setattr(Path, "rename", interrupting(Path.rename))
    monkeypatch.setattr(Path, "replace", interrupting(Path.replace))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "v.tif", NEW, force=force)
    voxels, spec = read(tmp_path / "v.tif")
    assert np.array_equal(voxels, NEW)
    assert spec.history
    assert names_in(tmp_path) == ["v.tif", "v.tif.history.json"]


def test_a_sidecar_goes_when_something_without_one_replaces_its_volume(tmp_path):
    write(tmp_path / "v", OLD)
    with create_file(tmp_path / "v", force=True) as path:
        path.mkdir()
    assert names_in(tmp_path) == ["v"]


def test_a_file_appears_when_it_is_complete(tmp_path):
    with create_file(tmp_path / "table.tsv") as path:
        path.write_text("words")
        assert names_in(tmp_path) == ["table.tsv.unfinished", "table.tsv.unfinished.journal"]
    assert (tmp_path / "table.tsv").read_text() == "words"


FULL_DISK = """
import resource, sys
import numpy as np
from mitotools.cli.main import run
from mitotools.errors import MitotoolsError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.exit(run(["convert", "raw.h5", sys.argv[1], "--compression", "none", "--chunks", "32,64,64", "-q"]))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="this system limits no file sizes")
@pytest.mark.parametrize("name", ["v.h5", "v.tif", "v.zarr"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, name):
    """Files stop growing at 100 kB: libraries see the same errors as on a full disk."""
    write(tmp_path / "raw.h5", values((64, 64, 64)), chunks=(4, 64, 64))
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode != -signal.SIGSEGV, "HDF5 crashed"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"mitotools convert: {name}: cannot be written (File too large).\n"
    assert names_in(tmp_path) == ["raw.h5"]
