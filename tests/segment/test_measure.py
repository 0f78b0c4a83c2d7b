from __future__ import annotations

import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.labelings import cuts, volumes
from skimage.measure import regionprops

from mitotools.errors import InputError
from mitotools.segment import runs
from mitotools.segment.measures import row_runs
from mitotools.segment.measures.measure import (
    Measurements,
    measure_block,
    measurement_columns,
    merge_measurements,
)


def columns(measurements: Measurements) -> list[list]:
    return [
        column.tolist()
        for column in (
            measurements.ids,
            measurements.voxels,
            measurements.starts,
            measurements.stops,
            measurements.sums,
        )
    ]


def same(one: Measurements, other: Measurements) -> bool:
    return columns(one) == columns(other) and one.products.tolist() == other.products.tolist()


def test_size_box_and_index_sums_of_two_instances():
    labels = np.zeros((2, 3, 4), np.uint16)
    labels[0, 1, 1:4] = 300
    labels[1, 1, 3] = 300
    labels[1, 2, 0] = 7

    found = measure_block(labels)

    assert columns(found) == [
        [7, 300],
        [1, 4],
        [[1, 2, 0], [0, 1, 1]],
        [[2, 3, 1], [2, 2, 4]],
        [[1, 2, 0], [1, 4, 1 + 2 + 3 + 3]],
    ]


def test_a_run_does_not_go_on_in_the_next_row():
    labels = np.array([[[0, 0, 5], [5, 0, 0]]], np.uint8)

    assert columns(measure_block(labels)) == [[5], [2], [[0, 0, 0]], [[1, 2, 3]], [[0, 1, 2]]]


def test_the_origin_moves_boxes_and_sums():
    labels = np.array([[[5, 5]]], np.uint8)

    found = measure_block(labels, (10, 20, 30))

    assert columns(found) == [[5], [2], [[10, 20, 30]], [[11, 21, 32]], [[20, 40, 61]]]


def test_blocks_add_up():
    left, right = np.array([[[0, 5]]], np.uint8), np.array([[[5, 6]]], np.int64)

    found = merge_measurements([measure_block(right, (0, 0, 2)), measure_block(left)])

    assert columns(found) == [
        [5, 6],
        [2, 1],
        [[0, 0, 1], [0, 0, 3]],
        [[1, 1, 3], [1, 1, 4]],
        [[0, 0, 3], [0, 0, 3]],
    ]


@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 3, 4), (2, 3, 0)])
def test_background_alone_has_no_rows(shape):
    for nothing in (measure_block(np.zeros(shape, np.uint8)), merge_measurements([])):
        assert len(nothing) == 0
        assert nothing.starts.shape == (0, 3)
        assert all(len(column) == 0 for column in measurement_columns(nothing, (8, 8, 8)).values())


def test_ids_may_take_all_64_bits():
    found = measure_block(np.array([[[2**64 - 1, 2**63, 0]]], np.uint64))

    assert found.ids.tolist() == [2**63, 2**64 - 1]


def test_labels_of_another_type_and_negative_ids_are_refused():
    with pytest.raises(InputError, match="labels: expected integer labels, found float32"):
        measure_block(np.zeros((1, 1, 1), np.float32))
    with pytest.raises(InputError, match="labels: holds the negative id -1"):
        measure_block(np.array([[[0, -1]]], np.int8))


def test_sums_of_products_of_indices():
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 2, 3:5] = labels[2, 2, 3] = 9

    found = measure_block(labels)

    zz, yy, xx = 1 + 1 + 4, 4 + 4 + 4, 9 + 16 + 9
    zy, zx, yx = 2 + 2 + 4, 3 + 4 + 6, 6 + 8 + 6
    assert found.products.tolist() == [[zz, yy, xx, zy, zx, yx]]


