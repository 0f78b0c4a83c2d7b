import numpy as np
import pytest

from mitotools.learn.augment import (
    blur,
    contrast,
    cut_blur,
    cut_noise,
    grayscale,
    missing_parts,
    motion_blur,
    myelin,
    noise,
)
from mitotools.learn.augment.context import Context

SECTIONS = Context((10, 40, 40), (30, 8, 8))
CUBES = Context((10, 40, 40), (8, 8, 8))


def shaded(module, parameters, image):
    image = np.array(image, np.float32)
    assert module.apply(image, parameters) is None
    return image


def draws(module, count=400, context=SECTIONS):
    return [module.draw(np.random.default_rng(seed), context) for seed in range(count)]


def test_grey_values_are_scaled_shifted_clipped_and_bent():
    parameters = {"contrast": [2.0], "brightness": [-0.5], "gamma": [2.0]}
    # 2 x - .5 is -.5, 0, .5, 1.5; clipped 0, 0, .5, 1; squared 0, 0, .25, 1.
    assert shaded(grayscale, parameters, [[[0.0, 0.25, 0.5, 1.0]]]).tolist() == [[[0.0, 0.0, 0.25, 1.0]]]


def test_each_slice_may_have_grey_values_of_its_own():
    parameters = {"contrast": [1.0, 2.0], "brightness": [0.25, 0.0], "gamma": [1.0, 1.0]}
    assert shaded(grayscale, parameters, np.full((2, 1, 1), 0.25)).ravel().tolist() == [0.5, 0.5]
    parameters = {"contrast": [1.0, 1.0], "brightness": [0.0, 0.0], "gamma": [1.0, 2.0]}
    assert shaded(grayscale, parameters, np.full((2, 1, 1), 0.5)).ravel().tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("name", "low", "high"), [("contrast", 0.85, 1.15), ("brightness", -0.15, 0.15), ("gamma", 0.5, 2.0)]
)
def test_grey_values_are_drawn_within_their_ranges(name, low, high):
    values = np.concatenate([draw[name] for draw in draws(grayscale)])
    assert low <= values.min() < low + 0.02
    assert high - 0.03 < values.max() <= high


def test_half_of_the_patches_change_as_a_whole_and_half_by_slices():
    counts = [len(draw["gamma"]) for draw in draws(grayscale)]
    assert set(counts) == {1, 10}
    assert counts.count(1) == pytest.approx(200, abs=40)


def test_a_missing_part_is_a_band_across_a_section_filled_with_its_mean():
    image = np.zeros((2, 4, 4), np.float32)
    image[0, :, 3] = 1.0
    band = {"slice": 0, "line": [[0, 1], [3, 1]], "half_width": 1}
    found = shaded(missing_parts, {"bands": [band]}, image)
    assert found[0].tolist() == [[0.25, 0.25, 0.25, 1.0]] * 4
    assert np.array_equal(found[1], image[1])


def test_a_slanted_band_is_what_crosses_reach():
    image = np.zeros((1, 3, 3), np.float32)
    image[0, 0, 2] = 9.0
    band = {"slice": 0, "line": [[0, 0], [2, 2]], "half_width": 1}
    assert shaded(missing_parts, {"bands": [band]}, image)[0].tolist() == [[1, 1, 9], [1, 1, 1], [0, 1, 1]]
    diagonal = {"slice": 0, "line": [[0, 0], [4, 4]], "half_width": 3}
    ones = np.pad(np.zeros((1, 1, 5), np.float32), ((0, 0), (4, 0), (0, 0)), constant_values=1)
    found = shaded(missing_parts, {"bands": [diagonal]}, ones)
    assert np.argwhere(found[0] != ones.mean()).tolist() == [[0, 4], [4, 0]]


def test_missing_parts_spare_two_sections_after_each():
    hit = [[band["slice"] for band in draw["bands"]] for draw in draws(missing_parts)]
    assert min(min(np.diff(slices)) for slices in hit) == 3
    # One of (1 / .9 + 2) sections in a long run; 3.4 of ten, as the first may be hit.
    assert np.mean([len(slices) for slices in hit]) == pytest.approx(3.5, abs=0.2)
    assert {band["half_width"] for draw in draws(missing_parts) for band in draw["bands"]} == {64}


def test_missing_parts_go_from_edge_to_edge_both_ways():
    context = Context((10, 20, 30), None)
    lines = [band["line"] for draw in draws(missing_parts, 100, context) for band in draw["bands"]]
    down = [line for line in lines if (line[0][0], line[1][0]) == (0, 19)]
    across = [line for line in lines if (line[0][1], line[1][1]) == (0, 29)]
    assert len(down) + len(across) >= len(lines)
    assert len(down) > 0.4 * len(lines)
    assert len(across) > 0.4 * len(lines)


