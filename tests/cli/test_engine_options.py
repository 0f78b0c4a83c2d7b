"""``--memory``, ``--dry-run``, ``--workers``, ``--scheduler`` and ``--resume``, as a user gives them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from mitotools.cli.main import mitotools, run
from mitotools.cli.reporting import parsed_bytes
from mitotools.errors import UsageError
from mitotools.run.budget import MIB

GIB = 2**30
COMMANDS = {
    "convert": "convert raw.zarr v.zarr",
    "convert to HDF5": "convert raw.zarr v.h5",
    "convert to TIFF": "convert raw.zarr v.tif",
    "convert in order": "convert small.zarr v.nii.gz",
    "tile": "tile raw.zarr v",
    "plan": "tile raw.zarr v.json",
    "merge": "merge tiles v.zarr",
    "filter": "filter raw.zarr v.zarr",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MITOTOOLS_MEMORY", raising=False)
    monkeypatch.delenv("MITOTOOLS_THREADS", raising=False)
    for name, size in (("raw", (128, 512, 512)), ("small", (8, 64, 64))):
        # No chunk is written: all voxels are 0.
        zarr.create_array(f"{name}.zarr", shape=size, chunks=(8, 64, 64), dtype="u2")
    return tmp_path


def printed(line, capsys):
    code = run(line.split())
    text = capsys.readouterr()
    return code, text.out, text.err


def needs(line, capsys):
    """Return the table of a dry run, by column."""
    code, table, words = printed(f"{line} --dry-run", capsys)
    assert (code, words) == (0, "")
    names, values = (row.split("\t") for row in table.splitlines())
    return dict(zip(names, values, strict=True))


def least(line, capsys):
    code, table, words = printed(f"{line} --memory 1M", capsys)
    assert (code, table) == (1, "")
    return int(re.search(r"--memory: 1M is too little for this. The least is (\d+)M", words)[1])


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("option", ["", "-f", "--resume", "--workers 2"])
def test_a_dry_run_prints_what_would_be_needed_and_makes_nothing(folder, capsys, line, option):
    if "tiles" in line:
        assert run(["tile", "small.zarr", "tiles", "--size", "8,32,32", "-q"]) == 0
    before = entries(folder)
    table = needs(f"{line} {option} --memory 2G", capsys)
    assert table["target"] == line.split()[2]
    assert {"block", "at_once", "memory", "disk_uncompressed", "disk_free"} <= set(table)
    assert parsed_bytes(table["memory"]) <= 2 * GIB
    assert entries(folder) == before


def test_a_dry_run_says_how_many_blocks_there_are_and_how_large_the_volume_is(folder, capsys):
    table = needs("convert raw.zarr v.zarr --memory 2G -t 1", capsys)
    assert (table["shape"], table["disk_uncompressed"]) == ("128x512x512", "64M")
    z, y, x = (int(length) for length in table["block"].split("x"))
    assert int(table["blocks"]) == -(-128 // z) * -(-512 // y) * -(-512 // x)


def test_less_memory_means_smaller_blocks_and_more_processes_mean_more(folder, capsys):
    base = least("convert raw.zarr v.zarr -t 1", capsys)
    blocks = [
        int(needs(f"convert raw.zarr v.zarr -t 1 --memory {base + more}M", capsys)["blocks"])
        for more in (10, 40, 2000)
    ]
    assert blocks == sorted(set(blocks), reverse=True)
    assert least("convert raw.zarr v.zarr --workers 2 -t 2", capsys) > base + 2 * 120


@pytest.mark.parametrize("line", ["convert raw.zarr v.zarr", "convert raw.zarr v.h5", "tile raw.zarr v"])
def test_too_little_memory_is_a_failure_and_the_least_that_is_named_is_enough(folder, capsys, line):
    before = entries(folder)
    enough = least(f"{line} -t 1 -q", capsys)
    assert entries(folder) == before
    assert enough > 20
    # Some more, because this process has read a volume since then.
    code, _, words = printed(f"{line} -t 1 -q --memory {enough + 10}M", capsys)
    assert (code, words) == (0, "")


def test_the_environment_says_how_much_memory_unless_the_option_does(folder, capsys, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_MEMORY", "1M")
    code, _, words = printed("convert raw.zarr v.zarr", capsys)
    assert (code, "1M is too little" in words) == (1, True)
    assert printed("convert raw.zarr v.zarr --memory 2G --dry-run", capsys)[0] == 0


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2G", 2 * GIB), ("512M", 512 * MIB), ("1.5GiB", 3 * GIB // 2), ("1g", GIB), ("64k", 65536),
        ("1T", 1024 * GIB), ("100", 100), (" 2 G ", 2 * GIB), ("2GB", 2 * GIB),
    ],
)  # fmt: skip
def test_amounts_of_memory_are_counted_in_units_of_1024(text, amount):
    assert parsed_bytes(text) == amount


@pytest.mark.parametrize(
    "text", ["0", "0G", "-1G", "lots", "1X", "1e9", "1,5G", "G", "nan", "inf", "9999T", "²G"]
)
def test_what_is_no_amount_of_memory_is_wrong_usage(folder, capsys, text):
    with pytest.raises(UsageError):
        parsed_bytes(text)
    code = run(["convert", "raw.zarr", "v.zarr", "--memory", text])
    words = capsys.readouterr().err
    assert code == 2
    assert words == f"mitotools convert: --memory: {text!r} is no amount of memory. Say 2G, or 512M.\n"
    assert entries(folder) == [name for name in entries(folder) if not name.startswith("v")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--workers 2 --scheduler tcp://host:1",
            "--workers: starts processes, --scheduler uses running ones",
        ),
        ("--workers -1", "Invalid value for '--workers'"),
        ("--workers two", "Invalid value for '--workers'"),
        ("--scheduler nonsense", "--scheduler: 'nonsense' is no address. Say tcp://host:port."),
        ("-t 0", "Invalid value for '-t' / '--threads'"),
        (f"-t {10**20}", "is not in the range 1<=x<=1024"),
    ],
)
def test_engines_that_cannot_be_are_wrong_usage(folder, capsys, options, message):
    before = entries(folder)
    code, table, words = printed(f"convert raw.zarr v.zarr {options}", capsys)
    assert (code, table) == (2, "")
    assert message in words
    assert words.count("\n") == 1
    assert entries(folder) == before


def test_resume_works_on_the_volumes_that_a_pipe_makes(folder, monkeypatch):
    """It starts, because there is nothing to continue."""
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(folder))
    result = CliRunner().invoke(mitotools, ["convert", "small.zarr", "-", "--resume", "-q"])
    assert result.exit_code == 0
    assert not np.any(zarr.open_array(result.stdout.strip() + "/0")[:])


def test_a_dry_run_of_evaluate_says_how_many_blocks_are_compared(folder, capsys):
    before = entries(folder)
    table = needs("evaluate raw.zarr raw.zarr --ignore raw.zarr --memory 2G -t 1 --matches m.tsv", capsys)
    assert table["shape"] == "128x512x512"
    z, y, x = (int(length) for length in table["block"].split("x"))
    assert int(table["blocks"]) == -(-128 // z) * -(-512 // y) * -(-512 // x)
    assert parsed_bytes(table["memory"]) <= 2 * GIB
    assert entries(folder) == before


@pytest.mark.parametrize("line", ["evaluate a.overlap", "evaluate --combine a.json b.json"])
def test_a_dry_run_of_what_reads_no_volume_is_refused(folder, capsys, line):
    code, table, words = printed(f"{line} --dry-run", capsys)
    assert (code, table) == (2, "")
    assert "--dry-run: plans blocks of volumes, and none is read" in words
