from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.labelings import cuts, volumes
from skimage.measure import regionprops

from mitotools.errors import InputError
from mitotools.segment import runs
from mitotools.segment.measures import row_runs, surface
from mitotools.segment.measures.hosts import host_columns, per_host_columns
from mitotools.segment.measures.instance_tables import (
    columns_of_none,
    merged_tables,
    table_columns,
    tables_of_block,
)
from mitotools.segment.measures.measure import Core
from mitotools.segment.scores.overlap import overlap_of_block


def tables(labels, spacing=None, raw=None, hosts=None):
    whole = Core((0, 0, 0), labels.shape)
    return tables_of_block(labels, whole, surface.steps(spacing), raw, hosts).within(labels.shape)


def columns(labels, spacing=None, raw=None):
    return listed(table_columns(tables(labels, spacing, raw), spacing))


def listed(table):
    """Return columns as lists, in which what is not defined is None: it would not equal itself."""
    return {
        name: None if column is None else [None if value != value else value for value in column.tolist()]
        for name, column in table.items()
    }


def test_contacts_are_the_faces_that_two_instances_share():
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 0, :2] = 1  # 1 1 . .    the plane below: 2 . . .
    labels[1, 0, 0] = 2  #  . . 3 .                     . . 3 .
    labels[:, 1, 2] = 3  #  . . 4 .
    labels[0, 2, 2] = 4

    found = columns(labels, (30.0, 8.0, 4.0))

    assert found["neighbours"] == [1, 1, 1, 1]
    below, beside = 8 * 4 / 1e6, 30 * 4 / 1e6
    assert found["contact_um2"] == pytest.approx([below, below, beside, beside])


def test_an_instance_with_two_neighbours_counts_each_once():
    labels = np.array([[[1, 2, 3], [1, 2, 0]]], np.uint8)

    found = columns(labels, (30.0, 8.0, 4.0))

    assert found["neighbours"] == [1, 2, 1]
    assert found["contact_um2"] == pytest.approx([2 * 240 / 1e6, 3 * 240 / 1e6, 240 / 1e6])


def test_a_pair_is_one_whichever_of_the_two_comes_first():
    found = columns(np.array([[[2, 1, 2]]], np.uint8), (30.0, 8.0, 4.0))
    assert found["neighbours"] == [1, 1]
    assert found["contact_um2"] == pytest.approx([2 * 240 / 1e6] * 2)


@pytest.mark.parametrize("dtype", [">u2", ">i4", "<u8"])
def test_ids_in_any_order_of_bytes_are_the_same_instances(dtype):
    labels = np.array([[[1, 1, 300], [1, 0, 2]]], dtype)
    assert columns(labels) == columns(labels.astype(np.uint16))


def test_edges_and_corners_are_no_contact():
    labels = np.array([[[1, 0], [0, 2]]], np.uint8)
    assert columns(labels)["neighbours"] == [0, 0]


def test_without_voxel_size_neighbours_are_counted_and_areas_unknown():
    found = columns(np.array([[[1, 2]]], np.uint8))
    assert found["neighbours"] == [1, 1]
    assert {name for name, column in found.items() if column is None} >= {"contact_um2", "surface_um2"}


def test_the_intensity_of_an_instance():
    labels = np.array([[[7, 7, 0, 9, 7]]], np.uint16)
    raw = np.array([[[10, 20, 99, 65535, 30]]], np.uint16)

    found = columns(labels, raw=raw)

    assert found["intensity_mean"] == [20, 65535]
    assert found["intensity_std"] == pytest.approx([np.std([10, 20, 30]), 0])


@given(labels=volumes(), seed=st.integers(0, 99), dtype=st.sampled_from(["u1", "i1", "u2", "i2"]))
@settings(deadline=None, max_examples=30)
def test_intensities_equal_those_of_scikit_image(labels, seed, dtype):
    limits = np.iinfo(dtype)
    raw = np.random.default_rng(seed).integers(limits.min, limits.max, labels.shape, dtype, endpoint=True)

    found = columns(labels, raw=raw)

    regions = regionprops(labels, raw)
    assert found["intensity_mean"] == pytest.approx([region.intensity_mean for region in regions])
    assert found["intensity_std"] == pytest.approx([region.intensity_std for region in regions], abs=1e-6)


def test_the_host_is_where_most_voxels_lie():
    labels = np.array([[[1, 1, 1, 2, 2, 3, 3, 3, 4, 0]]], np.uint8)
    hosts = np.array([[[8, 8, 5, 5, 8, 0, 0, 8, 5, 9]]], np.uint8)

    found = host_columns(overlap_of_block(labels, hosts))

    assert found["host"].tolist() == [8, 5, 0, 5]  # 2 lies half in 5, half in 8: the lower one
    assert found["host_share"].tolist() == [2 / 3, 1 / 2, 2 / 3, 1.0]


