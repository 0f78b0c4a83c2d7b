"""What goes wrong with files and disks: one clear line, status 1, and the target untouched."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from PIL import Image

from mitotools.cli.main import run

HUGE = (100_000, 100_000, 100_000)
VOLUME = np.random.default_rng(0).integers(0, 256, (6, 20, 30), dtype="uint8")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def slices(name, count=12, suffix="png", **properties):
    Path(name).mkdir()
    for z in range(count):
        shape, dtype = properties.get("shape", (20, 30)), properties.get("dtype", "uint8")
        Image.fromarray(np.full(shape, z, dtype)).save(Path(name, f"im{z}.{suffix}"))


def refused(capsys, line, *words, status=1):
    """Run a command that must fail in one line, and leave the folder as it was."""
    before = sorted(Path().rglob("*"))
    assert run(line.split()) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert [word for word in words if word not in printed.err] == [], printed.err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("target", ["out.h5", "out.zarr", "out.tif", "out.nii", "out.npy", "out"])
def test_a_folder_that_cannot_be_written(capsys, target):
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    with h5py.File("raw.h5", "w") as file:
        file["main"] = VOLUME
    assert run(["convert", "raw.h5", target, "-q"]) == 0  # loads what root alone may be able to load
    place = Path(tempfile.mkdtemp())
    try:
        shutil.copy("raw.h5", place)
        (place / "raw.h5").chmod(0o644)
        place.chmod(0o555)
        os.chdir(place)
        os.seteuid(65534)
        refused(capsys, f"convert raw.h5 {target}", "mitotools convert: ", "ermission denied")
    finally:
        os.seteuid(0)
        shutil.rmtree(place)


def test_a_missing_slice(capsys):
    slices("stack")
    Path("stack/im7.png").unlink()
    refused(capsys, "convert stack out.h5", "stack", "7", "missing")


def test_slices_of_different_size(capsys):
    slices("stack")
    Image.fromarray(np.zeros((20, 31), "uint8")).save("stack/im5.png")
    refused(capsys, "convert stack out.h5", "im5.png", "(20, 31)")


def test_slices_of_different_types(capsys):
    slices("stack")
    Image.fromarray(np.zeros((20, 30), "uint16")).save("stack/im5.png")
    refused(capsys, "convert stack out.h5", "im5.png", "uint16")


def test_slices_come_in_the_order_of_their_numbers():
    slices("stack")
    assert run(["convert", "stack", "out.npy", "-q"]) == 0
    assert np.load("out.npy")[:, 0, 0].tolist() == list(range(12))


def test_a_pattern_that_names_no_file(capsys):
    refused(capsys, "convert nothing/*.png out.h5", "nothing", "no slices")


def test_an_hdf5_chunk_that_fails_its_checksum(capsys):
    with h5py.File("raw.h5", "w") as file:
        data = file.create_dataset("main", data=VOLUME, chunks=(3, 10, 10), fletcher32=True)
        place = data.id.get_chunk_info(4).byte_offset
    with Path("raw.h5").open("r+b") as file:
        file.seek(place)
        file.write(b"\xff\x00\xff")
    refused(capsys, "convert raw.h5 out.zarr", "raw.h5", "checksum", "[0:3,10:20,10:20]")


def test_a_zarr_chunk_that_fails_its_checksum(capsys):
    zarr.create_array(
        "raw.zarr",
        data=VOLUME,
        chunks=(3, 10, 10),
        compressors=[zarr.codecs.ZstdCodec(level=1, checksum=True)],
    )
    chunk = Path("raw.zarr/c/1/1/2")
    broken = bytearray(chunk.read_bytes())
    broken[-1] ^= 255
    chunk.write_bytes(broken)
    refused(capsys, "convert raw.zarr out.h5", "raw.zarr", "cannot be read")


def test_missing_zarr_chunks_are_the_fill_value_and_v_says_so(capsys):
    zarr.create_array("raw.zarr", data=VOLUME, chunks=(3, 10, 10), fill_value=7)
    Path("raw.zarr/c/1/1/2").unlink()
    assert run(["convert", "raw.zarr", "out.npy", "-v"]) == 0
    said = capsys.readouterr().err
    assert "missing" in said
    assert "fill value 7" in said
    expected = VOLUME.copy()
    expected[3:6, 10:20, 20:30] = 7
    assert np.array_equal(np.load("out.npy"), expected)


@pytest.mark.parametrize("target", ["out.h5", "out.zarr", "out.tif", "out.npy"])
@pytest.mark.parametrize("source", ["h5", "zarr"])
def test_a_header_that_declares_a_peta_voxel(capsys, source, target):
    if source == "h5":
        with h5py.File("raw.h5", "w") as file:
            file.create_dataset("main", HUGE, "uint8", chunks=(32, 128, 128))
    else:
        zarr.create_array("raw.zarr", shape=HUGE, dtype="uint8", chunks=(32, 128, 128))
    # Where a block is a whole slice, it is the memory that does not do.
    why = "more than any disk holds" if target in ("out.h5", "out.zarr") else "--memory: "
    refused(capsys, f"convert raw.{source} {target}", why)


@pytest.mark.parametrize(
    "command", ["stats raw.zarr", "evaluate raw.zarr raw.zarr", "filter raw.zarr out.zarr"]
)
def test_a_header_of_labels_that_declares_a_peta_voxel(capsys, command):
    zarr.create_array("raw.zarr", shape=HUGE, dtype="uint16", chunks=(32, 128, 128))
    refused(capsys, command, "more than any disk holds")


def test_ids_of_64_bits_into_tiff(capsys):
    with h5py.File("labels.h5", "w") as file:
        file["main"] = VOLUME.astype("uint64")
    refused(capsys, "convert labels.h5 out.tif", "uint64", "--dtype uint32")


def test_maps_with_values_that_are_not_numbers(capsys):
    maps = np.zeros((2, 6, 20, 30), "float32")
    maps[0, 3, 4, 5] = np.nan
    with h5py.File("maps.h5", "w") as file:
        file["main"] = maps
    refused(capsys, "decode maps.h5 out.h5", "maps.h5", "expected probabilities from 0 to 1, found nan")


def test_a_tile_set_with_missing_tiles(capsys):
    slices("im")
    description = {
        "image": [f"im/im{z}.png" for z in range(15)],
        "depth": 15, "height": 20, "width": 30, "tile_size": [20, 30], "tile_st": [0, 0], "tile_ratio": 1,
        "dtype": "uint8",
    }  # fmt: skip
    Path("set.json").write_text(json.dumps(description))
    refused(capsys, "convert set.json out.h5", "im12.png", "2 others")


def test_a_nifti_header_that_declares_a_peta_voxel(capsys):
    assert run(["convert", str(_saved()), "raw.nii", "-q"]) == 0
    header = bytearray(Path("raw.nii").read_bytes())
    struct.pack_into("<4h", header, 40, 3, 32767, 32767, 32767)
    Path("raw.nii").write_bytes(header)
    refused(capsys, "convert raw.nii out.zarr", "raw.nii")


def _saved():
    with h5py.File("raw.h5", "w") as file:
        file["main"] = VOLUME
    return Path("raw.h5")


def _passed_on(error, as_another):
    """Return what a library makes of an error (llvmlite does so)."""
    as_another.__context__ = error
    return as_another


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        SystemError("error return without exception set"),
        SystemError("<function _find_and_load at 0x7f355d837ce0> returned NULL without setting an exception"),
        _passed_on(
            OSError("libllvmlite.so: failed to map segment"), OSError("Could not find libllvmlite.so")
        ),
    ],
)
def test_memory_that_runs_out(capsys, monkeypatch, error):
    refused_for(error, capsys, monkeypatch, "this machine's memory: there is not enough of it")


def test_threads_that_cannot_be_started(capsys, monkeypatch):
    error = RuntimeError("can't start new thread")
    refused_for(error, capsys, monkeypatch, "this machine's threads: no more can be started", "ulimit -u")


def refused_for(error, capsys, monkeypatch, *words):
    def raising(*_):
        raise error

    with h5py.File("raw.h5", "w") as file:
        file["main"] = VOLUME
    monkeypatch.setattr("mitotools.stages.convert.convert_volume", raising)
    refused(capsys, "convert raw.h5 out.zarr", *words)


THREADS_AT_THE_END = """\
import os, sys
from mitotools.__main__ import main
sys.argv = ["mitotools", "info", "raw.h5"]
try:
    main()
