"""Tiles of other programs, which state their extent in their name alone."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tile_files import merge, read, save

from mitotools.errors import InputError, UsageError
from mitotools.parameters import MergeParameters

GOLDEN = Path(__file__).parent.parent / "volume" / "golden" / "merge"


@pytest.mark.parametrize("target", ["out.h5", "out.zarr"])
@pytest.mark.parametrize("tiles", ["chunks_xy", "chunks_xy/rat_*_xy.h5"])
def test_chunks_of_pytorch_connectomics_become_what_its_own_merge_makes_of_them(tmp_path, tiles, target):
    with h5py.File(GOLDEN / "expected.h5") as file:
        (expected,) = (file[name][...] for name in file)
    merge(GOLDEN / tiles, tmp_path / target)
    found, spec = read(tmp_path / target)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert spec.voxel_size_nm is None


def row(folder, name, value, extent, dtype="uint8", channels=None):
    """A tile of one voxel in z and y, of one value."""
    shape = (1, 1, extent[1] - extent[0])
    shape = shape if channels is None else (channels, *shape)
    save(folder / f"{name}_0-1-0-1-{extent[0]}-{extent[1]}.h5", np.full(shape, value, dtype))


# Of a tile of four voxels the middles lie at u = -3/4, -1/4, 1/4, 3/4. A bump weighs exp(1 - 1 / (1 - u^2)):
# 0.2765, 0.9355, 0.9355, 0.2765; a gaussian exp(-8 u^2): 0.0111, 0.6065, 0.6065, 0.0111; 0.0001 is added to
# each. Where the first tile has its third voxel and the second its first, 0.2766 / (0.2766 + 0.9356) = 0.228
# of the mean is the second.
@pytest.mark.parametrize(
    ("blend", "expected"),
    [
        ("bump", [100, 100, 123, 177, 200, 200]),
        ("gaussian", [100, 100, 102, 198, 200, 200]),
        ("none", [100, 100, 100, 200, 200, 200]),
    ],
)
def test_where_two_tiles_overlap_the_nearer_middle_weighs_more(tmp_path, blend, expected):
    row(tmp_path, "a", 100, (0, 4))
    row(tmp_path, "a", 200, (2, 6))
    merge(tmp_path, tmp_path / "out.zarr", MergeParameters(blend))
    assert read(tmp_path / "out.zarr")[0].ravel().tolist() == expected


def test_floating_point_is_not_rounded(tmp_path):
    row(tmp_path, "a", 0, (0, 4), "float64", channels=2)
    row(tmp_path, "a", 1, (2, 6), "float64", channels=2)
    merge(tmp_path, tmp_path / "out.zarr")
    found = read(tmp_path / "out.zarr")[0]
    assert found.shape == (2, 1, 1, 6)
    share = (np.exp(1 - 1 / (1 - 9 / 16)) + 1e-4) / (
        np.exp(1 - 1 / (1 - 9 / 16)) + np.exp(1 - 1 / (1 - 1 / 16)) + 2e-4
    )
    assert np.allclose(found, [0, 0, share, 1 - share, 1, 1], atol=1e-15)


def test_ids_are_never_averaged(tmp_path):
    row(tmp_path, "a", 100, (0, 4), "uint32")
    row(tmp_path, "a", 200, (2, 6), "uint32")
    with pytest.raises(InputError, match=r"uint32 ids cannot be blended\. Give --blend none"):
        merge(tmp_path, tmp_path / "out.zarr")
    merge(tmp_path, tmp_path / "out.zarr", MergeParameters("none"))
    assert read(tmp_path / "out.zarr")[0].ravel().tolist() == [100, 100, 100, 200, 200, 200]


def test_two_tiles_as_near_as_each_other_leave_the_voxel_to_the_first_of_them(tmp_path):
    row(tmp_path, "a", 1, (0, 3), "uint32")
    row(tmp_path, "a", 2, (2, 5), "uint32")
    files = [tmp_path / "a_0-1-0-1-2-5.h5", tmp_path / "a_0-1-0-1-0-3.h5"]
    merge(files, tmp_path / "out.zarr", MergeParameters("none"))
    assert read(tmp_path / "out.zarr")[0].ravel().tolist() == [1, 1, 1, 2, 2]


def test_holes_are_listed_by_their_extent_and_counted(tmp_path):
    for start in range(0, 28, 4):
        row(tmp_path, "a", 1, (start, start + 2))
    with pytest.raises(InputError) as caught:
        merge(tmp_path, tmp_path / "out.zarr")
    listed = ", ".join(f"[0:1,0:1,{start}:{start + 2}]" for start in (2, 6, 10, 14, 18))
    told = f"leave holes: {listed} and 1 more. Predict the other parts first, or give --fill VALUE"
    assert told in str(caught.value)
    merge(tmp_path, tmp_path / "out.zarr", MergeParameters(fill=9))
    assert read(tmp_path / "out.zarr")[0].ravel().tolist() == [1, 1, 9, 9] * 6 + [1, 1]


@pytest.mark.parametrize(
    ("dtype", "fill"), [("uint8", 256), ("uint8", -1), ("uint8", 0.5), ("uint16", float("nan"))]
)
def test_a_fill_that_is_no_value_of_the_type_is_wrong_usage(tmp_path, dtype, fill):
    row(tmp_path, "a", 1, (0, 2), dtype)
    row(tmp_path, "a", 1, (4, 6), dtype)
    with pytest.raises(UsageError, match=f"--fill: .* is no value of {dtype}"):
        merge(tmp_path, tmp_path / "out.zarr", MergeParameters(fill=fill))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    blend=st.sampled_from(["bump", "gaussian", "none"]),
    dtype=st.sampled_from(["uint8", "float64"]),
)
def test_blocks_threads_and_the_order_of_tiles_make_no_difference(tmp_path, monkeypatch, data, blend, dtype):
    sides = [st.tuples(st.integers(0, 3), st.integers(1, 4))] * 3
    tiles = data.draw(st.lists(st.tuples(*sides), min_size=1, max_size=4, unique=True))
    for file in tmp_path.glob("*"):
        if file.is_file():
            file.unlink()
    rng = np.random.default_rng(0)
    files = []
    for tile in tiles:
        extent = "-".join(f"{start}-{start + length}" for start, length in tile)
        values = (rng.random([length for _, length in tile]) * 255).astype(dtype)
        files.append(save(tmp_path / f"a_{extent}.h5", values))
    results = []
    for order, block_bytes, threads, chunks in ((files, 10**6, 1, None), (files[::-1], 20, 3, (1, 2, 2))):
        monkeypatch.setattr("mitotools.run.budget.PREFERRED_BYTES", block_bytes)
        parameters = MergeParameters(blend, fill=3, chunks=chunks)
        merge(order, tmp_path / "out.zarr", parameters, threads=threads, force=True)
        results.append(read(tmp_path / "out.zarr")[0])
    assert np.array_equal(*results)


def test_brackets_in_the_name_of_a_folder_are_no_pattern(tmp_path):
    (tmp_path / "run[1]").mkdir()
    row(tmp_path / "run[1]", "a", 5, (0, 4))
    merge(tmp_path / "run[1]" / "*.h5", tmp_path / "out.zarr")
    assert read(tmp_path / "out.zarr")[0].ravel().tolist() == [5] * 4


def test_a_tile_far_away_makes_a_hole_and_not_an_array_of_that_size(tmp_path):
    row(tmp_path, "a", 1, (0, 2))
    row(tmp_path, "a", 1, (10**15, 10**15 + 2))
    with pytest.raises(InputError, match=r"leave holes: \[0:1,0:1,2:1000000000000000\]"):
        merge(tmp_path, tmp_path / "out.zarr")


def test_tiles_of_two_volumes_are_not_averaged_and_a_pattern_chooses_one(tmp_path):
    row(tmp_path, "rat", 100, (0, 4))
    row(tmp_path, "human", 200, (0, 4))
    files = [tmp_path / "rat_0-1-0-1-0-4.h5", tmp_path / "human_0-1-0-1-0-4.h5"]
    with pytest.raises(InputError) as caught:
        merge(files, tmp_path / "out.zarr")
    assert str(caught.value) == (
        f"{files[1]}: has name 'human', but {files[0]} has 'rat'. "
        f"Quote a pattern for the tiles of one: '{tmp_path}/human_*.h5'."
    )
    merge(tmp_path / "rat_*.h5", tmp_path / "out.zarr")
    assert read(tmp_path / "out.zarr")[0].ravel().tolist() == [100] * 4


def test_tiles_of_two_augmentations_are_not_averaged_and_a_pattern_chooses_one(tmp_path):
    row(tmp_path, "rat", 100, (0, 4))
    save(tmp_path / "rat_0-1-0-1-0-4_xy.h5", np.full((1, 1, 4), 200, "uint8"))
    with pytest.raises(InputError, match=r"has tag '.*', but .*: '.*/rat_\*_xy\.h5'"):
        merge(tmp_path, tmp_path / "out.zarr")
    merge(tmp_path / "rat_*_xy.h5", tmp_path / "out.zarr")
    assert read(tmp_path / "out.zarr")[0].ravel().tolist() == [200] * 4
