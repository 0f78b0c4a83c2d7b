import threading
import time
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn.arrays import volume

from mitotools.errors import InputError
from mitotools.learn import patches
from mitotools.learn.patches import PatchSource, batches
from mitotools.learn.targets import ContourShape, targets_named

CONTOUR = ContourShape(radius=0, in_plane=True)


@pytest.fixture
def unchanged(monkeypatch):
    """Patches as they lie in the volume."""
    monkeypatch.setattr("mitotools.learn.augment.AUGMENTATIONS", ())


def random_source(side=32, patch=(8, 8, 8), uniform_share=0.4):
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (side,) * 3, np.uint8)
    return PatchSource(volume(raw), volume((raw > 200).astype(np.uint8)), patch, uniform_share)


def first_batches(count, source=None, **how):
    feed = batches(source or random_source(), targets_named(["mask", "contour"]), CONTOUR, 4, **how)
    with closing(feed):
        return list(islice(feed, count))


def same(one, other):
    return np.array_equal(one.images, other.images) and np.array_equal(one.targets, other.targets)


def share_with_foreground(uniform_share):
    """How many of 400 patches of 8 hold the only labelled voxel, in the middle of 64."""
    labels = np.zeros((64, 64, 64), np.uint16)
    labels[40, 30, 20] = 9
    source = PatchSource(volume(np.zeros_like(labels, np.uint8)), volume(labels), (8, 8, 8), uniform_share)
    rng = np.random.default_rng(0)
    return np.mean([source.draw(rng)[1].any() for _ in range(400)])


def test_volumes_of_different_sizes_are_refused_with_both_sizes():
    raw, labels = volume(np.zeros((4, 4, 4), np.uint8)), volume(np.ones((4, 4, 5), np.uint8), name="mito.h5")
    with pytest.raises(InputError, match=r"^mito.h5: has size \(4, 4, 5\), but cell.h5 has \(4, 4, 4\)\.$"):
        PatchSource(raw, labels, (2, 2, 2), 0.4)


def test_labels_without_an_instance_are_refused():
    empty = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(InputError, match="has no foreground to learn from"):
        PatchSource(volume(empty), volume(empty), (2, 2, 2), 0.4)


@pytest.mark.usefixtures("unchanged")
def test_a_patch_longer_than_the_volume_is_mirrored():
    raw = np.array([[[0, 51, 255]]], np.uint8)
    source = PatchSource(volume(raw), volume(np.array([[[0, 5, 6]]], np.uint16)), (1, 2, 5), 0.4)
    image, labels = source.draw(np.random.default_rng(0))
    assert labels.tolist() == [[[0, 0, 5, 6, 6]] * 2]
    assert image.ravel().tolist() == pytest.approx([-1, -1, -0.6, 1, 1] * 2)
    assert image.dtype == np.float32


@pytest.mark.usefixtures("unchanged")
def test_image_and_labels_are_read_at_the_same_place():
    number = np.arange(12**3, dtype=np.uint16).reshape(12, 12, 12)
    source = PatchSource(volume((number % 256).astype(np.uint8)), volume(number), (4, 5, 6), 0.4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        image, labels = source.draw(rng)
        assert image.shape == labels.shape == (4, 5, 6)
        assert np.array_equal(np.rint((image + 1) / 2 * 255), labels % 256)


@pytest.mark.usefixtures("unchanged")
def test_uniform_patches_reach_every_corner():
    number = np.arange(1, 28, dtype=np.uint8).reshape(3, 3, 3)
    source = PatchSource(volume(number), volume(number), (2, 2, 2), 1.0)
    rng = np.random.default_rng(0)
    starts = {int(source.draw(rng)[1][0, 0, 0]) for _ in range(200)}
    assert starts == {1, 2, 4, 5, 10, 11, 13, 14}


def test_all_patches_that_are_not_uniform_hold_foreground():
    assert share_with_foreground(uniform_share=0.0) == 1.0


def test_uniform_patches_mostly_miss_a_rare_instance():
    assert share_with_foreground(uniform_share=1.0) < 0.02


def test_two_fifths_of_the_patches_are_drawn_anywhere():
    # 400 draws of .6 have a standard deviation of .025.
    assert share_with_foreground(uniform_share=0.4) == pytest.approx(0.6, abs=0.07)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_voxel_of_the_foreground_is_found_however_the_file_is_chunked(data):
    size = data.draw(st.tuples(*[st.integers(1, 150)] * 3), label="size")
    places = st.tuples(*(st.integers(0, n - 1) for n in size))
    wanted = data.draw(st.sets(places, min_size=1, max_size=2), label="foreground")
    chunks = data.draw(st.tuples(*[st.integers(1, 160)] * 3), label="chunks")
    labels = np.zeros(size, np.uint16)
    for number, place in enumerate(wanted, start=1):
        labels[place] = number
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "SCANNED_VOXELS", 4096)
        patch.setattr("mitotools.learn.augment.AUGMENTATIONS", ())
        source = PatchSource(volume(np.zeros(size, np.uint8)), volume(labels, chunks=chunks), (1, 1, 1), 0.0)
        rng = np.random.default_rng(0)
        found = {int(source.draw(rng)[1].item()) for _ in range(40)}
    assert found == set(range(1, len(wanted) + 1))


