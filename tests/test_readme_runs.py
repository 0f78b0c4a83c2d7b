"""The command lines of README do what they say, on small files of the names that stand there."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from command_lines import command_lines
from map_phantoms import mask_contour_maps
from phantom import phantom
from PIL import Image
from stages.networks import write_model

from mitotools.cli.main import run

ROOT = Path(__file__).parent.parent
SHAPE, VOXEL_SIZE = (96, 40, 44), "30,8,8"
LINES = re.findall(r"^    (mitotools .*?)(?:\s+#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)

ELSEWHERE = {
    "mitotools train": "takes long; tests/cli/test_train_options.py",
    "--as pytc": "needs a checkpoint of PyTorch Connectomics; tests/learn/test_pytc.py",
}
"""What is not run here, and why, or where it is."""

IN_THE_WAY = {"--part": ("maps.zarr", "tiles")}
"""Outputs that parts are not to find: nothing is forced on what other jobs write."""


def runs(line: str) -> bool:
    return not any(part in line for part in ELSEWHERE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Everything that README names, small."""
    folder = tmp_path_factory.mktemp("readme")
    raw, labels = phantom(SHAPE, 1)
    shifted = np.roll(labels, 1, axis=2)
    volumes = {
        "raw": raw, "cell": raw, "labels": labels, "mitochondria": labels, "truth": shifted,
        "first_annotator": labels, "second_annotator": shifted, "neurons": (labels > 0) * np.uint16(7) + 1,
        "maps": mask_contour_maps(labels), "validation_maps": mask_contour_maps(labels),
        "validation_truth": labels,
    }  # fmt: skip
    with contextlib.chdir(folder):
        for name, array in volumes.items():
            save(name, array)
        for name in ("slices", "vast_export"):
            Path(name).mkdir()
        for z in range(SHAPE[0]):
            Image.fromarray(raw[z]).save(f"slices/{z:03d}.png")
            colours = np.stack([labels[z] >> 8, labels[z] & 255, 0 * labels[z]], -1).astype(np.uint8)
            Image.fromarray(colours).save(f"vast_export/{z:03d}.png")
        write_model(Path("model.safetensors"), patch=(32, 32, 32), voxel_size_nm=(30.0, 8.0, 8.0))
        for line in (
            "stats labels.zarr -o rat.tsv", "stats truth.zarr -o human.tsv",
            "tile raw.zarr plan.json --size 48,40,44", "predict plan.json tiles -m model.safetensors",
        ):  # fmt: skip
            assert run(line.split()) == 0
        Path("best.toml").write_text("[decode]\nseed-foreground = 0.85\n")
    return folder


def save(name, array):
    """Write a zarr with a voxel size, as convert does."""
    with h5py.File("new.h5", "w") as file:
        file["main"] = array
    assert run(["convert", "new.h5", f"{name}.zarr", "--voxel-size", VOXEL_SIZE, "-q"]) == 0
    Path("new.h5").unlink()


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    place = tmp_path / "work"
    shutil.copytree(files, place)
    monkeypatch.chdir(place)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("line", list(filter(runs, LINES)))
def test_a_line_of_readme_runs(folder, line, commands):
    for option, names in IN_THE_WAY.items():
        for name in names if option in line else ():
            shutil.rmtree(name)
    force = "" if "--part" in line else " --force"
    if "|" in line:
        done = subprocess.run(
            ["sh", "-c", f"{line}{force}"],
            env=commands.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return
    (words,) = command_lines(line)
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        status = run([*words, *force.split()])
    assert status == 0, said.getvalue()


def test_most_lines_are_run():
    assert len(list(filter(runs, LINES))) > 25


@pytest.mark.slow
def test_the_volume_with_labels_that_readme_makes_is_one_image_with_a_label_image(folder):
    shutil.rmtree("cell.zarr")
    for start in ("mitotools convert slices/ cell.zarr", "mitotools convert vast_export/"):
        (line,) = (line for line in LINES if line.startswith(start))
        assert run(next(command_lines(line))) == 0
    image = zarr.open_group("cell.zarr", mode="r")
    assert sorted(image.keys()) == ["0", "1", "2", "3", "4", "labels"]
    assert image["labels/mito/0"].shape == SHAPE
