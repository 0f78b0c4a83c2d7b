import itertools

import numpy as np
import pytest
import torch

from mitotools.errors import InputError, UsageError
from mitotools.learn.backends import backend_of
from mitotools.learn.infer import WindowPredictor
from mitotools.learn.metadata import Normalisation
from mitotools.learn.models import build
from mitotools.learn.symmetries import symmetries
from mitotools.learn.targets.affinity import affinity_channels, affinity_target

BYTES = Normalisation(0, 255)
WINDOW = (8, 12, 12)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = build("residual-unet", {"filters": [4, 8], "isotropic": True, "norm": "group"})
    for tensor in net.parameters():
        torch.nn.init.normal_(tensor, std=0.3)
    return net.eval()


@pytest.fixture(scope="module")
def window():
    return np.random.default_rng(0).integers(0, 256, WINDOW, np.uint8)


def predictor(network, tta=1, normalisation=BYTES, precision="float32"):
    backend = backend_of("torch", network, WINDOW, torch.device("cpu"), precision, threads=2)
    return WindowPredictor(backend, normalisation, tta, ("mask", "contour"))


def turns(tta):
    """The symmetries of (..., Z, Y, X) arrays, each with its inverse, written out by hand."""
    identity = (lambda a: a, lambda a: a)
    x = (lambda a: a[..., ::-1],) * 2
    y = (lambda a: a[..., ::-1, :],) * 2
    z = (lambda a: a[..., ::-1, :, :],) * 2
    turn = (lambda a: np.swapaxes(a, -1, -2),) * 2
    found = [identity]
    for more in {1: [], 4: [x, y], 8: [x, y, turn]}.get(tta, [x, y, turn, z]):
        found += [_after(more, other) for other in found]
    if tta == 48:
        upright = (lambda a: np.swapaxes(a, -1, -3),) * 2
        on_the_side = (lambda a: np.swapaxes(a, -2, -3),) * 2
        found += [_after(more, other) for more in (upright, on_the_side) for other in found]
    return found


def _after(second, first):
    return lambda a: second[0](first[0](a)), lambda a: first[1](second[1](a))


@pytest.mark.parametrize("tta", [1, 4, 8, 16, 48])
def test_the_mean_over_symmetries_is_that_of_turned_windows_turned_back(network, window, tta):
    plain = predictor(network)
    outputs = [back(plain(np.ascontiguousarray(there(window)))) for there, back in turns(tta)]
    assert len(outputs) == tta
    averaged = predictor(network, tta)(window)
    np.testing.assert_allclose(averaged, np.mean(outputs, axis=0), atol=1e-6)


@pytest.mark.parametrize("tta", [1, 4, 8, 16, 48])
def test_the_symmetries_are_different_ones(tta):
    volume = torch.arange(64).reshape(1, 4, 4, 4)
    turned = [volume.movedim(order, (-3, -2, -1)).flip(axes) for order, axes in symmetries(tta)]
    assert len({tuple(array.ravel().tolist()) for array in turned}) == tta


@pytest.mark.parametrize(
    ("tta", "turn"),
    [
        (4, lambda a: a[..., ::-1]),
        (4, lambda a: a[..., ::-1, :]),
        (8, lambda a: np.swapaxes(a, -1, -2)),
        (16, lambda a: a[..., ::-1, :, :]),
        (48, lambda a: np.moveaxis(a, -3, -1)),
    ],
    ids=["x", "y", "transpose", "z", "cube"],
)
def test_a_turned_window_gives_the_turned_maps(network, window, tta, turn):
    apply = predictor(network, tta)
    np.testing.assert_allclose(apply(turn(window)), turn(apply(window)), atol=1e-6)
    plain = predictor(network)
    assert np.abs(plain(turn(window)) - turn(plain(window))).max() > 0.01


@pytest.mark.parametrize("tta", [0, 2, 3, 32])
def test_another_number_of_symmetries_is_refused(network, tta):
    with pytest.raises(UsageError, match=rf"^tta {tta}: expected one of 1, 4, 8, 16, 48\.$"):
        predictor(network, tta)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_maps_are_probabilities_of_every_target(network, window, precision):
    maps = predictor(network, precision=precision)(window)
    assert maps.shape == (2, 8, 12, 12)
    assert maps.dtype == np.float32
    assert 0 <= maps.min() < maps.max() <= 1


def test_bfloat16_rounds_the_same_maps(network, window):
    exact, rounded = predictor(network)(window), predictor(network, precision="bfloat16")(window)
    assert 0 < np.abs(exact - rounded).max() < 0.1


def test_the_normalisation_makes_scaled_grey_values_equal(network, window):
    scaled = window.astype(np.uint16) * 200 + 1000
    maps = predictor(network, normalisation=Normalisation(1000, 52000))(scaled)
    np.testing.assert_allclose(maps, predictor(network)(window), atol=1e-5)


def test_a_window_gives_the_same_maps_each_time(network, window):
    apply = predictor(network, 4)
    assert np.array_equal(apply(window), apply(window))


def test_the_network_is_not_changed(network, window):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    predictor(network, 4)(window)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_device_without_enough_memory_is_one_line(window):
    class Huge(torch.nn.Module):
        def forward(self, _):
            raise torch.OutOfMemoryError("tried to allocate 80 GiB")

    with pytest.raises(InputError, match=r"^device cpu: its memory is too small\. Use --device cpu, or"):
        predictor(Huge())(window)


class LabelsSeen:
    """A network that sees labels in the grey values, and puts out their affinities."""

    device = torch.device("cpu")
    at_once = 1

    def __init__(self, offsets):
        self.offsets = offsets

    def __call__(self, image):
        labels = ((image.numpy() + 1) * 127.5).round().astype(np.uint8)
        return torch.from_numpy(affinity_target(labels, self.offsets) * 20.0 - 10).float()


@pytest.mark.parametrize("tta", [4, 8, 16, 48])
@pytest.mark.parametrize(
    "offsets",
    [
        [(-1, 0, 0), (0, -1, 0), (0, 0, -1)],
        [(0, 0, 1), (0, -1, 0), (1, 0, 0), (0, -5, 0), (0, 0, -5), (5, 0, 0)],
        [
            (z, y, x)
            for z, y, x in itertools.product(range(-2, 3), repeat=3)
            if sorted(map(abs, (z, y, x))) == [0, 1, 2] and (z, y, x) < (0, 0, 0)
        ],
    ],
    ids=["nearest", "far", "oblique"],
)
def test_affinities_of_turned_windows_are_those_of_the_window(offsets, tta):
    labels = np.random.default_rng(2).integers(0, 3, (12, 12, 12), np.uint8)
    found = WindowPredictor(LabelsSeen(offsets), BYTES, tta, affinity_channels(offsets))(labels)
    inner = (slice(None), *[slice(5, -5)] * 3)  # at the border, the labels go on as they are there
    assert np.array_equal(found[inner] > 0.5, affinity_target(labels, offsets)[inner])
    assert set(np.unique(found[inner].round(3))) == {0, 1}
    assert found.min() >= 0
    assert found.max() <= 1


def test_affinities_that_turn_into_others_than_the_model_has_are_refused():
    nearest = [(-1, 0, 0), (0, -1, 0)]
    with pytest.raises(
        UsageError, match="affinities at 0,-1,0 into some at 0,0,-1, which the model does not"
    ):
        WindowPredictor(LabelsSeen(nearest), BYTES, 8, affinity_channels(nearest))
