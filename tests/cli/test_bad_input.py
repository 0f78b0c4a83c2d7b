"""Whatever is wrong with the input: one line, the right exit status, and nothing written."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run

FAILED, WRONG_USAGE = 1, 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with good and bad files, as the working directory."""
    monkeypatch.chdir(tmp_path)
    zeros = np.zeros((4, 5, 6))
    arrays = {
        "raw": zeros.astype("uint8"),
        "labels": zeros.astype("uint16"),
        "short": zeros[:3].astype("uint16"),
        "wide": np.zeros((4, 5, 7), "uint16"),
        "float": zeros.astype("float32"),
        "image": np.zeros((5, 6), "uint8"),
        "empty": np.zeros((0, 5, 6), "uint16"),
        "signed": np.full((4, 5, 6), -1),
        "three_channels": np.zeros((3, 4, 5, 6), "uint8"),
        "beyond_one": np.full((2, 4, 5, 6), 1.5, "float32"),
        "nan": np.full((2, 4, 5, 6), np.nan, "float32"),
        "endless": np.full((4, 5, 6), np.inf, "float32"),
    }
    for name, array in arrays.items():
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = array
    with h5py.File("several.h5", "w") as file:
        file["volumes/raw"] = arrays["raw"]
        file["volumes/labels"] = arrays["labels"]
    with h5py.File("full.h5", "w") as file:
        file["main"] = np.arange(2**16, dtype="uint16").reshape(4, 128, 128)
    content = (tmp_path / "full.h5").read_bytes()
    (tmp_path / "truncated.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "words.h5").write_text("this is no HDF5 file")
    (tmp_path / "picture.png").write_text("mine")
    (tmp_path / "words.safetensors").write_text("this is no model, and long enough for a header")
    (tmp_path / "other.json").write_text(json.dumps({"kind": "something else"}))
    (tmp_path / "slices").mkdir()
    return tmp_path


BAD_INPUT = {
    "missing file": ("convert nowhere.h5 out.zarr", "nowhere.h5: no such file or folder"),
    "missing dataset": ("convert several.h5:volumes/row out.zarr", "volumes/raw (4, 5, 6)"),
    "ambiguous dataset": ("convert several.h5 out.zarr", "which dataset?"),
    "dataset of a zarr that is none": ("convert slices:main out.zarr", "no such file or folder"),
    "two dimensions": ("convert image.h5 out.zarr", "three dimensions"),
    "maps for an image": ("view three_channels.h5 -o out.png", "Select one"),
    "float labels": ("evaluate float.h5 labels.h5", "expected integer labels, found float32. Run"),
    "negative labels": ("evaluate signed.h5 labels.h5", "negative"),
    "negative labels to measure": ("stats signed.h5", "negative"),
    "different shapes": ("evaluate wide.h5 labels.h5", "different shapes"),
    "shapes that differ in z": ("evaluate short.h5 labels.h5", "labels.h5[0:3,:,:] would fit"),
    "truncated HDF5": ("stats truncated.h5", "truncated"),
    "no HDF5": ("stats words.h5", "cannot be read as HDF5"),
    "empty volume": ("stats empty.h5", "is empty"),
    "empty volume to convert": ("convert empty.h5 out.zarr", "is empty"),
    "folder without slices": ("convert slices out.zarr", "there are no slices"),
    "no model": ("predict raw.h5 out.zarr -m words.safetensors", "is not a mitotools model"),
    "a volume for a model": ("predict raw.h5 out.zarr -m raw.h5", "is not a mitotools model"),
    "missing model": ("predict raw.h5 out.zarr -m nowhere.safetensors", "no such file"),
    "info on no model": ("info words.safetensors", "is not a mitotools model"),
    "no plan": ("predict other.json out -m words.safetensors", "is not a plan"),
    "unknown suffix to read": ("stats other.xyz", "no such file or folder"),
    "unknown suffix to write": ("convert raw.h5 out.xyz", "unknown suffix '.xyz'. Written are .h5"),
    "a folder for a model": ("predict raw.h5 out.zarr -m slices", "is a folder, not a model"),
    "labels without end": ("convert endless.h5 out.h5 --labels", "are no ids"),
    "three channels to decode": ("decode three_channels.h5 out.h5", "mask, contour"),
    "maps beyond one": ("decode beyond_one.h5 out.h5", "from 0 to 1"),
    "maps with NaN": ("decode nan.h5 out.h5", "nan"),
    "labels for maps": ("decode labels.h5 out.h5", "expected maps"),
    "values that do not fit": ("convert full.h5 out.h5 --dtype uint8", "do not fit uint8"),
    "no foreground to learn from": ("train raw.h5 labels.h5 out.safetensors -q", "no foreground"),
    "labels of another size": ("train raw.h5 wide.h5 out.safetensors -q", "different shapes"),
    "tiles that are none": ("merge raw.h5 out.h5", "its name does not end in"),
    "no tiles": ("merge slices out.h5", "there are none"),
    "a missing folder": ("convert raw.h5 nowhere/out.h5", "the folder nowhere does not exist"),
    "a slice that is none": ("view raw.h5 -o out.png --slices 9", "has slices 0 to 3"),
    "a crop outside": ("convert raw.h5[0:9,:,:] out.h5", "does not lie in the volume"),
}

BAD_USAGE = {
    "threshold above one": ("decode three_channels.h5 out.h5 --foreground 1.1", "1.1 is not in the range"),
    "threshold below zero": ("decode three_channels.h5 out.h5 --seed-contour -0.1", "is not in the range"),
    "threshold that is none": ("evaluate labels.h5 labels.h5 --iou high", "is neither T nor"),
    "malformed crop": ("convert raw.h5[0:2,1] out.h5", "a crop is"),
    "a crop that is none": ("convert raw.h5 out.h5 --crop 5-10", "'5-10' is not a range START:STOP"),
    "a crop of words": ("convert raw.h5 out.h5 --crop abc", "--crop abc: 'abc' is not a range START:STOP"),
    "two crops": ("convert raw.h5[0:2,:,:] out.h5 --crop 0:1,:,:", "has a crop already"),
    "unknown type": ("convert raw.h5 out.h5 --dtype int12", "is not one of 'uint8'"),
    "unknown command": ("segment raw.h5 out.h5", "No such command"),
    "missing choice": ("completion", "Choose from: bash, zsh, fish. See"),
    "missing argument": ("decode three_channels.h5", "Missing argument"),
    "unknown option": ("stats labels.h5 --colour", "No such option"),
    "unknown method": ("decode three_channels.h5 out.h5 --method guess", "is not one of"),
    "unknown setting": ("train raw.h5 labels.h5 out.safetensors --set filter=8", "There is filters"),
    "setting of another kind": ("train raw.h5 labels.h5 out.safetensors --set filters=a", "is nothing like"),
    "setting with an option of its own": (
        "train raw.h5 labels.h5 out.safetensors --batch 4 --set batch=2",
        "an option of its own",
    ),
    "negative seed": ("train raw.h5 labels.h5 out.safetensors --seed -1", "not in the range"),
    "part that is none": ("predict raw.h5 out.zarr -m words.safetensors --part 0/2", "is not K/N"),
    "tile that is none": ("predict other.json out -m words.safetensors --part 3/2", "is not K/N"),
    "sizes that do not ascend": ("evaluate labels.h5 labels.h5 --sizes 9,5", "two ascending numbers"),
    "zero tile": ("tile raw.h5 plan.json --size 0,1,1", "three numbers from 1 to 1000000000"),
    "a tile larger than any volume": (f"tile raw.h5 plan.json --size 1,1,{10**20}", "to 1000000000"),
    "scale that is no number": ("convert raw.h5 out.h5 --scale nan,1,1", "three numbers from 0.001 to 1000"),
    "scale without end": ("convert raw.h5 out.h5 --scale inf,1,1", "three numbers from 0.001 to 1000"),
    "voxel size without end": ("convert raw.h5 out.nii --voxel-size inf,8,8", "numbers from 0.1 to 1000"),
    "voxel size that is none": ("convert raw.h5 out.zarr --voxel-size nan,8,8", "numbers from 0.1 to 1000"),
    "voxel size of 5 um": ("convert raw.h5 out.h5 --voxel-size 5000,8,8", "three numbers from 0.1 to 1000"),
    "negative id": ("view raw.h5 labels.h5 -o out.png --ids -1", "-1 is no id"),
    "id of the background": ("view raw.h5 labels.h5 -o out.png --ids 3,0", "0 is no id"),
    "id beyond 64 bits": (f"view raw.h5 labels.h5 -o out.png --ids {2**64}", "is no id"),
    "too many thresholds": ("evaluate labels.h5 labels.h5 --iou 0.5:0.9:1e-9", "more than 1000 thresholds"),
    "two pipes": ("evaluate - -", "only one input"),
    "crop of a plan": ("predict other.json[0:1,:,:] out", "Plan the crop: mitotools tile 'RAW[0:1,0:,0:]'"),
    "pipe for tiles": ("predict other.json -", "MAPS is a folder of tiles"),
    "volume for tiles": ("predict other.json out.zarr", "MAPS is a folder of tiles"),
    "dataset for tiles": ("predict other.json out.h5:main", "MAPS is a folder of tiles"),
    "plan of what is gone afterwards": ("tile - plan.json", "what comes through a pipe is gone afterwards"),
    "part for a pipe": ("predict raw.h5 - -m words.safetensors --part 1/2", "--part: a part is no volume"),
    **{
        f"pipe for a file, {line}": (line, "only volumes go through a pipe: name what to write")
        for line in (
            "train raw.h5 labels.h5 -",
            "train raw.h5 labels.h5 m.safetensors --log -",
            "train raw.h5 labels.h5 m.safetensors --plot -",
            "decode three_channels.h5 out.h5 --scores -",
            "tune three_channels.h5 labels.h5 -o -",
            "evaluate labels.h5 labels.h5 --matches -",
            "evaluate labels.h5 labels.h5 --save-overlap -",
            "evaluate labels.h5 labels.h5 --report -",
            "stats labels.h5 --plot -",
            "stats labels.h5 --report -",
            "stats labels.h5 --mesh -",
            "view raw.h5 labels.h5 -o -",
        )
    },
    "pipe for a table": ("stats labels.h5 -o -", "leave it out, and the table goes to standard output"),
    "pipe for a plan": ("tile raw.h5 -", "neither a plan nor tiles go through a pipe"),
}


@pytest.mark.parametrize(("line", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line_and_status_1(folder, capsys, line, message):
    assert_refused(folder, capsys, line, message, FAILED)


@pytest.mark.parametrize(("line", "message"), BAD_USAGE.values(), ids=BAD_USAGE)
def test_wrong_usage_is_one_line_and_status_2(folder, capsys, line, message):
    assert_refused(folder, capsys, line, message, WRONG_USAGE)


def test_every_usage_error_ends_with_a_stop_before_where_to_look(folder, capsys):
    seen = set()
    for line, _ in BAD_USAGE.values():
        run(line.split())
        message, _, where = capsys.readouterr().err.partition(" See 'mitotools")
        seen.add(message[-1] if where else "none")
    assert seen <= {".", "?", "none"}


def test_suffixes_that_are_only_read_are_not_offered_for_writing(folder, capsys):
    run(["convert", "raw.h5", "out.jpg"])
    written = capsys.readouterr().err.split("Written are ")[1].split(", and folders")[0].split()
    assert {".h5", ".zarr", ".tif", ".nii.gz"} <= set(written)
    assert not {".mrc", ".n5", ".json"} & set(written)


@pytest.mark.parametrize(
    "line",
    [
        "convert raw.h5 labels.h5",
        "convert raw.h5 slices",
        "tile raw.h5 other.json",
        "train raw.h5 labels.h5 words.safetensors",
        "predict raw.h5 labels.h5 -m words.safetensors",
        "merge slices labels.h5",
        "decode three_channels.h5 labels.h5",
        "filter labels.h5 raw.h5",
        "view raw.h5 -o picture.png",
    ],
)
def test_an_output_that_exists_is_kept(folder, capsys, line):
    assert_refused(folder, capsys, line, "exists already. Use --force to replace it.", FAILED)


def assert_refused(folder, capsys, line, message, status):
    before = {file: file.is_dir() or file.read_bytes() for file in folder.rglob("*")}
    assert run(line.split()) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("mitotools")
    assert message in printed.err
    assert {file: file.is_dir() or file.read_bytes() for file in folder.rglob("*")} == before


@pytest.mark.parametrize(
    "words",
    [
        "evaluate image.h5 labels.h5",
        "evaluate labels.h5 image.h5",
        "stats image.h5",
        "view labels.h5 image.h5 -o v.png",
        "view image.h5 labels.h5 --truth image.h5 -o v.html",
    ],
)
def test_an_image_in_the_place_of_labels_is_warned_of_once(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((4, 20, 20), "uint16")
    labels[:, 5:15, 5:15], labels[:, :4] = 1, 2
    noise = np.random.default_rng(0).integers(0, 256, labels.shape).astype("uint8")
    for name, array in (("labels", labels), ("image", noise)):
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = array
    assert run(words.split()) == 0
    assert capsys.readouterr().err.count("image.h5 looks like an image, not like labels") == 1
