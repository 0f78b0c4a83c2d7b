import numpy as np
import pytest

from mitotools.learn.augment import AUGMENTATIONS, apply_all, draw_all, flip, grayscale, rotate
from mitotools.learn.augment.symmetry import Symmetry

PLANE = Symmetry(((0, 1, 2), (0, 2, 1)))
ALL = Symmetry.of((4, 4, 4), (5, 5, 5))
GEOMETRY = [augmentation for augmentation in AUGMENTATIONS if augmentation.on_labels]


def cube(side=4):
    """Voxels that are all different, in 0..1."""
    return np.linspace(0, 1, side**3, dtype=np.float32).reshape(side, side, side)


def drawn(seed, symmetry=ALL):
    return draw_all(np.random.default_rng(seed), symmetry)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_drawn_can_be_replayed(seed):
    image, labels = cube(), (cube() * 9).astype(np.uint16)
    first, again = (apply_all(drawn(seed), image, labels) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def test_different_generators_draw_differently():
    images = {apply_all(drawn(seed), cube(), cube())[0].tobytes() for seed in range(50)}
    assert len(images) > 45  # one in four keeps its grey values, and 48 turns are all there are


def test_the_patch_itself_is_left_alone():
    image, labels = cube(), (cube() * 9).astype(np.uint16)
    before = image.copy(), labels.copy()
    for seed in range(10):
        apply_all(drawn(seed), image, labels)
    assert np.array_equal(image, before[0])
    assert np.array_equal(labels, before[1])


@pytest.mark.parametrize("seed", range(20))
def test_voxels_move_with_their_labels(seed):
    number = np.arange(64, dtype=np.uint16).reshape(4, 4, 4)
    only_geometry = [pair for pair in drawn(seed) if pair[0].on_labels]
    image, labels = apply_all(only_geometry, number / np.float32(64), number)
    assert np.array_equal(image * 64, labels)


def test_grey_values_change_without_their_labels():
    parameters = {"contrast": 1.1, "brightness": 0.1, "gamma": 2.0}
    (of_grey,) = (augmentation for augmentation in AUGMENTATIONS if augmentation.name == "grayscale")
    labels = (cube() * 9).astype(np.uint16)
    image, same = apply_all([(of_grey, parameters)], cube(), labels)
    assert same is labels
    assert not np.array_equal(image, cube())


@pytest.mark.parametrize(
    ("symmetry", "count"),
    # Mirroring along three axes makes 8; the plane's exchange doubles that, and all orders make it 48.
    [(Symmetry(((0, 1, 2),)), 8), (PLANE, 16), (ALL, 48)],
)
def test_every_symmetry_of_the_voxels_is_reached_and_no_other(symmetry, count):
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(1000):
        array = cube(2)
        for augmentation in GEOMETRY:
            array = augmentation.apply(array, augmentation.draw(rng, symmetry))
        seen.add(array.tobytes())
    assert len(seen) == count


@pytest.mark.parametrize(
    ("patch", "voxel_size_nm", "orders"),
    [
        ((8, 8, 8), (30, 8, 8), {(0, 1, 2), (0, 2, 1)}),
        ((8, 8, 8), (5, 5, 8), {(0, 1, 2), (1, 0, 2)}),
        ((8, 8, 8), (30, 8, 4), {(0, 1, 2)}),
        ((8, 8, 16), (5, 5, 5), {(0, 1, 2), (1, 0, 2)}),
        ((8, 16, 16), (5, 5, 5), {(0, 1, 2), (0, 2, 1)}),
        ((8, 8, 8), None, {(0, 1, 2), (0, 2, 1)}),
    ],
)
def test_only_axes_of_equal_voxels_and_length_change_places(patch, voxel_size_nm, orders):
    assert set(Symmetry.of(patch, voxel_size_nm).orders) == orders


def test_voxel_sizes_that_were_rounded_by_a_file_are_equal():
    assert len(Symmetry.of((8, 8, 8), (5.0, 5.0002, 4.9999)).orders) == 6


def test_a_flip_mirrors_the_axes_drawn():
    array = np.arange(8).reshape(2, 2, 2)
    assert flip.apply(array, {"axes": (0, 2)}).ravel().tolist() == [5, 4, 7, 6, 1, 0, 3, 2]


def test_a_rotation_reorders_the_axes():
    array = np.arange(8).reshape(2, 2, 2)
    assert rotate.apply(array, {"order": (0, 2, 1)}).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_grey_values_are_scaled_shifted_clipped_and_bent():
    grey = np.array([[[0.0, 0.25, 0.5, 1.0]]], np.float32)
    changed = grayscale.apply(grey, {"contrast": 2.0, "brightness": -0.5, "gamma": 2.0})
    # 2 x - .5 is -.5, 0, .5, 1.5; clipped 0, 0, .5, 1; squared 0, 0, .25, 1.
    assert changed.tolist() == [[[0.0, 0.0, 0.25, 1.0]]]
    assert changed.dtype == np.float32


def test_grey_values_are_drawn_within_their_ranges():
    rng = np.random.default_rng(0)
    draws = [grayscale.draw(rng, PLANE) for _ in range(1000)]
    for name, low, high in [("contrast", 0.85, 1.15), ("brightness", -0.15, 0.15), ("gamma", 0.5, 2.0)]:
        values = [draw[name] for draw in draws]
        assert low <= min(values) < low + 0.02
        assert high - 0.03 < max(values) <= high


def test_an_augmentation_is_left_out_as_often_as_its_probability_says():
    rng = np.random.default_rng(0)
    names = [augmentation.name for _ in range(2000) for augmentation, _ in draw_all(rng, PLANE)]
    assert names.count("flip") == names.count("rotate") == 2000
    assert names.count("grayscale") == pytest.approx(1500, abs=60)  # three standard deviations
