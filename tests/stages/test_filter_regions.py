"""Pieces of instances and holes in them, however the volume is cut."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mitotools.errors import InputError, MachineError
from mitotools.parameters import FilterParameters
from mitotools.run.running import Running
from mitotools.stages.filter import filter_volume
from mitotools.stages.filtering import regions
from mitotools.volume.path import VolumePath

PROPERTY = {
    "max_examples": 10,
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
CUTS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, small_chunks):
    """Blocks of a few voxels, so that even these volumes are cut."""
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 64)


def filtered(folder, labels, cell=regions.CELL, chunks=None, running=None, **parameters):
    """Return the labels that stay."""
    source, target = folder / "labels.zarr", folder / "out.zarr"
    zarr.create_array(source, data=labels, chunks=chunks or labels.shape, overwrite=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "CELL", cell)
        filter_volume(
            VolumePath(str(source)),
            VolumePath(str(target)),
            FilterParameters(**parameters),
            running or Running(2, force=True),
        )
    return zarr.open_array(target / "0")[:]


def split_slowly(labels):
    """Return the labels split, id by id and piece by piece in the whole volume."""
    pieces = []
    for number in np.unique(labels[labels > 0]):
        numbered, count = ndimage.label(labels == number, np.ones((3, 3, 3)))
        own = sorted(np.flatnonzero(numbered == k)[0] for k in range(1, count + 1))
        pieces += [(first, numbered == numbered.flat[first]) for first in own[1:]]
    result = labels.astype("uint64")
    largest = int(labels.max())
    for rank, (_, mask) in enumerate(sorted(pieces, key=lambda piece: piece[0]), start=1):
        result[mask] = largest + rank
    return result


def fill_slowly(labels):
    """Return the labels with their holes filled, region by region in the whole volume."""
    numbered, count = ndimage.label(labels == 0)
    result = labels.copy()
    for k in range(1, count + 1):
        mask = numbered == k
        around = ndimage.binary_dilation(mask) & ~mask
        inside = np.pad(mask[1:-1, 1:-1, 1:-1], 1)
        if np.array_equal(inside, mask) and len(np.unique(labels[around])) == 1:
            result[mask] = labels[around][0]
    return result


def random_labels(seed, share, side):
    """Two ids in voxels of some share of the volume, each repeated along every axis."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 3, (5, 6, 7)) * (rng.random((5, 6, 7)) < share)
    return labels.astype("uint8").repeat(side, 0)[: 5 + side].repeat(side, 1).repeat(side, 2)


@settings(**PROPERTY)
@given(cell=CUTS, chunks=CUTS, seed=st.integers(0, 999), share=st.floats(0.05, 0.6), side=st.integers(1, 2))
def test_pieces_are_those_of_the_whole_volume(tmp_path, cell, chunks, seed, share, side):
    labels = random_labels(seed, share, side)
    found = filtered(tmp_path, labels, cell, chunks, split=True)
    assert np.array_equal(found, split_slowly(labels))


@settings(**PROPERTY)
@given(cell=CUTS, chunks=CUTS, seed=st.integers(0, 999), share=st.floats(0.5, 0.95), ids=st.integers(1, 2))
def test_holes_are_those_of_the_whole_volume(tmp_path, cell, chunks, seed, share, ids):
    labels = np.minimum(random_labels(seed, share, 1), ids).astype("uint8")
    found = filtered(tmp_path, labels, cell, chunks, fill_holes=True)
    assert np.array_equal(found, fill_slowly(labels))


@settings(**PROPERTY | {"max_examples": 5})
@given(cell=CUTS, chunks=CUTS, seed=st.integers(0, 999), threads=st.integers(1, 3))
def test_the_steps_follow_each_other_across_blocks(tmp_path, monkeypatch, cell, chunks, seed, threads):
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 2**14)  # each step reads the one before
    labels = random_labels(seed, 0.7, 2)
    options = {"fill_holes": True, "erode_voxels": 1, "dilate_voxels": 1, "split": True}
    found = filtered(tmp_path, labels, cell, chunks, Running(threads, force=True), **options)
    expected = fill_slowly(labels)
    masks = [ndimage.binary_erosion(expected == number, border_value=1) for number in (1, 2)]
    expected = np.select(masks, [1, 2]).astype("uint8")
    reached = [ndimage.binary_dilation(expected == number) for number in (1, 2)]
    expected = np.where(expected == 0, np.select(reached, [1, 2]), expected)
    assert np.array_equal(found, split_slowly(expected))


