import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mitotools.errors import InputError, ModelError, UsageError
from mitotools.learn.fit import fit, schedule, warmup
from mitotools.learn.models import build
from mitotools.learn.patches import Batch
from mitotools.learn.targets import targets_named
from mitotools.parameters import TrainParameters
from mitotools.run.running import print_nothing

MASK = targets_named(["mask"])
QUICK = TrainParameters(
    iterations=3, learning_rate=0.05, weight_decay=0.0, device="cpu", precision="float32", targets=("mask",)
)


def noise(patch=8, count=4):
    """The same batch for ever: bright is inside."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, 1, patch, patch, patch)).astype(np.float32)
    return itertools.repeat(Batch(images, (images > 0).astype(np.float32)))


def network(norm="batch"):
    torch.manual_seed(0)
    return build("residual-unet", {"filters": [4, 8], "out_channels": 1, "isotropic": True, "norm": norm})


def fitted(parameters=QUICK, batches=None, net=None, targets=MASK, status=print_nothing):
    return fit(net or network(parameters.norm), batches or noise(), targets, parameters, status)


class Idle(nn.Module):
    """Puts out the image whatever its weights are: their gradients are 0."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv3d(1, 1, 1)
        self.norm = nn.BatchNorm3d(1)
        for tensor in self.parameters():
            nn.init.constant_(tensor, 1.0)

    def forward(self, volume):
        return volume + 0 * sum(tensor.sum() for tensor in self.parameters())


@pytest.mark.parametrize(
    "change", [{}, {"norm": "group", "batch": 1}, {"precision": "bfloat16"}], ids=["batch", "group", "bf16"]
)
def test_the_loss_falls_where_bright_voxels_are_inside(change):
    count = change.get("batch", 4)
    first = fitted(replace(QUICK, iterations=1, **change), noise(count=count)).loss
    last = fitted(replace(QUICK, iterations=60, **change), noise(count=count)).loss
    assert last < 0.5 * first


def test_a_seed_gives_the_same_training():
    assert fitted().loss == fitted().loss


def test_a_loss_that_is_no_number_stops_the_training_and_names_the_iteration():
    good = next(noise())
    bad = Batch(np.full_like(good.images, np.nan), good.targets)
    with pytest.raises(ModelError, match=r"^training: the loss is nan at iteration 3\. Try a lower"):
        fitted(replace(QUICK, iterations=9), iter([good, good, bad]))


@pytest.mark.parametrize(
    ("done", "factor"),
    [
        (0.0, 0.01),
        (0.025, 0.5),  # half of the warm-up
        (0.05, 1.0),
        (0.05 + 0.95 / 4, 0.5 + 0.5**1.5),  # a quarter of the cosine, (1 + cos 45 degrees) / 2
        (0.525, 0.5),
        (1.0, 0.0),
    ],
)
def test_the_rate_climbs_linearly_and_falls_as_a_cosine(done, factor):
    assert schedule(done, warmup=0.05) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("iteration", "done", "share"),
    [
        (0, 0.0, 0.05),
        (500, 0.005, 0.01),  # 100 000 iterations, of which 1000
        (500, 0.05, 0.05),  # 10 000: at most a twentieth
    ],
)
def test_the_warmup_is_1000_iterations_or_a_twentieth_of_the_run(iteration, done, share):
    assert warmup(iteration, done, TrainParameters()) == pytest.approx(share)


def test_weights_decay_but_norms_and_biases_do_not():
    net = Idle()
    fitted(replace(QUICK, iterations=1, learning_rate=0.1, weight_decay=0.5), net=net)
    # The first step has a hundredth of the rate: 1 - .1 * .01 * .5.
    assert net.layer.weight.item() == pytest.approx(0.9995, abs=1e-7)
    assert [net.layer.bias.item(), net.norm.weight.item(), net.norm.bias.item()] == [1, 1, 1]


def test_batch_norm_with_fewer_than_4_patches_is_refused():
    with pytest.raises(ModelError, match=r"^--batch 3: batch norm needs 4 patches or more\. Use --set norm="):
        fitted(replace(QUICK, batch=3), noise(count=3))


def test_the_training_ends_with_its_iterations():
    assert fitted(replace(QUICK, iterations=5)).iterations == 5


def test_the_training_ends_with_its_minutes():
    start = time.monotonic()
    result = fitted(replace(QUICK, iterations=10**9, minutes=0.01))
    assert 0.6 <= result.seconds <= time.monotonic() - start < 3
    assert result.iterations > 1


def test_there_is_one_iteration_however_little_time_there_is():
    result = fitted(replace(QUICK, minutes=1e-9))
    assert result.iterations == 1
    assert np.isfinite(result.loss)


def test_the_state_is_told_after_each_iteration_and_ended():
    lines = []
    fitted(replace(QUICK, iterations=2), status=lines.append)
    assert [line.split(",")[0] for line in lines] == ["iteration 1", "iteration 2", ""]
    assert "loss " in lines[0]
    assert "Mvoxel/s" in lines[0]
    assert lines[0].endswith("left")


def test_the_batch_norm_has_seen_the_data():
    net = network()
    fitted(net=net)
    assert net.stem[1].num_batches_tracked == 3
    assert net.stem[1].running_mean.abs().sum() > 0


def test_a_device_without_enough_memory_is_one_line():
    class Huge(Idle):
        def forward(self, _):
            raise torch.OutOfMemoryError("tried to allocate 80 GiB\nof which")

    with pytest.raises(InputError) as error:
        fitted(net=Huge())
    assert str(error.value) == "device cpu: its memory is too small. Use a smaller --patch or --batch."


@pytest.mark.parametrize("device", ["cuda:99", "toaster", "meta"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(UsageError, match=rf"^--device {device}: is not available"):
        fitted(replace(QUICK, device=device))
