"""Commands that are killed half-way, for real, and continued: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import zarr
from command_runs import (
    are_gone,
    children,
    finished,
    journal_of,
    least_memory,
    lines,
    names_in,
    ran,
    started,
    stopped,
    succeeds,
    wait_until,
)
from tile_files import read

# All blocks together take a second or so: tests that get no processor for a while still see them come.
RAW = np.random.default_rng(7).integers(0, 2**32, (128, 256, 256), dtype=np.uint32)
LABELS = RAW % 300 * 256  # of two bytes when they are filtered
GZIP = ["--compression", "gzip"]  # takes its time
CUT = ["tile", "../raw.zarr", "v", "--size", "8,64,64"]
COMMANDS = {
    "convert": ["convert", "../raw.zarr", "v.zarr", "--chunks", "8,32,32", *GZIP],
    "merge": ["merge", "../tiles", "v.zarr", "--chunks", "8,32,32", *GZIP],
    "filter": ["filter", "../labels.zarr", "v.zarr", "--min-size", "1"],
    "tile": CUT,
}
TO_HDF5 = ["convert", "../raw.zarr", "v.h5", "--chunks", "8,32,32", *GZIP, "--resume"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A zarr, tiles of it, and a place to measure the least memory of a command in."""
    folder = tmp_path_factory.mktemp("killed")
    for name, content in (("raw", RAW), ("labels", LABELS)):
        array = zarr.create_array(folder / f"{name}.zarr", shape=RAW.shape, chunks=(8, 64, 64), dtype="u4")
        array[:] = content
    succeeds(folder, "tile", "raw.zarr", "tiles", "--size", "32,128,128", "--halo", "0,8,8")
    (folder / "measured").mkdir()
    return folder


@pytest.fixture(scope="module")
def slowly(sources):
    """Return a function of a command, which gives options with which blocks are small."""
    known = {}

    def options(command, more=3):
        key = " ".join(command)
        if key not in known:
            known[key] = least_memory(sources / "measured", *command, "-t", "1")
        return ["-t", "1", "--memory", f"{known[key] + more}M"]

    return options


@pytest.fixture
def folder(sources, request):
    path = sources / request.node.name.replace("/", "-")
    path.mkdir()
    return path


def voxels(target):
    if target.suffix != "":
        return read(target)[0]
    plan = json.loads((target / "plan.json").read_text())
    whole = np.zeros(plan["shape"], np.uint32)
    for tile in target.glob("*.h5"):
        array, spec = read(tile)
        (z0, z1, y0, y1, x0, x1) = spec.attributes["core"]
        whole[z0:z1, y0:y1, x0:x1] = array
    return whole


