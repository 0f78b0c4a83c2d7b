"""decode and tune take the options that suit a model from the history of its maps."""

from __future__ import annotations

import io
import json
import re
import shlex
from dataclasses import fields, replace

import h5py
import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stages.networks import write_model, write_phantom

from mitotools import history
from mitotools.cli.decode import decode as decode_command
from mitotools.cli.decode_options import Given, written_options
from mitotools.cli.main import run
from mitotools.cli.model_options import completed
from mitotools.learn.checkpoint import load_model, save_model
from mitotools.parameters import DecodeParameters
from mitotools.segment.decoders import DECODERS, decoder
from mitotools.stages.decoding.any_size import parameters_used
from mitotools.volume.path import parse_volume_path

# Thresholds are in values of the maps: .5 is 127, .6 is 153, .8 is 204, .85 is 216.
MASK = np.array([[[240, 240, 0, 180, 180, 180, 0, 240]]], np.uint8)
MAPS = np.stack([MASK, np.zeros_like(MASK)])
TUNED = {
    "method": "mw",
    "seed_foreground": 0.6,
    "foreground": 0.5,
    "min_size_voxels": 2,
    "min_seed_voxels": 1,
}
LABELS = [1, 1, 0, 2, 2, 2, 0, 0]
"""Of the maps with those options: the last voxel is alone, and too small."""
LINE = "options of the model: --method mw --seed-foreground 0.6 --foreground 0.5 --min-size 2 --min-seed 1"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predicted(decode=None, **parameters):
    """Return the record of a predict whose model had these options."""
    extra = {} if decode is None else {"decode": decode}
    return {
        "command_line": "mitotools predict",
        "parameters": {"window_voxels": [8, 8, 8], **extra, **parameters},
    }


def write_maps(*records, maps=MAPS, name="maps.h5"):
    with h5py.File(name, "w") as file:
        file["main"] = maps
        file["main"].attrs["history"] = json.dumps(records)


def labels(name="labels.h5"):
    with h5py.File(name) as file:
        return file["main"][:].ravel().tolist()


def recorded(name="labels.h5"):
    with h5py.File(name) as file:
        return json.loads(file["main"].attrs["history"])[-1]["parameters"]


def decoded(capsys, *options, maps="maps.h5"):
    """Decode maps, and return what was said of the model."""
    assert run(["decode", maps, "labels.h5", "-f", *options]) == 0
    return [line for line in capsys.readouterr().err.splitlines() if "of the model" in line]


def test_maps_are_decoded_with_their_models_options_which_are_printed_and_recorded(capsys):
    write_maps(predicted(TUNED))
    assert decoded(capsys) == [f"mitotools decode: {LINE}"]
    assert labels() == LABELS
    assert recorded().items() >= {**TUNED, "seed_contour": 0.6, "landscape": "mask"}.items()


def test_what_is_printed_makes_the_same_of_maps_without_history(capsys):
    write_maps(predicted(TUNED))
    (line,) = decoded(capsys)
    write_maps()
    assert decoded(capsys, *shlex.split(line.partition("model: ")[2])) == []
    assert labels() == LABELS


def test_quiet_says_nothing_of_them(capsys):
    write_maps(predicted(TUNED))
    assert decoded(capsys, "-q") == []
    assert labels() == LABELS


@pytest.mark.parametrize(
    ("options", "expected", "line"),
    [
        # Without a seed, what has a mask of 180 is no instance.
        (["--seed-foreground", ".85"], [1, 1, 0, 0, 0, 0, 0, 0], LINE.replace(" --seed-foreground 0.6", "")),
        (["--min-size", "1"], [1, 1, 0, 2, 2, 2, 0, 3], LINE.replace(" --min-size 2", "")),
        (["--min-size", "3"], [0, 0, 0, 1, 1, 1, 0, 0], LINE.replace(" --min-size 2", "")),
        (["--method", "mw"], LABELS, LINE),
        (["--config", "some.toml"], [0, 0, 0, 1, 1, 1, 0, 0], LINE.replace(" --min-size 2", "")),
        (
            ["--config", "some.toml", "--min-size", "1"],
            [1, 1, 0, 2, 2, 2, 0, 3],
            LINE.replace(" --min-size 2", ""),
        ),
    ],
)
def test_options_that_are_given_win_one_by_one(capsys, folder, options, expected, line):
    (folder / "some.toml").write_text("[decode]\nmin-size = 3\n")
    write_maps(predicted(TUNED))
    assert decoded(capsys, *options) == [f"mitotools decode: {line}"]
    assert labels() == expected


