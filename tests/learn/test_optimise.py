"""The optimiser, its rate, and the average of the weights."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn.trainings import QUICK, batch, begun, weights
from torch import nn

from mitotools.errors import ModelError
from mitotools.learn.optimise import Average, estimate_norms, optimizer_of, schedule, warmup

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("done", "factor"),
    [
        (0.0, 0.01),  # not 0, or the first step would be lost
        (0.025, 0.5),
        (0.05, 1.0),
        (0.2875, 0.8535534),  # (1 + cos(pi / 4)) / 2
        (0.525, 0.5),
        (1.0, 0.0),
    ],
)
def test_the_rate_rises_in_a_line_and_falls_along_half_a_cosine(done, factor):
    assert schedule(done, 0.05) == pytest.approx(factor, abs=1e-7)


def test_without_warm_up_the_rate_begins_at_its_peak():
    assert schedule(0, 0) == 1
    assert schedule(0.5, 0) == pytest.approx(0.5)


def test_the_warm_up_takes_as_many_iterations_as_asked():
    """10 of 1000 are a hundredth of the run, wherever in it they are asked for."""
    parameters = replace(QUICK, iterations=1000, warmup_iterations=10)
    assert warmup(1, 0.001, parameters) == pytest.approx(0.01)
    assert warmup(700, 0.7, parameters) == pytest.approx(0.01)


def test_the_warm_up_of_a_run_ended_by_the_clock_follows_its_pace():
    """After 20 iterations in a hundredth of the time, 2000 are expected: 40 are a fiftieth of them."""
    assert warmup(20, 0.01, replace(QUICK, warmup_iterations=40)) == pytest.approx(0.02)


def test_the_warm_up_takes_a_twentieth_of_the_run_at_most():
    parameters = replace(QUICK, iterations=1000, warmup_iterations=1000)
    assert warmup(1, 0.001, parameters) == 0.05
    assert warmup(0, 0.0, parameters) == 0.05
    assert warmup(0, 0.0, replace(QUICK, warmup_iterations=0)) == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_weights_decay_but_neither_norms_nor_biases(optimizer, norm):
    """Of a gradient of zeros only the decay is left: one step at rate 1 takes a tenth of a weight."""
    parameters = replace(QUICK, optimizer=optimizer, norm=norm, learning_rate=1.0, weight_decay=0.1)
    network = begun(parameters).network
    before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
    for tensor in network.parameters():
        tensor.grad = torch.zeros_like(tensor)
    optimizer_of(network, parameters).step()
    decayed = set()
    for name, tensor in network.named_parameters():
        kept = 1.0 if tensor.ndim == 1 else 0.9
        torch.testing.assert_close(tensor.detach(), before[name] * kept)
        decayed.add(tensor.ndim > 1)
    assert decayed == {True, False}


def test_an_optimiser_that_does_not_exist_is_refused():
    with pytest.raises(ModelError, match=r"^lion: no such optimizer; there are sgd, adam"):
        optimizer_of(nn.Linear(1, 1), replace(QUICK, optimizer="lion"))


def test_sgd_keeps_its_momentum():
    """Slope 1, rate .1, momentum .5: steps of .1, then of .1 (1 + .5)."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    optimizer = optimizer_of(network, replace(QUICK, learning_rate=0.1, momentum=0.5))
    for expected in (0.9, 0.75):
        network.weight.grad = torch.ones_like(network.weight)
        optimizer.step()
        assert network.weight.item() == pytest.approx(expected)


class OneWeight(nn.Module):
    """A network of a weight and a count."""

    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value]))
        self.register_buffer("statistic", torch.tensor([value]))
        self.register_buffer("count", torch.tensor([int(value)]))

    def become(self, value):
        with torch.no_grad():
            for tensor in (self.weight, self.statistic, self.count):
                tensor.fill_(value)


def test_an_average_forgets_its_first_weights_and_then_keeps_what_it_is_told_to():
    """Decays: (1 + 1) / (10 + 1) = 2 / 11, (1 + 2) / (10 + 2) = 1 / 4, then .3, which is less than 4 / 13."""
    network = OneWeight(11.0)
    average = Average(network, 0.3)
    expected = 11.0
    for iteration, (value, decay) in enumerate([(0.0, 2 / 11), (4.0, 1 / 4), (1.0, 0.3), (5.0, 0.3)], 1):
        network.become(value)
        average.add(network, iteration)
        expected = decay * expected + (1 - decay) * value
        assert average.network.weight.item() == pytest.approx(expected)
        assert average.network.statistic.item() == pytest.approx(expected)
    # 11 -> 2 -> .5 + 3 -> 1.05 + .7 -> .525 + 3.5
    assert expected == pytest.approx(4.025)
    assert (network.weight.item(), average.network.count.item()) == (5, 11)


def test_an_average_begins_with_the_weights_themselves_and_does_not_learn():
    network = OneWeight(2.0)
    average = Average(network, 0.9)
    assert average.network.weight.item() == 2
    assert not average.network.weight.requires_grad
    assert network.weight.requires_grad


def test_without_a_decay_the_average_is_the_network():
    network = OneWeight(2.0)
    average = Average(network, 0.0)
    average.add(network, 1)
    assert average.network is network
    assert network.weight.requires_grad


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20),
    st.floats(0.01, 1, exclude_max=True),
)
def test_an_average_lies_between_the_least_and_the_most_that_it_took_in(values, decay):
    network = OneWeight(values[0])
    average = Average(network, decay)
    for iteration, value in enumerate(values, 1):
        network.become(value)
        average.add(network, iteration)
    assert min(values) - 1e-3 <= average.network.weight.item() <= max(values) + 1e-3


def test_norms_take_their_statistics_from_the_batches_alone():
    """Means 1 and 5 make 3. Variances: of 0 and 2 twice each 4/3, of eight 5s 0: the mean is 2/3."""
    norm = nn.BatchNorm3d(1)
    norm.running_mean.fill_(100.0)
    norm.running_var.fill_(100.0)
    first = torch.tensor([0.0, 0.0, 2.0, 2.0]).reshape(1, 1, 1, 2, 2)
    second = torch.full((1, 1, 2, 2, 2), 5.0)
    estimate_norms(nn.Sequential(norm).eval(), [first, second], "float32")
    assert norm.running_mean.item() == pytest.approx(3)
    assert norm.running_var.item() == pytest.approx(2 / 3)
    assert (norm.momentum, norm.training) == (0.1, False)


def test_norms_are_estimated_again_by_the_same_batches_to_the_same():
    parameters = replace(QUICK, norm="batch")
    training = begun(parameters)
    images = [batch(number).images for number in range(3)]
    estimate_norms(training.network, images, "float32")
    once = weights(training)
    training.network(batch(7).images)
    estimate_norms(training.network, images, "float32")
    assert all(torch.equal(once[name], tensor) for name, tensor in weights(training).items())


def test_no_batch_is_asked_for_where_there_is_no_batch_norm():
    def never():
        raise AssertionError
        yield

    estimate_norms(begun().network, never(), "float32")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_norms_take_the_statistics_of_the_arithmetic_that_is_asked_for(precision):
    network, seen = nn.Sequential(nn.Conv3d(1, 1, 1), nn.BatchNorm3d(1)), []
    network[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    estimate_norms(network, [batch().images], precision)
    assert seen == [getattr(torch, precision)]
