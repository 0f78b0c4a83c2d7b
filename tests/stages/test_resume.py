"""What ``--resume`` continues, refuses, and leaves alone."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import zarr
from command_runs import environment, journal_of, lines, names_in
from tile_files import read

from mitotools.cli.main import run

RAW = np.random.default_rng(7).integers(0, 256, (32, 64, 64), dtype=np.uint8)
LAST_CHUNK = "raw.zarr/c/3/1/1"
CONVERT = "convert raw.zarr v.zarr --chunks 8,32,32"
TILE = "tile raw.zarr v --size 8,32,32"
HDF5 = "convert raw.zarr v.h5 --chunks 8,32,32"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A zarr of 4 x 2 x 2 chunks, of which the last cannot be read until `repair` is called."""
    monkeypatch.chdir(tmp_path)
    array = zarr.create_array("raw.zarr", shape=RAW.shape, chunks=(8, 32, 32), dtype="u1")
    array[:] = RAW
    return tmp_path


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Make 16 blocks of what would be one, computed one by one."""
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 8 * 32 * 32)


@pytest.fixture
def broken(folder):
    file = folder / LAST_CHUNK
    whole = file.read_bytes()
    file.write_bytes(b"broken")
    return lambda: file.write_bytes(whole)


def status(line, capsys):
    """Run a command line in one thread; return its status and words."""
    code = run([*line.split(), "-t", "1"])
    printed = capsys.readouterr()
    assert printed.out == ""
    return code, printed.err


def stamps(path):
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def voxels(name):
    return read(name)[0]


@pytest.mark.parametrize(("line", "name"), [(CONVERT, "v.zarr"), (HDF5, "v.h5"), (TILE, "v")])
def test_an_error_half_way_leaves_what_is_done_and_says_how_to_continue(folder, broken, capsys, line, name):
    code, words = status(f"{line} --resume", capsys)
    assert code == 1
    assert words.startswith("mitotools")
    assert words.count("\n") == 1
    assert "raw.zarr" in words
    assert words.endswith(" 15 blocks are done, and --resume continues.\n")
    unfinished = f"{name}.staged.zarr" if line == HDF5 else name
    assert names_in(folder) == ["raw.zarr", f"{unfinished}.unfinished", f"{unfinished}.unfinished.journal"]
    broken()  # repaired
    code, words = status(f"{line} --resume", capsys)
    assert code == 0
    assert f"{unfinished}: continuing after 15 blocks\n" in words
    assert names_in(folder) == ["raw.zarr", name]
    if line != TILE:
        assert np.array_equal(voxels(name), RAW)


def test_only_what_is_missing_is_computed(folder, broken, capsys):
    status(CONVERT, capsys)
    before = stamps(folder / "v.zarr.unfinished/0/c")
    files = {file for file in before if file.is_file()}
    assert len(files) == 15
    broken()
    assert status(f"{CONVERT} --resume", capsys)[0] == 0
    after = stamps(folder / "v.zarr/0/c")
    moved = {file: folder / "v.zarr" / file.relative_to(folder / "v.zarr.unfinished") for file in files}
    same = {file for file in files if after[moved[file]] == before[file]}
    assert same == files


def test_without_resume_what_is_unfinished_is_reported_and_stays(folder, broken, capsys):
    status(CONVERT, capsys)
    before = stamps(folder)
    code, words = status(CONVERT, capsys)
    assert code == 1
    assert words == (
        "mitotools convert: v.zarr.unfinished: another run is writing this output, or was killed. "
        "Use --resume to continue, or --force to start over.\n"
    )
    assert stamps(folder) == before


def test_without_resume_what_is_staged_is_reported_and_stays(folder, broken, capsys):
    """The zarr that HDF5 would have been packed from is an unfinished output too."""
    status(f"{HDF5} --resume", capsys)
    before = stamps(folder)
    code, words = status(HDF5, capsys)
    assert code == 1
    assert "Use --resume" in words
    assert stamps(folder) == before


@pytest.mark.parametrize(
    ("line", "name"), [(CONVERT, "v.zarr"), (f"{HDF5} --workers 0", "v.h5"), (TILE, "v")]
)
def test_force_starts_over(folder, broken, capsys, line, name):
    status(f"{line} --resume", capsys)
    broken()
    code, words = status(f"{line} --force", capsys)
    assert code == 0, words
    assert "continuing" not in words
    assert names_in(folder) == ["raw.zarr", name]


def test_force_starts_over_with_other_parameters(folder, broken, capsys):
    status(CONVERT, capsys)
    broken()
    assert status(f"{CONVERT} --dtype uint16 --force", capsys)[0] == 0
    assert voxels("v.zarr").dtype == np.uint16


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (" --dtype uint16", "dtype, type"),
        (" --compression gzip", "compression"),
        (" --voxel-size 30,8,8", "voxel_size_nm"),
        (" --crop 0:16,:,:", "crop of {folder}/raw.zarr, shape"),
        (" --chunks 16,32,32", "chunks, unit"),
    ],
)
def test_with_another_parameter_nothing_is_continued(folder, broken, capsys, change, names):
    status(CONVERT, capsys)
    before = stamps(folder)
    line = CONVERT.replace(" --chunks 8,32,32", change) if "chunks" in change else CONVERT + change
    code, words = status(f"{line} --resume", capsys)
    assert code == 1
    names = names.format(folder=folder)
    assert words == f"mitotools convert: v.zarr: was begun with other {names}. Use --force to start over.\n"
    assert stamps(folder) == before


def test_with_another_input_nothing_is_continued(folder, broken, capsys):
    status(CONVERT, capsys)
    shutil.copytree("raw.zarr", "other.zarr")
    for other, name in ((CONVERT.replace("raw", "other"), "other.zarr"), (CONVERT, "raw.zarr")):
        code, words = status(f"{other} --resume", capsys)
        assert code == 1
        assert f"v.zarr: was begun with other {folder}/{name}. Use --force" in words
        os.utime("raw.zarr/zarr.json")  # the same file again, written anew


def test_with_other_threads_and_memory_it_is_continued(folder, broken, capsys):
    status(CONVERT, capsys)
    broken()
    assert run([*CONVERT.split(), "--resume", "-t", "3", "--memory", "2G", "-v"]) == 0
    assert "continuing after 15 blocks" in capsys.readouterr().err
    assert np.array_equal(voxels("v.zarr"), RAW)


def test_blocks_of_another_shape_continue_what_was_done(folder, broken, capsys, monkeypatch):
    status(CONVERT, capsys)
    broken()
    monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", 4 * 8 * 32 * 32)
    assert status(f"{CONVERT} --resume", capsys)[0] == 0
    assert np.array_equal(voxels("v.zarr"), RAW)


@pytest.mark.parametrize(("line", "name"), [(CONVERT, "v.zarr"), (HDF5, "v.h5"), (TILE, "v")])
def test_resume_with_nothing_to_resume_starts_and_with_all_done_says_so(folder, capsys, line, name):
    code, words = status(f"{line} --resume", capsys)
    assert code == 0
    assert "continuing" not in words
    assert "complete already" not in words
    before = stamps(folder)
    code, words = status(f"{line} --resume", capsys)
    assert code == 0
    assert f"{name} is complete already\n" in words
    assert stamps(folder) == before


@pytest.mark.parametrize(
    ("line", "other", "names"),
    [
        (CONVERT, f"{CONVERT} --dtype uint16", "dtype"),
        (HDF5, f"{HDF5} --dtype uint16", "dtype"),
        (TILE, f"{TILE} --halo 0,1,1", "halo_voxels"),
    ],
)
def test_a_complete_output_of_other_parameters_is_kept(folder, capsys, line, other, names):
    assert status(line, capsys)[0] == 0
    before = stamps(folder)
    code, words = status(f"{other} --resume", capsys)
    assert code == 1
    assert f"was made with other {names}. Use --force to replace it.\n" in words
    assert stamps(folder) == before


def test_a_complete_output_that_says_nothing_of_its_making_is_kept(folder, capsys):
    with h5py.File("v.h5", "w") as file:
        file["main"] = RAW
    before = stamps(folder)
    code, words = status(f"{HDF5} --resume", capsys)
    assert code == 1
    assert "v.h5: was made with other" in words
    assert stamps(folder) == before


def test_force_and_resume_together_replace_what_was_made_otherwise(folder, capsys):
    assert status(CONVERT, capsys)[0] == 0
    code, words = status(f"{CONVERT} --dtype uint16 --force --resume", capsys)
    assert code == 0, words
    assert voxels("v.zarr").dtype == np.uint16


def test_a_replacement_that_was_killed_is_continued_with_both(folder, broken, capsys):
    """``--force`` replaces; with ``--resume`` it goes on to do so."""
    broken()
    assert status(CONVERT, capsys)[0] == 0
    (folder / LAST_CHUNK).write_bytes(b"broken again")
    assert status(f"{CONVERT} --dtype uint16 --force", capsys)[0] == 1
    assert np.array_equal(voxels("v.zarr"), RAW)  # as it was
    broken()
    code, words = status(f"{CONVERT} --dtype uint16 --force --resume", capsys)
    assert code == 0, words
    assert "continuing after 15 blocks" in words
    assert voxels("v.zarr").dtype == np.uint16
    assert names_in(folder) == ["raw.zarr", "v.zarr"]


def test_an_error_in_the_first_block_leaves_nothing(folder, capsys):
    for file in (folder / "raw.zarr/c").rglob("*"):
        if file.is_file():
            file.write_bytes(b"broken")
    for line in (CONVERT, HDF5, TILE, f"{HDF5} --resume"):
        code, words = status(line, capsys)
        assert code == 1
        assert "--resume" not in words
        assert names_in(folder) == ["raw.zarr"]


@pytest.mark.parametrize("damage", [b"", b"[0", b"\0\0\0\0\n"])
def test_a_journal_that_a_crash_cut_short_is_continued(folder, broken, capsys, damage):
    status(CONVERT, capsys)
    journal = journal_of(folder / "v.zarr")
    kept = journal.read_bytes().splitlines(keepends=True)[:10]
    journal.write_bytes(b"".join(kept) + damage)
    broken()
    code, words = status(f"{CONVERT} --resume", capsys)
    assert code == 0
    assert "continuing after 9 blocks" in words
    assert np.array_equal(voxels("v.zarr"), RAW)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("0/zarr.json", b'"shape"', b'"shade"'),
        ("0/zarr.json", b"64", b"60"),
        ("0/zarr.json", b"{", b"\xff"),
        ("0/zarr.json", b'"fill_value": 0', b'"fill_value": 1'),
        ("0/zarr.json", b'"fill_value": 0', b'"fill_value": 99999999999999999999'),
        ("zarr.json", b"{", b"\xff"),
        ("zarr.json", b'"scale"', b'"sCale"'),
        ("zarr.json", b'"group"', b'"grape"'),
    ],
)
def test_what_was_begun_is_not_continued_where_its_metadata_are_damaged_or_others(
    folder, broken, capsys, name, old, new
):
    status(CONVERT, capsys)
    file = folder / "v.zarr.unfinished" / name
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    broken()
    code, words = status(f"{CONVERT} --resume", capsys)
    assert code == 1
    assert "v.zarr.unfinished: is not what was begun (" in words.splitlines()[-1]
    assert status(f"{CONVERT} --force", capsys)[0] == 0
    assert np.array_equal(voxels("v.zarr"), RAW)


def test_without_its_journal_an_unfinished_output_is_begun_anew(folder, broken, capsys):
    status(CONVERT, capsys)
    journal_of(folder / "v.zarr").unlink()
    broken()
    assert status(f"{CONVERT} --resume", capsys)[0] == 0
    assert np.array_equal(voxels("v.zarr"), RAW)


HOLD = """
import sys, time
from mitotools.cli.main import run
from mitotools.run.journal import Journal
added = Journal.add
def add(self, entry):
    added(self, entry)
    print("held", flush=True)
    sys.stdin.readline()