def test_motion_smears_eleven_pixels_along_one_axis_of_one_section():
    image = np.zeros((2, 1, 31), np.float32)
    image[:, 0, 15] = 11.0
    found = shaded(motion_blur, {"slices": [1], "axis": "x", "pixels": 11}, image)
    assert np.array_equal(found[0], image[0])
    assert found[1, 0] == pytest.approx([0] * 10 + [1] * 11 + [0] * 10, abs=1e-6)
    assert np.allclose(shaded(motion_blur, {"slices": [1], "axis": "y", "pixels": 11}, image), image)


def test_motion_hits_two_sections():
    for draw in draws(motion_blur):
        assert len(set(draw["slices"])) == 2
        assert draw["pixels"] == 11
    assert {draw["axis"] for draw in draws(motion_blur)} == {"x", "y"}
    assert {number for draw in draws(motion_blur) for number in draw["slices"]} == set(range(10))


def test_a_cuboid_loses_resolution_in_the_plane_only():
    image = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6)
    found = shaded(cut_blur, {"box": [[1, 2], [0, 4], [1, 5]], "times": 2.0}, image)
    assert np.array_equal(found[0], image[0])
    # Tiles of 2 x 2 keep their lower right pixel: (1 and 3) x (2 and 4).
    assert found[1].tolist() == [
        [24, 32, 32, 34, 34, 29],
        [30, 32, 32, 34, 34, 35],
        [36, 44, 44, 46, 46, 41],
        [42, 44, 44, 46, 46, 47],
    ]


def test_resolution_is_lost_two_to_eight_times():
    times = [draw["times"] for draw in draws(cut_blur)]
    assert 2 <= min(times) < 2.1
    assert 7.9 < max(times) <= 8


@pytest.mark.parametrize("module", [cut_blur, cut_noise])
def test_cuboids_lie_in_the_patch_and_have_up_to_two_fifths_of_its_sides(module):
    boxes = np.array([draw["box"] for draw in draws(module, 2000)])
    sides = boxes[..., 1] - boxes[..., 0]
    assert boxes.min(axis=(0, 2)).tolist() == [0, 0, 0]
    assert boxes.max(axis=(0, 2)).tolist() == [10, 40, 40]
    assert sides.min(axis=0).tolist() == [1, 1, 1]
    assert sides.max(axis=0).tolist() == [4, 16, 16]


def test_noise_in_a_cuboid_is_even_and_stays_in_range():
    image = np.full((4, 40, 40), 0.5, np.float32)
    found = shaded(cut_noise, {"box": [[1, 3], [0, 40], [10, 20]], "seed": 1, "strength": 0.3}, image)
    change = found - image
    assert not change[[0, 3]].any()
    assert not change[:, :, :10].any()
    assert not change[:, :, 20:].any()
    inside = change[1:3, :, 10:20]
    assert -0.3 <= inside.min() < -0.29
    assert 0.29 < inside.max() <= 0.3
    assert inside.std() == pytest.approx(0.3 / 3**0.5, rel=0.05)
    assert draws(cut_noise)[0]["strength"] == 0.3
    white = shaded(cut_noise, {"box": [[0, 4], [0, 40], [0, 40]], "seed": 1, "strength": 0.3}, image + 0.5)
    assert white.max() == 1


def test_gaussian_noise_has_its_deviation_and_is_clipped():
    image = np.full((4, 64, 64), 0.5, np.float32)
    found = shaded(noise, {"sigma": 0.05, "seed": 1}, image)
    assert (found - image).std() == pytest.approx(0.05, rel=0.05)
    assert not np.array_equal(found[0], found[1])
    assert shaded(noise, {"sigma": 0.5, "seed": 1}, image).max() == 1
    assert shaded(noise, {"sigma": 0.5, "seed": 1}, image).min() == 0
    assert 0.095 < max(draw["sigma"] for draw in draws(noise)) <= 0.1


def test_a_blur_keeps_the_sum_and_spares_other_sections():
    image = np.zeros((3, 21, 21), np.float32)
    image[1, 10, 10] = 1.0
    found = shaded(blur, {"sigma": [0.0, 1.0, 1.0]}, image)
    assert not found[[0, 2]].any()
    assert found[1].sum() == pytest.approx(1, abs=1e-5)
    assert found[1, 10, 10] == pytest.approx(1 / (2 * np.pi), rel=0.02)
    assert shaded(blur, {"sigma": [1.0, 1.0, 1.0]}, image)[0].sum() > 0.2


def test_sections_are_blurred_in_the_plane_and_cubes_along_z_too():
    assert {draw["sigma"][0] for draw in draws(blur)} == {0.0}
    assert all(len(set(draw["sigma"])) == 1 for draw in draws(blur, context=CUBES))


def test_local_contrast_bends_each_corner_by_its_own_exponent():
    nodes = np.zeros((2, 3, 3))
    nodes[0, 0, 0], nodes[1, 2, 2], nodes[0, 0, 2] = 1, -1, 2  # squares, square roots and fourth powers
    found = shaded(contrast, {"log2_gamma": nodes.tolist()}, np.full((3, 5, 5), 0.25))
    assert found[0, 0, 0] == pytest.approx(0.25**2)
    assert found[2, 4, 4] == pytest.approx(0.25**0.5)
    assert found[0, 0, 4] == pytest.approx(0.25**4)
    assert found[0, 4, 0] == pytest.approx(0.25)
    assert found[0, 2, 2] == pytest.approx(0.25)
    assert found[0, 0, 1] == pytest.approx(0.25 ** (2**0.5))  # half way between nodes
    assert found[1, 0, 0] == pytest.approx(0.25 ** (2**0.5))  # half way between slices


