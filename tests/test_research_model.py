"""The research model: a package of its own, found by name once installed, with terms and what to cite."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mitotools.learn.installed import GROUP
from mitotools.learn.metadata import read_metadata

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "models" / "research"
MODEL = FOLDER / "mitotools_research" / "research.safetensors"


def test_its_entry_point_names_a_model_of_at_most_ten_megabytes():
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    module, name = project["entry-points"][GROUP]["research"].split(":")
    spec = importlib.util.spec_from_file_location(module, FOLDER / module / "__init__.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    assert getattr(loaded, name) == MODEL
    assert MODEL.stat().st_size < 10 * 10**6


def test_its_card_is_the_one_beside_it_and_says_that_it_is_not_for_commerce():
    card = read_metadata(MODEL).card
    written = tomllib.loads((FOLDER / "card.toml").read_text())
    written.pop("decode", None)
    assert card == {key: " ".join(value.split()) for key, value in written.items()}
    assert "not commercial" in card["terms"]
    for name in ("Lucchi", "Haberl", "Gerhard", "Takemura"):
        assert name in card["cite"]
        assert name in (FOLDER / "LICENSE.md").read_text()


def test_it_was_trained_on_what_prepare_makes_of_the_train_parts():
    used = {Path(one["path"]).name for one in read_metadata(MODEL).history[-1]["inputs"]}
    assert {name.split("_")[0] for name in used} == {
        "medulla",
        "lucchi",
        "cortex",
        "larva",
        "bundled.safetensors",
    }


@pytest.mark.slow
def test_its_package_installs_and_info_prints_its_terms(tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--target", tmp_path / "site", FOLDER], check=True)
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    printed = subprocess.run(
        [sys.executable, "-m", "mitotools", "info", "research"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "not commercial" in printed
