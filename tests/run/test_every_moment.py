"""Outputs, journals and temporaries, interrupted at every moment at which Python answers a signal."""

from __future__ import annotations

import dis
import io
import logging
import signal
import sys
import warnings

import pytest
from command_runs import names_in

from mitotools.cli import signals
from mitotools.history import sidecar
from mitotools.locking import lock_file
from mitotools.run.running import Running
from mitotools.stages.blocks.resuming import is_worth_continuing, journal_for
from mitotools.stages.decoding.block_step import workspace
from mitotools.temporary import temporary_folder
from mitotools.volume.atomic import appearing, create_file, remove
from mitotools.volume.path import VolumePath
from mitotools.volume.pipe import sent

OURS = ("contextlib", "mitotools.", __name__)
"""The modules in whose code a signal arrives; in others it would as if before, or behind, what we call."""


@pytest.fixture(autouse=True)
def hearing(monkeypatch):
    """Answer signals as commands do."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(signals, "_raised", [])
    with warnings.catch_warnings():
        signals.hear_signals()
        yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Moments:
    """Counts the moments at which Python answers signals, and answers one at one of them.

    They are where a function begins, or goes on, and behind calls and the ends of loops.
    """

    def __init__(self):
        self.left = 0
        self._opcodes = {}

    def trace(self, frame, event, _):
        """Follow one instruction, as `sys.settrace` wants it."""
        if not frame.f_globals.get("__name__", "").startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        opcode, number = dis.opname[frame.f_code.co_code[frame.f_lasti]], id(frame)
        if event == "opcode":
            before, self._opcodes[number] = self._opcodes.get(number, ""), opcode
            if before.startswith(("CALL", "JUMP_BACKWARD")):
                self._pass(frame)
        elif event in ("call", "exception"):
            self._opcodes.pop(number, None)
            if opcode == "RESUME":
                self._pass(frame)
        return self.trace

    def _pass(self, frame):
        self.left -= 1
        if self.left == -1:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, frame)


def interrupted_at_every_moment(work):
    """Do some work again and again, interrupted one moment later each time; yield the moment's number."""
    moments = Moments()
    trace = moments.trace
    for number in range(100_000):
        moments.left = number
        sys.settrace(trace)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
            signal.setitimer(signal.ITIMER_REAL, 0)  # by which it would be tried again
        if moments.left >= 0:
            assert number > 50, "nothing of it was followed"
            return
        yield number


def empty(folder):
    for entry in folder.iterdir():
        remove(entry)


def made(final, writes, content):
    with create_file(final, force=True) as path:
        writes(path, content)
        sidecar(path).write_text(content)


def write_file(path, content):
    path.write_text(content)


def write_folder(path, content):
    path.mkdir()
    (path / "zarr.json").write_text(content)


def test_a_lock_goes(tmp_path):
    def work():
        with lock_file(tmp_path / "lock"):
            pass

    for moment in interrupted_at_every_moment(work):
        assert {*names_in(tmp_path)} == set(), moment


def test_a_temporary_folder_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(tmp_path))

    def work():
        with temporary_folder() as folder:
            (folder / "a").touch()

    for moment in interrupted_at_every_moment(work):
        assert {*names_in(tmp_path)} == set(), moment


def test_a_volume_for_a_pipe_goes_where_its_name_is_not_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(tmp_path))

    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)

    def work():
        with sent(VolumePath("-")) as volume:
            (tmp_path / volume.file).touch()

    for moment in interrupted_at_every_moment(work):
        left = {f"{entry}\n" for entry in tmp_path.glob("*/*.zarr")}
        assert left == ({said.getvalue()} if said.getvalue() else set()), moment
        empty(tmp_path)
        said.seek(0)
        said.truncate()


def test_a_notebook_goes_on_to_hear_ctrl_c(tmp_path):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for moment in interrupted_at_every_moment(lambda: made(tmp_path / "v", write_file, "new")):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before, moment


@pytest.mark.parametrize("writes", [write_file, write_folder])
def test_an_output_is_absent_or_complete_with_its_history(tmp_path, writes):
    for moment in interrupted_at_every_moment(lambda: made(tmp_path / "v", writes, "new")):
        assert {*names_in(tmp_path)} in (set(), {"v", "v.history.json"}), moment
        empty(tmp_path)


def test_a_file_that_is_replaced_is_the_old_or_the_new_one_with_its_history(tmp_path):
    def work():
        made(tmp_path / "v", write_file, "new")

    made(tmp_path / "v", write_file, "old")
    for moment in interrupted_at_every_moment(work):
        assert {*names_in(tmp_path)} == {"v", "v.history.json"}, moment
        content = (tmp_path / "v").read_text()
        assert content in ("old", "new"), moment
        assert (tmp_path / "v.history.json").read_text() == content, moment
        made(tmp_path / "v", write_file, "old")


def test_of_a_folder_that_is_replaced_something_is_left_only_if_that_is_said(tmp_path, caplog):
    def work():
        made(tmp_path / "v", write_folder, "new")

    made(tmp_path / "v", write_folder, "old")
    for moment in interrupted_at_every_moment(work):
        replaced = {"v.replaced"} if "v.replaced is what is left" in caplog.text else set()
        assert {*names_in(tmp_path)} == {"v", "v.history.json"} | replaced, moment
        content = (tmp_path / "v" / "zarr.json").read_text()
        assert content in ("old", "new"), moment
        assert (tmp_path / "v.history.json").read_text() == content, moment
        caplog.clear()
        made(tmp_path / "v", write_folder, "old")


def test_nothing_is_left_where_a_second_signal_comes_while_the_first_is_answered(tmp_path):
    def write_until_interrupted(path, content):
        write_folder(path, content)
        raise KeyboardInterrupt

    def work():
        made(tmp_path / "v", write_until_interrupted, "new")

    for moment in interrupted_at_every_moment(work):
        assert {*names_in(tmp_path)} == set(), moment


@pytest.mark.parametrize("resume", [None, False, True])
def test_blocks_that_are_done_stay_where_it_is_said_how_to_continue(tmp_path, resume, caplog):
    caplog.set_level(logging.INFO)
    final, running = tmp_path / "v", Running(resume=resume)

    def work():
        with (
            journal_for(final, {"record": {}}, running) as journal,
            appearing(final, force=False, is_kept=lambda: is_worth_continuing(final, running)) as path,
        ):
            path.mkdir()
            for number in range(2):
                (path / str(number)).touch()
                journal.add([number])

    were_kept = False
    for moment in interrupted_at_every_moment(work):
        is_kept = resume is not None and "--resume continues" in caplog.text
        kept = [{"v.unfinished", "v.unfinished.journal"}] if is_kept else [set(), {"v"}]
        assert {*names_in(tmp_path)} in kept, moment
        were_kept |= is_kept
        caplog.clear()
        empty(tmp_path)
    assert were_kept == (resume is not None)


def test_what_is_made_on_the_way_to_labels_goes_or_stays_where_it_is_said_how_to_continue(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    target = VolumePath(str(tmp_path / "v.zarr"))

    def work():
        with workspace(target, (), (8, 8, 8), Running(resume=False)) as space:
            (space.folder / "1").touch()
            space.journal.add([1])

    were_kept = False
    for moment in interrupted_at_every_moment(work):
        is_kept = "--resume continues" in caplog.text
        left = {"v.zarr.parts.unfinished", "v.zarr.parts.unfinished.journal"} if is_kept else set()
        assert {*names_in(tmp_path)} == left, moment
        were_kept |= is_kept
        caplog.clear()
        empty(tmp_path)
    assert were_kept
