"""Torch on a GPU whose memory is small, which a device without memory stands for."""

import threading

import pytest
import torch
from torch import nn

from mitotools.errors import InputError
from mitotools.learn.backends import backend_of
from mitotools.run.engine import ordered_map

GPU = torch.device("meta")
WINDOW = (2, 2, 2)
IMAGES = [torch.full(WINDOW, float(number)) for number in range(6)]


class Doubling(nn.Module):
    """A network on a device that has room for so many windows at once."""

    def __init__(self, room):
        super().__init__()
        self.room, self.inside, self.calls = room, 0, 0
        self.changed = threading.Condition()

    def __deepcopy__(self, memory):
        return self

    def forward(self, batch):
        with self.changed:
            self.calls += 1
            self.changed.notify_all()
            if self.inside == self.room:
                raise torch.OutOfMemoryError
            self.inside += 1
            if self.calls == 1:  # the second window comes while the first is here
                assert self.changed.wait_for(lambda: self.calls > 1, timeout=60)
            self.inside -= 1
        return 2 * batch


def backend(room):
    return backend_of("torch", Doubling(room), WINDOW, GPU, "float32", threads=2)


def results(applied):
    return [logits.unique().tolist() for _, logits in ordered_map(applied, IMAGES, applied.at_once)]


def test_where_there_is_room_for_one_window_they_are_computed_one_after_the_other():
    applied = backend(room=1)
    assert applied.at_once == 2
    assert results(applied) == [[0], [2], [4], [6], [8], [10]]
    assert applied.at_once == 1
    assert results(applied) == [[0], [2], [4], [6], [8], [10]]


def test_where_there_is_room_for_two_windows_they_stay_two():
    applied = backend(room=2)
    assert results(applied) == [[0], [2], [4], [6], [8], [10]]
    assert applied.at_once == 2


def test_a_window_that_does_not_fit_alone_is_said_in_a_line():
    with pytest.raises(InputError, match=r"^device meta: its memory is too small\. Use --device cpu, or a"):
        backend(room=0)(IMAGES[0])


def test_batch_norms_become_part_of_their_convolutions_and_the_network_that_was_given_stays_as_it_is():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1, bias=False), nn.BatchNorm3d(3), nn.ELU())
    norm = network[1]
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        torch.nn.init.uniform_(tensor, 0.5, 2)
    network.eval()
    image = torch.randn(4, 5, 6)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    applied = backend_of("torch", network, (4, 5, 6), torch.device("cpu"), "float32", threads=1)
    with torch.inference_mode():
        torch.testing.assert_close(applied(image), network(image[None, None])[0], rtol=1e-5, atol=1e-6)
    assert isinstance(network[1], nn.BatchNorm3d)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [type(module) for module in applied._network] == [nn.Conv3d, nn.Identity, nn.ELU]
