"""The resolutions of an OME-Zarr image: their sizes, and the metadata that place them."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from ome_zarr_models.v04 import Image as Image04
from ome_zarr_models.v05 import Image as Image05
from volume_files import refusal, values

from mitotools.errors import TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.formats.ome_zarr import create_writer, open_reader, planned, reopen_writer
from mitotools.volume.formats.pyramid import factors, pyramid


def spec_of(size, voxel_size=None, levels=9, **more):
    return VolumeSpec(size, np.dtype("uint8"), voxel_size, levels=levels, **more)


def sizes(spec):
    return [level.size for level in pyramid(planned(spec, "v.zarr"))]


def test_voxels_become_isotropic():
    levels = pyramid(spec_of((100, 1024, 1000), (30.0, 8.0, 8.0), levels=4))
    assert [level.voxel_size_nm for level in levels] == [
        (30, 8, 8),
        (30, 16, 16),
        (30, 32, 32),
        (60, 64, 64),
    ]
    assert [level.size for level in levels] == [
        (100, 1024, 1000),
        (100, 512, 500),
        (100, 256, 250),
        (50, 128, 125),
    ]
    assert factors(levels) == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]


def test_an_axis_is_halved_where_that_brings_it_nearer_to_the_others():
    assert [level.voxel_size_nm for level in pyramid(spec_of((64, 64, 64), (11.0, 8.0, 8.0), levels=2))][
        1
    ] == (22, 16, 16)
    assert [level.voxel_size_nm for level in pyramid(spec_of((64, 64, 64), (12.0, 8.0, 8.0), levels=2))][
        1
    ] == (12, 16, 16)


def test_odd_sizes_are_rounded_up():
    assert sizes(spec_of((5, 7, 9), levels=3)) == [(5, 7, 9), (3, 4, 5), (2, 2, 3)]


def test_there_are_no_more_levels_when_one_voxel_is_left():
    assert sizes(spec_of((1, 2, 5))) == [(1, 2, 5), (1, 1, 3), (1, 1, 2), (1, 1, 1)]
    assert planned(spec_of((1, 2, 5)), "v.zarr").levels == 4
    assert planned(spec_of((1, 1, 1)), "v.zarr").levels == 1


def test_an_axis_of_one_voxel_holds_no_other_back():
    levels = pyramid(spec_of((1, 64, 64), (8.0, 8.0, 8.0), levels=4))
    assert [level.voxel_size_nm for level in levels][-1] == (8, 64, 64)


def test_every_level_has_channels_and_chunks_that_fit_it():
    spec = planned(spec_of((3, 20, 100, 200), None, 4, chunks=(16, 32, 32), shards=(16, 64, 128)), "v.zarr")
    assert [(level.shape, level.chunks, level.shards) for level in pyramid(spec)] == [
        ((3, 20, 100, 200), (16, 32, 32), (16, 64, 128)),
        ((3, 10, 50, 100), (10, 32, 32), (10, 64, 128)),
        ((3, 5, 25, 50), (5, 25, 32), (5, 25, 64)),
        ((3, 3, 13, 25), (3, 13, 25), (3, 13, 25)),
    ]


@pytest.mark.parametrize(
    ("size", "chunks", "shards", "expected"),
    [
        ((100, 100, 100), (32, 32, 32), (64, 128, 256), ((32, 32, 32), (64, 128, 128))),
        ((40, 20, 65), (32, 32, 32), (128, 128, 128), ((32, 20, 32), (64, 20, 96))),
        ((20, 20, 20), (32, 32, 32), None, ((20, 20, 20), None)),
    ],
)
def test_chunks_and_shards_are_no_larger_than_the_volume_needs(size, chunks, shards, expected):
    spec = planned(spec_of(size, levels=1, chunks=chunks, shards=shards), "v.zarr")
    assert (spec.chunks, spec.shards) == expected


def test_shards_that_are_no_multiple_of_chunks_and_shards_of_zarr_v2_are_refused():
    for more, why in (
        ({"shards": (32, 48, 32), "chunks": (32, 32, 32)}, "32,48,32 voxels are no multiple of chunks of 32"),
        ({"shards": (32, 32, 32), "chunks": (32, 32, 32), "zarr_format": 2}, "zarr v2 has no shards"),
        ({"zarr_format": 4}, "there is no zarr v4"),
        ({"compression": "lzw"}, "no compression 'lzw'"),
    ):
        error = refusal(planned, spec_of((9, 9, 9), **more), "v.zarr")
        assert isinstance(error, TargetError)
        assert why in str(error)


@pytest.mark.parametrize("shape", [(20, 30, 40), (2, 20, 30, 40)])
@pytest.mark.parametrize(("zarr_format", "model"), [(2, Image04), (3, Image05)])
def test_levels_lie_where_their_transformations_say(tmp_path, zarr_format, model, shape):
    spec = spec_of(shape, (30.0, 8.0, 8.0), 4, chunks=(8, 8, 8), zarr_format=zarr_format)
    create_writer(tmp_path / "v.zarr", planned(spec, tmp_path), tmp_path)
    image = model.from_zarr(zarr.open_group(tmp_path / "v.zarr", mode="r"))
    attributes = image.attributes if zarr_format == 2 else image.ome_attributes
    datasets = attributes.multiscales[0].datasets
    channel = len(shape) - 3
    found = [
        [transformation.model_dump().get(transformation.type)[channel:] for transformation in transformations]
        for transformations in (dataset.coordinateTransformations for dataset in datasets)
    ]
    # The centre of the first voxel of level 3 lies between 2 slices, and amid 8 x 8 voxels of 8 nm.
    assert found == [
        [[30, 8, 8]],
        [[30, 16, 16], [0, 4, 4]],
        [[30, 32, 32], [0, 12, 12]],
        [[60, 64, 64], [15, 28, 28]],
    ]
    assert [dataset.path for dataset in datasets] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_each_level_is_read_from_the_unfinished_image_and_the_next_one_written(tmp_path, zarr_format):
    array = values((6, 16, 16), "uint16")
    spec = VolumeSpec(
        array.shape, array.dtype, (30.0, 8.0, 8.0), chunks=(3, 8, 8), levels=3, zarr_format=zarr_format
    )
    spec = planned(spec, tmp_path / "v.zarr")
    path = tmp_path / "v.zarr.unfinished"
    create_writer(path, spec, tmp_path / "v.zarr").write(Box.whole(spec.size), array)
    writer = reopen_writer(path, spec, tmp_path / "v.zarr")
    assert writer.level(0) is writer
    for k in (1, 2):
        finer, coarser = open_reader(path, str(k - 1)), writer.level(k)
        assert finer.spec.voxel_size_nm == (30, 8 * 2 ** (k - 1), 8 * 2 ** (k - 1))
        assert coarser.spec == pyramid(spec)[k]
        voxels = finer.read(Box.whole(finer.spec.size))[:, ::2, ::2]
        for box in grid(coarser.spec.size, coarser.spec.unit):
            coarser.write(box, voxels[box.slices])
    assert np.array_equal(zarr.open_array(path / "2", mode="r"), array[:, ::4, ::4])
    assert open_reader(path, None).spec.levels == 3
