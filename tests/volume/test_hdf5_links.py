"""What an HDF5 file names stays in or below its folder, and finding a dataset ends soon."""

from __future__ import annotations

import os
import resource
import time
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from volume_files import read, refusal, values

from mitotools.errors import InputError
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.formats import hdf5_links
from mitotools.volume.hdf5_table import read_dataset
from mitotools.volume.path import parse_volume_path

VOLUME = values((4, 5, 6), "uint16")


@pytest.fixture
def folder(tmp_path):
    """A folder with a volume, `raw/source.h5`, beside another that is nobody's business."""
    (tmp_path / "mine" / "raw").mkdir(parents=True)
    for name in ("mine/raw/source.h5", "secret.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["main"], file["soft"] = VOLUME, h5py.SoftLink("/main")
    return tmp_path / "mine"


def linked(path, target, name="/main"):
    """Save a file whose main volume is a link to that of another file."""
    with h5py.File(path, "w") as file:
        file["main"] = h5py.ExternalLink(target, name)
    return path


def virtual(path, target, name="main"):
    """Save a file whose main volume is a virtual dataset of that of another file."""
    layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
    layout[:] = h5py.VirtualSource(target, name, VOLUME.shape)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("main", layout, fillvalue=7)
    return path


WAYS = pytest.mark.parametrize("save", [linked, virtual])


@WAYS
@pytest.mark.parametrize("name", ["main", "soft"])
def test_a_volume_in_a_file_below_the_folder_is_read(folder, save, name):
    assert np.array_equal(read(save(folder / "v.h5", "raw/source.h5", name))[0], VOLUME)


@WAYS
def test_a_volume_in_a_file_of_another_folder_is_found_beside_where_the_file_was_moved(folder, save):
    (folder / "raw" / "source.h5").rename(folder / "source.h5")
    assert np.array_equal(read(save(folder / "v.h5", "/no/such/folder/source.h5"))[0], VOLUME)


@WAYS
def test_a_file_that_is_named_by_a_link_leads_to_what_lies_beside_itself(folder, save, tmp_path):
    save(folder / "v.h5", "raw/source.h5")
    (tmp_path / "link.h5").symlink_to(folder / "v.h5")
    assert np.array_equal(read(tmp_path / "link.h5")[0], VOLUME)


@WAYS
@pytest.mark.parametrize(
    "target", ["../secret.h5", "raw/../../secret.h5", "{0}/secret.h5", "link.h5", "/etc/passwd"]
)
def test_a_file_outside_of_the_folder_is_refused_before_it_is_opened(folder, save, target, tmp_path):
    (folder / "link.h5").symlink_to(tmp_path / "secret.h5")
    error = refusal(read, save(folder / "v.h5", target.format(tmp_path)))
    place = tmp_path / "secret.h5" if target != "/etc/passwd" else target
    assert isinstance(error, InputError)
    assert str(error) == (
        f"{folder / 'v.h5'}: leads to {place}, outside of the folder that it lies in. "
        "Read that file itself, or copy it beside and link to the copy."
    )


@WAYS
@pytest.mark.parametrize("inner", [linked, virtual])
def test_a_file_outside_of_the_folder_is_refused_by_way_of_one_inside(folder, save, inner):
    inner(folder / "raw" / "inner.h5", "../../secret.h5")
    assert "outside of the folder" in str(refusal(read, save(folder / "v.h5", "raw/inner.h5")))


@WAYS
def test_a_file_below_names_files_beside_itself(folder, save):
    save(folder / "raw" / "inner.h5", "source.h5")
    assert np.array_equal(read(save(folder / "v.h5", "raw/inner.h5"))[0], VOLUME)


def test_a_group_outside_of_the_folder_is_no_way_in(folder):
    path = linked(folder / "v.h5", "../secret.h5", "/")
    assert "outside of the folder" in str(refusal(read, f"{path}:main/main"))


@WAYS
def test_a_pipe_that_a_file_names_is_not_waited_for(folder, save):
    os.mkfifo(folder / "pipe")
    error = refusal(read, save(folder / "v.h5", "pipe"))
    assert str(error) == f"{folder / 'v.h5'}: leads to {folder / 'pipe'}, which is no regular file."


@pytest.mark.parametrize("path", ["raw/source.h5", "/etc/passwd"])
def test_voxels_in_external_storage_are_not_read(folder, path):
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_dataset("main", (1, 2, 3), "u1", external=[(path, 0, 6)])
    error = refusal(read, virtual(folder / "w.h5", "v.h5"))
    assert "keeps its voxels in another file" in str(error)
    assert str(refusal(read, folder / "v.h5")) == (
        f"{folder / 'v.h5'}:/main: keeps its voxels in another file, {path}, which is not read. "
        "Write it into one file with h5repack."
    )


@pytest.mark.parametrize(("target", "name"), [("nowhere.h5", "main"), ("raw/source.h5", "nothing")])
def test_a_source_of_a_virtual_dataset_that_is_missing_is_named(folder, target, name):
    error = refusal(read, virtual(folder / "v.h5", target, name))
    missing = f"{folder / target}:{name}" if name == "nothing" else folder / target
    assert str(error) == (
        f"{folder / 'v.h5'}:/main: is a virtual dataset, and its source {missing} is missing. Copy it there."
    )


def test_a_virtual_dataset_of_many_sources_in_its_own_and_other_files_is_read(folder):
    layout = h5py.VirtualLayout((6, 5, 6), VOLUME.dtype)
    with h5py.File(folder / "v.h5", "w") as file:
        file["mine"] = VOLUME
        layout[:4] = h5py.VirtualSource(".", "mine", VOLUME.shape)
        for z in (4, 5):
            layout[z] = h5py.VirtualSource("raw/source.h5", "main", VOLUME.shape)[z - 4]
        file.create_virtual_dataset("main", layout)
    assert np.array_equal(read(folder / "v.h5")[0], np.concatenate((VOLUME, VOLUME[:2])))


def test_a_virtual_dataset_grows_with_its_source(folder):
    unlimited = h5py.h5s.UNLIMITED
    with h5py.File(folder / "source.h5", "w") as file:
        file.create_dataset("main", data=VOLUME, maxshape=(None, 5, 6))
    layout = h5py.VirtualLayout((1, 5, 6), VOLUME.dtype, maxshape=(None, 5, 6))
    source = h5py.VirtualSource("source.h5", "main", (1, 5, 6), maxshape=(None, 5, 6))
    layout[:unlimited] = source[:unlimited]
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_virtual_dataset("main", layout)
    assert np.array_equal(read(folder / "v.h5")[0], VOLUME)


def test_a_percent_sign_in_the_name_of_a_source_is_one(folder):
    (folder / "raw" / "source.h5").rename(folder / "50%.h5")
    assert np.array_equal(read(virtual(folder / "v.h5", "50%%.h5"))[0], VOLUME)


def test_sources_that_are_named_by_a_pattern_are_refused(folder):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    space = h5py.h5s.create_simple(VOLUME.shape, (h5py.h5s.UNLIMITED, 5, 6))
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), VOLUME.shape, VOLUME.shape)
    plan.set_virtual(space, b"source-%b.h5", b"main", h5py.h5s.create_simple(VOLUME.shape))
    with h5py.File(folder / "v.h5", "w") as file:
        h5py.h5d.create(file.id, b"main", h5py.h5t.NATIVE_UINT16, space, plan)
    error = refusal(read, folder / "v.h5")
    assert "takes its sources from all that fit source-%b.h5, which is not supported" in str(error)


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_a_virtual_dataset_of_itself_is_refused(folder, names):
    for name, following in zip(names, names[1:] + names[:1], strict=True):
        virtual(folder / f"{name}.h5", f"{following}.h5")
    error = refusal(read, folder / "a.h5")
    assert str(error) == f"{folder / 'a.h5'}:/main: is a virtual dataset of itself."