def test_a_volume_too_large_for_memory_gives_the_same_patches(monkeypatch):
    held = first_batches(3, seed=1)
    monkeypatch.setattr(patches, "HELD_BYTES", 0)
    assert all(same(a, b) for a, b in zip(held, first_batches(3, seed=1), strict=True))


def test_grey_values_with_nan_are_refused_where_they_are_read():
    raw = np.random.default_rng(0).normal(size=(40, 130, 130)).astype(np.float32)
    labels = np.ones(raw.shape, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mitotools.learn.normalise.SAMPLED_BLOCKS", 1)
        raw[39] = np.nan
        source = PatchSource(volume(raw), volume(labels), (40, 8, 8), 0.4)
    with pytest.raises(InputError, match=r"^cell.h5: holds NaN"):
        source.draw(np.random.default_rng(0))


def test_a_batch_holds_images_and_one_channel_a_target():
    (batch,) = first_batches(1, seed=0)
    assert batch.images.shape == (4, 1, 8, 8, 8)
    assert batch.targets.shape == (4, 2, 8, 8, 8)
    assert batch.images.dtype == batch.targets.dtype == np.float32
    assert set(np.unique(batch.targets)) == {0, 1}
    assert -1 <= batch.images.min() < batch.images.max() <= 1


def test_batches_depend_on_the_seed_and_their_number_alone():
    class Dawdling:
        """Takes its time, now more, now less."""

        def __init__(self):
            self.source, self.rng = random_source(), np.random.default_rng()

        def draw(self, rng):
            time.sleep(self.rng.uniform(0, 0.003))
            return self.source.draw(rng)

    expected = first_batches(8, seed=3)
    for threads in (1, 4):
        assert all(map(same, expected, first_batches(8, Dawdling(), seed=3, threads=threads)))


def test_no_batch_repeats_another_and_no_patch_another():
    images = [image.tobytes() for batch in first_batches(10, seed=3) for image in batch.images]
    assert len(set(images)) == 40


def test_another_seed_gives_other_batches():
    assert not same(first_batches(1, seed=3)[0], first_batches(1, seed=4)[0])


def test_closing_the_batches_ends_their_threads():
    before = threading.active_count()
    first_batches(2, seed=0, threads=3)
    assert threading.active_count() == before


def test_closing_the_batches_drops_those_that_were_not_begun():
    class Slow:
        def __init__(self):
            self.source, self.drawn = random_source(), 0

        def draw(self, rng):
            self.drawn += 1
            time.sleep(0.02 if self.drawn > 4 else 0)
            return self.source.draw(rng)

    slow = Slow()
    first_batches(1, slow, seed=0)
    assert slow.drawn < 16  # four batches of four were asked for


def test_a_failure_on_the_other_thread_reaches_the_caller():
    class Broken:
        def draw(self, _):
            raise InputError("cell.h5", "cannot be read")

    with pytest.raises(InputError, match="cannot be read"):
        first_batches(1, Broken(), seed=0)
