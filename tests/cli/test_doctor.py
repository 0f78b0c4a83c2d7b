from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from mitotools import __version__
from mitotools.cli.main import run
from mitotools.stages import doctor


def test_a_line_says_what_each_thing_is(capsys):
    assert run(["doctor"]) == 0
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert lines["mitotools"] == __version__
    assert lines["torch"].startswith(metadata.version("torch").split("+")[0])
    assert int(lines["threads"]) >= 1
    assert "gzip" in lines["HDF5 filters"].split(", ")
    assert (
        lines["free memory"].split()[-1] in {"MiB", "GiB", "TiB", "MB", "GB"}
        or lines["free memory"][-1] in "GM"
    )


def test_what_is_missing_says_how_it_is_installed(monkeypatch):
    def version(package):
        if package == "distributed":
            raise metadata.PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = doctor.examine()
    assert found["extra cluster"] == "missing: pip install 'mitotools[cluster]'"
    assert found["extra s3"] == "s3fs 1.2"


def test_every_extra_but_that_of_the_tests_is_looked_for():
    project = tomllib.loads((Path(__file__).parent.parent.parent / "pyproject.toml").read_text())["project"]
    extras = {
        name: tuple(re.split("[>=]", package)[0] for package in packages)
        for name, packages in project["optional-dependencies"].items()
    }
    assert extras.pop("test")
    assert extras == doctor.EXTRAS


def test_the_same_is_one_json_object(capsys):
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mitotools"] == __version__


@pytest.mark.parametrize("word", ["cpu", "models"])
def test_processors_and_models_are_named(word):
    assert doctor.examine()[word]


def test_a_folder_for_temporaries_that_is_not_there_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(tmp_path / "nowhere"))
    assert run(["doctor"]) == 0
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert "cannot hold temporaries (No such file or directory)" in lines[f"free disk in {tmp_path}/nowhere"]
