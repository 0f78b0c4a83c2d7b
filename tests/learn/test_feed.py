import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from learn.arrays import volume

from mitotools.errors import InputError, MitotoolsError
from mitotools.learn import feed
from mitotools.learn.augment.recipes import RECIPES
from mitotools.learn.feed import Patches, batches, bytes_of_patch, loaders_for
from mitotools.learn.patches import Mixture, Patch, PatchSource
from mitotools.learn.processes import Processes
from mitotools.learn.targets import targets_named
from mitotools.parameters import TrainParameters
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.formats import format_of
from mitotools.volume.path import parse_volume_path

TARGETS = targets_named(["mask", "contour"])
DiskUsage = namedtuple("DiskUsage", "free")


def random_mixture(recipe="strong", **how):
    """Return two volumes to draw from, of sections and of cubes."""
    rng = np.random.default_rng(0)
    sources = []
    for side, voxel_size in ((24, (30, 8, 8)), (32, (8, 8, 8))):
        raw = volume(rng.integers(0, 256, (side,) * 3, np.uint8), voxel_size)
        labels = np.kron(rng.integers(0, 3, (side // 8,) * 3), np.ones((8, 8, 8), int)).astype(np.uint16)
        sources.append(PatchSource(raw, volume(labels), (8, 8, 8), 0.4, RECIPES[recipe], **how))
    return Mixture(sources)


def fed(mixture, loaders=0, processes=Processes(), first=0, **change):  # noqa: B008 (it is frozen)
    parameters = TrainParameters(**{"batch": 4, "seed": 3, "device": "cpu"} | change)
    return batches(Patches(mixture, TARGETS, parameters), parameters, processes, loaders, first)


def first_batches(count, mixture=None, **how):
    with closing(fed(mixture or random_mixture(), **how)) as found:
        return list(islice(found, count))


def same(one, other):
    return torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)


def loader_processes():
    """Return the processes below this one that are neither helpers of multiprocessing nor gone."""
    (server,) = (p for p in psutil.Process().children() if "forkserver" in " ".join(p.cmdline()))
    return server.children()


def wait_until_none_is_left(processes):
    _, left = psutil.wait_procs(processes, timeout=20)
    return left


class Constant:
    """Patches of one value, of which the first voxel does not count where `valid` says so."""

    voxel_size_nm = None

    def __init__(self, *valid):
        self._valid, self._drawn = valid, 0

    def draw(self, _):
        kind = self._valid[self._drawn % len(self._valid)]
        self._drawn += 1
        valid = None if kind is None else np.ones((2, 2, 2), bool)
        if kind == "partly":
            valid[0, 0, 0] = False
        return Patch(np.zeros((2, 2, 2), np.float32), np.ones((2, 2, 2), np.uint8), valid), self


class Failing:
    """Raises an error over every patch."""

    def __init__(self, error):
        self._error = error

    def draw(self, _):
        raise self._error


class Crashing:
    """Gives one patch, and then ends its process."""

    def __init__(self):
        self._source, self._drawn = Constant(None), 0

    def draw(self, rng):
        self._drawn += 1
        if self._drawn > 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._source.draw(rng)


def test_a_batch_holds_images_and_one_channel_a_target():
    (batch,) = first_batches(1)
    assert batch.images.shape == (4, 1, 8, 8, 8)
    assert batch.targets.shape == (4, 2, 8, 8, 8)
    assert batch.images.dtype == batch.targets.dtype == torch.float32
    assert set(np.unique(batch.targets)) == {0, 1}
    assert -1 <= batch.images.min() < batch.images.max() <= 1


def test_the_targets_of_a_patch_are_those_of_its_own_voxel_size():
    # In cubes of 8 nm the faces along z of an instance are contours, too; in sections of 30 nm they are not.
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[:6] = 1
    shares = []
    for voxel_size in ((30, 8, 8), (8, 8, 8)):
        raw = volume(np.zeros_like(labels), voxel_size)
        mixture = Mixture([PatchSource(raw, volume(labels), (12, 12, 12), 0.4, ())])
        (batch,) = first_batches(1, mixture)
        shares.append(float(batch.targets[:, 1].mean()))
    assert shares[0] == 0 < shares[1]


@pytest.mark.parametrize("kinds", [(None,), ("wholly",), (None, "wholly")])
def test_nothing_is_said_of_what_counts_where_everything_does(kinds):
    (batch,) = first_batches(1, Constant(*kinds))
    assert batch.valid is None


def test_a_batch_says_of_each_patch_what_counts_where_not_everything_does():
    (batch,) = first_batches(1, Constant(None, "partly", "wholly", "partly"))
    assert batch.valid.dtype == torch.bool
    assert batch.valid.sum((1, 2, 3)).tolist() == [8, 7, 8, 7]
    assert not batch.valid[1, 0, 0, 0]


def test_no_batch_repeats_another_and_no_patch_another():
    images = [image.numpy().tobytes() for batch in first_batches(10) for image in batch.images]
    assert len(set(images)) == 40


def test_another_seed_gives_other_patches():
    (one,), (other,) = first_batches(1, batch=12, seed=3), first_batches(1, batch=12, seed=4)
    assert not any(torch.equal(image, theirs) for image in one.images for theirs in other.images)


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 9), seed=st.integers(0, 9), more=st.integers(0, 9))
@example(number=1, seed=3, more=0)
def test_no_patch_of_a_seed_is_one_of_a_seed_beyond_32_bits(number, seed, more):
    class Telling:
        voxel_size_nm = None

        def draw(self, rng):
            return Patch(rng.random((1, 1, 1), np.float32), np.ones((1, 1, 1), np.uint8), None), self

    one, other = (Patches(Telling(), TARGETS, TrainParameters(seed=s)) for s in (seed, 2**32 + seed))
    assert one[number][0] != other[more][0]