Journal.add = add
sys.exit(run(sys.argv[1:]))
"""


@contextlib.contextmanager
def standing_still(folder, line):
    """Run a command in another process that waits behind its first block, and ends it afterwards."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *line.split(), "-t", "1", "-q"],
        cwd=folder, env=environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "held\n"
        yield
        _, errors = process.communicate("\n" * 100)
        assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("option", ["", "--resume", "--force", "--force --resume"])
@pytest.mark.parametrize(("line", "name"), [(CONVERT, "v.zarr"), (TILE, "v")])
def test_a_second_run_of_the_same_output_says_so_and_harms_nothing(folder, capsys, line, name, option):
    with standing_still(folder, line):
        before = stamps(folder)
        code, words = status(f"{line} {option}", capsys)
        assert code == 1
        assert "another run is writing this output" in words
        assert words.count("\n") == 1
        assert "blocks are done" not in words  # the other run does them
        assert stamps(folder) == before
    assert [entry for entry in names_in(folder) if entry != "raw.zarr"] == [name]
    if line == CONVERT:
        assert np.array_equal(voxels(name), RAW)


SLOW_HDF5 = """
import sys
from mitotools.cli.main import run
from mitotools.volume.outputs import OpenWriter
written = OpenWriter.write
def write(self, box, array):
    written(self, box, array)
    print("held", flush=True)
    sys.stdin.readline()
OpenWriter.write = write
sys.exit(run(sys.argv[1:]))
"""


