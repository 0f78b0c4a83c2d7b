"""The research models: a package of its own, found by name once installed, with terms and what to cite."""

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
PACKAGE = FOLDER / "mitotools_research"
CARDS = {"research": "card.toml", "research-sections": "card-sections.toml"}
MODELS = {"research": PACKAGE / "research.safetensors", "research-sections": PACKAGE / "sections.safetensors"}


@pytest.mark.parametrize("model", MODELS)
def test_an_entry_point_names_a_model_of_at_most_ten_megabytes(model):
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    module, name = project["entry-points"][GROUP][model].split(":")
    spec = importlib.util.spec_from_file_location(module, FOLDER / module / "__init__.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    assert getattr(loaded, name) == MODELS[model]
    assert MODELS[model].stat().st_size < 10 * 10**6


@pytest.mark.parametrize("model", MODELS)
def test_its_card_is_the_one_beside_it_and_says_that_it_is_not_for_commerce(model):
    card = read_metadata(MODELS[model]).card
    written = tomllib.loads((FOLDER / CARDS[model]).read_text())
    written.pop("decode", None)
    assert card == {key: " ".join(value.split()) for key, value in written.items()}
    assert "not commercial" in card["terms"]
    for name in ("Lucchi", "Haberl", "Gerhard", "Takemura"):
        assert name in card["cite"]
        assert name in (FOLDER / "LICENSE.md").read_text()


@pytest.mark.parametrize(
    ("model", "first"),
    [("research", "bundled.safetensors"), ("research-sections", "sections-first.safetensors")],
)
def test_it_was_trained_on_what_the_scripts_make_of_the_train_parts(model, first):
    used = {Path(one["path"]).name for one in read_metadata(MODELS[model]).history[-1]["inputs"]}
    assert {name.split("_")[0] for name in used - {first}} == {"medulla", "lucchi", "cortex", "larva"}
    assert first in used


@pytest.mark.slow
def test_their_package_installs_and_info_prints_their_terms(tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--target", tmp_path / "site", FOLDER], check=True)
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    for model in MODELS:
        printed = subprocess.run(
            [sys.executable, "-m", "mitotools", "info", model],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "not commercial" in printed
