"""The manual pages say what the commands do."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from man_pages import FOLDER, pages


def test_there_is_a_page_for_every_command_and_no_other():
    assert {file.name for file in FOLDER.iterdir()} == set(pages())


@pytest.mark.parametrize(("name", "text"), pages().items(), ids=list(pages()))
def test_a_page_is_what_the_command_generates(name, text):
    assert (FOLDER / name).read_text() == text, "run: python tests/man_pages.py"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_pages_are_correct_roff():
    files = sorted(str(file) for file in FOLDER.iterdir())
    result = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8", *files], capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
