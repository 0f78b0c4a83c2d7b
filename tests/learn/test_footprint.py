import pytest
from torch import nn

from mitotools.learn.footprint import peak_bytes

WINDOW = (4, 6, 8)
VOXELS = 4 * 6 * 8


class Network(nn.Module):
    """Takes any even size."""

    stride = (2, 2, 2)
    surplus = 0


class Chain(Network, nn.Sequential):
    """Layers one after the other."""


def chain(*layers):
    return Chain(*layers).eval()


def test_the_input_and_the_output_are_there_at_once():
    # One channel in, two out, of 4 bytes.
    assert peak_bytes(chain(nn.Conv3d(1, 2, 3, padding=1)), WINDOW, "float32") == (1 + 2) * 4 * VOXELS


@pytest.mark.parametrize("length", [2, 5, 9])
def test_what_nothing_needs_any_more_is_not_counted(length):
    layers = [nn.Conv3d(1, 2, 3, padding=1), *(nn.ELU() for _ in range(length))]
    # The input, which the caller keeps, and of the chain two neighbours.
    assert peak_bytes(chain(*layers), WINDOW, "float32") == (1 + 2 + 2) * 4 * VOXELS


def test_a_skip_is_counted_as_long_as_it_is_needed():
    class Skipping(Network):
        def __init__(self):
            super().__init__()
            self.first, self.second = (nn.Conv3d(c, 3, 3, padding=1) for c in (1, 3))

        def forward(self, volume):
            skip = self.first(volume)
            return skip + self.second(skip)

    # The input, the skip, the second convolution's output and the sum.
    assert peak_bytes(Skipping().eval(), WINDOW, "float32") == (1 + 3 + 3 + 3) * 4 * VOXELS


def test_in_bfloat16_tensors_are_half_as_large():
    network = chain(nn.Conv3d(1, 2, 3, padding=1))
    assert peak_bytes(network, WINDOW, "bfloat16") == (1 + 2) * 2 * VOXELS


def test_the_network_is_left_as_it_is():
    network = chain(nn.Conv3d(1, 2, 3, padding=1))
    peak_bytes(network, WINDOW, "float32")
    assert {tensor.device.type for tensor in network.parameters()} == {"cpu"}
