import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.errors import UsageError
from mitotools.learn.augment import AUGMENTATIONS, Exchange, Move, Paint, flip, rotate
from mitotools.learn.augment.context import Context
from mitotools.learn.augment.patch import apply, draw, margin, recipe_named
from mitotools.learn.augment.recipes import RECIPES

PATCH = (6, 24, 32)
SECTIONS = Context(PATCH, (30, 8, 8))
NAMES = [augmentation.name for augmentation in AUGMENTATIONS]
FAULTS = {"missing-section", "misalignment", "missing-parts", "motion-blur"}


def alone(name):
    return ((name, 1.0, {}),)


def everything(**limits):
    return tuple((name, 1.0, limits.get(name, {})) for name in NAMES)


def surroundings(context, recipe, dtype=np.uint16, seed=0):
    """An image, instances and a mask, as large as patches of a recipe need."""
    tries = [draw(np.random.default_rng(number), recipe, context) for number in range(20)]
    around = map(max, *(margin(drawn, context.patch) for drawn in tries))
    shape = [p + 2 * m for p, m in zip(context.patch, around, strict=True)]
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, [-(-n // 8) for n in shape]) * rng.integers(1, 60)
    labels = np.kron(coarse, np.ones((8, 8, 8), int))[tuple(map(slice, shape))].astype(dtype)
    return rng.random(shape, dtype=np.float32), labels, rng.random(shape) < 0.8


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64])
def test_every_augmentation_keeps_shapes_and_types_and_makes_no_ids(name, dtype):
    arrays = surroundings(SECTIONS, alone(name), dtype)
    for seed in range(5):
        drawn = draw(np.random.default_rng(seed), alone(name), SECTIONS)
        image, labels, valid = apply(drawn, *arrays, PATCH)
        assert image.shape == labels.shape == valid.shape == PATCH
        assert (image.dtype, labels.dtype, valid.dtype) == (np.float32, dtype, bool)
        assert all(array.flags.c_contiguous for array in (image, labels, valid))
        assert set(np.unique(labels)) <= set(np.unique(arrays[1]))
        assert image.min() >= 0
        assert image.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_parameters_survive_json_and_give_the_same_patch_again(name):
    arrays = surroundings(SECTIONS, alone(name))
    before = [array.copy() for array in arrays]
    for seed in range(5):
        drawn = draw(np.random.default_rng(seed), alone(name), SECTIONS)
        stored = json.loads(json.dumps(drawn))
        assert same(apply(drawn, *arrays, PATCH), apply(stored, *arrays, PATCH))
    assert same(arrays, before)  # what was read is left alone


@pytest.mark.parametrize("name", NAMES)
def test_different_generators_draw_differently(name):
    drawn = {json.dumps(draw(np.random.default_rng(seed), alone(name), SECTIONS)) for seed in range(60)}
    few = {"flip": 7, "rotate": 0, "missing-section": 10, "motion-blur": 20}  # of 8, 1, 15 and 30
    assert len(drawn) > few.get(name, 40)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "rotate"])
def test_every_augmentation_changes_a_patch(name):
    arrays = surroundings(SECTIONS, alone(name))
    if name in {"copy-paste", "myelin"}:
        arrays[1][:] = 0
        arrays[1][arrays[1].shape[0] // 2, 8:10, 8:10] = 7
    still = apply([], *arrays, PATCH)
    changed = [apply(draw(np.random.default_rng(s), alone(name), SECTIONS), *arrays, PATCH) for s in range(5)]
    assert any(not np.array_equal(still[0], after[0]) for after in changed)


@pytest.mark.parametrize("name", [item.name for item in AUGMENTATIONS if isinstance(item, Move | Exchange)])
def test_what_moves_grey_values_moves_labels_and_validity_with_them(name):
    rng = np.random.default_rng(0)
    inside = np.kron(rng.random((8, 6, 6)) < 0.5, np.ones((4, 16, 16), bool))
    for seed in range(5):
        drawn = draw(np.random.default_rng(seed), alone(name), SECTIONS)
        image, labels, valid = apply(drawn, inside.astype(np.float32), inside.astype(np.uint8), inside, PATCH)
        assert np.array_equal(labels, valid)
        # They differ at corners only, where four pixels are weighed and one is the nearest.
        assert np.mean((image > 0.5) != (labels > 0)) < 0.01


@pytest.mark.parametrize(
    "name", [item.name for item in AUGMENTATIONS if not isinstance(item, Move | Exchange)]
)
def test_what_changes_grey_values_leaves_the_labels(name):
    arrays = surroundings(SECTIONS, alone(name))
    drawn = draw(np.random.default_rng(1), alone(name), SECTIONS)
    _, labels, valid = apply(drawn, *arrays, PATCH)
    if name not in {"copy-paste", "myelin"}:
        assert same((labels, valid), apply([], *arrays, PATCH)[1:])


@pytest.mark.parametrize("name", NAMES)
def test_grey_values_stay_between_black_and_white(name):
    """Powers are taken of them."""
    image, labels, valid = surroundings(SECTIONS, alone(name))
    image[:] = np.random.default_rng(0).integers(0, 2, image.shape)
    labels[:] = 0
    labels[labels.shape[0] // 2, 8:10, 8:10] = 7
    for seed in range(20):
        drawn = draw(np.random.default_rng(seed), alone(name), SECTIONS)
        changed = apply(drawn, image, labels, valid, PATCH)[0]
        assert 0 <= changed.min() <= changed.max() <= 1


def test_a_patch_without_validity_is_augmented_alike():
    recipe = everything()
    arrays = surroundings(SECTIONS, recipe)
    drawn = draw(np.random.default_rng(0), recipe, SECTIONS)
    with_valid, without = apply(drawn, *arrays, PATCH), apply(drawn, *arrays[:2], None, PATCH)
    assert same(with_valid[:2], without[:2])
    assert without[2] is None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), recipe=st.sampled_from(["2020", "2021", "strong"]), data=st.data())