@pytest.mark.parametrize(("count", "is_read"), [(16, True), (17, False), (400, False)])
def test_virtual_datasets_may_follow_each_other_sixteen_times(folder, count, is_read):
    virtual(folder / "1.h5", "raw/source.h5")
    for number in range(2, count + 1):
        virtual(folder / f"{number}.h5", f"{number - 1}.h5")
    if is_read:
        assert np.array_equal(read(folder / f"{count}.h5")[0], VOLUME)
    else:
        error = refusal(read, folder / f"{count}.h5")
        assert "is a virtual dataset of more than 16 that follow each other" in str(error)


def test_sources_that_follow_each_other_are_counted_in_whatever_order_they_are_named(folder):
    layout = h5py.VirtualLayout((20, *VOLUME.shape[1:]), VOLUME.dtype)
    virtual(folder / "0.h5", "raw/source.h5")
    for number in range(20):
        virtual(folder / f"{number + 1}.h5", f"{number}.h5")
        layout[number] = h5py.VirtualSource(f"{number}.h5", "main", VOLUME.shape)[0]
    with h5py.File(folder / "v.h5", "w") as file:
        file.create_virtual_dataset("main", layout)
    assert "more than 16 that follow each other" in str(refusal(read, folder / "v.h5"))


@contextmanager
def no_more_files():
    """Let no file be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_virtual_dataset_is_not_filled_where_its_sources_cannot_be_opened(folder):
    path = virtual(folder / "v.h5", "raw/source.h5")
    with open_volume(parse_volume_path(str(path))) as volume:
        whole = Box.whole(volume.spec.size)
        with no_more_files():
            error = refusal(volume.read, whole)
        assert "Too many open files" in str(error)
        assert np.array_equal(volume.read(whole), VOLUME)
    with no_more_files():
        error = refusal(hdf5_links.Hdf5Files, path)
    assert str(error) == f"{path}: is one open file too many. Allow more of them: ulimit -n."


def test_a_table_is_not_read_from_outside_of_the_folder(folder):
    error = refusal(read_dataset, linked(folder / "v.h5", "../secret.h5"), None, 10**6)
    assert "outside of the folder" in str(error)
    assert np.array_equal(read_dataset(linked(folder / "w.h5", "raw/source.h5"), "main", 10**6), VOLUME)


def test_a_volume_below_thousands_of_groups_is_found_in_seconds(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        group = file
        for _ in range(3000):
            group = group.create_group("g")
        group["main"] = VOLUME
    start = time.process_time()
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)
    assert time.process_time() - start < 20  # from the top to each of them, it would be minutes


def test_groups_that_hold_themselves_are_looked_through_once(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a/b/volume"] = VOLUME
        file["a/b/up"], file["a/b/top"] = file["a"], file["/"]
    assert np.array_equal(read(tmp_path / "v.h5")[0], VOLUME)
    assert np.array_equal(read(f"{tmp_path / 'v.h5'}:a/b/up/b/top/a/b/volume")[0], VOLUME)


def test_links_past_a_bound_are_not_looked_through(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_links, "MOST_LINKS", 20)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for number in range(15):
            file[f"d{number}"] = VOLUME
    assert "It holds d0 (4, 5, 6)" in str(refusal(read, tmp_path / "v.h5"))
    with h5py.File(tmp_path / "v.h5", "a") as file:
        for number in range(15):
            file[f"e{number}"] = h5py.SoftLink(f"/d{number}")
    assert "has more than 20 links to look through. Say" in str(refusal(read, tmp_path / "v.h5"))
    assert np.array_equal(read(f"{tmp_path / 'v.h5'}:e3")[0], VOLUME)


def test_a_soft_link_through_thousands_of_groups_counts_them_all(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_links, "MOST_LINKS", 1000)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a/volume"], file["b"] = VOLUME, VOLUME
        file["a/self"] = file["a"]
        file["long"] = h5py.SoftLink("/a" + "/self" * 2000)
    assert "has more than 1000 links to look through" in str(refusal(read, tmp_path / "v.h5"))


def test_of_many_datasets_ten_are_listed_and_long_names_are_shortened(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        for number in range(100, 400):
            file[f"{number}" + "x" * 1000] = VOLUME
    message = str(refusal(read, tmp_path / "v.h5"))
    assert "100xxx" in message
    assert "109xxx" in message
    assert "110xxx" not in message
    assert "xxx (4, 5, 6) and 290 more. Say" in message
    assert len(message) < 2000 + 2 * len(str(tmp_path))


def test_names_of_a_file_reach_the_terminal_in_printable_signs(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a\n\x1b[31mb"] = file["ünï"] = VOLUME
        file["other"] = VOLUME
    message = str(refusal(read, tmp_path / "v.h5"))
    assert r"It holds a\n\x1b[31mb (4, 5, 6), other (4, 5, 6), ünï (4, 5, 6)." in message
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset(b"\xff", (0, 1, 1), "u1")
    assert r"b.h5: is empty" in str(refusal(read, tmp_path / "b.h5"))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["main"] = h5py.ExternalLink("../\x1b[31m", "/main")
    assert r"/\x1b[31m, outside" in str(refusal(read, tmp_path / "w.h5"))
