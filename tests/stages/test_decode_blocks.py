"""Block by block the labels are those of the definition, for every block, thread, process and resume."""

from __future__ import annotations

import time

import h5py
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from segment.reference_decoders import decoding_tasks, reference

from mitotools.errors import InputError, MachineError, TargetError
from mitotools.parameters import DecodeParameters
from mitotools.run.running import Running
from mitotools.segment.blockwise import across, flood
from mitotools.segment.decoders import decoder
from mitotools.segment.decoders.watershed import decode
from mitotools.stages.decode import decode_volume
from mitotools.volume.path import VolumePath

IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture]


def blobs(seed, shape, channels=2, sigma=1.0):
    """Smooth maps with plateaus at both ends, objects of all sizes that touch each other and the borders."""
    rng = np.random.default_rng(seed)
    smooth = np.stack([ndimage.gaussian_filter(rng.random(shape), sigma) for _ in range(channels)])
    smooth = (smooth - smooth.mean()) / (smooth.std() + 1e-9)
    return np.clip(smooth * 90 + 140, 0, 255).astype(np.uint8)


def noise(seed, shape, channels=2):
    """Few values, so that most decisions are ties."""
    return np.random.default_rng(seed).choice([0, 210, 230, 255], (channels, *shape)).astype(np.uint8)


def write(file, maps):
    """Write maps, if they are not there already: a file that is written again is another one."""
    if file.exists():
        with h5py.File(file) as old:
            if np.array_equal(old["main"], maps, equal_nan=maps.dtype.kind == "f"):
                return
    with h5py.File(file, "w") as new:
        new["main"] = maps


def decoded(folder, maps, parameters, **running):
    write(folder / "maps.h5", maps)
    target = folder / "labels.zarr"
    count = decode_volume(
        VolumePath(str(folder / "maps.h5")),
        VolumePath(str(target)),
        parameters,
        Running(**{"threads": 2, "force": True, **running}),
    )
    labels = zarr.open_array(target / "0")[:]
    assert labels.max(initial=0) == count
    return labels


def small(monkeypatch, unit, block_bytes=1):
    monkeypatch.setattr("mitotools.stages.decoding.block_step.UNIT", unit)
    monkeypatch.setattr("mitotools.stages.decoding.block_step.PREFERRED_BYTES", block_bytes)


@settings(max_examples=150, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    make=st.sampled_from([blobs, noise]),
    seed=st.integers(0, 10**6),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 14), st.integers(1, 16)),
    channels=st.integers(1, 2),
    unit=st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 9)),
    seeds=st.sampled_from([(0.5, 0.6), (0.85, 0.9), (0.3, 0.3)]),
    foreground=st.sampled_from([0.2, 0.5, 0.8, 0.9]),
    sizes=st.tuples(st.sampled_from([0, 1, 5, 40]), st.sampled_from([0, 1, 2, 8])),
    threads=st.integers(1, 4),
)
def test_blocks_give_the_labels_of_the_whole(
    tmp_path, monkeypatch, make, seed, shape, channels, unit, seeds, foreground, sizes, threads
):
    maps = make(seed, shape, channels)
    parameters = DecodeParameters(
        seed_foreground=seeds[0],
        seed_contour=seeds[1],
        foreground=foreground,
        min_size_voxels=sizes[0],
        min_seed_voxels=sizes[1],
    )
    small(monkeypatch, unit)
    assert np.array_equal(decoded(tmp_path, maps, parameters, threads=threads), decode(maps, parameters))


@pytest.mark.parametrize("method", ["mw", "bcd", "cc", "iou"])
@settings(max_examples=60, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    data=st.data(),
    unit=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9)),
    threads=st.integers(1, 4),
)
def test_blocks_give_the_labels_of_the_definition(tmp_path, monkeypatch, method, data, unit, threads):
    maps, parameters = data.draw(decoding_tasks(method))
    small(monkeypatch, unit)
    assert np.array_equal(decoded(tmp_path, maps, parameters, threads=threads), reference(maps, parameters))


@pytest.mark.parametrize("unit", [(3, 5, 7), (8, 16, 16), (13, 11, 64)], ids=str)
def test_instances_that_cross_many_blocks_are_those_of_the_whole(tmp_path, monkeypatch, unit):
    maps = blobs(5, (30, 60, 70), sigma=2.5)
    parameters = DecodeParameters(foreground=0.5, seed_foreground=0.7, min_size_voxels=20, min_seed_voxels=4)
    expected = decode(maps, parameters)
    assert expected.max() > 20
    small(monkeypatch, unit)
    assert np.array_equal(decoded(tmp_path, maps, parameters, threads=3), expected)


