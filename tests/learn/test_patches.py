import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn.arrays import ArrayReader, volume
from peak_memory import IMPORT

from mitotools.errors import InputError
from mitotools.learn import patches
from mitotools.learn.augment.context import Context
from mitotools.learn.augment.patch import apply, draw, margin
from mitotools.learn.augment.recipes import RECIPES
from mitotools.learn.patches import Mixture, PatchSource
from mitotools.volume.base import Volume
from mitotools.volume.blocks import Box

NOTHING = Box((0, 0, 0), (0, 0, 0))


def numbered(shape, dtype=np.uint16):
    """Return voxels that are all different, 1 and up."""
    return np.arange(1, np.prod(shape) + 1, dtype=dtype).reshape(shape)


def numbered_source(shape, patch, uniform_share=1.0, recipe=(), **how):
    """Return a source whose labels are the voxels' numbers, and whose grey values are the lowest 8 bits."""
    number = numbered(shape)
    raw = volume((number % 256).astype(np.uint8), (8, 8, 8))
    return PatchSource(raw, volume(number), patch, uniform_share, recipe, **how)


def grey(image):
    return np.rint((image + 1) / 2 * 255)


def labels_drawn(source, count, seed=0):
    rng = np.random.default_rng(seed)
    return [source.draw(rng).labels for _ in range(count)]


def share_with_foreground(uniform_share):
    """How many of 400 patches of 8 hold the only labelled voxel, in the middle of 64."""
    labels = np.zeros((64, 64, 64), np.uint16)
    labels[40, 30, 20] = 9
    raw = volume(np.zeros_like(labels, np.uint8))
    source = PatchSource(raw, volume(labels), (8, 8, 8), uniform_share, ())
    return np.mean([drawn.any() for drawn in labels_drawn(source, 400)])


@pytest.mark.parametrize("which", ["labels", "ignore"])
def test_volumes_of_different_sizes_are_refused_with_both_sizes(which):
    raw, right = volume(np.zeros((4, 4, 4), np.uint8)), volume(np.ones((4, 4, 4), np.uint8))
    wrong = volume(np.ones((4, 4, 5), np.uint8), name="mito.h5")
    how = {"labels": right, "ignore": None, which: wrong}
    message = r"^cell.h5 and mito.h5: have different shapes, \(4, 4, 4\) and \(4, 4, 5\)\.$"
    with pytest.raises(InputError, match=message):
        PatchSource(raw, patch=(2, 2, 2), uniform_share=0.4, **how)


def test_labels_without_an_instance_are_refused():
    empty = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(InputError, match=r"^cell.h5: has no foreground to learn from\.$"):
        PatchSource(volume(empty), volume(empty), (2, 2, 2), 0.4)


def test_labels_of_which_no_instance_counts_are_refused():
    labels, ignored = np.zeros((1, 1, 4), np.uint8), np.zeros((1, 1, 4), np.uint8)
    labels[..., :2], ignored[..., 1] = 1, 1
    raw, held_out = volume(np.zeros_like(labels)), Box((0, 0, 0), (1, 1, 1))
    words = r"^cell.h5: has no foreground to learn from outside what is held out or ignored\.$"
    with pytest.raises(InputError, match=words):
        PatchSource(raw, volume(labels), (1, 1, 2), 0.4, ignore=volume(ignored), held_out=held_out)
    PatchSource(raw, volume(labels), (1, 1, 2), 0.4, held_out=held_out)
    PatchSource(raw, volume(labels), (1, 1, 2), 0.4, ignore=volume(ignored))


def test_negative_ids_are_refused_even_where_no_instance_is():
    labels = np.zeros((1, 1, 4), np.int32)
    labels[..., 0], labels[..., 3] = 5, -1
    words = "holds the negative id -1. Ids are 0 and above; leave out what is not labelled with --ignore"
    with pytest.raises(InputError) as error:
        PatchSource(volume(np.zeros_like(labels, np.uint8)), volume(labels), (1, 1, 2), 0.4)
    assert str(error.value) == f"cell.h5: {words}."


def test_a_volume_that_is_held_out_as_a_whole_is_refused():
    with pytest.raises(InputError, match=r"^cell.h5: is held out as a whole\. Validate on a part of it\.$"):
        numbered_source((4, 4, 4), (2, 2, 2), held_out=Box((0, 0, 0), (4, 4, 4)))