def test_what_lies_beyond_the_margin_never_matters(seed, recipe, data):
    patch = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 24), st.integers(1, 24)), label="patch")
    voxel_size = data.draw(st.sampled_from([None, (30, 8, 8), (8, 8, 8), (30, 8, 4)]), label="voxels")
    context = Context(patch, voxel_size)
    drawn = draw(np.random.default_rng(seed), RECIPES[recipe], context)
    around = margin(drawn, patch)
    image = np.random.default_rng(seed).random([p + 2 * m for p, m in zip(patch, around, strict=True)])
    image = image.astype(np.float32)
    labels = (image * 9).astype(np.uint8)
    more = [np.pad(array, 3, constant_values=1) for array in (image, labels)]
    near = apply(drawn, image, labels, None, patch)
    far = apply(drawn, *more, None, patch)
    assert np.array_equal(near[1], far[1])
    assert np.allclose(near[0], far[0], atol=2e-4)  # positions are rounded in single precision


def test_margins_add_up():
    patch = (6, 21, 41)
    drawn = [
        ("rescale", {"factors": [0.5, 0.8]}),  # y: 10 becomes 20; x: 20 becomes 25
        ("missing-section", {"after": [1, 1]}),  # one slice on either side
        ("misalignment", {"first": 2, "stop": 3, "shift": [-3, 2], "radians": 0.0}),
    ]
    assert margin(drawn, patch) == (1, 13, 7)
    assert margin([], patch) == (0, 0, 0)


def test_sections_have_faults_and_cubes_have_none():
    recipe = everything()
    for voxel_size, expected in [
        ((30, 8, 8), FAULTS),
        (None, FAULTS),
        ((8, 8, 8), set()),
        ((15, 8, 8), set()),
    ]:
        context = Context((6, 8, 8), voxel_size)
        names = {name for name, _ in draw(np.random.default_rng(0), recipe, context)}
        assert names & FAULTS == expected
        assert names == set(NAMES) - FAULTS | expected


def test_only_square_pixels_are_turned_by_any_angle():
    drawn = draw(np.random.default_rng(0), everything(), Context((6, 8, 8), (30, 8, 4)))
    assert "turn" not in dict(drawn)


def test_recipes_name_what_there_is_and_copy_paste_is_off():
    for recipe in RECIPES.values():
        names = [name for name, _, _ in recipe]
        assert set(names) <= set(NAMES) - {"copy-paste"}
        assert len(set(names)) == len(names)
    assert {name for name, _, _ in RECIPES["2020"]} == {
        "grayscale",
        "flip",
        "rotate",
        "elastic",
        "missing-parts",
    }


def test_the_recipe_of_2021_draws_each_as_often_as_published():
    rng = np.random.default_rng(0)
    context = Context((4, 8, 8), None)
    names = [name for _ in range(2000) for name, _ in draw(rng, RECIPES["2021"], context)]
    published = {
        "rotate": 1, "rescale": 0.5, "flip": 1, "elastic": 0.75, "grayscale": 0.75, "missing-parts": 0.9,
        "missing-section": 0.5, "misalignment": 0.5, "motion-blur": 0.5, "cut-blur": 0.5, "cut-noise": 0.75,
    }  # fmt: skip
    assert set(names) == set(published)
    for name, chance in published.items():
        assert names.count(name) / 2000 == pytest.approx(chance, abs=0.035)  # three standard deviations


def test_a_recipe_sets_limits_of_its_own():
    recipe = (("rescale", 1.0, {"low": 2.0, "high": 2.0}),)
    ((_, parameters),) = draw(np.random.default_rng(0), recipe, SECTIONS)
    assert parameters["factors"] == pytest.approx([2, 2])


