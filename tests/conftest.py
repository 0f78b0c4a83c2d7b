"""What every test starts from."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_configure(config):
    """Hide OpenVINO from the tests that are not of it: `--backend auto` is torch in them.

    Its threads stay with a process, and one that had run hundreds of other tests as well ended without a word
    when it started the next program.

    Ctrl-C is heard, by what tests start too: a script that runs them in the background has it ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.markexpr != "openvino":
        sys.modules["openvino"] = None


@pytest.fixture(autouse=True)
def _fresh_logging():
    """Take back what a command set: in a test, commands share one process."""
    yield
    logger = logging.getLogger("mitotools")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def commands(tmp_path):
    """A folder of programs, and the variables of a shell that finds them first: `mitotools` and `python`."""
    programs = Commands(tmp_path / "bin")
    programs.add("mitotools", f'"{sys.executable}" -m mitotools')
    programs.add("python", f'"{sys.executable}"')
    return programs


class Commands:
    """Programs in a folder.

    Attributes
    ----------
    environment : dict
        Variables of a shell that finds them, and whose Python finds this mitotools.
    """

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": path}

    def add(self, name, words):
        """Let a program run a command with its own arguments behind it."""
        program = self._folder / name
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        program.chmod(0o755)


@pytest.fixture(scope="session")
def bucket():
    """Run an S3 server, one for all tests: its clients remember where it was. Return the URL of a bucket."""
    import s3_server

    with s3_server.bucket() as url:
        yield url