def test_a_second_run_of_an_output_without_a_journal_harms_nothing_either(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "HOLD", SLOW_HDF5)
    with standing_still(folder, HDF5):
        before = stamps(folder)
        code, words = status(f"{HDF5} --force", capsys)
        assert code == 1
        assert "another run is writing this output" in words
        assert stamps(folder) == before
    assert np.array_equal(voxels("v.h5"), RAW)


def test_an_interruption_in_this_process_leaves_what_is_done(folder, capsys, monkeypatch):
    from mitotools.run.journal import Journal

    added = Journal.add

    def add(journal, entry):
        added(journal, entry)
        if len(lines(journal_of(folder / "v.zarr"))) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Journal, "add", add)
    code, words = status(CONVERT, capsys)
    assert (code, words) == (
        130,
        "mitotools convert: 3 blocks are done, and --resume continues\nmitotools convert: interrupted.\n",
    )
    assert names_in(folder) == ["raw.zarr", "v.zarr.unfinished", "v.zarr.unfinished.journal"]


def test_a_lack_of_memory_leaves_what_is_done_and_says_how_to_continue(folder, capsys, monkeypatch):
    from mitotools.run.journal import Journal

    added = Journal.add

    def add(journal, entry):
        added(journal, entry)
        if len(lines(journal_of(folder / "v.zarr"))) == 3:
            raise MemoryError

    monkeypatch.setattr(Journal, "add", add)
    code, words = status(CONVERT, capsys)
    assert code == 1
    assert words.splitlines()[-2:] == [
        "mitotools convert: 3 blocks are done, and --resume continues",
        "mitotools convert: this machine's memory: there is not enough of it.",
    ]
    monkeypatch.setattr(Journal, "add", added)
    assert status(f"{CONVERT} --resume", capsys)[0] == 0
    assert np.array_equal(voxels("v.zarr"), RAW)


