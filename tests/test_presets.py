"""Presets, files of settings and texts of settings: one kind of content, one parser."""

import json
import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import mitotools.presets
from mitotools.errors import InputError, UsageError
from mitotools.learn.models import build, fits, settings_of
from mitotools.parameters import TrainParameters
from mitotools.presets import PRESETS, SOURCES, with_config, with_settings

DEFAULT = TrainParameters()
CHANNELS = {"mask": 1, "contour": 1, "affinity": 3, "distance": 1}
FILE = Path(mitotools.presets.__file__).with_suffix(".toml")
STATED = {
    "source", "architecture", "targets", "filters", "section_patch_voxels", "isotropic_patch_voxels", "batch",
    "recipe", "optimizer", "learning_rate", "iterations",
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a file of settings."""

    def write(text):
        (tmp_path / "config.toml").write_text(text)
        return tmp_path / "config.toml"

    return write


def refusal(act, kind=UsageError):
    with pytest.raises(kind) as error:
        act()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_presets_are_those_of_the_papers_and_two_for_processors():
    assert {name: (p.targets, p.iterations) for name, p in PRESETS.items()} == {
        "u2d-b": (("mask",), 150_000),
        "u3d-b": (("mask",), 150_000),
        "u3d-a": (("affinity",), 150_000),
        "u3d-bc": (("mask", "contour"), 150_000),
        "u3d-bcd": (("mask", "contour", "distance"), 150_000),
        "res-unet": (("mask", "contour"), 150_000),
        "fast": (("mask", "contour"), 6_000),
        "sections": (("mask", "contour"), 3_000),
    }
    assert [p.preset for p in PRESETS.values()] == list(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_states_what_it_is_and_where_it_comes_from(name):
    table = tomllib.loads(FILE.read_text())[name]
    assert set(table) >= STATED
    assert re.search(r"et al\. ?,? (MICCAI )?20\d\d|^ours", SOURCES[name])


def test_the_defaults_are_those_of_the_default_preset_but_for_the_batch():
    assert PRESETS[DEFAULT.preset] == replace(DEFAULT, batch=8)


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_network_that_takes_its_patch(name, isotropic):
    preset = PRESETS[name]
    channels = sum(CHANNELS[target] for target in preset.targets)
    patch = preset.isotropic_patch_voxels if isotropic else preset.section_patch_voxels
    with torch.device("meta"):
        network = build(preset.architecture, settings_of(preset, channels, isotropic=isotropic))
        assert fits(network, patch)
        assert network(torch.empty(1, 1, *patch)).shape == (1, channels, *patch)


@pytest.mark.parametrize("name", PRESETS)
def test_the_network_of_a_preset_gives_numbers(name):
    preset = PRESETS[name]
    settings = settings_of(preset, len(preset.targets), isotropic=False)
    network = build(preset.architecture, settings).eval()
    with torch.inference_mode():
        logits = network(torch.randn(1, 1, *network.stride))
    assert torch.isfinite(logits).all()


def test_a_file_changes_what_it_names_and_nothing_else(config):
    path = config('targets = ["mask"]\nfilters = [16, 32]\nlearning_rate = 1\nsqueeze = true\nminutes = 30')
    assert with_config(PRESETS["u3d-bc"], path) == replace(
        PRESETS["u3d-bc"], targets=("mask",), filters=(16, 32), learning_rate=1.0, squeeze=True, minutes=30.0
    )


def test_a_preset_may_be_copied_into_a_file(config):
    _, _, section = FILE.read_text().partition("[u3d-b]\n")
    path = config(section.partition("\n[")[0])
    assert with_config(DEFAULT, path) == replace(PRESETS["u3d-b"], preset=DEFAULT.preset)


def test_options_come_after_texts_after_files_after_presets(config):
    path = config("batch = 5\nmomentum = 0.5\nweight_decay = 0.5\nlearning_rate = 0.5")
    found = with_settings(
        with_config(PRESETS["fast"], path), ["momentum=.6", "weight_decay=.6", "weight_decay=.7"], batch=6
    )
    fast = PRESETS["fast"]
    assert (fast.batch, fast.momentum, fast.learning_rate) == (4, 0.9, 0.001)
    assert found == replace(fast, batch=6, momentum=0.6, weight_decay=0.7, learning_rate=0.5)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("filters=8,16", "filters", (8, 16)), ("fold=1,2,2", "fold", (1, 2, 2)),
        ("norm=group", "norm", "group"),
        ("learning_rate=1", "learning_rate", 1.0), ("momentum=.5", "momentum", 0.5),
        ("patch_voxels=8,16,16", "patch_voxels", (8, 16, 16)), ("flat_levels=2", "flat_levels", 2),
        ("iterations=1_000", "iterations", 1000), ("squeeze=true", "squeeze", True),
        ("affinity_offsets=-1,0,0;0,-9,0", "affinity_offsets", ((-1, 0, 0), (0, -9, 0))),
        ("targets=mask", "targets", ("mask",)), ("weight_decay=0", "weight_decay", 0.0),
    ],
)  # fmt: skip
def test_a_text_means_what_the_same_setting_means_in_a_file(config, text, key, value):
    in_file = json.dumps(value)  # of these values, JSON is TOML too
    expected = replace(DEFAULT, **{key: value})
    assert with_settings(DEFAULT, [text]) == with_config(DEFAULT, config(f"{key} = {in_file}")) == expected
    assert type(getattr(with_settings(DEFAULT, [text]), key)) is type(value)


@pytest.mark.parametrize("name", [field.name for field in fields(DEFAULT) if field.name != "preset"])
def test_every_setting_can_be_given_in_a_file(config, name):
    value = getattr(DEFAULT, name)
    value = {"patch_voxels": (8, 8, 8), "augment": ("flip:1",)}.get(name, 1) if value is None else value
    found = getattr(with_config(DEFAULT, config(f"{name} = {json.dumps(value)}")), name)
    assert found == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("filter = 8", "there is no setting 'filter'. There is filters"),
        ('filters = "8"', 'filters = "8" is nothing like [28, 36, 48, 64, 80]. It is a list.'),
        ("filters = []", "filters = [] is nothing like"),
        ("filters = [8, 1.5]", "filters = [8, 1.5] is nothing like [28, 36, 48, 64, 80]. It is a whole num"),
        ("filters = [true]", "filters = [true] is nothing like"),
        ("affinity_offsets = [1, 2, 3]", "affinity_offsets = [1, 2, 3] is nothing like [[-1, 0, 0], "),
        ("patch_voxels = [8, 8]", "patch_voxels = [8, 8] is of another kind. It is a list of 3."),
        ("patch_voxels = [8, 0, 8]", "patch_voxels = [8, 0, 8] is out of range. It is above 0."),
        ("batch = 4.0", "batch = 4.0 is nothing like 4. It is a whole number."),
        ("batch = true", "batch = true is nothing like 4."),
        ("batch = 0", "batch = 0 is out of range. It is above 0."),
        ("seed = -1", "seed = -1 is out of range. It is 0 or more."),
        ("seed = 9223372036854775808", "out of range"),
        ("momentum = nan", "momentum = nan is nothing like 0.9. It is a number."),
        ("minutes = 0", "minutes = 0 is out of range. It is above 0."),
        ("uniform_share = 7", "uniform_share = 7 is out of range. It is from 0 to 1."),
        ("ema_decay = 1.5", "ema_decay = 1.5 is out of range. It is from 0 to 1."),
        ("momentum = 3", "momentum = 3 is out of range. It is from 0 to 1."),
        ("norm = 7", 'norm = 7 is nothing like "batch". It is a text.'),
        ("squeeze = 1", "squeeze = 1 is nothing like false. It is true or false."),
        ("[train]\nbatch = 4", "there is no setting 'train'"),
        ("source = 5", "there is no setting 'source'"),
        ('preset = "fast"', "a preset is chosen with --preset"),
    ],
)
def test_a_file_with_a_setting_that_is_none_is_refused_with_what_would_be_one(config, content, words):
    path = config(content)
    line = refusal(lambda: with_config(DEFAULT, path))
    assert line.startswith(f"{path}: {words}") or words in line
    assert line.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("filter=8", "--set filter=8: there is no setting 'filter'. There is filters"),
        ("filters=a", '--set filters=a: filters = ["a"] is nothing like [28, 36, 48, 64, 80].'),
        ("filters", '--set filters: filters = [""] is nothing like'),
        ("squeeze=yes", '--set squeeze=yes: squeeze = "yes" is nothing like false. It is true or false.'),
        ("minutes=soon", '--set minutes=soon: minutes = "soon" is of another kind. It is a number.'),
        ("preset=fast", "--set preset=fast: a preset is chosen with --preset."),
        ("batch=2", "--set batch=2: this has an option of its own."),
    ],
)
def test_a_text_that_is_no_setting_is_refused_with_what_would_be_one(text, words):
    assert refusal(lambda: with_settings(DEFAULT, [text], batch=4)).startswith(words)


@pytest.mark.parametrize(
    "content", [b"batch = ", b"batch = 4\nbatch = 5", b"\xff\xfe", b"batch 4", b"a=" + b"[" * 10**5]
)
def test_a_file_that_is_no_toml_is_refused(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    assert refusal(lambda: with_config(DEFAULT, path), InputError).startswith(
        f"{path}: cannot be read as TOML ("
    )


def test_a_missing_file_is_refused(tmp_path):
    line = refusal(lambda: with_config(DEFAULT, tmp_path / "none.toml"), InputError)
    assert line.endswith("none.toml: cannot be read as TOML (No such file or directory).")
