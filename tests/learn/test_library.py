"""Models by name, and checkpoints of another program as models."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stages.networks import write_model

from mitotools.errors import InputError, ModelError, UsageError
from mitotools.learn import installed
from mitotools.learn.installed import GROUP, installed_models, model_file
from mitotools.learn.library import read_model
from mitotools.learn.models import build, fits
from mitotools.run.running import Running
from mitotools.stages.info import describe
from mitotools.volume.path import VolumePath

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
CASES = json.loads((GOLDEN / "cases.json").read_text())


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a package which brings a model along, under a name."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(code, name="liver"):
        module = f"models_of_{tmp_path.name}"
        (tmp_path / f"{module}.py").write_text(code)
        entry = EntryPoint(name, f"{module}:MODEL", GROUP)
        monkeypatch.setattr(installed, "entry_points", lambda group: [entry] if group == GROUP else [])
        return tmp_path

    return install


def create_volume_of_slices(folder):
    folder.mkdir()
    for z in range(2):
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(folder / f"{z}.png")


def checkpoint(path, channels, **settings):
    values = {"in_channels": 1, "out_channels": channels, "filters": [4, 4, 8, 8, 8], **settings}
    torch.save({"state_dict": build("pytc-unet", values).state_dict()}, path)
    return path


def test_a_file_is_itself(tmp_path):
    path = write_model(tmp_path / "model.safetensors")
    assert model_file(path) == path


@pytest.mark.parametrize("code", ["MODEL = {path!r}", "def MODEL():\n    return {path!r}"])
def test_a_name_is_the_model_that_a_package_brings_along(package, tmp_path, code):
    path = str(write_model(tmp_path / "weights.safetensors"))
    package(code.format(path=path))
    assert installed_models() == ["liver"]
    assert model_file(Path("liver")) == Path(path)


def test_an_unknown_name_names_those_that_are_installed(package):
    package("MODEL = 'somewhere'")
    with pytest.raises(
        InputError, match=r"^kidney: no such file, and no such model is installed\. Install.*liver"
    ):
        model_file(Path("kidney"))


@pytest.mark.parametrize("hide", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_what_is_called_like_an_installed_model_does_not_hide_it(package, tmp_path, monkeypatch, hide):
    path = str(write_model(tmp_path / "weights.safetensors"))
    package(f"MODEL = {path!r}")
    monkeypatch.chdir(tmp_path)
    hide(tmp_path / "liver")
    assert model_file(Path("liver")) == Path(path)
    description, _ = describe(VolumePath("liver"), Running())
    assert description["kind"] == "model"


def test_a_folder_that_is_called_like_an_installed_model_is_named_with_a_slash(
    package, tmp_path, monkeypatch
):
    package("MODEL = 'somewhere'")
    monkeypatch.chdir(tmp_path)
    create_volume_of_slices(tmp_path / "liver")
    description, _ = describe(VolumePath("liver/"), Running())
    assert (description["kind"], description["shape"]) == ("volume", [2, 5, 6])


def test_a_file_with_a_suffix_is_itself_whatever_is_installed(package, tmp_path, monkeypatch):
    package("MODEL = 'somewhere'", name="liver.pt")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "liver.pt").touch()
    assert model_file(Path("liver.pt")) == Path("liver.pt")


def test_a_folder_is_no_model(package, tmp_path):
    package("MODEL = 'somewhere'")
    with pytest.raises(InputError, match=r"is a folder, not a model\.$"):
        model_file(tmp_path)


def test_a_package_that_is_broken_is_one_line(package):
    package("raise RuntimeError('its data are missing')")
    with pytest.raises(
        ModelError, match=r"^liver: its package cannot say where it is \(its data are missing\)"
    ):
        model_file(Path("liver"))


def test_finding_a_model_loads_no_torch(tmp_path):
    path = write_model(tmp_path / "model.safetensors")
    program = (
        "import sys; from mitotools.cli.main import run; "
        f"status = run(['info', {str(path)!r}]); print(status, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "0 False"


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_has_what_its_tensors_tell(name):
    network, metadata = read_model(GOLDEN / f"{name}.pth.tar", "pytc")
    assert metadata.settings["pooling"] is False
    assert metadata.patch_voxels == (17, 257, 257)
    assert fits(network, metadata.patch_voxels)
    assert len(metadata.targets) == CASES[name]["out_channels"]
    assert (metadata.voxel_size_nm, metadata.history) == (None, ())


@pytest.mark.parametrize(
    ("count", "channels"), [(1, ("mask",)), (2, ("mask", "contour")), (3, ("z", "y", "x"))]
)
def test_the_number_of_channels_tells_what_they_are(tmp_path, count, channels):
    path = checkpoint(tmp_path / "checkpoint.pth.tar", count, pooling=True)
    network, metadata = read_model(path, "pytc,pooling")
    assert metadata.targets == channels
    assert metadata.patch_voxels == (16, 256, 256)
    assert fits(network, metadata.patch_voxels)


def test_channels_can_be_named(tmp_path):
    path = checkpoint(tmp_path / "checkpoint.pth.tar", 3, pooling=False)
    assert read_model(path, "pytc,mask,contour,distance")[1].targets == ("mask", "contour", "distance")
    with pytest.raises(UsageError, match=r"no channel is called mitochondria\. Channels are mask, contour"):
        read_model(path, "pytc,mitochondria,contour,distance")
    with pytest.raises(ModelError, match="puts out 3 channels, not mask,contour"):
        read_model(path, "pytc,mask,contour")
    odd = checkpoint(tmp_path / "odd.pth.tar", 5, pooling=False)
    with pytest.raises(ModelError, match=r"puts out 5 channels, .* Name them: --as pytc,mask,contour"):
        read_model(odd, "pytc")


def test_another_program_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--as nnunet: expected pytc"):
        read_model(tmp_path / "model.pth", "nnunet")


def test_weights_in_half_precision_are_read_as_floats(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = write_model(tmp_path / "model.safetensors")
    whole, _ = read_model(path)
    with safe_open(path, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    halves = {name: t.half() if t.dtype == torch.float32 else t for name, t in tensors.items()}
    save_file(halves, tmp_path / "half.safetensors", header)
    half, _ = read_model(tmp_path / "half.safetensors")
    image = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 1, 8, 16, 16)).astype(np.float32))
    with torch.inference_mode():
        first, second = whole(image), half(image)
    assert second.dtype == torch.float32
    assert 0 < (first - second).abs().max() < 0.1 * first.abs().max()
