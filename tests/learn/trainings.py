"""Trainings of small networks on noise in which bright voxels are inside."""

from __future__ import annotations

import numpy as np
import torch

from mitotools.learn.device import placed
from mitotools.learn.feed import Batch
from mitotools.learn.fit import Hooks, fit
from mitotools.learn.models import build
from mitotools.learn.processes import Processes
from mitotools.learn.targets import targets_named
from mitotools.learn.training import Training
from mitotools.parameters import TrainParameters

MASK = targets_named(["mask"])
QUICK = TrainParameters(
    iterations=3, batch=4, norm="group", learning_rate=0.05, weight_decay=0.0, validations=0,
    device="cpu", precision="float32", targets=("mask",),
)  # fmt: skip


def batch(number=0, count=4, length=8):
    """Return the batch of a number."""
    images = np.random.default_rng(number).uniform(-1, 1, (count, 1, length, length, length))
    return Batch(
        torch.from_numpy(images.astype(np.float32)), torch.from_numpy((images > 0).astype(np.float32))
    )


def masked_batch(number=0):
    """Return the batch of a number, of whose patches 1, 3, 5 and 7 slices are valid."""
    whole = batch(number)
    valid = torch.zeros(4, 8, 8, 8, dtype=torch.bool)
    for patch, slices in enumerate((1, 3, 5, 7)):
        valid[patch, :slices] = True
    return Batch(whole.images, whole.targets, valid)


def shared(whole, rank, count):
    """Return a process's part of a batch."""
    valid = None if whole.valid is None else whole.valid[rank::count]
    return Batch(whole.images[rank::count], whole.targets[rank::count], valid)


def feed(first=0, last=10**9, rank=0, count=1, made=batch):
    """Yield a process's part of one batch after the other."""
    for number in range(first, last):
        yield shared(made(number), rank, count)


def begun(parameters=QUICK, seed=0):
    """Return the training of a small network."""
    torch.manual_seed(seed)
    settings = {"filters": [4, 8], "out_channels": 1, "isotropic": True, "norm": parameters.norm}
    return Training.begun(placed(build("residual-unet", settings), torch.device("cpu")), parameters)


def fitted(parameters=QUICK, training=None, batches=None, processes=None, **hooks):
    """Train, and return what became of it and how it went."""
    training = training or begun(parameters)
    batches = feed(training.iteration) if batches is None else batches
    return training, fit(training, batches, MASK, parameters, Hooks(**hooks), processes or Processes())


def weights(training):
    """Return a copy of the weights and statistics of a training's network."""
    return {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
