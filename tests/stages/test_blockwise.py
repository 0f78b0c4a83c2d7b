"""Volumes that are filled block by block: on any engine, in blocks of any shape, within a budget."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext

import numpy as np
import psutil
import pytest
import zarr
from command_runs import finished, started
from hypothesis import given, settings
from hypothesis import strategies as st
from tile_files import read

from mitotools.errors import InputError, MachineError, TargetError
from mitotools.run import budget
from mitotools.run.budget import MIB
from mitotools.run.running import Running
from mitotools.stages.blocks.blockwise import map_blocks, write_volume
from mitotools.stages.blocks.resuming import not_done
from mitotools.stages.blocks.work import Work
from mitotools.volume.atomic import remove
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.files import open_volume
from mitotools.volume.path import VolumePath

RAW = np.random.default_rng(3).integers(0, 256, (24, 40, 56), dtype=np.uint8)
SPEC = VolumeSpec(RAW.shape, RAW.dtype, chunks=(8, 8, 8))
FORMATS = ["v.zarr", "v.h5", "v.tif", "v.npy", "v.nii.gz", "v"]


def raw(box, threads):
    return RAW[box.slices]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(budget, "PREFERRED_BYTES", 8**3)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_block_is_computed_once_and_lies_where_it_belongs(tmp_path, small_blocks, name, threads):
    computed = np.zeros(RAW.shape, np.uint8)

    def block(box, threads):
        computed[box.slices] += 1
        return raw(box, threads)

    write_volume(VolumePath(str(tmp_path / name)), SPEC, Work(block, "test"), Running(threads))
    assert np.array_equal(read(tmp_path / name)[0], RAW)
    assert np.all(computed == 1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_volume_of_several_processes_is_the_same(tmp_path, monkeypatch, name):
    """Without processes: what goes to them is pickled, and its results come back in no order."""
    cloudpickle = pytest.importorskip("cloudpickle")

    class Elsewhere:
        threads, processes, free_bytes = 2, 0, 2**34

        def map(self, function, items, _):
            there = cloudpickle.loads(cloudpickle.dumps(function))
            for item in reversed(list(items)):
                yield item, there(item)
            there.writer.close()

    engine = Running.engine
    elsewhere = nullcontext(Elsewhere())
    monkeypatch.setattr(budget, "PREFERRED_BYTES", 8**3)
    monkeypatch.setattr(Running, "engine", lambda run: elsewhere if run.is_distributed else engine(run))
    voxels = RAW

    def block(box, threads):
        return voxels[box.slices]

    running = Running(2, scheduler="tcp://elsewhere:1")
    write_volume(VolumePath(str(tmp_path / name)), SPEC, Work(block, "test"), running)
    assert np.array_equal(read(tmp_path / name)[0], RAW)
    assert {entry.name for entry in tmp_path.iterdir()} <= {name, f"{name}.history.json"}


def test_no_more_blocks_are_computed_at_once_than_planned(tmp_path, small_blocks):
    lock, now, most = threading.Lock(), [0], [0]

    def block(box, threads):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1
        return raw(box, threads)

    needed = {}
    running = Running(3, dry_run=needed.update)
    write_volume(VolumePath(str(tmp_path / "v.zarr")), SPEC, Work(block, "test"), running)
    assert most == [0]
    write_volume(VolumePath(str(tmp_path / "v.zarr")), SPEC, Work(block, "test"), Running(3))
    assert 1 <= most[0] <= int(needed["at_once"])


@pytest.mark.parametrize("name", FORMATS)
def test_an_error_in_a_block_is_passed_on_when_no_block_is_computed_any_more(tmp_path, small_blocks, name):
    running = [0]

    def block(box, threads):
        running[0] += 1
        time.sleep(0.01)
        running[0] -= 1
        if Box((16, 16, 16), (17, 17, 17)).intersection(box).shape == (1, 1, 1):
            raise InputError("the source", "is broken")
        return raw(box, threads)

    with pytest.raises(InputError, match="is broken"):
        write_volume(VolumePath(str(tmp_path / name)), SPEC, Work(block, "test"), Running(3))
    assert running == [0]
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_said_before_anything_is_made(tmp_path):
    running = Running(1, memory_bytes=MIB)
    for name in FORMATS:
        with pytest.raises(MachineError, match="too little"):
            write_volume(VolumePath(str(tmp_path / name)), SPEC, Work(raw, "test"), running)
    assert list(tmp_path.iterdir()) == []


def test_a_volume_that_the_disk_has_no_room_for_is_refused_where_it_is_not_compressed(tmp_path, caplog):
    """10^13 voxels; nothing is computed."""
    spec = VolumeSpec((10**4, 10**4, 10**5), np.dtype("u1"), compression="none")
    target = VolumePath(str(tmp_path / "v.zarr"))
    with pytest.raises(TargetError, match=r"needs 9314G of disk uncompressed, and .* are free"):
        write_volume(target, spec, Work(raw, "test"), Running(1))
    assert list(tmp_path.iterdir()) == []


def test_gathering_sees_every_voxel_once(tmp_path, small_blocks):
    write_volume(VolumePath(str(tmp_path / "v.zarr")), SPEC, Work(raw, "test"), Running(1))
    with open_volume(VolumePath(str(tmp_path / "v.zarr"))) as volume:
        sums = list(
            map_blocks(
                [volume],
                lambda box, _: int(volume.read(box).sum()),
                "sum",
                Running(3),
                bytes_per_voxel=2,
            )
        )
    assert len(sums) == 3 * 5 * 7
    assert sum(sums) == RAW.sum()


SHAPES = st.tuples(*[st.integers(1, 5)] * 3)


@settings(deadline=None, max_examples=100)
@given(size=st.tuples(*[st.integers(1, 30)] * 3), unit=SHAPES, old=SHAPES, new=SHAPES, data=st.data())
def test_what_is_done_in_blocks_of_one_shape_is_not_done_again_in_another(size, unit, old, new, data):
    """What is left of a block is the box around its voxels that are not done, found here voxel by voxel."""
    spec = VolumeSpec(size, np.dtype("u1"), chunks=unit)
    shapes = [tuple(u * times for u, times in zip(unit, shape, strict=True)) for shape in (old, new)]
    before = grid(size, shapes[0])
    done = data.draw(st.lists(st.sampled_from(before)))
    written = np.zeros(size, bool)
    for box in done:
        written[box.slices] = True
    flat = [[bound for pair in zip(box.start, box.stop, strict=True) for bound in pair] for box in done]
    blocks = grid(size, shapes[1])
    left = []
    for box in blocks:
        missing = np.argwhere(~written[box.slices]) + box.start
        if len(missing):
            left.append(Box(tuple(missing.min(axis=0).tolist()), tuple((missing.max(axis=0) + 1).tolist())))
    assert not_done(blocks, flat, spec) == left


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """600 MB that do not compress well, in chunks of 512 kB."""
    folder = tmp_path_factory.mktemp("large")
    array = zarr.create_array(
        folder / "raw.zarr", shape=(576, 1024, 1024), chunks=(32, 128, 128), dtype="u1", compressors=None
    )
    slab = np.random.default_rng(0).integers(0, 256, (32, 1024, 1024), dtype=np.uint8)
    for z in range(0, 576, 32):
        slab[:, z : z + 8] = 0
        array[z : z + 32] = slab
    return folder


def peak_of(process):
    """Return the largest sum of the resident memory of a process and its children."""
    peak, tree = 0, psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        try:
            for one in (tree, *tree.children(recursive=True)):
                try:
                    total += one.memory_info().rss
                except psutil.Error:
                    continue  # it has just ended
        except psutil.Error:
            break
        peak = max(peak, total)
        time.sleep(0.005)
    assert finished(process) == (0, "")
    return peak


@pytest.mark.parametrize(
    ("target", "budget_mib", "options"),
    [
        ("v.zarr", 256, ["-t", "12"]),
        pytest.param("v.zarr", 160, ["-t", "2"], marks=pytest.mark.slow),
        pytest.param("v.zarr", 700, ["--workers", "2"], marks=pytest.mark.slow),
        pytest.param("v.h5", 256, ["-t", "4"], marks=pytest.mark.slow),
        pytest.param("v.h5", 256, ["-t", "4", "--resume"], marks=pytest.mark.slow),
        pytest.param("v.tif", 256, ["-t", "4"], marks=pytest.mark.slow),
        pytest.param("v.nii.gz", 256, ["-t", "4"], marks=pytest.mark.slow),
        pytest.param("v.zarr", 400, ["-t", "4", "--levels", "3"], marks=pytest.mark.slow),
        pytest.param("v.zarr", 256, ["-t", "4", "--dtype", "uint16"], marks=pytest.mark.slow),
    ],
)
def test_resident_memory_stays_below_the_budget(large, target, budget_mib, options):
    for left in large.glob("v*"):
        remove(left)
    command = ["convert", "raw.zarr", target, "--memory", f"{budget_mib}M", "-q", *options]
    assert peak_of(started(large, *command)) <= budget_mib * MIB
