"""Results lie where their source lies in the world of a NIfTI file, whatever command made them."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import zarr

from mitotools.parameters import (
    ConvertParameters,
    DecodeParameters,
    FilterParameters,
    MergeParameters,
    PredictParameters,
    TileParameters,
)
from mitotools.run.running import Running
from mitotools.stages.convert import convert_volume
from mitotools.stages.decode import decode_volume
from mitotools.stages.filter import filter_volume
from mitotools.stages.merge import merge_tiles
from mitotools.stages.tile import tile_volume
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

# Axes x, y, z in micrometres: x points left, y and z are exchanged, and the origin lies somewhere.
AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0, 0.4, 20], [0, 0.25, 0, 30], [0, 0, 0, 1.0]])
LABELS = np.arange(4 * 6 * 8, dtype="uint8").reshape(4, 6, 8) // 16
QUIET = Running(2, force=True)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with labels.nii, as the working directory."""
    monkeypatch.chdir(tmp_path)
    save("labels.nii", LABELS)
    return tmp_path


def save(name, array):
    image = nibabel.Nifti1Image(np.ascontiguousarray(array.T), AFFINE)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, name)


def named(name):
    return parse_volume_path(name)


def convert(source, target, **parameters):
    convert_volume(named(source), named(target), ConvertParameters(**parameters), QUIET)


def corner(name):
    """Return where the first voxel of a volume lies, x, y, z, and that its axes are those of the source."""
    convert(name, "back.nii")
    affine = nibabel.load("back.nii").affine
    assert np.allclose(affine[:, :3], AFFINE[:, :3])
    return affine[:3, 3].tolist()


def test_filtered_labels_lie_where_they_lay(work):
    filter_volume(named("labels.nii[1:,2:,3:]"), named("out.zarr"), FilterParameters(2, split=True), QUIET)
    # Voxel x 3, y 2, z 1: 10 - 3 * .5, 20 + .4, 30 + 2 * .25
    assert corner("out.zarr") == pytest.approx([8.5, 20.4, 30.5])


@pytest.mark.parametrize("method", ["mw", "cc"])
def test_instances_lie_where_their_maps_lie(work, method):
    save("maps.nii", np.stack([LABELS, LABELS]))
    parameters = DecodeParameters(method, min_size_voxels=1, min_seed_voxels=1)
    decode_volume(named("maps.nii[:,1:,2:,3:]"), named("out.h5"), parameters, QUIET)
    assert corner("out.h5") == pytest.approx([8.5, 20.4, 30.5])


def test_padding_moves_the_corner_and_nothing_else(work):
    convert("labels.nii[1:,2:,3:]", "out.h5", pad_voxels=(1, 2, 3))
    assert corner("out.h5") == pytest.approx([10, 20, 30])


def test_another_grid_has_no_place(work):
    convert("labels.nii", "out.zarr", scale=(1, 0.5, 1), pad_voxels=(1, 1, 1))
    with open_volume(named("out.zarr")) as volume:
        assert volume.spec.attributes == {}


def transformations(name, level=0):
    """Return what a zarr says of a resolution, scale and translation in nanometres."""
    image = zarr.open_group(name, mode="r").attrs["ome"]["multiscales"][0]
    entries = image["datasets"][level]["coordinateTransformations"]
    return {entry["type"]: entry[entry["type"]] for entry in entries}


def test_the_translation_of_a_zarr_goes_with_its_voxels(work):
    # In micrometres, and first that of the array, then that of all resolutions.
    group = zarr.create_group("raw.zarr", zarr_format=3)
    group.create_array("0", data=LABELS)
    own, of_all = ([{"type": "translation", "translation": place}] for place in ([1, 2, 3], [10, 20, 30.0]))
    scale = [{"type": "scale", "scale": [0.03, 0.008, 0.008]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    dataset = {"path": "0", "coordinateTransformations": [*scale, *own]}
    image = {"axes": axes, "datasets": [dataset], "coordinateTransformations": of_all}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}

    convert("raw.zarr[1:,2:,3:]", "crop.h5")
    convert("crop.h5", "out.zarr", levels=2, pad_voxels=(0, 1, 0))
    # It begins at 11, 22 and 33 um: a voxel later along z, one along y after the padding, three along x.
    assert transformations("out.zarr")["translation"] == pytest.approx([11030, 22008, 33024])
    # y and x are halved: the first voxel lies amid the two that it is made of.
    assert transformations("out.zarr", 1)["translation"] == pytest.approx([11030, 22012, 33028])
    filter_volume(named("out.zarr"), named("kept.zarr"), FilterParameters(), QUIET)
    assert transformations("kept.zarr") == transformations("out.zarr")
    convert("out.zarr:1", "level.zarr")
    assert transformations("level.zarr") == transformations("out.zarr", 1)


def test_a_zarr_that_states_no_translation_is_given_none(work):
    convert("labels.nii", "out.zarr")
    convert("out.zarr[1:,2:,3:]", "crop.zarr")
    assert "translation" not in transformations("crop.zarr")


def test_a_tile_lies_in_its_place_and_merged_tiles_where_the_volume_lies(work):
    tile_volume(named("labels.nii"), work / "tiles", TileParameters((4, 3, 4), (0, 1, 1)), QUIET)
    merge_tiles(["tiles"], named("out.zarr"), MergeParameters(), QUIET)
    assert corner("out.zarr") == pytest.approx([10, 20, 30])
    # With its halo the last tile starts at voxel x 3, y 2, z 0.
    assert corner("tiles/labels_0-4-2-6-3-8.h5") == pytest.approx([8.5, 20, 30.5])


def test_the_last_tile_alone_knows_where_the_volume_lies(work):
    tile_volume(named("labels.nii"), work / "tiles", TileParameters((4, 3, 4)), QUIET)
    merge_tiles(["tiles/labels_0-4-3-6-4-8.h5"], named("out.zarr"), MergeParameters(fill=0), QUIET)
    assert corner("out.zarr") == pytest.approx([10, 20, 30])


def test_maps_lie_where_the_image_lies_whole_or_as_tiles(work):
    from networks import write_model

    from mitotools.stages.predict import predict_plan, predict_volume

    save("raw.nii", np.zeros((8, 16, 16), "uint8"))
    write_model(work / "model.safetensors", voxel_size_nm=None)
    exact = PredictParameters(precision="float32", backend="torch")
    raw, model = named("raw.nii[:,2:,3:]"), work / "model.safetensors"
    predict_volume(raw, named("maps.zarr"), model, exact, QUIET)
    assert corner("maps.zarr") == pytest.approx([8.5, 20, 30.5])
    tile_volume(raw, work / "plan.json", TileParameters((8, 8, 8)), QUIET)
    predict_plan(work / "plan.json", work / "tiles", model, exact, QUIET)
    merge_tiles(["tiles"], named("merged.h5"), MergeParameters(), QUIET)
    assert corner("merged.h5") == pytest.approx([8.5, 20, 30.5])
