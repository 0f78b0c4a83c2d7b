"""Damaged files, at random and those that once did harm: an answer, or one line of error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faults.fuzz import fault_of, files_of, work
from faults.readers import READERS

CORPUS = Path(__file__).parents[1] / "corpus"
FOUND = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what libraries warn of is not looked at here
@pytest.mark.parametrize("name", READERS)
def test_files_that_are_damaged_at_random_are_answered_in_words(name):
    assert work(name, 1, range(50)) == []


@pytest.mark.parametrize("found", FOUND, ids=lambda path: f"{path.parent.name} {path.stem}")
@pytest.mark.filterwarnings("ignore")
def test_what_once_did_harm_does_none(found):
    """Folders of the corpus have the names of readers, files that of what was wrong and the file's suffix."""
    reader = READERS[found.parent.name]
    reader.make()
    damaged = next(file for file in files_of(reader) if file.name.endswith(found.suffix))
    shutil.copy(found, damaged)
    assert [fault_of(line) for line in reader.lines] == [""] * len(reader.lines)