def test_the_first_piece_keeps_the_id_and_others_are_numbered_above_the_largest(tmp_path):
    labels = np.array([[[5, 0, 9, 0, 5], [0, 0, 0, 0, 0], [9, 0, 5, 5, 0]]], "uint8")
    found = filtered(tmp_path, labels, split=True)
    assert found.tolist() == [[[5, 0, 9, 0, 10], [0, 0, 0, 0, 0], [11, 0, 12, 12, 0]]]


def test_a_corner_joins_pieces_but_another_id_does_not(tmp_path):
    labels = np.zeros((2, 2, 4), "uint8")
    labels[0, 0, 0] = labels[1, 1, 1] = labels[1, 1, 3] = 1
    labels[1, 1, 2] = 2
    for cell in ((1, 1, 1), (2, 2, 2), (2, 2, 4)):
        found = filtered(tmp_path, labels, cell, split=True)
        assert found[0, 0, 0] == found[1, 1, 1] == 1
        assert found[1, 1, 2:].tolist() == [2, 3]


def test_new_ids_take_a_larger_type_where_they_must(tmp_path):
    labels = np.array([[[255, 0, 255]]], "uint8")
    assert filtered(tmp_path, labels, split=True).tolist() == [[[255, 0, 256]]]
    with pytest.raises(InputError, match="does not fit 64 bits"):
        filtered(tmp_path, np.array([[[2**64 - 1, 0, 2**64 - 1]]], "uint64"), split=True)


def test_ids_of_64_bits_are_split_and_filled(tmp_path):
    labels = np.full((3, 3, 4), 2**64 - 2, "uint64")
    labels[:, :, 3] = 2**64 - 1
    labels[1, 1, 1] = 0
    expected = labels.copy()
    expected[1, 1, 1] = 2**64 - 2
    for cell in ((1, 1, 1), (2, 2, 2), (4, 4, 4)):
        found = filtered(tmp_path, labels, cell, fill_holes=True, split=True)
        assert np.array_equal(found, expected)


def test_what_two_instances_enclose_stays_background(tmp_path):
    labels = np.full((3, 3, 5), 1, "uint8")
    labels[1, 1, 1:4] = 0
    assert filtered(tmp_path, labels, (2, 2, 2), fill_holes=True).all()
    labels[:, :, 4] = 2
    assert not filtered(tmp_path, labels, (2, 2, 2), fill_holes=True)[1, 1, 1:4].any()


@pytest.mark.parametrize("at", [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)])
def test_a_hole_that_opens_at_a_face_of_the_volume_stays(tmp_path, at):
    labels = np.full((3, 3, 3), 4, "uint8")
    labels[1, 1, 1] = labels[at] = 0
    for cell in ((1, 1, 1), (2, 2, 2), (4, 4, 4)):
        assert np.array_equal(filtered(tmp_path, labels, cell, fill_holes=True), labels)


def test_a_hole_that_opens_by_an_edge_alone_is_closed(tmp_path):
    labels = np.full((3, 4, 4), 4, "uint8")
    labels[1, 1, 1] = labels[1, 2, 2] = labels[1, 3, 3] = 0
    found = filtered(tmp_path, labels, (2, 2, 2), fill_holes=True)
    assert np.argwhere(found == 0).tolist() == [[1, 3, 3]]


def test_pieces_are_chosen_as_instances(tmp_path):
    labels = np.array([[[5, 5, 0, 5, 0, 5, 5, 5]]], "int32")
    found = filtered(tmp_path, labels, (1, 1, 2), split=True, min_size_voxels=2, relabel=True)
    assert found.tolist() == [[[1, 1, 0, 0, 0, 2, 2, 2]]]


def test_labels_without_anything_to_change_stay(tmp_path):
    for labels in (np.zeros((3, 4, 5), "uint16"), np.ones((3, 4, 5), bool)):
        assert np.array_equal(filtered(tmp_path, labels, (2, 2, 2), split=True, fill_holes=True), labels)


def test_regions_that_leave_no_room_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "BYTES_PER_ROW", 2**24)
    labels = np.zeros((64, 64, 64), "uint8")
    labels[::2, ::2, ::2] = 1
    with pytest.raises(MachineError, match=r"--memory: .* is too little for the regions that --split"):
        filtered(tmp_path, labels, split=True, running=Running(1, force=True, memory_bytes=2**33))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_do_what_threads_do(tmp_path):
    labels = random_labels(3, 0.6, 2)
    options = {"split": True, "fill_holes": True, "dilate_voxels": 1, "where": "voxels > 3"}
    alone = filtered(tmp_path, labels, (4, 4, 4), **options)
    running = Running(2, force=True, workers=2)
    assert np.array_equal(filtered(tmp_path, labels, (4, 4, 4), (4, 4, 4), running, **options), alone)
