"""Results lie where their source lies in the world of a NIfTI file, whatever command made them."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

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
