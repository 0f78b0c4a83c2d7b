from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment.labelings import volumes

from mitotools.errors import InputError
from mitotools.segment import runs
from mitotools.segment.filters import edit_ids, keep_ids, relabel, replace_ids, smallest_label_type

LABELS = np.array([[[0, 3, 3, 0], [5, 5, 0, 9]]], np.uint16)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def test_ids_that_are_not_kept_become_background():
    kept = keep_ids(LABELS, ids(3, 9))

    assert kept.tolist() == [[[0, 3, 3, 0], [0, 0, 0, 9]]]
    assert kept.dtype == np.uint16


def test_kept_ids_that_are_not_there_do_no_harm():
    assert keep_ids(LABELS, ids(1, 3, 4, 2**40)).tolist() == [[[0, 3, 3, 0], [0, 0, 0, 0]]]


def test_nothing_is_left_of_no_ids():
    assert not keep_ids(LABELS, ids()).any()
    assert relabel(LABELS, ids()).dtype == np.uint8


def test_labels_are_numbered_in_the_order_of_their_ids():
    numbered = relabel(LABELS, ids(3, 5, 9))

    assert numbered.tolist() == [[[0, 1, 1, 0], [2, 2, 0, 3]]]
    assert numbered.dtype == np.uint8


def test_numbers_do_not_depend_on_what_a_block_holds():
    assert relabel(LABELS[:, 1:], ids(3, 9)).tolist() == [[[0, 0, 0, 2]]]


def test_more_than_255_instances_take_a_larger_type():
    labels = np.arange(300, dtype=np.uint32).reshape(1, 1, -1)

    numbered = relabel(labels, np.arange(44, 300, dtype=np.uint64))

    assert numbered.dtype == np.uint16
    assert numbered[0, 0, [43, 44, 299]].tolist() == [0, 1, 256]


def test_several_ids_may_become_one():
    merged = replace_ids(LABELS, ids(3, 5, 9), ids(2**40, 4, 2**40), np.uint64)

    assert merged.tolist() == [[[0, 2**40, 2**40, 0], [4, 4, 0, 2**40]]]


def test_edited_ids_leave_the_others_as_they_are():
    edited = edit_ids(LABELS, ids(3, 5, 70), ids(0, 2**40, 9), np.uint64)

    assert edited.tolist() == [[[0, 0, 0, 0], [2**40, 2**40, 0, 9]]]
    assert edit_ids(LABELS, ids(), ids(), np.uint16).tolist() == LABELS.tolist()


def test_background_stays_background_whatever_is_listed():
    assert keep_ids(LABELS, ids(0, 3)).tolist() == [[[0, 3, 3, 0], [0, 0, 0, 0]]]
    assert replace_ids(LABELS, ids(0, 3), ids(8, 8), np.uint8).tolist() == [[[0, 8, 8, 0], [0, 0, 0, 0]]]


def test_ids_may_take_all_64_bits():
    labels = np.array([[[2**64 - 1, 2**63, 1, 0]]], np.uint64)

    assert keep_ids(labels, ids(1, 2**64 - 1)).tolist() == [[[2**64 - 1, 0, 1, 0]]]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, ">u2"])
def test_other_integer_types_and_bool_stay_what_they_are(dtype):
    labels = np.array([[[0, 1, 1]]]).astype(dtype)

    kept = keep_ids(labels, ids(1))

    assert kept.dtype == labels.dtype
    assert (kept == labels).all()


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 2, 0)])
def test_an_empty_block_stays_empty(shape):
    assert relabel(np.zeros(shape, np.uint32), ids(1)).shape == shape


def test_the_labels_given_are_left_alone():
    before = LABELS.copy()

    keep_ids(LABELS, ids(3))[:] = 1

    assert (before == LABELS).all()


def test_labels_of_another_type_and_negative_ids_are_refused():
    with pytest.raises(InputError, match="labels: expected integer labels, found float64"):
        keep_ids(np.zeros((1, 1, 1)), ids(1))
    with pytest.raises(InputError, match="labels: holds the negative id -4"):
        keep_ids(np.array([[[-4]]]), ids(1))


@pytest.mark.parametrize(
    ("max_id", "expected"),
    [
        (0, np.uint8),
        (255, np.uint8),
        (256, np.uint16),
        (2**16 - 1, np.uint16),
        (2**16, np.uint32),
        (2**32 - 1, np.uint32),
        (2**32, np.uint64),
        (2**64 - 1, np.uint64),
    ],
)
def test_the_smallest_type_holds_the_largest_id(max_id, expected):
    assert smallest_label_type(max_id) == expected
    assert smallest_label_type(np.uint64(max_id)) == expected


@pytest.mark.parametrize("max_id", [-1, 2**64])
def test_an_id_that_no_type_holds_is_refused(max_id):
    with pytest.raises(InputError, match="64 bits"):
        smallest_label_type(max_id)


@given(labels=volumes(), kept=st.sets(st.integers(1, 6)), piece=st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_voxels_change_one_by_one_whatever_the_pieces_and_the_memory_order(labels, kept, piece):
    kept_ids = ids(*sorted(kept))
    numbers = dict(zip(sorted(kept), range(1, 7), strict=False))

    with mock.patch.object(runs, "PIECE_VOXELS", piece):
        filtered, numbered = keep_ids(np.asfortranarray(labels), kept_ids), relabel(labels, kept_ids)

    assert (filtered == np.where(np.isin(labels, list(kept)), labels, 0)).all()
    assert numbered.ravel().tolist() == [numbers.get(value, 0) for value in labels.ravel().tolist()]