def test_a_recipe_that_does_not_exist_is_refused_with_the_nearest():
    assert recipe_named("2021") == RECIPES["2021"]
    with pytest.raises(UsageError, match=r"^--recipe 2022: there is no such recipe\. Did you mean 202\d\?$"):
        recipe_named("2022")
    with pytest.raises(UsageError, match=r"Choose one of 2020, 2021, strong, mild, plain, sections, none\.$"):
        recipe_named("xyz")


def test_probabilities_of_a_recipe_are_changed_one_by_one():
    mine = recipe_named("strong", ["copy-paste:0.3", "flip:0", "grayscale:1", "copy-paste:.4"])
    unchanged = [entry for entry in RECIPES["strong"] if entry[0] not in {"flip", "grayscale"}]
    assert [entry for entry in mine if entry in unchanged] == unchanged
    changed = {name: rest for name, *rest in mine if (name, *rest) not in unchanged}
    assert changed == {
        "flip": [0.0, {}],
        "grayscale": [1.0, {"contrast": 0.3, "brightness": 0.2}],
        "copy-paste": [0.4, {}],
    }
    assert recipe_named("none", ["copy-paste:0.5"]) == (("copy-paste", 0.5, {}),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("copypaste:0.5", "augment copypaste:0.5: there is no such augmentation. Did you mean copy-paste?"),
        ("xyz:1", "augment xyz:1: there is no such augmentation. Choose one of elastic, turn, "),
        ("flip", "augment flip: has no probability from 0 to 1. For example flip:0.5, or flip:0"),
        ("flip:often", "augment flip:often: has no probability from 0 to 1. "),
        ("flip:1.5", "augment flip:1.5: has no probability from 0 to 1. "),
        ("flip:nan", "augment flip:nan: has no probability from 0 to 1. "),
    ],
)
def test_a_change_of_no_augmentation_or_to_no_probability_is_refused(change, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        recipe_named("2021", [change])


def test_a_patch_comes_from_the_middle():
    image = np.arange(7 * 6 * 5, dtype=np.float32).reshape(7, 6, 5) / 210
    labels = np.rint(image * 210).astype(np.uint16)
    found = apply([], image, labels, None, (3, 2, 1))
    assert np.array_equal(found[0], image[2:5, 2:4, 2:3])
    assert np.array_equal(found[1], labels[2:5, 2:4, 2:3])
    assert not np.shares_memory(found[0], image)


@pytest.mark.slow
def test_the_example_draws_every_augmentation(tmp_path, monkeypatch, capsys):
    script = Path(__file__).parents[2] / "examples" / "augmentations.py"
    sample = script.parent / "data" / "medulla_train.h5"
    target = tmp_path / "montage.png"
    monkeypatch.setattr("sys.argv", [str(script), f"{sample}:raw", f"{sample}:labels", str(target)])
    runpy.run_path(str(script), run_name="__main__")
    told = capsys.readouterr().out
    assert [name for name in NAMES if f"[('{name}', " not in told] == []
    assert 100_000 < target.stat().st_size < 500_000


def test_painting_comes_between_moving_and_turning():
    kinds = [type(item) for item in AUGMENTATIONS]
    order = sorted(
        range(len(kinds)), key=lambda i: [Move, Paint].index(kinds[i]) if kinds[i] in (Move, Paint) else 9
    )
    assert order == list(range(len(kinds)))
    assert NAMES[-2:] == ["flip", "rotate"]


def cube(side=4):
    """Voxels that are all different, in 0..1."""
    return np.linspace(0, 1, side**3, dtype=np.float32).reshape(side, side, side)


@pytest.mark.parametrize(
    ("voxel_size_nm", "count"),
    # Mirroring along three axes makes 8; the plane's exchange doubles that, and all orders make it 48.
    [((30, 8, 4), 8), ((30, 8, 8), 16), ((5, 5, 5), 48)],
)
def test_every_symmetry_of_the_voxels_is_reached_and_no_other(voxel_size_nm, count):
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(1000):
        array = cube(2)
        for module in (flip, rotate):
            array = module.apply(array, module.draw(rng, Context((2, 2, 2), voxel_size_nm)))
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
    assert set(Context(patch, voxel_size_nm).orders) == orders


def test_voxel_sizes_that_were_rounded_by_a_file_are_equal():
    assert len(Context((8, 8, 8), (5.0, 5.0002, 4.9999)).orders) == 6


def test_a_flip_mirrors_the_axes_drawn():
    array = np.arange(8).reshape(2, 2, 2)
    assert flip.apply(array, {"axes": [0, 2]}).ravel().tolist() == [5, 4, 7, 6, 1, 0, 3, 2]


def test_a_rotation_reorders_the_axes():
    array = np.arange(8).reshape(2, 2, 2)
    assert rotate.apply(array, {"order": [0, 2, 1]}).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