def test_the_table_of_hosts_counts_theirs_and_lists_the_empty_ones():
    labels = np.array([[[1, 1, 1, 2, 2, 3, 3, 3, 4, 0]]], np.uint8)
    hosts = np.array([[[8, 8, 5, 5, 8, 0, 0, 8, 5, 9]]], np.uint8)
    overlap = overlap_of_block(labels, hosts)

    found = {
        name: column.tolist() for name, column in per_host_columns(overlap, (1000.0, 500.0, 500.0)).items()
    }

    assert found == {
        "host": [0, 5, 8, 9],
        "host_voxels": [2, 3, 4, 1],
        "host_volume_um3": [0.5, 0.75, 1.0, 0.25],
        "count": [1, 2, 1, 0],
        "voxels": [3, 3, 3, 0],
        "volume_um3": [0.75, 0.75, 0.75, 0.0],
        "density_per_um3": [2.0, 2 / 0.75, 1.0, 0.0],
        "volume_fraction": [1.0, 1.0, 1.0, 0.0],
    }
    unknown = per_host_columns(overlap, None)
    assert unknown["density_per_um3"] is None
    assert unknown["volume_fraction"] is not None


def test_no_host_is_no_row_where_every_instance_has_one():
    overlap = overlap_of_block(np.array([[[1, 0]]], np.uint8), np.array([[[3, 0]]], np.uint8))
    assert per_host_columns(overlap, None)["host"].tolist() == [3]


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"])
def test_labels_of_every_type_give_the_same_table(dtype):
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 1:3, 1:4] = 1
    assert columns(labels.astype(dtype), (8.0, 8.0, 8.0)) == columns(labels, (8.0, 8.0, 8.0))
    assert columns(np.asfortranarray(labels.astype(dtype))) == columns(labels)


def test_ids_of_64_bits_are_told_apart():
    labels = np.array([[[2**64 - 1, 2**64 - 2, 2**63]]], np.uint64)
    found = columns(labels)
    assert found["id"] == [2**63, 2**64 - 2, 2**64 - 1]
    assert found["neighbours"] == [1, 2, 1]


def test_negative_ids_and_other_types_are_refused():
    with pytest.raises(InputError, match="holds the negative id -3"):
        columns(np.array([[[0, -3]]], np.int16))
    with pytest.raises(InputError, match="expected integer labels"):
        columns(np.zeros((1, 1, 1)))


def blockwise(labels, regions, spacing, raw, hosts):
    far = surface.reach(spacing)
    for region in regions:
        around = tuple(slice(side.start, side.stop + m) for side, m in zip(region, far, strict=True))
        core = Core(tuple(side.start for side in region), labels[region].shape)
        yield tables_of_block(labels[around], core, surface.steps(spacing), raw[region], hosts[region])


SPACINGS = st.sampled_from([(30.0, 8.0, 8.0), (8.0, 8.0, 8.0), (8.0, 20.0, 5.0), None])


@given(labels=volumes(), data=st.data(), spacing=SPACINGS)
@settings(deadline=None, max_examples=150)
def test_every_cutting_gives_the_same_numbers_bit_for_bit(labels, data, spacing):
    regions = data.draw(cuts(labels.shape))
    piece, merge_rows = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 20))
    raw = (labels * 37 % 251).astype(np.uint8)
    hosts = labels // 2

    with (
        mock.patch.object(row_runs, "PIECE_VOXELS", piece),
        mock.patch.object(runs, "MERGE_ROWS", merge_rows),
    ):
        blocks = blockwise(labels, regions, spacing, raw, hosts)
        cut = runs.merge_gradually(blocks, merged_tables).within(labels.shape)

    whole = tables(labels, spacing, raw, hosts)
    assert cut.measurements.exits.tolist() == whole.measurements.exits.tolist()
    one, other = (table_columns(found, spacing) | host_columns(found.hosts) for found in (cut, whole))
    assert listed(one) == listed(other)


@given(labels=volumes(), spacing=SPACINGS)
@settings(deadline=None, max_examples=30)
def test_exits_are_the_voxels_whose_neighbour_is_another(labels, spacing):
    far = surface.reach(spacing)
    padded = np.pad(labels, [(m, m) for m in far])
    found = tables(labels, spacing).measurements
    for column, step in enumerate(surface.steps(spacing).tolist()):
        moved = padded[
            tuple(slice(m + s, m + s + n) for m, s, n in zip(far, step, labels.shape, strict=True))
        ]
        expected = [int(((labels == one) & (moved != one)).sum()) for one in found.ids]
        assert found.exits[:, column].tolist() == expected


@given(labels=volumes(), spacing=SPACINGS)
@settings(deadline=None, max_examples=30)
def test_the_columns_are_known_before_anything_is_measured(labels, spacing):
    none, some = columns_of_none(spacing, labels.dtype), table_columns(tables(labels, spacing), spacing)
    assert list(none) == list(some)
    assert [column is None for column in none.values()] == [column is None for column in some.values()]
    assert all(len(column) == 0 for column in none.values() if column is not None)
