"""A journal of what is done: whole lines count, and one run at a time has it open."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from mitotools.errors import TargetError
from mitotools.run.journal import continued_journal, entries, made, new_journal

MADE = {"shape": [2, 3], "name": "Ångström"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.zarr.unfinished.journal"


def begin(path, *done):
    with new_journal(path, MADE) as journal:
        for entry in done:
            journal.add(entry)


def continued(path):
    with continued_journal(path) as journal:
        return journal.done


def test_what_was_done_is_there_when_a_run_continues(path):
    begin(path, [0, 1], (2, 3))
    assert continued(path) == [(0, 1), (2, 3)]
    assert (len(entries(path)), made(path)) == (2, MADE)


def test_a_run_that_continues_adds_to_what_was_done(path):
    begin(path, [0])
    for number in (1, 2):
        with continued_journal(path) as journal:
            journal.add([number])
    assert continued(path) == [(0,), (1,), (2,)]


def test_a_new_journal_forgets_the_old_one(path):
    begin(path, [0], [1])
    begin(path, [7])
    assert continued(path) == [(7,)]


def test_an_entry_is_on_record_as_soon_as_it_is_added(path):
    with new_journal(path, MADE) as journal:
        assert len(entries(path)) == 0
        journal.add([0, 8])
        assert path.read_bytes().endswith(b"\n[0, 8]\ta64626c5\n")
        assert len(entries(path)) == 1


@pytest.mark.parametrize(
    "rest",
    [b"[4", b"[4, 5]", b"[4, ", b"\0\0\0", b"\0\0\n", b"\xff[1]\n[2]\n", b'{"a": 1}\n', b'["a"]\n', b"\n"],
)
def test_half_a_line_or_garbage_at_the_end_counts_for_nothing(path, rest):
    begin(path, [0], [1])
    path.write_bytes(path.read_bytes() + rest)
    assert len(entries(path)) == 2
    with continued_journal(path) as journal:
        assert journal.done == [(0,), (1,)]
        journal.add([2])
    assert continued(path) == [(0,), (1,), (2,)]


def test_a_bit_that_changes_ends_a_journal_before_its_line(path):
    """No damaged line is ever taken for a block that is done, or for what is made."""
    begin(path, [0, 1], [2, 3], [4, 5])
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for place, bit in itertools.product(range(len(content)), range(8)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        line = sum(end <= place for end in ends)
        if line:
            assert (entries(path), made(path)) == ([(0, 1), (2, 3), (4, 5)][: line - 1], MADE)
        else:
            assert made(path) is None


@pytest.mark.parametrize("content", [b"", b'{"shape": [2', b"\0\0\0", b"\xff\n", b"[1, 2]\n"])
def test_a_journal_without_its_first_line_says_nothing(path, content):
    path.write_bytes(content)
    assert made(path) is None
    assert len(entries(path)) == 0


def test_a_journal_that_is_not_there_has_no_entries(path):
    assert (len(entries(path)), made(path)) == (0, None)


HOLDER = """
import sys
from pathlib import Path
from mitotools.run.journal import continued_journal
with continued_journal(Path(sys.argv[1])) as journal:
    journal.add([1])
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(path):
    """Have another process hold the journal open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()


@pytest.mark.parametrize("again", [lambda path: begin(path, [9]), continued], ids=["new", "continued"])
def test_while_another_process_writes_a_journal_it_is_refused_and_stays_as_it_is(path, again):
    begin(path, [0])
    with held(path):
        before = path.read_bytes()
        with pytest.raises(TargetError, match="another run is writing this output"):
            again(path)
        assert path.read_bytes() == before
    assert continued(path) == [(0,), (1,)]


def test_a_process_that_is_killed_holds_nothing_any_more(path):
    begin(path, [0])
    with held(path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert continued(path) == [(0,), (1,)]


def test_a_journal_that_its_run_removes_while_another_opens_it_is_refused(path, monkeypatch):
    """What the other wrote would be lost."""
    import fcntl

    def removed(*_):
        path.unlink()

    begin(path, [0])
    for again in (lambda path: begin(path, [9]), continued):
        monkeypatch.setattr(fcntl, "flock", removed)
        with pytest.raises(TargetError, match="another run was writing this output"):
            again(path)
        monkeypatch.undo()
        begin(path, [0])