@pytest.mark.parametrize(("method", "channels"), [("mw", 2), ("cc", 2), ("iou", 1)])
def test_processes_give_the_labels_of_the_whole(tmp_path, monkeypatch, method, channels):
    maps = blobs(6, (20, 40, 50), channels, sigma=2)
    parameters = DecodeParameters(
        method, foreground=0.5, seed_foreground=0.7, min_size_voxels=20, min_seed_voxels=4
    )
    small(monkeypatch, (5, 16, 16))
    expected = decoder(method).decode(maps, parameters)
    assert expected.max() > 5
    assert np.array_equal(decoded(tmp_path, maps, parameters, workers=2), expected)


class KilledError(Exception):
    """A kill that a test survives."""


@pytest.mark.parametrize("step", ["decode", "flood across blocks", "join", "write"])
@pytest.mark.parametrize(("method", "channels"), [("mw", 2), ("cc", 2), ("iou", 1)])
def test_what_was_interrupted_continues_with_other_threads_and_less_memory(
    tmp_path, monkeypatch, method, channels, step
):
    """The second run keeps the first one's blocks, though by itself it would choose others."""
    maps = blobs(6, (20, 40, 50), channels, sigma=2)
    parameters = DecodeParameters(
        method, foreground=0.5, seed_foreground=0.7, min_size_voxels=20, min_seed_voxels=4
    )
    begun, totals = [], {}

    def stops_after_three(items, total, label, unit):
        totals[label] = total
        for number, item in enumerate(items):
            if label == step and number == min(3, total - 1):
                raise KilledError
            begun.append(label)
            yield item

    small(monkeypatch, (5, 16, 16))
    try:
        decoded(tmp_path, maps, parameters, track=stops_after_three, resume=False)
    except KilledError:
        done = begun.count("decode")
        assert (tmp_path / "labels.zarr.parts.unfinished").is_dir()
    else:
        assert step not in begun
        return  # this method has no such step
    small(monkeypatch, (7, 8, 40), 10**6)
    again = []

    def watched(items, total, label, unit):
        for item in items:
            again.append(label)
            yield item

    labels = decoded(tmp_path, maps, parameters, track=watched, resume=True, force=False, threads=3)
    assert np.array_equal(labels, decoder(method).decode(maps, parameters))
    assert again.count("decode") == totals["decode"] - done
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["labels.zarr", "maps.h5"]


def test_an_interrupted_run_is_not_continued_with_other_parameters(tmp_path, monkeypatch):
    small(monkeypatch, (5, 16, 16))
    maps = blobs(6, (20, 40, 50), sigma=2)

    def stops(items, total, label, unit):
        yield from (item for item, _ in zip(items, range(3), strict=False))
        raise KilledError

    with pytest.raises(KilledError):
        decoded(tmp_path, maps, DecodeParameters(), track=stops, resume=False)
    with pytest.raises(TargetError, match=r"was begun with other foreground\. Use --force to start over"):
        decoded(tmp_path, maps, DecodeParameters(foreground=0.5), resume=True, force=False)


def test_complete_labels_are_not_decoded_again(tmp_path):
    maps = blobs(6, (20, 40, 50), sigma=2)
    parameters = DecodeParameters(foreground=0.5)
    decoded(tmp_path, maps, parameters)
    source, target = VolumePath(str(tmp_path / "maps.h5")), VolumePath(str(tmp_path / "labels.zarr"))
    assert decode_volume(source, target, parameters, Running(2, resume=True)) is None


def test_a_marker_that_leaves_the_foreground_may_bridge_components_of_several_blocks(tmp_path, monkeypatch):
    """One marker, two pieces of foreground that touch by an edge: one instance, however it is cut."""
    maps = np.zeros((1, 2, 4, 4), np.uint8)
    maps[0, 0, :2, :2] = maps[0, 1, 2:, 2:] = 250
    parameters = DecodeParameters(min_size_voxels=0, min_seed_voxels=8)
    for unit in [(2, 4, 4), (1, 2, 2), (1, 1, 1)]:
        small(monkeypatch, unit)
        labels = decoded(tmp_path, maps, parameters)
        assert np.array_equal(labels, (maps[0] > 0).astype(np.uint8))


def test_floating_point_maps_are_decoded_as_their_integers(tmp_path, monkeypatch):
    maps = blobs(7, (10, 20, 20))
    parameters = DecodeParameters(foreground=0.5, min_size_voxels=5, min_seed_voxels=2)
    small(monkeypatch, (4, 8, 8))
    probabilities = np.minimum((maps + np.float32(0.25)) / 255, 1)
    assert np.array_equal(decoded(tmp_path, probabilities, parameters), decode(maps, parameters))


def test_nothing_is_left_beside_the_labels(tmp_path, monkeypatch):
    small(monkeypatch, (4, 8, 8))
    decoded(tmp_path, blobs(8, (10, 20, 20)), DecodeParameters(foreground=0.5, min_size_voxels=5))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["labels.zarr", "maps.h5"]