def stamps(folder):
    """Return what changes when files are written again."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def chunks_done(target):
    """Return the files of the chunks of 8x32x32 voxels that are on record, and their stamps."""
    done = set()
    for line in lines(journal_of(target)):
        _, z0, z1, y0, y1, x0, x1 = json.loads(line)  # of level 0
        for z, y, x in np.ndindex((z1 - z0) // 8, (y1 - y0) // 32, (x1 - x0) // 32):
            done.add(f"0/c/{z0 // 8 + z}/{y0 // 32 + y}/{x0 // 32 + x}")
    return {path: stamp for path, stamp in stamps(unfinished(target)).items() if str(path) in done}


def unfinished(target):
    return target.with_name(f"{target.name}.unfinished")


@pytest.mark.parametrize(
    ("name", "otherwise"),
    [
        ("convert", ["-t", "2"]),
        ("convert", ["--workers", "2"]),
        ("merge", ["-t", "3", "--memory", "1G"]),
        ("tile", ["-t", "2"]),
        pytest.param("filter", ["-t", "2"], marks=pytest.mark.slow),
        pytest.param("merge", ["--workers", "3"], marks=pytest.mark.slow),
        pytest.param("tile", ["--workers", "2"], marks=pytest.mark.slow),
    ],
)
def test_a_command_that_is_killed_and_continued_otherwise_makes_the_same(folder, slowly, name, otherwise):
    command = COMMANDS[name]
    target = folder / command[2]
    status, _ = stopped(started(folder, *command, *slowly(command)), journal_of(target), 3)
    assert status == -signal.SIGKILL
    done = len(lines(journal_of(target)))
    assert names_in(folder) == [f"{target.name}.unfinished", f"{target.name}.unfinished.journal"]
    words = succeeds(folder, *command, "--resume", *otherwise)
    assert f"{target.name}: continuing after {done} blocks" in words
    assert names_in(folder) == [target.name]
    assert np.array_equal(voxels(target), LABELS if name == "filter" else RAW)


def test_a_run_that_is_killed_again_and_again_does_each_block_once(folder, slowly):
    command = [*COMMANDS["convert"], "--resume"]
    target = folder / "v.zarr"
    kept = {}
    for more_entries, more_memory in ((2, 4), (3, 1), (4, 2)):  # blocks of several shapes
        memory = slowly(COMMANDS["convert"], more_memory)
        entries = len(lines(journal_of(target))) + more_entries
        stopped(started(folder, *command, *memory), journal_of(target), entries)
        now = stamps(unfinished(target))
        assert kept.items() <= now.items()
        assert len(chunks_done(target)) > len(kept)
        kept = chunks_done(target)
    succeeds(folder, *command, *slowly(COMMANDS["convert"], 4))
    assert kept.items() <= stamps(target).items()
    assert np.array_equal(voxels(target), RAW)


def test_tiles_that_are_done_are_not_cut_again(folder, slowly):
    target = folder / "v"
    stopped(started(folder, *CUT, *slowly(CUT)), journal_of(target), 3)
    number = len(lines(journal_of(target)))
    numbers = [json.loads(line)[0] for line in lines(journal_of(target))]
    tiles = json.loads((unfinished(target) / "plan.json").read_text())["tiles"]
    assert len(set(numbers)) == number < len(tiles)
    kept = {path: stamp for path, stamp in stamps(unfinished(target)).items() if path.suffix == ".h5"}
    succeeds(folder, *CUT, "--resume", "-t", "2")
    changed = [path for path, stamp in kept.items() if stamps(target)[path] != stamp]
    assert len(kept) - len(changed) >= number  # what was begun and not on record is cut again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interruption_is_status_130_and_says_how_to_continue(folder, slowly, number):
    command = COMMANDS["convert"]
    target = folder / "v.zarr"
    status, words = stopped(started(folder, *command, *slowly(command)), journal_of(target), 3, number)
    done = len(lines(journal_of(target)))
    assert (status, words) == (
        130,
        f"mitotools convert: {done} blocks are done, and --resume continues\n"
        "mitotools convert: interrupted.\n",
    )
    assert names_in(folder) == ["v.zarr.unfinished", "v.zarr.unfinished.journal"]
    succeeds(folder, *command, "--resume")
    assert np.array_equal(voxels(target), RAW)


def test_an_interruption_before_the_first_block_leaves_nothing(folder):
    """The interruption comes while metadata are written, by threads that do not hear of it."""
    for number in range(3):
        target = folder / f"{number}.zarr"
        process = started(folder, "convert", "../raw.zarr", target, "-t", "1", *GZIP)
        wait_until(unfinished(target).exists, process)
        os.kill(process.pid, signal.SIGINT)
        status, words = finished(process)
        assert status == 130, words
        assert words.endswith("mitotools convert: interrupted.\n")
        assert names_in(folder) == [] or "--resume continues" in words


def test_a_volume_that_one_process_writes_survives_while_its_blocks_are_computed(folder, slowly):
    """Blocks go to a zarr first, which is continued."""
    target, staged = folder / "v.h5", folder / "v.h5.staged.zarr"
    stopped(started(folder, *TO_HDF5, *slowly(TO_HDF5, 7)), journal_of(staged), 3)
    done = len(lines(journal_of(staged)))
    kept = chunks_done(staged)
    left = [".lock", ".unfinished", ".unfinished.journal"]
    assert names_in(folder) == [f"v.h5.staged.zarr{suffix}" for suffix in left]
    status, words = ran(folder, *TO_HDF5[:-1])
    assert status == 1, words
    assert "Use --resume" in words
    process = started(folder, *TO_HDF5, *slowly(TO_HDF5, 7))
    wait_until(lambda: len(lines(journal_of(staged))) > done or staged.exists(), process)
    try:
        found = stamps(staged if staged.exists() else unfinished(staged))
    except FileNotFoundError:  # complete, and renamed, in this moment
        found = stamps(staged)
    assert kept.items() <= found.items()
    status, words = finished(process)
    assert status == 0, words
    assert f"continuing after {done} blocks" in words
    assert names_in(folder) == ["v.h5"]
    assert np.array_equal(voxels(target), RAW)


def test_a_volume_that_one_process_writes_survives_while_it_is_packed(folder, slowly):
    target, staged = folder / "v.h5", folder / "v.h5.staged.zarr"
    process = started(folder, *TO_HDF5, "-t", "1")
    wait_until(unfinished(target).exists, process)
    os.kill(process.pid, signal.SIGKILL)
    finished(process)
    assert {"v.h5.staged.zarr", "v.h5.unfinished"} <= set(names_in(folder))
    assert set(names_in(folder)) <= {
        "v.h5.staged.zarr", "v.h5.staged.zarr.lock", "v.h5.unfinished", "v.h5.unfinished.journal",
    }  # fmt: skip
    kept = stamps(staged)
    process = started(folder, *TO_HDF5, *slowly(TO_HDF5, 7))
    wait_until(lambda: unfinished(target).exists() and unfinished(target).stat().st_size > 2**20, process)
    assert stamps(staged) == kept  # complete, and not computed again
    status, words = finished(process)
    assert status == 0, words
    assert names_in(folder) == ["v.h5"]
    assert np.array_equal(voxels(target), RAW)


def test_a_run_is_refused_while_another_has_not_packed(folder, slowly):
    """Else one deleted the zarr that the other was reading."""
    target, staged = folder / "v.h5", folder / "v.h5.staged.zarr"
    process = started(folder, *TO_HDF5, *slowly(TO_HDF5, 7))
    wait_until(staged.exists, process)
    os.kill(process.pid, signal.SIGSTOP)
    status, words = ran(folder, *TO_HDF5)
    os.kill(process.pid, signal.SIGCONT)
    assert status == 1, words
    assert "v.h5.staged.zarr.lock: another run is writing this output. Wait for it." in words
    status, words = finished(process)
    assert status == 0, words
    assert names_in(folder) == ["v.h5"]
    assert np.array_equal(voxels(target), RAW)


def test_tiff_survives_too(folder, slowly):
    command = ["convert", "../raw.zarr", "v.tif", "--resume"]
    target, staged = folder / "v.tif", folder / "v.tif.staged.zarr"
    process = started(folder, *command, *slowly(command, 10))
    wait_until(lambda: lines(journal_of(target)) or lines(journal_of(staged)), process)
    os.kill(process.pid, signal.SIGKILL)
    finished(process)
    assert "v.tif" not in names_in(folder)
    words = succeeds(folder, *command, "-t", "2")
    assert "continuing after" in words
    assert names_in(folder) == ["v.tif", "v.tif.history.json"]
    assert np.array_equal(voxels(target), RAW)


@pytest.mark.slow
def test_the_levels_of_an_image_are_continued_too(folder, slowly):
    command = ["convert", "../raw.zarr", "v.zarr", "--chunks", "4,16,16", "--levels", "3"]
    target = folder / "v.zarr"
    process = started(folder, *command, *slowly(command, 10))
    wait_until(lambda: any(line.startswith("[1,") for line in lines(journal_of(target))), process)
    os.kill(process.pid, signal.SIGKILL)
    finished(process)
    kept = {path: stamp for path, stamp in stamps(unfinished(target)).items() if path.parts[0] == "0"}
    succeeds(folder, *command, "--resume", "-t", "2")
    assert kept.items() <= stamps(target).items()
    succeeds(folder, *command[:2], "whole.zarr", *command[3:])
    for level in "012":
        expected = zarr.open_array(folder / "whole.zarr" / level)[:]
        assert np.array_equal(zarr.open_array(target / level)[:], expected)


def test_the_processes_of_a_run_that_is_killed_end_with_it(folder, slowly):
    command = [*COMMANDS["convert"], "--workers", "2"]
    target = folder / "v.zarr"
    process = started(folder, *command, *slowly(command, 5)[2:])
    wait_until(lambda: len(lines(journal_of(target))) >= 1, process)
    workers = children(process)
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)
    finished(process)
    wait_until(lambda: are_gone(workers))
    succeeds(folder, *COMMANDS["convert"], "--resume", "-t", "2")
    assert np.array_equal(voxels(target), RAW)