def test_batches_continue_where_an_earlier_run_ended():
    assert all(map(same, first_batches(5)[3:], first_batches(2, first=3)))


@settings(max_examples=15, deadline=None)
@given(count=st.sampled_from([2, 3, 6]), first=st.integers(0, 50))
def test_the_parts_of_several_processes_are_the_batch_of_one(count, first):
    (whole,) = first_batches(1, batch=6, first=first)
    for rank in range(count):
        (part,) = first_batches(1, batch=6, first=first, processes=Processes(rank, count))
        assert torch.equal(part.images, whole.images[rank::count])
        assert torch.equal(part.targets, whole.targets[rank::count])


def test_batches_are_the_same_for_any_number_of_loader_processes():
    expected = first_batches(6, first=2)
    for loaders in (1, 2):
        assert all(map(same, expected, first_batches(6, first=2, loaders=loaders)))


def test_loader_processes_end_when_the_batches_are_closed():
    with closing(fed(random_mixture(), loaders=2)) as found:
        next(found)
        running = loader_processes()
        assert len(running) == 2
    assert not wait_until_none_is_left(running)


@pytest.mark.parametrize("loaders", [0, 1])
def test_what_is_wrong_with_a_volume_is_said_in_its_own_words(loaders):
    mixture = Failing(InputError("cell.h5", "holds NaN or infinite values", "Clip it"))
    with pytest.raises(InputError) as caught:
        first_batches(1, mixture, loaders=loaders)
    assert str(caught.value) == "cell.h5: holds NaN or infinite values. Clip it."
    if loaders:
        assert not wait_until_none_is_left(loader_processes())


def test_nan_in_the_grey_values_reaches_the_caller_from_a_loader_process():
    raw = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    labels = volume(np.ones(raw.shape, np.uint8))
    source = PatchSource(volume(raw), labels, (12, 12, 12), 0.4)
    raw[5, 5, 5] = np.nan
    with pytest.raises(InputError, match=r"^cell.h5: holds NaN or infinite values in \[0:12,0:12,0:12\]\.$"):
        first_batches(1, Mixture([source]), loaders=1)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "kind", [OSError, pytest.param(RuntimeError, marks=SLOW), pytest.param(KeyError, marks=SLOW)]
)
def test_any_other_error_keeps_its_kind_and_the_traceback_of_the_loader_process(kind):
    with pytest.raises(kind, match=r"(?s)Traceback .*in draw.*raise self\._error.*deep within"):
        first_batches(1, Failing(kind("deep within")), loaders=1)
    gc.collect()


@pytest.mark.parametrize("kind", [RuntimeError, OSError])
def test_any_other_error_stays_as_it_is_without_loader_processes(kind):
    with pytest.raises(kind, match=r"^deep within$"):
        first_batches(1, Failing(kind("deep within")))


@pytest.mark.slow
def test_a_loader_process_that_dies_ends_the_run_in_one_line():
    begun = time.monotonic()
    with pytest.raises(MitotoolsError) as caught:
        first_batches(9, Crashing(), loaders=1)
    line = str(caught.value)
    assert line.startswith("a loader process: ended (DataLoader worker (pid(s) ")
    assert line.endswith("). Is there too little memory? Try --set loaders=0.")
    assert "\n" not in line
    assert time.monotonic() - begun < 60


def test_an_interruption_of_all_processes_leaves_the_loader_processes_at_work():
    expected = first_batches(12)
    with closing(fed(random_mixture(), loaders=1)) as found:
        batches_seen = [next(found)]
        (loader,) = loader_processes()
        loader.send_signal(signal.SIGINT)
        batches_seen += islice(found, 11)
    assert all(map(same, expected, batches_seen))


def stored(path, array):
    """Return a volume of a file."""
    form = format_of(str(path)).load()
    spec = form.planned(VolumeSpec(array.shape, array.dtype, (30.0, 8.0, 8.0)), path)
    writer = form.create_writer(path, spec, path)
    writer.write(Box.whole(array.shape), array)
    writer.close()
    return open_volume(parse_volume_path(str(path)))