def test_a_map_that_breaks_half_way_leaves_nothing(tmp_path, monkeypatch):
    small(monkeypatch, (4, 8, 8))
    maps = blobs(8, (10, 20, 20)).astype(np.float32) / 255
    maps[0, 9, 19, 19] = np.nan
    with pytest.raises(InputError, match="expected probabilities from 0 to 1"):
        decoded(tmp_path, maps, DecodeParameters())
    assert [entry.name for entry in tmp_path.iterdir()] == ["maps.h5"]


def test_what_a_killed_run_left_is_reported(tmp_path):
    (tmp_path / "labels.zarr.parts.unfinished").mkdir()
    with pytest.raises(TargetError, match="another run is writing this output, or was killed"):
        decoded(tmp_path, blobs(1, (4, 5, 6)), DecodeParameters(), force=False)
    decoded(tmp_path, blobs(1, (4, 5, 6)), DecodeParameters())
    assert not (tmp_path / "labels.zarr.parts.unfinished").exists()


def one_piece(shape, markers):
    """Foreground everywhere, with markers as slabs along x that touch nothing."""
    maps = np.full((2, *shape), 255, np.uint8)
    width = shape[2] // markers
    for marker in range(markers):
        maps[1, :, :, marker * width : marker * width + width // 2] = 0
    return maps


def test_a_component_beyond_the_budget_is_refused_with_its_place_and_size(tmp_path, monkeypatch):
    small(monkeypatch, (32, 64, 64))
    for module in ("flood", "across"):
        monkeypatch.setattr(f"mitotools.segment.blockwise.{module}.BYTES_PER_VOXEL", 2**20)
    with pytest.raises(InputError, match=r"a piece of foreground in \[0:64,0:64,0:128\] has 524288 voxels"):
        decoded(tmp_path, one_piece((64, 64, 128), 2), DecodeParameters(), memory_bytes=2**33)
    assert [entry.name for entry in tmp_path.iterdir()] == ["maps.h5"]


def test_a_component_with_one_marker_needs_no_room(tmp_path, monkeypatch):
    small(monkeypatch, (32, 64, 64))
    monkeypatch.setattr("mitotools.segment.blockwise.flood.BYTES_PER_VOXEL", 2**20)
    assert (decoded(tmp_path, one_piece((64, 64, 128), 1), DecodeParameters(), memory_bytes=2**33) == 1).all()


def test_large_components_are_flooded_one_after_the_other(tmp_path, monkeypatch):
    """Each of two components may take more than half of the room: two threads must not flood both at once."""
    small(monkeypatch, (32, 64, 64))
    maps = np.concatenate([one_piece((64, 64, 64), 2), np.zeros((2, 64, 64, 1), np.uint8)], axis=3)
    maps = np.concatenate([maps, one_piece((64, 64, 64), 2)], axis=3)
    voxels = 64 * 64 * 64
    monkeypatch.setattr("mitotools.stages.decoding.watershed.resident_bytes", lambda: 0)
    monkeypatch.setattr("mitotools.segment.blockwise.across.BYTES_PER_VOXEL", 2**33 * 0.85 / (1.5 * voxels))
    at_work, most = [], []

    def watched(*arguments):
        at_work.append(None)
        most.append(len(at_work))
        time.sleep(0.2)
        at_work.pop()
        return flood.flood(*arguments)

    monkeypatch.setattr(across, "flood", watched)
    labels = decoded(tmp_path, maps, DecodeParameters(), memory_bytes=2**33)
    assert most == [1, 1]
    assert np.unique(labels, return_counts=True)[1].tolist() == [64 * 64, *[24 * 64 * 64, 40 * 64 * 64] * 2]


def test_a_budget_that_is_too_small_is_refused_before_any_work(tmp_path):
    with pytest.raises(MachineError, match="--memory: 1M is too little"):
        decoded(tmp_path, blobs(1, (4, 5, 6)), DecodeParameters(), memory_bytes=2**20)


def test_labels_go_into_the_image_that_they_belong_to(tmp_path):
    zarr.open_group(tmp_path / "cell.zarr", mode="w")
    maps = blobs(3, (10, 20, 20))
    parameters = DecodeParameters(foreground=0.5, min_size_voxels=5, min_seed_voxels=2)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["main"] = maps
    target = VolumePath(str(tmp_path / "cell.zarr"), "labels/mito")
    decode_volume(VolumePath(str(tmp_path / "maps.h5")), target, parameters, Running(2))
    assert np.array_equal(zarr.open_array(tmp_path / "cell.zarr/labels/mito/0")[:], decode(maps, parameters))
    assert sorted(entry.name for entry in (tmp_path / "cell.zarr" / "labels").iterdir()) == [
        "mito",
        "zarr.json",
    ]
