"""Volumes of different sizes are refused, with the crop of the longer one that would fit."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mitotools.errors import InputError
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path
from mitotools.volume.same_size import require_same_size


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, size in {"image": (10, 3, 4), "labels": (5, 3, 4), "wide": (5, 3, 5)}.items():
        with h5py.File(f"{name}.h5", "w") as file:
            file["main"] = np.zeros(size, "uint8")


def refusal(first, second):
    names = [parse_volume_path(name) for name in (first, second)]
    with open_volume(names[0]) as one, open_volume(names[1]) as other, pytest.raises(InputError) as caught:
        require_same_size(one, other)
    return str(caught.value)


@pytest.mark.parametrize("names", [("image.h5", "labels.h5"), ("labels.h5", "image.h5")])
def test_of_two_volumes_that_differ_in_z_alone_the_longer_is_to_be_cropped(names):
    assert refusal(*names).endswith("They differ in z alone: crop image.h5[0:5,:,:] would fit.")


def test_the_crop_that_would_fit_begins_where_the_volume_is_cropped_already():
    advice = "crop image.h5[3:8,1:3,:] would fit."
    assert refusal("image.h5[3:10,1:3,:]", "labels.h5[:,1:3,:]").endswith(advice)


def test_volumes_that_differ_in_the_plane_are_refused_without_advice():
    expected = "image.h5 and wide.h5: have different shapes, (10, 3, 4) and (5, 3, 5)."
    assert refusal("image.h5", "wide.h5") == expected


def test_volumes_of_one_size_are_welcome():
    with open_volume(parse_volume_path("image.h5[0:5,:,:]")) as one:
        require_same_size(one, one)
