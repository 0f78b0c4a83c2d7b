"""Signals at the worst moments: the command ends with 130 and one line, whatever libraries make of them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

RUNNER = """\
import asyncio, click, contextlib, functools, os, signal, sys, threading, time
from mitotools.__main__ import main
from mitotools.cli.main import COMMANDS

@click.command()
def slow():
    work()

{work}
COMMANDS["slow"] = "__main__:slow"
sys.argv = ["mitotools", "slow"]
main()
"""

IMPORTED = """\
try:
    print("ready", flush=True)
    time.sleep(0.5)
except BaseException:
    print("Traceback ...", file=sys.stderr)
    raise ImportError("failed to import") from None
"""

AND_THEN_THE_REAL_ONE = """\
del sys.path[0]
del sys.modules["click"]
import click
"""

IMPORTS = """\
def work():
    import imported
    time.sleep(20)
"""

DESTROYS = """\
class Destroyed:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(0.5)

def work():
    Destroyed()
    time.sleep(20)
"""

MAKES_ANOTHER_ERROR = """\
def work():
    try:
        print("ready", flush=True)
        time.sleep(20)
    except BaseException:
        raise TypeError("could not determine the shape of an object") from None
"""

LEAVES_A_BLOCK = """\
class Slow:
    def __init__(self):
        self.close = functools.partial(time.sleep, 0.5)

def work():
    try:
        with contextlib.closing(Slow()):
            threading.Timer(0.2, print, ["ready"], {"flush": True}).start()
    except KeyboardInterrupt:
        print("Traceback ... in contextlib", file=sys.stderr)
        raise
    time.sleep(20)
"""

LEAVES_A_TASK = """\
async def never_awaited():
    pass

def work():
    loop = asyncio.new_event_loop()
    loop.create_task(asyncio.sleep(9))
    coroutine = never_awaited()
    print("ready", flush=True)
    time.sleep(20)
"""


READS_WORDS = """\
real = click.Group.parse_args

def parse_args(*given):
    print("ready", flush=True)
    time.sleep(0.5)
    return real(*given)

click.Group.parse_args = parse_args

def work():
    time.sleep(20)
"""


@pytest.fixture
def interrupted(tmp_path, commands):
    """Return a function that sends a signal to a command when it says that it is ready, and how it ended."""
    (tmp_path / "imported.py").write_text(f"import sys, time\n{IMPORTED}")

    def interrupt(number, work, *, is_background=False):
        (tmp_path / "runner.py").write_text(RUNNER.format(work=work))
        process = subprocess.Popen(
            [sys.executable, "runner.py"],
            cwd=tmp_path, env=commands.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.SIG_IGN if is_background else signal.SIG_DFL
            ),
        )  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, words = process.communicate(timeout=15)
        return process.returncode, words

    return interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", [IMPORTS, DESTROYS, MAKES_ANOTHER_ERROR, LEAVES_A_BLOCK, LEAVES_A_TASK])
def test_a_signal_ends_a_command_with_one_line_at_the_worst_moments(interrupted, number, work):
    """C code makes other errors, Python drops it in a destructor, skips a finally, or asyncio complains."""
    assert interrupted(number, work) == (130, "mitotools slow: interrupted.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_one_line_while_its_words_are_read(interrupted, number):
    assert interrupted(number, READS_WORDS) == (130, "mitotools: interrupted.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_that_has_hardly_begun(tmp_path, commands, number):
    """While the command line's own library is loaded."""
    (tmp_path / "click.py").write_text(f"import sys, time\n{IMPORTED}" + AND_THEN_THE_REAL_ONE)
    process = subprocess.Popen(
        [sys.executable, "-m", "mitotools", "filter", "-", "out.h5"],
        cwd=tmp_path, env=commands.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(timeout=15) == 130  # its input is still open
    _, words = process.communicate()
    assert words in ("mitotools: interrupted.\n", "mitotools filter: interrupted.\n")


def test_ctrl_c_means_others_where_a_command_runs_in_the_background_of_a_shell(interrupted):
    work = LEAVES_A_TASK.replace("time.sleep(20)", "time.sleep(1)\n    os._exit(7)")
    assert interrupted(signal.SIGINT, work, is_background=True) == (7, "")