def test_nothing_is_printed_where_all_is_given(capsys, folder):
    (folder / "all.toml").write_text(
        '[decode]\nmethod = "mw"\nseed-foreground = 0.6\nforeground = 0.5\nmin-size = 1\nmin-seed = 1\n'
    )
    write_maps(predicted(TUNED))
    assert decoded(capsys, "--config", "all.toml") == []
    assert labels() == [1, 1, 0, 2, 2, 2, 0, 3]


@pytest.mark.parametrize("how", ["--method=cc", "--config=cc.toml"])
def test_another_method_has_its_own_defaults(capsys, folder, how):
    (folder / "cc.toml").write_text('[decode]\nmethod = "cc"\n')
    write_maps(predicted(TUNED))
    assert decoded(capsys, how) == []
    assert {name: recorded()[name] for name in ("method", "foreground", "min_size_voxels")} == {
        "method": "cc",
        "foreground": DecodeParameters.foreground,
        "min_size_voxels": DecodeParameters.min_size_voxels,
    }


def test_the_models_method_is_taken_and_options_that_it_does_not_read_are_refused(capsys):
    write_maps(predicted({"method": "cc", "foreground": 0.5, "min_size_voxels": 1}))
    assert decoded(capsys) == [
        "mitotools decode: options of the model: --method cc --foreground 0.5 --min-size 1"
    ]
    assert labels() == [1, 1, 0, 2, 2, 2, 0, 3]
    assert run(["decode", "maps.h5", "labels.h5", "-f", "--min-seed", "3"]) == 2
    assert "--min-seed: --method cc does not read it." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("records", "min_size"),
    [
        ([predicted({"min_size_voxels": 2}), predicted({"min_size_voxels": 3})], 3),
        # The labels that a model was trained on may have been maps of another one.
        ([predicted({"min_size_voxels": 2}), predicted()], DecodeParameters.min_size_voxels),
        ([predicted({"min_size_voxels": 2}), {"parameters": {"blend": "bump"}}], 2),
        ([predicted({"min_size_voxels": 2}), {"parameters": "none"}, {}], 2),
        ([predicted({"min_size_voxels": 2}), predicted({})], DecodeParameters.min_size_voxels),
    ],
)
def test_the_latest_predict_counts(capsys, records, min_size):
    write_maps(*records)
    decoded(capsys)
    assert recorded()["min_size_voxels"] == min_size


def test_maps_of_other_programs_are_decoded_as_ever(capsys):
    write_maps()
    assert decoded(capsys) == []
    assert recorded().items() >= parameters_used(DecodeParameters()).items()


