"""Maps that are computed in blocks, one after another or in several processes, and continued."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stages.networks import write_model, write_volume

from mitotools.errors import InputError, MachineError
from mitotools.parameters import PredictParameters
from mitotools.run.budget import plan_blocks
from mitotools.run.engine import ordered_map
from mitotools.run.running import Running, silent
from mitotools.stages.blocks import blockwise
from mitotools.stages.predict import predict_volume
from mitotools.stages.prediction.applying import network_let_go
from mitotools.stages.prediction.plan import planned_prediction
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

SIZE = (70, 140, 200)
HOW = PredictParameters(precision="float32", backend="torch")
QUIET = Running(threads=2, resume=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with raw.h5 and model.safetensors."""
    folder = tmp_path_factory.mktemp("blocks")
    grey = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    write_volume(folder / "raw.h5", grey)
    write_model(folder / "model.safetensors", patch=(8, 64, 64))
    return folder


@pytest.fixture(scope="module")
def direct(folder):
    return predicted(folder, folder / "direct.zarr")


def predicted(folder, target, running=QUIET, how=HOW, crop=""):
    raw = parse_volume_path(f"{folder}/raw.h5{crop}")
    predict_volume(raw, parse_volume_path(str(target)), folder / "model.safetensors", how, running)
    return content(target)


def content(path):
    with open_volume(parse_volume_path(str(path))) as volume:
        return volume.read(Box.whole(volume.spec.size))


def least(folder, target):
    """The budget that the refusal of a smaller one names."""
    with pytest.raises(MachineError, match=r"1M is too little for this\. The least is \d+M") as error:
        predicted(folder, target, replace(QUIET, memory_bytes=2**20))
    return int(re.search(r"is (\d+)M", str(error.value))[1]) * 2**20


def blocks(folder, target, running):
    needs = {}
    with pytest.raises(InputError, match="no such file"):
        predicted(folder, target, replace(running, dry_run=needs.update))
    return int(needs["blocks"])


def test_with_the_least_memory_maps_are_computed_in_blocks_and_are_the_same(folder, direct, tmp_path):
    target = tmp_path / "maps.zarr"
    # What this process holds without doing anything is not the same twice.
    tight = replace(QUIET, memory_bytes=least(folder, target) + 2**20)
    assert blocks(folder, target, tight) > 1
    assert blocks(folder, target, QUIET) == 1
    assert np.array_equal(predicted(folder, target, tight), direct)


@pytest.fixture(scope="module", params=[(5.0, 5.0, 5.0), (15.0, 7.0, 7.0), (2.0, 5.0, 5.0)], ids=str)
def planned(folder, request):
    """A prediction, also where there are three times the slices and finer voxels, or fewer slices."""
    with open_volume(parse_volume_path(str(folder / "raw.h5[3:23,0:70,100:140]")), "image") as volume:
        sized = volume.with_voxel_size(request.param)
        yield planned_prediction(sized, folder / "model.safetensors", HOW, QUIET)


@pytest.fixture(scope="module")
def whole(planned):
    return planned.prediction(Box.whole((20, 70, 40)), 2)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_box_has_the_voxels_of_the_whole(planned, whole, data):
    assert whole.shape == planned.spec.shape == (2, 20, 70, 40)
    edges = [sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in (20, 70, 40)]
    box = Box(tuple(a for a, _ in edges), tuple(b for _, b in edges))
    assert np.array_equal(planned.prediction(box, 1), whole[(slice(None), *box.slices)])


def test_blocks_end_where_chunks_do(folder):
    raw = parse_volume_path(str(folder / "raw.h5"))
    with open_volume(raw, "image") as volume:
        how = replace(HOW, overlap=0.1)
        planned = planned_prediction(volume, folder / "model.safetensors", how, QUIET)
    # Windows of 8 slices lie 7 apart: multiples of four rows of them, and of a chunk, are 448 slices deep.
    assert planned.work.unit == (64, 1, 1)


@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=pytest.mark.openvino)])
def test_processes_compute_what_one_does(folder, tmp_path, backend):
    how = replace(HOW, backend=backend)
    alone = predicted(folder, tmp_path / "alone.zarr", QUIET, how, "[:20,:,:]")
    running = replace(QUIET, threads=4, workers=2)
    together = predicted(folder, tmp_path / "together.zarr", running, how, "[:20,:,:]")
    assert np.array_equal(alone, together)


def test_a_run_that_is_stopped_is_continued_where_it_was(folder, direct, tmp_path, monkeypatch):
    def smallest(demand, *others):
        return replace(plan_blocks(demand, *others), block=(SIZE[0], *demand.unit[1:]))

    monkeypatch.setattr(blockwise, "plan_blocks", smallest)
    target = tmp_path / "maps.zarr"
    seen = []

    def stop_at_the_third(items, total, label, unit):
        seen.append(label)
        if len(seen) == 3:
            raise KeyboardInterrupt
        yield from items

    with pytest.raises(KeyboardInterrupt):
        predicted(folder, target, replace(QUIET, track=stop_at_the_third))
    assert seen == ["predict 1 of 4", "predict 2 of 4", "predict 3 of 4"]
    assert not target.exists()
    again = []

    def note(items, total, label, unit):
        again.append(label)
        return silent(items, total, label, unit)

    continued = predicted(folder, target, replace(QUIET, resume=True, track=note))
    assert again == ["predict 1 of 2", "predict 2 of 2"]
    assert np.array_equal(continued, direct)


def test_maps_that_are_there_are_not_computed_again(folder, direct, tmp_path):
    target = tmp_path / "maps.zarr"
    shutil.copytree(folder / "direct.zarr", target)
    times = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert np.array_equal(predicted(folder, target, replace(QUIET, resume=True)), direct)
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == times


def test_blocks_that_are_computed_at_once_load_the_network_once(folder):
    with open_volume(parse_volume_path(str(folder / "raw.h5")), "image") as volume:
        applied = planned_prediction(volume, folder / "model.safetensors", HOW, QUIET).prediction.applied
    with network_let_go():
        predictors = [predictor for _, predictor in ordered_map(applied.predictor, [4] * 4, 4)]
    assert len({id(predictor) for predictor in predictors}) == 1


@pytest.mark.openvino
def test_another_backend_is_another_result_and_is_not_continued_with(folder, direct, tmp_path):
    target = tmp_path / "maps.zarr"
    shutil.copytree(folder / "direct.zarr", target)
    with pytest.raises(Exception, match="was made with other backend"):
        predicted(folder, target, replace(QUIET, resume=True), replace(HOW, backend="openvino"))