def test_the_table_is_in_physical_units():
    labels = np.zeros((3, 3, 4), np.uint8)
    labels[1:3, 1, 1:4] = 9  # centroid 1.5, 1, 2; a box of 60 x 8 x 12 nm

    table = measurement_columns(replace(measure_block(labels), size=(3, 3, 4)), (30.0, 8.0, 4.0))

    axes = {name: table.pop(name).tolist() for name in list(table) if "axis" in name or "ness" in name}
    assert axes["major_axis_nm"] == pytest.approx([2 * math.sqrt(5 * 60**2 / 12)])
    assert axes["middle_axis_nm"] == pytest.approx([2 * math.sqrt(5 * 12**2 / 12)])
    assert axes["minor_axis_nm"] == pytest.approx([2 * math.sqrt(5 * 8**2 / 12)])
    assert axes["flatness"] == pytest.approx([12 / 8])
    assert table.pop("elongation") == pytest.approx([60 / 12])
    assert np.isnan(table.pop("nearest_nm")).tolist() == [True]  # there is no other
    assert {name: column.tolist() for name, column in table.items()} == {
        "id": [9],
        "voxels": [6],
        "volume_um3": [6 * 960 / 1e9],
        "z_min": [1],
        "y_min": [1],
        "x_min": [1],
        "z_max": [3],
        "y_max": [2],
        "x_max": [4],
        "centroid_z_nm": [45.0],
        "centroid_y_nm": [8.0],
        "centroid_x_nm": [8.0],
        "touches_border": [True],
    }


def test_without_voxel_size_the_physical_columns_are_unknown_and_stand_in_the_same_order():
    measurements = measure_block(np.ones((1, 1, 1), np.uint8))

    known, unknown = measurement_columns(measurements, (8, 8, 8)), measurement_columns(measurements, None)

    assert list(known) == list(unknown)
    assert [name for name, column in unknown.items() if column is None] == [
        "volume_um3",
        "centroid_z_nm",
        "centroid_y_nm",
        "centroid_x_nm",
        "nearest_nm",
        "major_axis_nm",
        "middle_axis_nm",
        "minor_axis_nm",
        "elongation",
        "flatness",
    ]


def test_the_nearest_instance_is_that_with_the_nearest_centroid_in_nm():
    labels = np.zeros((3, 1, 9), np.uint8)
    labels[0, 0, 0] = 1  # from 2: 1 along z, 30 nm
    labels[1, 0, 0] = 2
    labels[1, 0, 2:5] = 3  # its middle is 3 along x from that of 2: 24 nm, and 4 from that of 4: 32 nm
    labels[1, 0, 7] = 4

    table = measurement_columns(measure_block(labels), (30.0, 8.0, 8.0))

    assert table["nearest_nm"].tolist() == [30.0, 24.0, 24.0, 32.0]


def test_instances_with_one_centroid_are_no_distance_apart():
    labels = np.array([[[1, 2, 1]]], np.uint8)
    assert measurement_columns(measure_block(labels), (30.0, 8.0, 8.0))["nearest_nm"].tolist() == [0, 0]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_an_instance_touches_the_border_that_it_has_a_voxel_at(axis, end):
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[2, 2, 2] = 7
    np.moveaxis(labels, axis, 0)[end, 2, 2] = 3

    table = measurement_columns(replace(measure_block(labels), size=(4, 5, 6)), None)

    assert table["touches_border"].tolist() == [True, False]


def test_where_the_size_of_the_volume_is_not_known_nothing_is_said_of_its_border():
    assert "touches_border" not in measurement_columns(measure_block(np.ones((1, 1, 1), np.uint8)), None)


@given(labels=volumes())
@settings(deadline=None, max_examples=30)
def test_measurements_equal_those_of_scikit_image(labels):
    spacing = (30.0, 8.0, 4.0)
    table = measurement_columns(measure_block(labels), spacing)

    regions = regionprops(labels, spacing=spacing)

    assert table["id"].tolist() == [region.label for region in regions]
    assert table["voxels"].tolist() == [region.num_pixels for region in regions]
    assert table["volume_um3"] == pytest.approx([region.area / 1e9 for region in regions])
    boxes = zip(*(table[f"{axis}_{end}"].tolist() for end in ("min", "max") for axis in "zyx"), strict=True)
    assert list(boxes) == [region.bbox for region in regions]
    for position, axis in enumerate("zyx"):
        assert table[f"centroid_{axis}_nm"] == pytest.approx(
            [region.centroid[position] for region in regions]
        )


@given(labels=volumes(), data=st.data())
@settings(deadline=None, max_examples=60)
def test_measurements_are_the_same_however_the_volume_is_cut(labels, data):
    blocks = data.draw(cuts(labels.shape))
    piece, merge_rows = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 20))

    with (
        mock.patch.object(row_runs, "PIECE_VOXELS", piece),
        mock.patch.object(runs, "MERGE_ROWS", merge_rows),
    ):
        cut = merge_measurements(measure_block(labels[b], tuple(side.start for side in b)) for b in blocks)

    assert same(cut, measure_block(labels))
