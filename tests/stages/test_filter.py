"""Which instances stay, by every option that chooses among them."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mitotools.errors import InputError, UsageError
from mitotools.parameters import FilterParameters
from mitotools.run.running import Running
from mitotools.stages.filter import filter_volume
from mitotools.volume.path import VolumePath

PROPERTY = {
    "max_examples": 10,
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}
CUTS = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))

LABELS = np.array(
    [
        [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
        [[1, 0, 0, 4, 0], [0, 3, 3, 4, 0], [0, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 0], [0, 0, 0, 4, 0], [0, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 9]],
    ],
    "uint8",
)
"""Of 2, 2, 3 and 1 voxels; 3 alone touches no face of the volume."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, small_chunks):
    """Blocks of a few voxels, so that even these volumes are cut."""
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 64)


def filtered(folder, labels, running=None, chunks=None, voxel_size=None, **parameters):
    """Return the labels that stay."""
    source = folder / "labels.zarr"
    array = zarr.create_array(source, data=labels, chunks=chunks or labels.shape, overwrite=True)
    if voxel_size:
        array.attrs["voxel_size_nm"] = voxel_size
    target = folder / "out.zarr"
    filter_volume(
        VolumePath(str(source)),
        VolumePath(str(target)),
        FilterParameters(**parameters),
        running or Running(2, force=True),
    )
    return zarr.open_array(target / "0")[:]


def staying(folder, labels=LABELS, **parameters):
    return [int(i) for i in np.unique(filtered(folder, labels, **parameters)) if i]


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({}, [1, 3, 4, 9]),
        ({"where": "voxels == 2"}, [1, 3]),
        ({"where": "not touches_border"}, [3]),
        ({"where": "voxels >= 2 and z_max <= 2"}, [1, 3]),
        ({"where": "id % 3 == 0"}, [3, 9]),
        ({"where": "voxels > 99"}, []),
        ({"clear_border": True}, [3]),
        ({"keep_ids": (1, 4)}, [1, 4]),
        ({"keep_ids": ()}, []),
        ({"drop_ids": (1, 4)}, [3, 9]),
        ({"keep_ids": (1, 4, 9), "drop_ids": (4,)}, [1, 9]),
        ({"min_size_voxels": 2, "where": "voxels < 3", "drop_ids": (1,)}, [3]),
    ],
)
def test_an_instance_stays_where_every_option_lets_it(tmp_path, parameters, ids):
    assert staying(tmp_path, **parameters) == ids


def test_instances_that_stay_are_numbered_after_the_others_are_gone(tmp_path):
    found = filtered(tmp_path, LABELS, where="voxels > 1", drop_ids=(1,), relabel=True)
    assert found.tolist() == np.select([LABELS == 3, LABELS == 4], [1, 2]).tolist()


@pytest.mark.parametrize("at", [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2)])
def test_each_face_of_the_volume_is_its_border(tmp_path, at):
    labels = np.zeros((3, 3, 3), "uint8")
    labels[1, 1, 1] = 1
    assert staying(tmp_path, labels, clear_border=True) == [1]
    labels[at] = 1
    assert staying(tmp_path, labels, clear_border=True) == []


@settings(**PROPERTY)
@given(chunks=CUTS, seed=st.integers(0, 99), threads=st.integers(1, 3))
def test_a_condition_holds_for_whole_instances_whatever_the_chunks(tmp_path, chunks, seed, threads):
    rng = np.random.default_rng(seed)
    labels = (rng.integers(1, 9, (5, 7, 9)) * (rng.random((5, 7, 9)) < 0.1)).astype("uint16")
    found = filtered(
        tmp_path,
        labels,
        Running(threads, force=True),
        chunks,
        where="3 <= voxels and not touches_border or x_max - x_min == 1",
    )
    expected = np.zeros_like(labels)
    for number in np.unique(labels[labels > 0]):
        z, y, x = np.nonzero(labels == number)
        touches = any(c.min() == 0 or c.max() == n - 1 for c, n in zip((z, y, x), labels.shape, strict=True))
        if (z.size >= 3 and not touches) or x.max() == x.min():
            expected[labels == number] = number
    assert np.array_equal(found, expected)


@settings(**PROPERTY)
@given(chunks=CUTS, seed=st.integers(0, 99), steps=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_erosion_and_dilation_see_across_blocks(tmp_path, chunks, seed, steps):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (3, 4, 5)).repeat(2, 0).repeat(2, 1).repeat(2, 2).astype("uint16")
    found = filtered(tmp_path, labels, chunks=chunks, erode_voxels=steps[0], dilate_voxels=steps[1])
    expected = np.zeros_like(labels)
    for number in (2, 1):
        mask = labels == number
        if steps[0]:
            mask = ndimage.binary_erosion(mask, iterations=steps[0], border_value=1)
        expected[mask] = number
    for _ in range(steps[1]):
        before = expected.copy()
        for number in (2, 1):
            expected[ndimage.binary_dilation(before == number) & (before == 0)] = number
    assert np.array_equal(found, expected)


def test_instances_are_chosen_by_their_new_shapes(tmp_path):
    labels = np.array([[[0, 3, 3, 3, 3, 0, 0, 0, 7, 0]]], "int16")
    assert staying(tmp_path, labels, dilate_voxels=1, where="voxels == 3") == [7]
    assert staying(tmp_path, labels, erode_voxels=1, min_size_voxels=2) == [3]
    assert staying(tmp_path, labels, erode_voxels=1, dilate_voxels=3, clear_border=True) == []
    assert staying(tmp_path, labels.astype(bool), erode_voxels=1) == [1]


def test_a_negative_id_is_refused_though_it_would_erode(tmp_path):
    labels = np.array([[[0, -3, 0, 0]]], "int16")
    with pytest.raises(InputError, match="holds the negative id -3"):
        filtered(tmp_path, labels, erode_voxels=1)


def test_ids_that_are_not_there_are_counted_in_a_warning(tmp_path, caplog):
    assert staying(tmp_path, keep_ids=(1, 2, 3, 2**64 - 1), drop_ids=(5,)) == [1, 3]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["--keep-ids: 2 of 4 ids are not there.", "--drop-ids: 1 of 1 ids are not there."]


def test_ids_of_64_bits_are_told_apart(tmp_path):
    labels = np.array([[[2**64 - 1, 2**64 - 2, 7]]], "uint64")
    assert staying(tmp_path, labels, drop_ids=(2**64 - 1,)) == [7, 2**64 - 2]
    assert staying(tmp_path, labels, where=f"id == {2**64 - 1}") == [2**64 - 1]


def test_a_wrong_condition_is_refused_before_the_volume_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("mitotools.stages.filter.measure_volume", None)
    with pytest.raises(UsageError, match="is no condition"):
        staying(tmp_path, where="voxels >")
    assert not (tmp_path / "out.zarr").exists()


def test_a_condition_on_what_is_not_known_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(UsageError, match=r"there is no column 'size'. There is id, voxels, .*touches_border"):
        staying(tmp_path, where="size > 3")
    with pytest.raises(InputError, match=r"--where: volume_um3 .* where the voxel size is unknown"):
        staying(tmp_path, where="volume_um3 > 3")
    assert not (tmp_path / "out.zarr").exists()


def test_a_volume_of_background_stays_one(tmp_path):
    empty = np.zeros((2, 3, 4), "uint32")
    assert staying(tmp_path, empty, where="voxels > 1", clear_border=True, relabel=True) == []