def test_a_patch_longer_than_the_volume_is_mirrored():
    raw, labels = np.array([[[0, 51, 255]]], np.uint8), np.array([[[0, 5, 6]]], np.uint16)
    source = PatchSource(volume(raw), volume(labels), (1, 2, 5), 0.4, ())
    patch = source.draw(np.random.default_rng(0))
    assert patch.labels.tolist() == [[[0, 0, 5, 6, 6]] * 2]
    assert patch.image.ravel().tolist() == pytest.approx([-1, -1, -0.6, 1, 1] * 2)
    assert patch.image.dtype == np.float32
    assert patch.valid is None


def test_image_and_labels_are_read_at_the_same_place():
    source, rng = numbered_source((12, 12, 12), (4, 5, 6), 0.4), np.random.default_rng(0)
    for _ in range(50):
        patch = source.draw(rng)
        assert patch.image.shape == patch.labels.shape == (4, 5, 6)
        assert np.array_equal(grey(patch.image), patch.labels % 256)


def test_uniform_patches_reach_every_corner():
    starts = {int(labels[0, 0, 0]) for labels in labels_drawn(numbered_source((3, 3, 3), (2, 2, 2)), 200)}
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
def test_any_voxel_of_the_foreground_is_found_however_the_file_is_chunked_and_cropped(data):
    size = data.draw(st.tuples(*[st.integers(1, 150)] * 3), label="size")
    places = st.tuples(*(st.integers(0, n - 1) for n in size))
    wanted = data.draw(st.sets(places, min_size=1, max_size=2), label="foreground")
    chunks = data.draw(st.tuples(*[st.integers(1, 160)] * 3), label="chunks")
    before = data.draw(st.tuples(*[st.integers(0, 40)] * 3), label="cropped away")
    labels = np.ones([b + n for b, n in zip(before, size, strict=True)], np.uint16)
    crop = Box(before, labels.shape)
    labels[crop.slices] = 0
    for number, place in enumerate(wanted, start=2):
        labels[crop.slices][place] = number
    cropped = Volume(ArrayReader(labels, None, chunks), "cell.h5", crop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "SCANNED_VOXELS", 4096)
        source = PatchSource(volume(np.zeros(size, np.uint8)), cropped, (1, 1, 1), 0.0, ())
    assert {int(drawn.item()) for drawn in labels_drawn(source, 40)} == set(range(2, len(wanted) + 2))


def test_labels_are_looked_through_once_along_their_chunks_and_a_little_at_a_time(monkeypatch):
    monkeypatch.setattr(patches, "SCANNED_VOXELS", 1000)
    reader = ArrayReader(np.ones((20, 24, 40), np.uint8), None, (10, 12, 8))
    PatchSource(volume(np.zeros((20, 24, 40), np.uint8)), Volume(reader, "cell.h5"), (4, 4, 4), 0.4)
    assert all(box.shape == (10, 12, 8) for box in reader.boxes)
    assert sorted(box.start for box in reader.boxes) == [
        (z, y, x) for z in (0, 10) for y in (0, 12) for x in (0, 8, 16, 24, 32)
    ]


