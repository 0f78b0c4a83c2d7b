"""Label images inside an image."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader as OmeReader
from ome_zarr_models.v04 import ImageLabel as Label04
from ome_zarr_models.v04 import Labels as Labels04
from ome_zarr_models.v05 import ImageLabel as Label05
from ome_zarr_models.v05 import Labels as Labels05
from volume_files import read, refusal, values

from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.formats.ome_zarr import create_writer, planned
from mitotools.volume.formats.zarr_labels import (
    check_label_target,
    label_place,
    register_label,
)

VOLUME = values((4, 5, 6), "uint16")
MODELS = {2: (Labels04, Label04), 3: (Labels05, Label05)}


def save(path, target, array, zarr_format, *, is_labels=False):
    spec = VolumeSpec(
        array.shape, array.dtype, (30.0, 8.0, 8.0), zarr_format=zarr_format, is_labels=is_labels
    )
    spec = planned(spec, target)
    create_writer(path, spec, target).write(Box.whole(spec.size), array)


@pytest.fixture(params=[2, 3])
def cell(request, tmp_path):
    """Return an image, and its version of zarr."""
    save(tmp_path / "cell.zarr", tmp_path / "cell.zarr", VOLUME, request.param)
    return tmp_path / "cell.zarr", request.param


def add(cell, name):
    container, zarr_format = cell
    unfinished, final = container / "labels" / f"{name}.unfinished", container / "labels" / name
    check_label_target(container, zarr_format)
    save(unfinished, final, VOLUME + 1, zarr_format, is_labels=True)
    unfinished.rename(final)
    register_label(container, name)


def listed(cell):
    attributes = zarr.open_group(cell[0] / "labels", mode="r").attrs.asdict()
    return attributes.get("ome", attributes)["labels"]


def test_a_label_image_is_found_by_name_and_by_other_libraries(cell):
    container, zarr_format = cell
    add(cell, "mito")
    assert np.array_equal(read(f"{container}/labels/mito")[0], VOLUME + 1)
    assert np.array_equal(read(container)[0], VOLUME)
    labels, label = MODELS[zarr_format]
    labels.from_zarr(zarr.open_group(container / "labels", mode="r"))
    found = label.from_zarr(zarr.open_group(container / "labels" / "mito", mode="r"))
    attributes = found.attributes if zarr_format == 2 else found.ome_attributes
    assert attributes.image_label.source.image == "../../"
    nodes = list(OmeReader(parse_url(container, mode="r"))())
    assert any(np.array_equal(np.asarray(node.data[0]), VOLUME + 1) for node in nodes if node.data)


def test_labels_are_listed_once_and_taken_off_again(cell):
    for name in ("mito", "nuclei", "mito"):
        register_label(cell[0], name)
    assert listed(cell) == ["mito", "nuclei"]
    assert not list((cell[0] / "labels").glob("*partial*"))


def test_names_that_two_runs_add_at_once_are_all_listed(cell):
    script = (
        "import sys; from pathlib import Path\n"
        "from mitotools.volume.formats.zarr_labels import register_label\n"
        "for number in range(40): register_label(Path(sys.argv[1]), sys.argv[2] + str(number))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script, cell[0], name]) for name in "ab"]
    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(listed(cell)) == sorted(f"{name}{number}" for name in "ab" for number in range(40))


def test_a_list_that_is_up_to_date_is_not_written_again(cell):
    register_label(cell[0], "mito")
    file = cell[0] / "labels" / ("zarr.json" if cell[1] == 3 else ".zattrs")
    before = file.stat().st_mtime_ns
    register_label(cell[0], "mito")
    assert file.stat().st_mtime_ns == before


def test_what_others_keep_beside_the_list_stays(cell):
    group = zarr.create_group(cell[0] / "labels", zarr_format=cell[1])
    own = {"labels": ["nuclei"], "more": 1}
    group.attrs.update({"note": "x", **(own if cell[1] == 2 else {"ome": {"version": "0.5", **own}})})
    register_label(cell[0], "mito")
    attributes = zarr.open_group(cell[0] / "labels", mode="r").attrs.asdict()
    assert attributes["note"] == "x"
    assert attributes.get("ome", attributes)["more"] == 1
    assert listed(cell) == ["nuclei", "mito"]


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_consolidated_metadata_know_the_new_labels(cell):
    zarr.consolidate_metadata(cell[0])
    add(cell, "mito")
    group = zarr.open_consolidated(cell[0])
    assert np.array_equal(group["labels/mito/0"], VOLUME + 1)


def test_labels_of_another_version_of_zarr_are_refused(cell):
    container, zarr_format = cell
    error = refusal(check_label_target, container, 5 - zarr_format)
    assert isinstance(error, TargetError)
    assert str(error).endswith(
        f"is zarr v{zarr_format}, and labels inside it cannot be zarr v{5 - zarr_format}. "
        f"Use --zarr-format {zarr_format}."
    )


def test_a_place_that_holds_no_group_is_refused(tmp_path):
    zarr.create_array(tmp_path / "array.zarr", data=VOLUME)
    zarr.create_array(tmp_path / "array2.zarr", data=VOLUME, zarr_format=2)
    (tmp_path / "empty.zarr").mkdir()
    for name in ("array.zarr", "array2.zarr", "empty.zarr", "nothing.zarr"):
        for function, argument in ((check_label_target, 3), (register_label, "mito")):
            error = refusal(function, tmp_path / name, argument)
            assert isinstance(error, TargetError)
            assert "is no zarr group" in str(error)


def test_an_array_called_labels_is_refused(cell):
    zarr.create_array(cell[0] / "labels", data=VOLUME, zarr_format=cell[1])
    assert "can hold no labels" in str(refusal(check_label_target, *cell))


@pytest.mark.parametrize(
    "content", ["{", "[]", "\xff", '{"attributes": {"ome": {"labels": 5}}, "labels": 5}']
)
def test_a_broken_list_is_reported_and_left_as_it_is(cell, content):
    file = cell[0] / "labels" / ("zarr.json" if cell[1] == 3 else ".zattrs")
    file.parent.mkdir()
    file.write_bytes(content.encode("latin-1"))
    assert isinstance(refusal(register_label, cell[0], "mito"), InputError | TargetError)
    assert file.read_bytes() == content.encode("latin-1")


def test_a_list_that_cannot_be_written_leaves_the_old_one(cell, monkeypatch):
    register_label(cell[0], "nuclei")
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "{half")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError, match="killed"):
        register_label(cell[0], "mito")
    monkeypatch.undo()
    assert listed(cell) == ["nuclei"]
    assert not list((cell[0] / "labels").glob("*partial*"))


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("cell.zarr/labels/mito", ("cell.zarr", "mito")),
        ("a/cell.zarr/0/labels/mito/", ("a/cell.zarr/0", "mito")),
        ("s3://b/cell.zarr/labels/mito", ("s3://b/cell.zarr", "mito")),
        ("cell.zarr", None),
        ("cell.zarr/labels", None),
        ("cell.zarr/labels/.zgroup", None),
        ("cell.zarr/mito", None),
        ("labels/mito", None),
    ],
)
def test_the_target_names_the_image_and_the_labels(target, place):
    assert label_place(target) == place
