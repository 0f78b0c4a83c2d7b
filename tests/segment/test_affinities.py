import numpy as np
import pytest

from mitotools.errors import UsageError
from mitotools.parameters import DecodeParameters
from mitotools.segment.affinities import as_instances, watershed_levels


def labels_of(*labels):
    return np.array(labels, np.uint64)[None, None]


def test_instances_are_numbered_by_their_first_voxel_in_the_smallest_type():
    labels = as_instances(labels_of(5, 5, 0, 2, 9, 2), 9, 1)
    assert labels.ravel().tolist() == [1, 1, 0, 2, 3, 2]
    assert labels.dtype == np.uint8


def test_small_instances_are_dropped():
    assert as_instances(labels_of(5, 9, 9, 2, 2), 9, 2).ravel().tolist() == [0, 1, 1, 2, 2]


def test_thresholds_are_map_values():
    assert watershed_levels(DecodeParameters(affinity_low=0.2, affinity_high=0.999)) == (51, 254)


def test_thresholds_that_are_one_map_value_leave_nothing_between_them():
    with pytest.raises(UsageError, match=r"affinity thresholds 0.5 and 0.501: the low one must be below"):
        watershed_levels(DecodeParameters(affinity_low=0.5, affinity_high=0.501))
