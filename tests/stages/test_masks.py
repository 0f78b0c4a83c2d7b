"""One instance after another, as a mask: the same in whatever way the volume is stored and read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mitotools.errors import MachineError
from mitotools.run.running import Running
from mitotools.stages.measuring import mask_plan
from mitotools.stages.measuring.masks import map_masks
from mitotools.stages.measuring.one_pass import measure_volume
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import VolumePath

MIB = 2**20


def stored(folder, labels, chunks, voxel_size_nm=(30.0, 8.0, 8.0)):
    path = VolumePath(str(folder / "labels.zarr"))
    with create_volume(
        path, VolumeSpec(labels.shape, labels.dtype, voxel_size_nm, chunks=chunks), force=True
    ) as writer:
        writer.write(Box.whole(labels.shape), labels)
    return path


def themselves(masked):
    return masked


def masks_of(path, running=None, bytes_per_cube=1):
    running = running or Running(threads=2)
    with open_volume(path, "labels") as volume:
        measurements = measure_volume(volume, running, "measure")

        def needed(shape, voxel_size):
            return bytes_per_cube * mask_plan.cube_voxels(shape, voxel_size)

        found = map_masks(volume, measurements, themselves, "look", running, needed)
        return {masked.id: masked for masked in found}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    chunks=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    cell=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
    together=st.integers(1, 400),
)
def test_every_instance_comes_once_in_its_own_box(tmp_path, monkeypatch, seed, chunks, cell, together):
    monkeypatch.setattr(mask_plan, "CELL", cell)
    monkeypatch.setattr(mask_plan, "GROUP_VOXELS", together)
    labels = np.random.default_rng(seed).integers(0, 30, (6, 7, 8)).astype("uint16") // 3
    found = masks_of(stored(tmp_path, labels, chunks))
    assert sorted(found) == np.unique(labels[labels > 0]).tolist()
    for number, masked in found.items():
        places = np.argwhere(labels == number)
        start, stop = places.min(axis=0), places.max(axis=0) + 1
        whole = labels[tuple(map(slice, start, stop))] == number
        assert np.array_equal(masked.mask, whole)
        assert masked.first == tuple(start)
        assert masked.voxel_size_nm == (30.0, 8.0, 8.0)


def test_an_instance_that_is_too_large_comes_in_coarser_voxels_which_are_cubes_before_long(
    tmp_path, monkeypatch, caplog
):
    # A box of 4 x 13 x 12 voxels at z 2, y 3, x 4. In cubes of 8 nm it has 4 x 30/8 x 13 x 12 = 2340 of them.
    labels = np.zeros((8, 20, 20), "uint8")
    labels[2:6, 3:16, 4:16] = 7
    labels[7, 19, 19] = 1
    path = stored(tmp_path, labels, (3, 5, 5))
    monkeypatch.setattr(mask_plan, "MOST_VOXELS", 2340)
    assert masks_of(path)[7].factors == (1, 1, 1)
    assert caplog.messages == []
    monkeypatch.setattr(mask_plan, "MOST_VOXELS", 2339)
    found = masks_of(path)
    # 30, 8, 8 becomes 30, 16, 16: rows 3 to 15 of y fill voxels 2 to 7, and half of voxel 1, which counts.
    assert found[7].factors == (1, 2, 2)
    assert found[7].voxel_size_nm == (30.0, 16.0, 16.0)
    assert np.array_equal(found[7].mask, np.ones((4, 7, 6), bool))
    assert found[7].first == (2.0, 2.5, 4.5)
    assert found[1].factors == (1, 1, 1)
    assert caplog.messages == ["look: 1 instances are so large that coarser voxels are used, 7 for instance."]


def test_a_coarse_voxel_is_inside_where_half_of_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_plan, "MOST_VOXELS", 8)
    labels = np.zeros((4, 4, 4), "uint8")
    labels[:2, :2, :2] = 5  # 8 of 8 voxels
    labels[:2, :2, 2] = 5  # 4 of 8
    labels[:2, 2, 0] = 5  # 2 of 8
    labels[3, 3, 3] = 5  # 1 of 8
    mask = masks_of(stored(tmp_path, labels, (4, 4, 4), (8.0, 8.0, 8.0)))[5].mask
    assert mask.astype(int).tolist() == [[[1, 1], [0, 0]], [[0, 0], [0, 0]]]


def test_an_instance_thinner_than_half_a_coarse_voxel_does_not_vanish(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_plan, "MOST_VOXELS", 8)
    labels = np.zeros((4, 4, 4), "uint8")
    labels[0, 0, 0] = labels[3, 3, 3] = 5
    mask = masks_of(stored(tmp_path, labels, (4, 4, 4), (8.0, 8.0, 8.0)))[5].mask
    assert np.argwhere(mask).tolist() == [[0, 0, 0], [1, 1, 1]]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), chunks=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)))
def test_coarse_masks_are_the_same_for_every_chunking(tmp_path, monkeypatch, seed, chunks):
    monkeypatch.setattr(mask_plan, "MOST_VOXELS", 20)
    labels = np.random.default_rng(seed).integers(0, 4, (5, 9, 7)).astype("uint16")
    cut, whole = (masks_of(stored(tmp_path, labels, shape)) for shape in (chunks, labels.shape))
    for number, masked in whole.items():
        assert masked.factors != (1, 1, 1)
        assert np.array_equal(cut[number].mask, masked.mask)
        assert cut[number].first == masked.first


def test_without_a_voxel_size_voxels_count_as_cubes(tmp_path):
    masked = masks_of(stored(tmp_path, np.ones((2, 3, 4), "uint8"), (2, 3, 4), None))[1]
    assert masked.voxel_size_nm is None
    assert masked.mask.all()


def test_a_budget_that_the_largest_instance_exceeds_is_refused_with_the_least(tmp_path, monkeypatch):
    monkeypatch.setattr("mitotools.stages.blocks.planning.resident_bytes", lambda: 200 * MIB)
    path = stored(tmp_path, np.ones((20, 100, 100), "uint8"), (20, 100, 100))
    running = Running(threads=2, memory_bytes=900 * MIB)
    # 200 000 voxels are 750 000 cubes; a kilobyte for each is 733 MiB, and the interpreter's 200 come on top.
    assert set(masks_of(path, running, 10)) == {1}
    with pytest.raises(MachineError, match=r"--memory: 900M is too little for this\. The least is \d+M"):
        masks_of(path, running, 1024)


def test_masks_can_be_looked_at_by_other_processes(tmp_path):
    labels = np.arange(60, dtype="uint8").reshape(3, 4, 5)
    found = masks_of(stored(tmp_path, labels, (2, 2, 2)), Running(threads=1, workers=1))
    assert sorted(found) == list(range(1, 60))
    assert found[59].first == (2.0, 3.0, 4.0)
