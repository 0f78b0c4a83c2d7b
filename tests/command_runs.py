"""Run the commands as processes, and kill them when they have got somewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60


def started(folder, *arguments, **variables):
    """Start a command with `folder` as its working directory, in a process group of its own.

    It finds some more variables in its environment.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "mitotools", *map(str, arguments)],
        cwd=folder,
        env=environment(folder) | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def environment(folder):
    """Return the variables of a process that imports this mitotools, and has its temporaries in `folder`."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    unset = ("MITOTOOLS_MEMORY", "MITOTOOLS_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "MITOTOOLS_TMPDIR": str(temporary)}


def printed_by(process, patience_s=PATIENCE_S):
    """Return what a process prints, and what on standard error; none is left that does not end."""
    try:
        return process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def finished(process):
    """Return the status of a process, and what it printed on standard error; it printed nothing else."""
    printed, errors = printed_by(process)
    assert printed == ""
    return process.returncode, errors


def ran(folder, *arguments):
    return finished(started(folder, *arguments))


def succeeds(folder, *arguments):
    """Run a command that must succeed, and return its words."""
    status, errors = ran(folder, *arguments)
    assert status == 0, errors
    return errors


def least_memory(folder, *arguments):
    """Return the least --memory, in MiB, that a command says it can do with."""
    status, errors = ran(folder, *arguments, "--memory", "1M")
    assert status == 1, errors
    return int(re.search(r"The least is (\d+)M", errors)[1])


def wait_until(condition, process=None):
    """Wait for something that happens soon, or is not seen before a process ends."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        assert process is None or process.poll() is None, f"too fast, or failed: {process.communicate()}"
        time.sleep(0.001)


def lines(journal):
    """Return the entries of a journal as JSON, without their checksums; none while it is not there."""
    try:
        return [line.partition("\t")[0] for line in journal.read_text().splitlines()[1:]]
    except FileNotFoundError:
        return []


def stopped(process, journal, entries, signal_number=signal.SIGKILL):
    """Send a signal to a process when that many blocks are on record; return its status and words."""
    wait_until(lambda: len(lines(journal)) >= entries, process)
    os.kill(process.pid, signal_number)
    return finished(process)


def journal_of(target):
    return target.with_name(f"{target.name}.unfinished.journal")


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.name != "temporary")


def are_gone(processes):
    """Whether processes have ended."""
    return not any(is_alive(process) for process in processes)


def is_alive(process):
    try:
        return process.is_running() and process.status() != "zombie"
    except psutil.NoSuchProcess:
        return False


def command_line(process):
    """The arguments of a process in one text; of one that has ended since it was listed, none."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def children(process):
    return psutil.Process(process.pid).children(recursive=True)
