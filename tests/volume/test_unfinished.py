"""What no run has finished is not read as if it were whole."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from volume_files import read, refusal, values, write

from mitotools.errors import InputError
from mitotools.volume.atomic import appearing
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath

VOLUME = values((4, 5, 6))


@pytest.mark.parametrize(
    ("made", "left", "name"),
    [
        ("v.zarr", "v.zarr.unfinished", "v.zarr.unfinished"),
        ("v.zarr", "v.zarr.unfinished", "v.zarr.unfinished/0"),
        ("v.staged.zarr", "v.h5.staged.zarr.unfinished", "v.h5.staged.zarr.unfinished[0:2,:,:]"),
        ("v.h5", "v.h5.unfinished", "v.h5.unfinished"),
        ("v", "v.unfinished", "v.unfinished"),
        ("v", "v.unfinished", "v.unfinished/*.png"),
        ("v.zarr", "c.zarr/labels/v.unfinished", "c.zarr/labels/v.unfinished"),
        ("v.zarr", "c.zarr/labels/v.unfinished", "c.zarr:labels/v.unfinished/0"),
    ],
)
def test_what_is_not_finished_is_refused_with_advice(tmp_path, made, left, name):
    write(tmp_path / made, VOLUME)
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / made).rename(tmp_path / left)
    error = refusal(read, tmp_path / name)
    assert isinstance(error, InputError)
    assert str(error) == (
        f"{tmp_path / left}: is not finished: another run is writing it, or was killed. "
        "Wait for it, or continue it with --resume; to read what there is, rename it."
    )


def test_its_writer_may_read_it(tmp_path):
    write(tmp_path / "v.zarr", VOLUME)
    (tmp_path / "v.zarr").rename(tmp_path / "v.zarr.unfinished")
    with open_volume(VolumePath(str(tmp_path / "v.zarr.unfinished")), unfinished=True) as volume:
        assert volume.spec.shape == VOLUME.shape


def test_renamed_it_is_read(tmp_path):
    write(tmp_path / "v.zarr", VOLUME)
    (tmp_path / "v.zarr").rename(tmp_path / "half.zarr")
    assert np.array_equal(read(tmp_path / "half.zarr")[0], VOLUME)


def test_of_what_is_not_there_nothing_else_is_said(tmp_path):
    assert "no such file or folder" in str(refusal(read, tmp_path / "v.zarr.unfinished"))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_what_a_thread_still_writes_after_a_lack_of_memory_is_removed(tmp_path, error):
    def writes():
        time.sleep(0.1)
        (tmp_path / "v.zarr.unfinished" / "c").mkdir(parents=True)

    def fails():
        with appearing(tmp_path / "v.zarr", force=False) as path:
            path.mkdir()
            thread.start()
            raise error

    thread = threading.Thread(target=writes)
    with pytest.raises(type(error)):
        fails()
    thread.join()
    assert list(tmp_path.iterdir()) == []