def test_loader_processes_read_files_of_any_format(tmp_path):
    labels = np.arange(16**3, dtype=np.uint16).reshape(16, 16, 16)
    sources = []
    with ExitStack() as stack:
        for suffix in (".h5", ".zarr", ".tif", ".nii", ".nii.gz", ".precomputed"):
            arrays = ((labels % 251).astype(np.uint8), labels)
            volumes = [stored(tmp_path / f"{n}{suffix}", array) for n, array in enumerate(arrays)]
            sources.append(PatchSource(*map(stack.enter_context, volumes), (6, 7, 8), 0.4))
        mixture = Mixture(sources, held_bytes=0)
        expected = first_batches(8, mixture)
        assert all(map(same, expected, first_batches(8, mixture, loaders=1)))


ABANDONED = """
import time

import psutil
from learn.test_feed import fed, random_mixture

if __name__ == "__main__":
    found = fed(random_mixture(), loaders=1)
    next(found)
    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_loader_processes_end_when_the_training_is_killed(tmp_path):
    script, tests = tmp_path / "abandoned.py", Path(__file__).parents[1]
    script.write_text(ABANDONED)
    environment = os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as training:
        children = [psutil.Process(int(pid)) for pid in training.stdout.readline().split()]
        assert len(children) >= 2  # the loader process and the one that started it
        training.kill()
    assert not wait_until_none_is_left(children)


STARTED = """
import multiprocessing
import sys

from learn.test_feed import first_batches

class Gone:
    def __reduce__(self):
        return eval(sys.argv[1])

if __name__ == "__main__":
    first_batches(1, loaders=1)
    process = multiprocessing.get_context("forkserver").Process(target=print, args=(Gone(),))
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize(
    ("missing", "words"),
    [('(open, ("/of/a/training/that/is/gone",))', ""), ('(int, ("x",))', "ValueError: invalid literal")],
)
def test_a_loader_process_that_starts_when_its_training_is_gone_says_nothing(tmp_path, missing, words):
    script, tests = tmp_path / "started.py", Path(__file__).parents[1]
    script.write_text(STARTED)
    environment = os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}
    command = [sys.executable, str(script), missing]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert bool(words) == bool(ended.stderr)


def test_killing_one_of_two_loader_processes_ends_the_run_and_the_other():
    found = fed(random_mixture(), loaders=2)
    next(found)
    running = loader_processes()
    running[0].kill()
    with pytest.raises(MitotoolsError, match=r"^a loader process: ended \("):
        list(islice(found, 100_000))
    assert not wait_until_none_is_left(running)


@pytest.mark.parametrize(
    ("wanted", "threads", "device", "count"),
    [
        (None, 1, "cpu", 1),
        (None, 4, "cpu", 1),
        (None, 5, "cpu", 2),
        (None, 16, "cuda:1", 14),
        (None, 2, "cuda", 1),
        (0, 16, "cuda", 0),
        (3, 1, "cpu", 3),
    ],
)
def test_there_are_as_many_loader_processes_as_asked_or_as_the_device_keeps_busy(
    wanted, threads, device, count
):
    assert loaders_for(TrainParameters(loaders=wanted), 1, threads, device) == count


def test_a_patch_takes_what_its_image_its_targets_and_what_counts_do():
    patch = Patches(Constant("partly"), TARGETS, TrainParameters())[0]
    assert bytes_of_patch((2, 2, 2), TARGETS) == sum(array.nbytes for array in patch) == 8 * (4 + 8 + 1)


@pytest.mark.parametrize(
    ("free", "count", "words"),
    [
        (3 * 3 * 2000, 3, None),
        (3 * 3 * 2000 - 1, 2, "SHM has room for 2 of 3 loader processes. In a container, "),
        (1, 0, "SHM has room for 0 of 3 loader processes: the network waits while patches are prepared. "),
    ],
)
def test_there_are_no_more_loader_processes_than_shared_memory_has_room_for(
    monkeypatch, tmp_path, caplog, free, count, words
):
    # A patch takes 1000 bytes, a batch two: each loader process has one in hand and two ready.
    monkeypatch.setattr(feed, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DiskUsage(free if path == tmp_path else 0))
    with caplog.at_level(logging.WARNING):
        assert loaders_for(TrainParameters(loaders=3, batch=2), 1000, 4, "cpu") == count
    said = [text.replace(str(tmp_path), "SHM") for text in caplog.messages]
    assert not said if words is None else said[0].startswith(words)


def test_systems_without_such_a_folder_have_room_for_all(monkeypatch, tmp_path):
    monkeypatch.setattr(feed, "SHARED_MEMORY", tmp_path / "none")
    assert loaders_for(TrainParameters(loaders=3, batch=2), 10**15, 4, "cpu") == 3