def test_local_exponents_differ_and_stay_within_an_octave():
    nodes = np.array([draw["log2_gamma"] for draw in draws(contrast)])
    assert nodes.shape[1:] == (2, 3, 3)
    assert 0.9 < np.abs(nodes).max() <= 1
    assert nodes.std(axis=(1, 2, 3)).min() > 0.05


RING = {
    "places": [[20.0, 20.0]], "radius": 10.0, "thickness": 6.0, "waves": [[0.0, 0.0]], "period": 4.0,
    "stripes": 0.0, "shade": 0.2, "shown": 0.0, "drift": [0.0, 0.0],
}  # fmt: skip


def painted(labels, grey=1.0, **changes):
    """Return an image of one grey value with myelin painted over it, and the labels."""
    image, labels = np.full(labels.shape, grey, np.float32), labels.copy()
    myelin.apply(image, labels, None, {**RING, **changes})
    return image, labels


def background(*shape):
    return np.zeros(shape, np.uint16)


def test_myelin_is_a_dark_ring_with_soft_edges():
    image, _ = painted(background(3, 41, 41))
    # It lies 10 to 16 pixels from the middle; over two pixels from either edge it becomes .2.
    assert image[1, 20, 20:] == pytest.approx([1.0] * 11 + [0.6, 0.2, 0.2, 0.2, 0.6] + [1.0] * 5)
    assert np.allclose(image[1], image[1].T)
    assert np.array_equal(image[0], image[2])


def test_stripes_of_myelin_run_along_it():
    image, _ = painted(background(1, 41, 41), stripes=0.5)
    # 2, 3, 4 pixels deep, of a period of 4: a dark stripe, neither, a light one.
    assert image[0, 20, 32:35] == pytest.approx([0.1, 0.2, 0.3])


def test_the_texture_of_myelin_is_what_it_hides_with_less_contrast():
    image = np.tile(np.float32([0.4, 0.8]), (1, 40, 20))
    myelin.apply(image, background(1, 40, 40), None, {**RING, "shown": 0.25})
    # The mean is .6, and a quarter of what a pixel differs from it is added to .2.
    assert image[0, 20, 32:34] == pytest.approx([0.15, 0.25])


def test_myelin_is_no_perfect_circle():
    image, _ = painted(background(1, 41, 41), waves=[[0.2, 0.0]], thickness=4.0)
    # Half covered 1 and 3 deep, on the right at 1.2 times 11 and 13, on the left at .8 times these.
    dark = np.flatnonzero(image[0, 20] <= 0.6) - 20
    assert dark.tolist() == [-10, -9, 14, 15]


def test_myelin_drifts_from_slice_to_slice():
    image, _ = painted(background(4, 61, 61), places=[[30.0, 30.0]], drift=[0.0, 2.0])
    assert np.array_equal(image[2, :, 10:50], image[1, :, 8:48])


def test_myelin_hides_the_little_that_it_covers_of_instances():
    labels = background(3, 41, 41)
    labels[:, 18:22, 30:40] = 4  # 10 to 19 pixels from the middle
    image, left = painted(labels)
    assert np.allclose(image[:, 20, 32:35], 0.2)
    assert left[1, 20, 30:40].tolist() == [4, 4, 0, 0, 0, 4, 4, 4, 4, 4]


def test_myelin_goes_where_instances_leave_room():
    labels = background(3, 41, 100)
    labels[:, :, :50] = 4
    image, left = painted(labels)
    assert np.all(image == 1)
    assert np.array_equal(left, labels)
    image, left = painted(labels, places=[[20.0, 20.0], [20.0, 72.0]])
    assert np.array_equal(left, labels)
    assert np.all(image[:, :, :50] == 1)
    assert (image[:, :, 50:] < 1).any()


def test_myelin_is_drawn_in_nanometres():
    for context, pixel_nm in [(SECTIONS, 8), (Context((10, 40, 40), (16, 16, 16)), 16)]:
        for name, least, most in [("radius", 50, 700), ("thickness", 60, 800)]:
            lengths = [draw[name] * pixel_nm for draw in draws(myelin, context=context)]
            assert least <= min(lengths) < 1.1 * least
            assert 0.9 * most < max(lengths) <= most
    # .3 pixels a pixel of depth, and sections are 30 / 8 pixels apart.
    for context, most in [(SECTIONS, 0.3 * 30 / 8), (CUBES, 0.3)]:
        drifts = np.abs([draw["drift"] for draw in draws(myelin, context=context)])
        assert 0.98 * most < drifts.max() <= most