def mirrored_crop(array, box, patch, around):
    """Return the patch of a box and so much around it, of a volume that is mirrored far beyond its ends."""
    padded, far = np.pad(array, 60, mode="symmetric"), 60
    lengths = zip(box.start, box.shape, patch, around, strict=True)
    starts = [far + start - (p - n) // 2 - m for start, n, p, m in lengths]
    stops = [start + p + 2 * m for start, p, m in zip(starts, patch, around, strict=True)]
    return padded[Box(tuple(starts), tuple(stops)).slices]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_patch_is_that_of_a_volume_mirrored_beyond_its_ends(data):
    size = data.draw(st.tuples(*[st.integers(3, 24)] * 3), label="size")
    patch = data.draw(st.tuples(*[st.integers(2, 12)] * 3), label="patch")
    start = data.draw(st.tuples(*(st.integers(0, max(n - p, 0)) for n, p in zip(size, patch, strict=True))))
    seed = data.draw(st.integers(0, 99), label="seed")
    recipe = data.draw(st.sampled_from(["none", "2021", "strong"]), label="recipe")
    voxel_size = data.draw(st.sampled_from([(8, 8, 8), (30, 8, 8)]), label="voxel size")
    rng = np.random.default_rng(seed)
    raw, ignored = rng.integers(0, 256, size, np.uint8), rng.random(size) < 0.2
    labels = numbered(size)
    box = Box(start, tuple(min(a + p, n) for a, p, n in zip(start, patch, size, strict=True)))
    source = PatchSource(
        volume(raw, voxel_size), volume(labels), patch, 1.0, RECIPES[recipe], volume(ignored.astype(np.uint8))
    )
    drawn = draw(rng, RECIPES[recipe], Context(patch, voxel_size))
    found = source.read(box, drawn)
    image, ids, valid = (
        mirrored_crop(array, box, patch, margin(drawn, patch))
        for array in (raw.astype(np.float32) / np.float32(255), labels, ~ignored)
    )
    image, ids, valid = apply(drawn, image, ids, valid, patch)
    assert np.array_equal(found.image, (image - np.float32(0.5)) / np.float32(0.5))
    assert np.array_equal(found.labels, ids)
    assert np.array_equal(found.valid, valid)


@pytest.mark.parametrize("recipe", ["none", "mild"])
@pytest.mark.parametrize("held_out", [NOTHING, Box((2, 3, 4), (9, 12, 30))])
def test_voxels_count_unless_they_are_ignored_or_held_out(recipe, held_out):
    ignored = np.random.default_rng(1).random((20, 20, 30)) < 0.3
    ignore = volume(ignored.astype(np.uint8) * 7)
    source = numbered_source((20, 20, 30), (8, 8, 8), 0.4, RECIPES[recipe], ignore=ignore, held_out=held_out)
    ignored[held_out.slices] = True
    rng = np.random.default_rng(0)
    for _ in range(40):
        patch = source.draw(rng)
        assert np.array_equal(patch.valid, ~ignored.ravel()[patch.labels.astype(int) - 1])


def test_patches_never_lie_within_what_is_held_out():
    held_out = Box((0, 0, 0), (20, 20, 19))
    source = numbered_source((20, 20, 20), (4, 4, 4), 0.5, held_out=held_out)
    rng = np.random.default_rng(0)
    drawn = [source.draw(rng) for _ in range(200)]
    assert all(patch.valid[..., 3].all() and not patch.valid[..., :3].any() for patch in drawn)


def test_foreground_that_is_held_out_is_not_looked_for():
    # Both instances lie in one cell; patches around the first would lie within what is held out, for ever.
    labels = np.zeros((8, 8, 60), np.uint8)
    labels[4, 4, 10], labels[4, 4, 55] = 1, 2
    raw, held_out = volume(np.zeros_like(labels)), Box((0, 0, 0), (8, 8, 50))
    source = PatchSource(raw, volume(labels), (4, 4, 4), 0.0, (), held_out=held_out)
    assert all(2 in drawn for drawn in labels_drawn(source, 50))


def test_ignored_foreground_is_not_looked_for():
    labels = np.zeros((8, 8, 60), np.uint8)
    labels[4, 4, 10], labels[4, 4, 55] = 1, 2
    raw, ignore = volume(np.zeros_like(labels)), volume((labels == 1).astype(np.uint8))
    source = PatchSource(raw, volume(labels), (4, 4, 4), 0.0, (), ignore=ignore)
    assert all(2 in drawn for drawn in labels_drawn(source, 50))


@pytest.mark.parametrize("recipe", ["none", "strong"])
def test_volumes_too_large_for_memory_give_the_same_patches(recipe):
    def drawn(**room):
        ignore = volume(np.eye(24, dtype=np.uint8)[:, :, np.newaxis].repeat(24, 2))
        held_out = Box((0, 0, 0), (3, 24, 24))
        how = {"ignore": ignore, "held_out": held_out}
        source = numbered_source((24, 24, 24), (8, 8, 8), 0.4, RECIPES[recipe], **how)
        mixture, rng = Mixture([source], **room), np.random.default_rng(0)
        return [mixture.draw(rng)[0] for _ in range(10)]

    for one, other in zip(drawn(), drawn(held_bytes=0), strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.valid, other.valid)


def boxes_read(held_bytes):
    """Return which boxes of raw and labels five patches read, of volumes of 16 000 and 32 000 bytes."""
    readers = [ArrayReader(np.ones((20, 20, 40), dtype), None, (8, 8, 8)) for dtype in (np.uint8, np.uint16)]
    source = PatchSource(*(Volume(reader, "cell.h5") for reader in readers), (4, 4, 4), 1.0, ())
    mixture = Mixture([source], held_bytes)
    for reader in readers:
        reader.boxes.clear()
    labels_drawn(mixture.sources[0], 5)
    return [reader.boxes for reader in readers]


def test_small_volumes_are_read_once():
    assert boxes_read(48_000) == [[Box((0, 0, 0), (20, 20, 40))]] * 2


def test_volumes_that_together_exceed_the_limit_are_read_patch_by_patch():
    for boxes in boxes_read(47_999):
        assert [box.shape for box in boxes] == [(4, 4, 4)] * 5


def test_of_several_volumes_the_smallest_are_held_that_together_stay_below_the_limit():
    # A voxel is a byte of raw, two of labels and, in the first volume, one of what to ignore.
    sides = (4, 8, 2, 6)
    room = 3 * 2**3 + 4 * 4**3 + 3 * 6**3
    ignore = volume(np.zeros((4, 4, 4), np.uint8))
    sources = [numbered_source((n,) * 3, (2, 2, 2), ignore=ignore if n == 4 else None) for n in sides]
    assert [source.is_held for source in Mixture(sources, room).sources] == [True, False, True, True]
    assert [source.is_held for source in Mixture(sources, room - 1).sources] == [True, False, True, False]


def test_what_is_held_in_memory_is_not_sent_to_other_processes():
    (source,) = Mixture([numbered_source((20, 20, 20), (4, 4, 4))]).sources
    before = pickle.dumps(source)
    expected = labels_drawn(source, 3)
    after = pickle.dumps(source)
    assert source.is_held
    assert len(after) < len(before) + 1000  # the voxels would be 24 000
    assert np.array_equal(labels_drawn(pickle.loads(after), 3), expected)  # noqa: S301 (it is ours)


def test_grey_values_with_nan_are_refused_where_they_are_read():
    raw = np.random.default_rng(0).normal(size=(40, 130, 130)).astype(np.float32)
    labels = np.ones(raw.shape, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mitotools.learn.normalise.SAMPLED_BLOCKS", 1)
        raw[39] = np.nan
        source = PatchSource(volume(raw), volume(labels), (40, 8, 8), 0.4)
    with pytest.raises(InputError, match=r"^cell.h5: holds NaN"):
        source.draw(np.random.default_rng(0))


def test_several_volumes_are_drawn_from_equally_often_whatever_their_size():
    sources = [numbered_source((side, side, side), (2, 2, 2)) for side in (3, 8, 20)]
    mixture, rng = Mixture(sources), np.random.default_rng(0)
    drawn = [mixture.draw(rng)[1] for _ in range(900)]
    # 900 draws of a third have a standard deviation of 14.
    assert [drawn.count(source) for source in sources] == pytest.approx([300] * 3, abs=45)


def test_a_patch_of_a_mixture_comes_with_the_volume_that_it_is_of():
    small = PatchSource(*(volume(np.full((4, 4, 4), 7, np.uint8)) for _ in range(2)), (2, 2, 2), 0.4, ())
    large = PatchSource(*(volume(np.full((9, 9, 9), 8, np.uint8)) for _ in range(2)), (2, 2, 2), 0.4, ())
    mixture, rng = Mixture([small, large]), np.random.default_rng(0)
    for _ in range(20):
        patch, source = mixture.draw(rng)
        assert np.unique(patch.labels) == (7 if source is small else 8)


FULL_SIZE = (
    IMPORT
    + """
from pathlib import Path
import numpy as np
from mitotools.learn.augment.recipes import RECIPES
from mitotools.learn.patches import PatchSource
from mitotools.volume.base import Volume, VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.formats import ome_zarr

boxes = [Box((z, y, x), (z + 32, y + 128, x + 128)) for z, y, x in [(0, 0, 0), (320, 3968, 128)]]
volumes = []
for name, dtype in (("raw.zarr", np.uint8), ("labels.zarr", np.uint32)):
    place = Path(sys.argv[1]) / name
    spec = ome_zarr.planned(VolumeSpec((400, 4096, 4096), np.dtype(dtype), (30.0, 8.0, 8.0)), place)
    writer = ome_zarr.create_writer(place, spec, place)
    for number, box in enumerate(boxes, start=1):
        writer.write(box, np.full(box.shape, number, dtype))
    volumes.append(Volume(ome_zarr.open_reader(place, None), name))
source, rng = PatchSource(*volumes, (32, 256, 256), 0.0, RECIPES["strong"]), np.random.default_rng(0)
drawn = {int(source.draw(rng).labels.max()) for _ in range(20)}
print(*sorted(drawn), peak_kib())
"""
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems measure memory in other units")
def test_sparse_volumes_of_7_billion_voxels_take_less_than_a_gigabyte(tmp_path):
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FULL_SIZE, str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    *drawn, kilobytes = map(int, result.stdout.split())
    assert drawn == [1, 2]
    assert kilobytes < 2**20