except SystemExit:
    import numpy, scipy.linalg
    print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_starts_no_threads_for_matrices(commands):
    """OpenBLAS interrupts a command (SIGINT) where there is no room for its own."""
    with h5py.File("raw.h5", "w") as file:
        file["main"] = VOLUME
    variables = {key: value for key, value in commands.environment.items() if key != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", THREADS_AT_THE_END]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "1"


FIRST_THREAD_LOST = """\
import concurrent.futures.thread as pools, itertools, sys
from mitotools.__main__ import main
begin, calls = pools._WorkItem.run, itertools.count()
def run(work):
    if next(calls) == 0:
        raise SystemError("error return without exception set")
    begin(work)
pools._WorkItem.run = run
sys.argv = ["mitotools", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_thread_that_python_cannot_call_for_lack_of_memory_ends_the_command(commands, threads):
    """It cannot say itself that what it was to compute will never be done."""
    with h5py.File("raw.h5", "w") as file:
        file["main"] = VOLUME
    line = ["convert", "raw.h5", "out.h5", "--threads", str(threads)]
    command = [sys.executable, "-c", FIRST_THREAD_LOST, *line]
    result = subprocess.run(
        command, env=commands.environment, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr.splitlines()) == (
        1,
        ["mitotools convert: this machine's memory: there is not enough of it."],
    )
    assert sorted(path.name for path in Path().iterdir()) == ["bin", "raw.h5"]


def test_other_errors_of_programs_are_not_taken_for_those_of_users(monkeypatch):
    def raising(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("mitotools.stages.convert.convert_volume", raising)
    with pytest.raises(RuntimeError, match="of ours"):
        run(["convert", "raw.h5", "out.zarr"])