NONSENSE = [
    ("text", "'text' is no table"),
    ([["method", "mw"]], "[['method', 'mw']] is no table"),
    (7, "7 is no table"),
    (False, "False is no table"),
    ({"method": "best"}, "'best' is no method"),
    ({"method": ["mw"]}, "['mw'] is no method"),
    ({"method": None}, "None is no method"),
    ({"seeds": 0.5}, "'seeds' is no option of --method mw"),
    ({"method": "cc", "min_seed_voxels": 3}, "'min_seed_voxels' is no option of --method cc"),
    ({"seed_foreground": 1.5}, "--seed-foreground cannot be 1.5"),
    ({"seed_foreground": float("nan")}, "--seed-foreground cannot be nan"),
    ({"seed_foreground": 10**400}, "--seed-foreground cannot be 1000"),
    ({"seed_foreground": "0.5"}, "--seed-foreground cannot be '0.5'"),
    ({"seed_foreground": True}, "--seed-foreground cannot be True"),
    ({"seed_foreground": None}, "--seed-foreground cannot be None"),
    ({"foreground": [0.5]}, "--foreground cannot be [0.5]"),
    ({"min_size_voxels": -1}, "--min-size cannot be -1"),
    ({"min_size_voxels": 2.5}, "--min-size cannot be 2.5"),
    ({"min_size_voxels": 10**30}, "--min-size cannot be 1000"),
    ({"landscape": "\x1b[31m; rm -rf /"}, r"--landscape cannot be '\x1b[31m; rm -rf /'"),
    ({"\nevil\n": 1}, r"'\nevil\n' is no option of --method mw"),
    ({"landscape": "x" * 10**5}, "--landscape cannot be 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
    ({"method": "waterz"}, "decoder waterz reads this many channels: 3 (z, y, x); the maps have 2"),
    ({"method": "mutex"}, "decoder mutex has 8 --affinity-offsets, and the maps have 2"),
    ({"method": "mutex", "affinity_offsets": 5}, "--affinity-offsets cannot be 5"),
    ({"method": "mutex", "affinity_offsets": []}, "--affinity-offsets cannot be []"),
    ({"method": "mutex", "affinity_offsets": [5, 6]}, "--affinity-offsets cannot be [5, 6]"),
    ({"method": "mutex", "affinity_offsets": [[0, 0, 1], [0, 0]]}, "--affinity-offsets cannot be "),
    ({"method": "mutex", "affinity_offsets": [[0, 0, 1], [0, 0, 10**30]]}, "--affinity-offsets cannot be "),
]


@pytest.mark.parametrize(("decode", "why"), NONSENSE)
def test_nonsense_is_ignored_as_a_whole_with_one_warning(capsys, decode, why):
    if isinstance(decode, dict):  # beside it there is what would count
        decode = {"min_size_voxels": 7, **decode}
    write_maps(predicted(decode))
    (line,) = decoded(capsys)
    assert line.startswith(f"mitotools decode: warning: options of the model are ignored: {why}")
    assert len(line) < 200
    assert line.isprintable()
    assert recorded().items() >= parameters_used(DecodeParameters()).items()


@pytest.mark.parametrize(
    ("decode", "channels", "why"),
    [
        ({"landscape": "mask-contour"}, 1, "--landscape mask-contour the maps have no contour"),
        (
            {"method": "zwatershed", "affinity_low": 0.9, "affinity_high": 0.8},
            3,
            "affinity thresholds 0.9 and 0.8 the low one must be below the high one",
        ),
        ({"method": "waterz", "scoring": "best"}, 3, "--scoring cannot be 'best'"),
    ],
)
def test_options_that_do_not_go_together_are_ignored(caplog, decode, channels, why):
    write_maps(predicted(decode), maps=np.repeat(MAPS[:1], channels, axis=0))
    assert completed(Given({}, {}), parse_volume_path("maps.h5"), None) == DecodeParameters()
    assert [record.getMessage() for record in caplog.records] == [f"options of the model are ignored: {why}"]


@pytest.mark.parametrize(
    ("crop", "channels", "why"),
    [
        ("[0:2]", (), "decoder bcd reads this many channels: 3 (mask, contour, distance); the maps have 2"),
        ("", ("--channels=mask=2",), "--channels mask --method bcd does not read them"),
    ],
)
def test_options_for_other_channels_than_are_chosen_are_ignored(capsys, crop, channels, why):
    write_maps(predicted({"method": "bcd", "min_size_voxels": 2}), maps=np.stack([MASK] * 3))
    assert decoded(capsys, *channels, maps=f"maps.h5{crop}") == [
        f"mitotools decode: warning: options of the model are ignored: {why}"
    ]
    assert recorded()["method"] == "mw"


def test_channels_are_put_into_the_order_of_the_models_method(capsys):
    write_maps(predicted(TUNED), maps=MAPS[::-1])
    assert decoded(capsys, "--channels=contour=0,mask=1") == [f"mitotools decode: {LINE}"]
    assert labels() == LABELS


def test_what_a_file_is_warned_of_is_said_once(capsys, folder):
    spacing_of_one = np.eye(4)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(MAPS.T), spacing_of_one), "maps.nii")
    (folder / "maps.nii.history.json").write_text(json.dumps([predicted(TUNED)]))
    assert run(["decode", "maps.nii", "labels.h5"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert ["spacing of 1, 1, 1" in line for line in lines] == [False, True, False]
    assert lines[0] == f"mitotools decode: {LINE}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([field.name for field in fields(DecodeParameters)])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON | st.dictionaries(NAMES, JSON | st.sampled_from(DECODERS).map(lambda entry: entry.name)))
def test_no_history_makes_an_error(decode):
    write_maps(predicted(decode))
    parameters = completed(Given({}, {}), parse_volume_path("maps.h5"), None)
    assert decoder(parameters.method).options


SHARES = st.floats(0.01, 0.49)
OFFSETS = st.tuples(*[st.integers(-9, 9)] * 3).filter(any)
PARAMETERS = st.builds(
    DecodeParameters,
    method=st.sampled_from([entry.name for entry in DECODERS]),
    **{
        field.name: SHARES
        for field in fields(DecodeParameters)
        if isinstance(field.default, float) and field.name != "affinity_high"
    },
    **{
        field.name: st.integers(0, 2**40)
        for field in fields(DecodeParameters)
        if field.name.endswith("_voxels")
    },
    affinity_high=st.floats(0.5, 1),
    landscape=st.sampled_from(["mask", "mask-contour"]),
    as_program=st.sampled_from(["mitotools", "pytc"]),
    supervoxels=st.sampled_from(["2d", "3d"]),
    scoring=st.sampled_from(["mean", "quantile-10", "quantile-95-max"]),
    affinity_offsets=st.tuples(*[OFFSETS] * 4),
)


def channels_of(method):
    return len(decoder(method).channels[-1]) if decoder(method).channels else 4


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PARAMETERS)
def test_any_options_come_back_from_a_history_and_from_what_is_printed(parameters):
    used = parameters_used(parameters)
    write_maps(predicted(used), maps=np.repeat(MAPS[:1], channels_of(parameters.method), axis=0))
    found = completed(Given({}, {}), parse_volume_path("maps.h5"), None)
    assert parameters_used(found) == used
    line = ["maps.h5", "labels.h5", *shlex.split(written_options(found))]
    typed = decode_command.make_context("decode", line).params
    assert {name: typed[name] for name in used} == used


def test_tune_starts_from_the_models_options(capsys):
    write_maps(predicted(TUNED))
    with h5py.File("truth.h5", "w") as file:
        file["main"] = np.array(LABELS, np.uint8).reshape(MASK.shape)
    assert run(["tune", "maps.h5", "truth.h5", "--grid", "min-size=2,3"]) == 0
    out, err = capsys.readouterr()
    assert shlex.split(out.splitlines()[-1])[2:] == [
        *("--seed-foreground", "0.6", "--seed-contour", "0.6", "--foreground", "0.5", "--min-size", "2"),
        *("--min-seed", "1", "--landscape", "mask"),
    ]
    assert f"mitotools tune: {LINE}\n" in err


@pytest.mark.parametrize("how", ["paste", "file"])
def test_what_tune_found_best_wins_over_the_models_options(capsys, how):
    write_maps(predicted(TUNED))
    write_maps(maps=np.where(MASK > 200, MASK, 0), name="truth.h5")
    grid = f"seed-foreground=.6,{DecodeParameters.seed_foreground}"
    assert run(["tune", "maps.h5", "truth.h5", "--grid", grid, "-o", "best.toml"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    options = shlex.split(line) if how == "paste" else ["--config", "best.toml"]
    assert decoded(capsys, *options) == []
    assert recorded()["seed_foreground"] == DecodeParameters.seed_foreground
    assert labels() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_tune_has_a_grid_for_the_models_method(capsys):
    write_maps(predicted({"method": "cc", "foreground": 0.5}))
    write_maps(maps=MASK, name="truth.h5")
    assert run(["tune", "maps.h5", "truth.h5"]) == 0
    header, *trials, _ = capsys.readouterr().out.splitlines()
    assert header.split("\t")[0] == "foreground"
    assert len(trials) == 5


def test_help_says_where_options_come_from(capsys):
    assert run(["decode", "--help"]) == 0
    assert "The maps' history tells; they are printed." in " ".join(capsys.readouterr().out.split())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with raw.h5, a model that has options, and its maps and tiles of maps."""
    folder = tmp_path_factory.mktemp("made")
    raw, _ = write_phantom(folder)
    model = write_model(folder / "model.safetensors")
    network, metadata = load_model(model)
    save_model(model, network, replace(metadata, decode=TUNED))
    steps = [
        f"predict {raw.file} {folder}/maps.h5 -m {model}",
        f"tile {raw.file} {folder}/plan.json --size 12,24,24 --halo 4,4,4",
        f"predict {folder}/plan.json {folder}/tiles -m {model}",
        f"merge {folder}/tiles {folder}/merged.zarr",
        f"convert {folder}/maps.h5 {folder}/copy.zarr",
        f"convert {folder}/copy.zarr {folder}/copy.npy",
    ]
    for step in steps:
        assert run([*step.split(), "-q"]) == 0
    return folder


def test_predict_records_the_models_options(made):
    with h5py.File(made / "maps.h5") as file:
        records = history.from_json(file["main"].attrs["history"])
    assert records[-1]["parameters"]["decode"] == TUNED


@pytest.mark.parametrize(
    "maps", ["maps.h5", "maps.h5[2:12,:,5:]", "maps.h5[0]", "merged.zarr", "copy.zarr", "copy.npy"]
)
def test_crops_copies_and_merged_tiles_keep_the_models_options(capsys, made, maps):
    assert decoded(capsys, maps=f"{made}/{maps}") == [f"mitotools decode: {LINE}"]
    found = labels()
    assert recorded().items() >= TUNED.items()
    assert decoded(capsys, *shlex.split(LINE.partition("model: ")[2]), maps=f"{made}/{maps}") == []
    assert labels() == found


def test_maps_from_a_pipe_keep_the_models_options(capsys, made, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{made}/maps.h5\n"))
    assert decoded(capsys, maps="-") == [f"mitotools decode: {LINE}"]


def test_info_shows_a_models_options(capsys, made):
    assert run(["info", f"{made}/model.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decode"] == TUNED
    assert run(["info", f"{made}/model.safetensors"]) == 0
    assert re.search(r"^decode\.seed_foreground\t0\.6$", capsys.readouterr().out, re.MULTILINE)