def test_an_interruption_of_the_first_block_says_that_nothing_is_kept(folder, capsys, monkeypatch):
    from mitotools.run.journal import Journal

    monkeypatch.setattr(Journal, "add", lambda *_: signal.raise_signal(signal.SIGINT))
    assert status(f"{CONVERT} --resume", capsys) == (
        130,
        "mitotools convert: no block is done: the next run begins anew\nmitotools convert: interrupted.\n",
    )
    assert names_in(folder) == ["raw.zarr"]


FULL_DISK = """
import resource, sys
from mitotools.cli.main import run
from mitotools.run import budget
budget.PREFERRED_BYTES = 8 * 32 * 32
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="this system limits no file sizes")
def test_a_full_disk_leaves_what_is_done_and_says_how_to_continue(folder, capsys):
    """Random voxels do not fit into 6 kB files, those of the first chunks, which are all alike, do."""
    array = zarr.open_array("raw.zarr")
    array[:24] = 5
    line = [*CONVERT.split(), "-t", "1"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, "6000", *line],
        cwd=folder, env=environment(folder), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "mitotools convert: v.zarr: cannot be written (File too large). "
        "12 blocks are done, and --resume continues.\n"
    )
    code, words = status(f"{CONVERT} --resume", capsys)
    assert code == 0
    assert "continuing after 12 blocks" in words
    assert np.array_equal(voxels("v.zarr"), array[:])
