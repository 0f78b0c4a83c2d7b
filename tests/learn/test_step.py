"""One step of a training; the loop is tested in test_fit.py."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learn.trainings import MASK, QUICK, batch, begun, feed, weights

from mitotools.errors import InputError, ModelError
from mitotools.learn.feed import Batch
from mitotools.learn.processes import Processes
from mitotools.learn.step import Step
from mitotools.learn.targets import targets_named

CPU = torch.device("cpu")


def step(training, batches, parameters=QUICK, targets=MASK):
    return Step(training, batches, targets, parameters, CPU, Processes())


def gradients(training):
    return {name: tensor.grad for name, tensor in training.network.named_parameters()}


def length(tensors):
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in tensors])))


def halves(whole):
    for part in (slice(0, 2), slice(2, 4)):
        valid = None if whole.valid is None or whole.valid[part].all() else whole.valid[part]
        yield Batch(whole.images[part], whole.targets[part], valid)


def test_a_step_follows_the_gradient_at_the_rate_that_is_given():
    training = begun(replace(QUICK, momentum=0.0))
    before = weights(training)
    one = step(training, feed())
    one.learn()
    slopes = gradients(training)
    one.change(0.5)
    after = weights(training)
    for name, slope in slopes.items():
        torch.testing.assert_close(after[name], before[name] - 0.5 * slope)


def test_the_gradient_of_a_step_is_not_that_of_the_last_one():
    training = begun()
    one = step(training, iter([batch(1), batch(2)]))
    one.learn()
    one.learn()
    alone = begun()
    step(alone, iter([batch(2)])).learn()
    for name, slope in gradients(alone).items():
        torch.testing.assert_close(slope, gradients(training)[name])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("norm", ["group", "instance"])
def test_two_batches_of_two_make_the_step_of_one_of_four(norm, precision):
    """Sums in another order are all that differs."""
    parameters = replace(QUICK, norm=norm, precision=precision)
    whole, parts = begun(parameters), begun(parameters)
    together = step(whole, iter([batch()]), parameters)
    apart = step(parts, halves(batch()), replace(parameters, batch=2, accumulate=2))
    assert apart.learn() == pytest.approx(together.learn(), abs=1e-6)
    assert apart.voxels == together.voxels == 4 * 8**3
    for one in (together, apart):
        one.change(0.05)
    if precision == "float32":
        for name, tensor in weights(parts).items():
            torch.testing.assert_close(tensor, weights(whole)[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", ["weighted", "plain"])
@pytest.mark.parametrize("target", ["mask", "distance"])
@pytest.mark.parametrize("slices", [0, 1, 7])
def test_every_valid_voxel_of_a_step_counts_alike_in_whichever_batch_it_is(target, loss, slices):
    """Of the first two patches some slices count; of the others all, as if there were no mask."""
    valid = torch.ones(4, 8, 8, 8, dtype=torch.bool)
    valid[:2, slices:] = False
    masked = Batch(batch().images, batch().targets, valid)
    parameters, targets = replace(QUICK, loss=loss), targets_named([target])
    whole, parts = begun(), begun()
    together = step(whole, iter([masked]), parameters, targets)
    apart = step(parts, halves(masked), replace(parameters, batch=2, accumulate=2), targets)
    assert apart.learn() == pytest.approx(together.learn(), abs=1e-6)
    for name, slope in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], slope, rtol=1e-4, atol=1e-6)


def test_a_step_without_a_valid_voxel_changes_nothing():
    training = begun()
    nothing = Batch(batch().images, batch().targets, torch.zeros(4, 8, 8, 8, dtype=torch.bool))
    assert step(training, iter([nothing])).learn() == 0
    assert not any(slope.any() for slope in gradients(training).values())


def test_a_gradient_that_is_too_long_is_shortened_and_keeps_its_direction():
    free, clipped = begun(), begun()
    step(free, feed()).learn()
    whole = length(gradients(free).values())
    assert whole > 0.02
    step(clipped, feed(), replace(QUICK, clip_gradient=0.01)).learn()
    for name, slope in gradients(clipped).items():
        torch.testing.assert_close(slope, gradients(free)[name] * 0.01 / whole, rtol=1e-3, atol=1e-9)
    longer = begun()
    step(longer, feed(), replace(QUICK, clip_gradient=2 * whole)).learn()
    assert length(gradients(longer).values()) == pytest.approx(whole)


def test_a_gradient_that_is_no_number_is_named_before_it_does_harm():
    training = begun()
    training.iteration = 11
    next(training.network.parameters()).register_hook(lambda slope: slope * np.inf)
    before = weights(training)
    with pytest.raises(ModelError, match=r"^training: the gradient is (nan|inf) at iteration 12\. Begin"):
        step(training, feed()).learn()
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(training).items())


@pytest.mark.parametrize("where", ["forward", "optimizer"])
def test_too_little_memory_says_what_to_change(where):
    def full(*_):
        raise torch.OutOfMemoryError

    training = begun()
    if where == "forward":
        training.network.register_forward_hook(full)
    else:
        training.optimizer.register_step_pre_hook(full)
    one = step(training, feed())

    def whole():
        one.learn()
        one.change(0.1)

    with pytest.raises(InputError, match=r"^device cpu: its memory is too small\. Use a smaller --patch, or"):
        whole()


def test_what_norms_have_seen_is_taken_back_where_a_step_fails():
    """The first of two batches has been seen when there is no memory for the second."""
    parameters = replace(QUICK, norm="batch", accumulate=2)
    training, seen = begun(parameters), []

    def full(*_):
        seen.append(1)
        if len(seen) == 2:
            raise torch.OutOfMemoryError

    hook = training.network.register_forward_hook(full)
    before = weights(training)
    with pytest.raises(InputError, match="its memory is too small"):
        step(training, feed(), parameters).learn()
    hook.remove()
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(training).items())
    step(training, feed(), parameters).learn()
    assert not all(torch.equal(before[name], tensor) for name, tensor in weights(training).items())
