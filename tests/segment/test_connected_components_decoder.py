from dataclasses import replace

import numpy as np

from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders.connected_components import decode

# Foreground is above 204, and cores have a contour below 153; nothing is too small.
EASY = DecodeParameters(min_size_voxels=1)


def maps_of(*rows):
    """One slice of maps: `.` background, `#` core, `+` foreground under a contour."""
    drawn = np.array([list(row) for row in rows])
    mask = np.where(drawn == ".", 204, 205)
    contour = np.where(drawn == "+", 153, 152)
    return np.stack([mask, contour]).astype(np.uint8)[:, None]


def decoded(*rows, **parameters):
    """The labels of such a slice, a string a row."""
    labels = decode(maps_of(*rows), replace(EASY, **parameters))[0]
    return ["".join(map(str, row)) for row in labels.tolist()]


def test_a_mask_alone_gives_its_components_joined_by_corners():
    mask = maps_of("##..#", "..#..", ".....", "#...#")[:1]
    assert decode(mask, EASY)[0].tolist() == [[1, 1, 0, 0, 2], [0, 0, 1, 0, 0], [0] * 5, [3, 0, 0, 0, 4]]


def test_components_connect_across_slices():
    mask = np.zeros((1, 3, 2, 2), np.uint8)
    mask[0, 0, 0, 0] = mask[0, 1, 1, 1] = mask[0, 2, 1, 1] = 255
    assert decode(mask, EASY).max() == 1


def test_a_contour_separates_cores_and_its_voxels_join_the_nearest():
    assert decoded("##++##") == ["111222"]


def test_between_two_components_equally_near_the_lower_number_wins():
    assert decoded("##+##") == ["11122"]
    assert decoded("#+++#") == ["11122"]
    # Component 1 begins above: in raster order its neighbouring voxel comes after that of component 2.
    assert decoded("....#", ".#+#.") == ["00001", "02110"]


def test_near_is_euclidean_not_the_order_of_the_numbers():
    # The middle voxel is 2 voxels from component 1, the square root of 2 from component 2.
    assert decoded("..#..", ".....", "..+..", "...#.") == ["00100", "00000", "00200", "00020"]
    # Here it is the square root of 2 from component 1, and 1 from component 2.
    assert decoded(".#..", "..+#") == ["0100", "0022"]


def test_cores_connect_by_corners():
    assert decoded("#+", "+#") == ["11", "11"]


def test_a_voxel_joins_from_two_voxels_away_and_not_from_three():
    assert decoded("#+++") == ["1110"]
    assert decoded("#..", "...", "..+", "...", "#..") == ["100", "000", "001", "000", "200"]
    assert decoded("#...", "...+") == ["1000", "0000"]


def test_only_foreground_joins_and_a_gap_does_not_keep_it_from_joining():
    assert decoded("#.+.") == ["1010"]


def test_voxels_do_not_join_a_component_of_another_slice():
    maps = np.concatenate([maps_of("#"), maps_of("+")], axis=1)
    assert decode(maps, EASY).ravel().tolist() == [1, 0]


def test_joined_voxels_count_for_the_size():
    assert decoded("#..#++", min_size_voxels=3) == ["000111"]
    assert decoded("#...#++", min_size_voxels=4) == ["0000000"]


def test_numbers_follow_the_components_not_the_voxels_that_join_them():
    # The first voxel of all joins the component that comes second.
    assert decoded("+...#", "#....") == ["20001", "20000"]


def test_a_contour_everywhere_leaves_no_instance():
    labels = decode(np.full((2, 2, 3, 4), 255, np.uint8), EASY)
    assert labels.dtype == np.uint8
    assert labels.shape == (2, 3, 4)
    assert not labels.any()


def test_maps_that_are_read_only_or_not_contiguous_decode_alike():
    maps = np.random.default_rng(5).choice(np.array([100, 250], np.uint8), (2, 3, 8, 9))
    expected = decode(maps, EASY)
    reversed_axes = np.asfortranarray(maps)
    reversed_axes.flags.writeable = False
    assert expected.max() > 1
    assert np.array_equal(decode(reversed_axes, EASY), expected)
