import numpy as np
import pytest
from learn.arrays import ArrayReader, volume

from mitotools.errors import InputError
from mitotools.learn.metadata import Normalisation
from mitotools.learn.normalise import normalisation_of, read_finite, to_network, to_unit
from mitotools.volume.base import Volume
from mitotools.volume.blocks import Box

# Of 0, 1, ..., 1000, .5 % are below 5 and .5 % above 995.
RAMP = np.broadcast_to(np.arange(1001), (16, 1, 1001))


def test_bytes_are_scaled_by_their_range_whatever_they_hold(caplog):
    grey = np.zeros((16, 256, 128), np.uint8)
    grey[3, 7, 5] = 9
    reader = ArrayReader(grey, None, (4, 4, 4))
    assert normalisation_of(Volume(reader, "cell.h5")) == Normalisation(0, 255)
    assert [box.start for box in reader.boxes] == [(0, 0, 0)]  # which is not constant, and tells enough
    assert caplog.messages == []


def test_bytes_that_are_all_the_same_are_warned_of(caplog):
    assert normalisation_of(volume(np.full((16, 256, 128), 7, np.uint8))) == Normalisation(0, 255)
    assert caplog.messages == ["cell.h5 has the same value everywhere it was looked at"]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", ">u2"])
def test_other_types_are_scaled_by_percentiles(dtype):
    assert normalisation_of(volume(RAMP.astype(dtype))) == Normalisation(5, 995)


def test_constant_padding_is_left_out():
    padded = np.concatenate([RAMP, np.zeros_like(RAMP), np.full_like(RAMP, 65535)]).astype(np.uint16)
    assert normalisation_of(volume(padded)) == Normalisation(5, 995)


@pytest.mark.parametrize("padding", [0, 65535])
def test_a_rim_of_padding_is_left_out_of_blocks_that_hold_tissue_too(padding):
    tissue = np.random.default_rng(0).integers(30000, 33000, (8, 90, 110), dtype=np.uint16)
    rim = np.pad(tissue, ((0, 0), (9, 9), (9, 9)), constant_values=padding)
    assert normalisation_of(volume(rim)) == normalisation_of(volume(tissue))


def test_a_darkest_value_that_is_scattered_is_no_padding():
    grey = np.random.default_rng(0).integers(0, 10, (8, 90, 110)).astype(np.uint16)
    assert normalisation_of(volume(grey)) == Normalisation(0, 9)


def test_a_volume_of_two_values_keeps_both():
    halves = np.repeat(np.array([20, 500], np.int16), 30)[np.newaxis, np.newaxis].repeat(40, 1)
    assert normalisation_of(volume(halves)) == Normalisation(20, 500)


def test_the_chunks_of_the_file_change_nothing():
    grey = np.random.default_rng(0).normal(900, 50, (40, 150, 300)).astype(np.float32)
    found = {normalisation_of(volume(grey, chunks=c)) for c in [(1, 150, 300), (40, 7, 9), (64, 512, 512)]}
    assert len(found) == 1


def test_a_large_volume_is_sampled_in_a_few_small_blocks():
    class Endless(ArrayReader):
        def read(self, box):
            self.boxes.append(box)
            return np.random.default_rng(0).normal(size=box.shape).astype(np.float32)

    reader = Endless(np.broadcast_to(np.float32(0), (400, 4096, 4096)), None, (512, 4096, 4096))
    normalisation_of(Volume(reader, "cell.zarr"))
    assert len(reader.boxes) == 32
    assert sum(np.prod(box.shape) for box in reader.boxes) <= 32 * 16 * 128 * 128
    assert reader.boxes[0].start == (0, 0, 0)
    assert reader.boxes[-1].stop == (400, 4096, 4096)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_with_nan_or_infinity_is_refused_by_its_place(value):
    grey = RAMP.astype(np.float32)
    grey[3, 0, 700] = value
    with pytest.raises(
        InputError, match=r"^cell.h5: holds NaN or infinite values in \[0:16,0:1,640:768\]\.$"
    ):
        normalisation_of(volume(grey))


def test_a_read_block_with_nan_is_refused():
    grey = np.zeros((2, 2, 2), np.float16)
    grey[1, 1, 1] = np.nan
    read_finite(volume(grey), Box((0, 0, 0), (1, 2, 2)))
    with pytest.raises(InputError, match="holds NaN"):
        read_finite(volume(grey), Box.whole((2, 2, 2)))


def test_a_constant_volume_is_refused():
    with pytest.raises(InputError, match="has the same value everywhere"):
        normalisation_of(volume(np.full((8, 8, 8), 300, np.uint16)))


def test_a_nearly_constant_volume_keeps_its_range():
    grey = np.zeros((8, 8, 8), np.uint16)
    grey[0, 0, 0] = 40
    assert normalisation_of(volume(grey)) == Normalisation(0, 40)


def test_values_become_0_to_1_and_are_clipped():
    grey = np.array([[[50, 100, 150, 200, 250]]], np.uint16)
    assert to_unit(grey, Normalisation(100, 200)).tolist() == [[[0, 0, 0.5, 1, 1]]]


@pytest.mark.parametrize(
    ("dtype", "offset"), [("uint32", 2**31), ("int32", -(2**31)), ("int64", 2**40), ("float64", 1e12)]
)
def test_a_large_offset_costs_no_grey_values(dtype, offset):
    grey = (np.arange(1001, dtype=np.int64) + int(offset)).astype(dtype)
    unit = to_unit(grey.reshape(1, 1, -1), Normalisation(offset, offset + 1000))
    assert unit.dtype == np.float32
    assert np.array_equal(unit.ravel(), np.arange(1001, dtype=np.float32) / np.float32(1000))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32"])
def test_values_that_float32_holds_are_scaled_in_it(dtype):
    grey = np.random.default_rng(0).integers(0, 120, (4, 5, 6)).astype(dtype)
    low, span = np.float32(10.7), np.float32(99.9)
    expected = np.clip((grey.astype(np.float32) - low) / span, 0, 1)
    assert np.array_equal(to_unit(grey, Normalisation(10.7, 10.7 + 99.9)), expected)


def test_the_network_takes_minus_1_to_1():
    unit = np.array([[[0, 0.5, 1]]], np.float32)
    assert to_network(unit).tolist() == [[[-1, 0, 1]]]
    assert to_network(unit).dtype == np.float32
