"""Trainings that are saved and continued."""

import json
import math
from dataclasses import replace

import pytest
import torch
from learn.trainings import QUICK, begun, feed, fitted, weights
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mitotools.errors import ModelError, TargetError
from mitotools.learn.training import KEY, Best, load_training, save_training

LONG = replace(QUICK, iterations=6)


def interrupted(parameters, path, after):
    """Train, but save after so many iterations and stop there."""

    def saved(training):
        if training.iteration == after:
            save_training(path, training)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(replace(parameters, save_minutes=0.0), saved=saved)


def loaded(path, parameters, seed=1):
    training = begun(parameters, seed)
    load_training(path, training)
    return training


def optimiser_tensors(training):
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, state in training.optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("after", [1, 4])
def test_a_training_that_is_continued_ends_as_one_that_was_not_interrupted(
    tmp_path, precision, optimizer, norm, after
):
    parameters = replace(LONG, precision=precision, optimizer=optimizer, norm=norm)
    rows = []
    whole, result = fitted(parameters, logged=rows.append)
    path = tmp_path / "model.mitotools"
    interrupted(parameters, path, after)
    continued = loaded(path, parameters)
    assert continued.iteration == after
    more = []
    _, end = fitted(parameters, continued, logged=more.append)
    for name in ("iteration", "loss", "learning_rate"):
        assert [row[name] for row in more] == [row[name] for row in rows[after:]]
    assert_same_bits(weights(continued), weights(whole))
    assert_same_bits(continued.average.network.state_dict(), whole.average.network.state_dict())
    assert_same_bits(optimiser_tensors(continued), optimiser_tensors(whole))
    assert (end.loss, end.iterations) == (result.loss, result.iterations)


@pytest.mark.parametrize("change", [{"accumulate": 2}, {"ema_decay": 0.0}, {"momentum": 0.0}, {"seed": 3}])
def test_a_training_continues_with_other_settings_too(tmp_path, change):
    parameters = replace(LONG, **change)
    whole, _ = fitted(parameters)
    path = tmp_path / "model.mitotools"
    interrupted(parameters, path, 3)
    continued = loaded(path, parameters)
    fitted(parameters, continued, feed(3 * parameters.accumulate))
    assert_same_bits(weights(continued), weights(whole))


def test_all_that_is_known_of_a_training_is_saved(tmp_path):
    training, _ = fitted()
    training.seconds, training.validations = 123.456, 7
    training.best = Best(0.75, 0.5, 2, {"method": "mw", "foreground": 0.8}, weights(training))
    save_training(tmp_path / "a", training)
    other = loaded(tmp_path / "a", QUICK)
    for name in ("iteration", "seconds", "loss", "validations"):
        assert getattr(other, name) == getattr(training, name)
    assert (other.best.score, other.best.jaccard, other.best.iteration) == (0.75, 0.5, 2)
    assert other.best.decode == {"method": "mw", "foreground": 0.8}
    assert_same_bits(other.best.tensors, weights(training))


def test_what_is_saved_is_loaded_and_saved_again_to_the_same_bytes(tmp_path):
    training, _ = fitted(replace(QUICK, optimizer="adam", norm="batch"))
    save_training(tmp_path / "a", training)
    save_training(tmp_path / "b", loaded(tmp_path / "a", replace(QUICK, optimizer="adam", norm="batch")))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_training_before_its_first_step_is_saved_too(tmp_path):
    save_training(tmp_path / "a", begun())
    other = loaded(tmp_path / "a", QUICK)
    assert math.isnan(other.loss)
    assert (other.iteration, other.best) == (0, None)
    assert_same_bits(weights(other), weights(begun()))


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    """Whoever has it open reads on, and a writer that fails leaves it alone."""
    path = tmp_path / "model.mitotools"
    training = begun()
    save_training(path, training)
    old = path.read_bytes()
    with path.open("rb") as file:
        training.iteration = 5
        save_training(path, training)
        assert file.read() == old
    new = path.read_bytes()
    assert new != old

    def full(name, content):
        name.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(TargetError, match=r"model\.mitotools: cannot be written \(.*No space left"):
        save_training(path, training)
    monkeypatch.undo()
    assert path.read_bytes() == new
    assert [one.name for one in tmp_path.iterdir()] == ["model.mitotools"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(TargetError, match=r"model\.mitotools: cannot be written"):
        save_training(tmp_path / "nowhere" / "model.mitotools", begun())


def changed(path, tensors=None, header=None):
    """Rewrite a file with some tensors, or what it says of itself, changed."""
    with safe_open(path, framework="pt") as file:
        known = json.loads(file.metadata()[KEY])
    found = load_file(path)
    save_file(found | (tensors or {}), path, {KEY: json.dumps({**known, **(header or {})})})


@pytest.mark.parametrize(
    "header",
    [
        {"iteration": "many"},
        {"iteration": math.inf},
        {"seconds": None},
        {"best": []},
        {"best": {"score": 1.0}},
        {"best": "good"},
    ],
)
def test_a_header_of_nonsense_is_refused(tmp_path, header):
    path = tmp_path / "model.mitotools"
    save_training(path, fitted()[0])
    changed(path, header=header)
    with pytest.raises(ModelError, match=r"model\.mitotools: is no training that can be continued .*--force"):
        loaded(path, QUICK)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("network.more", torch.zeros(1)),
        ("average.more", torch.zeros(1)),
        ("optimizer.0.momentum_buffer", torch.zeros(3)),
        ("optimizer.999.momentum_buffer", torch.zeros(3)),
        ("optimizer.first.momentum_buffer", torch.zeros(3)),
    ],
)
def test_tensors_of_nonsense_are_refused(tmp_path, name, tensor):
    path = tmp_path / "model.mitotools"
    save_training(path, fitted()[0])
    changed(path, {name: tensor})
    with pytest.raises(ModelError, match="is no training that can be continued"):
        loaded(path, QUICK)


def test_a_training_of_another_network_or_optimiser_is_refused(tmp_path):
    path = tmp_path / "model.mitotools"
    save_training(path, fitted(replace(QUICK, norm="batch"))[0])
    with pytest.raises(ModelError, match=r"continued \(its tensor .* is not what the network has"):
        loaded(path, QUICK)
    save_training(path, fitted()[0])
    with pytest.raises(ModelError, match="is no training that can be continued"):
        loaded(path, replace(QUICK, optimizer="adam"))


@pytest.mark.parametrize("size", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, size):
    path = tmp_path / "model.mitotools"
    save_training(path, fitted()[0])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match="is no training that can be continued"):
        loaded(path, QUICK)


def test_what_is_no_training_is_refused(tmp_path):
    (tmp_path / "words").write_text("no training")
    save_file({"a": torch.zeros(1)}, tmp_path / "tensors")
    for name in ("words", "tensors", "nothing"):
        with pytest.raises(ModelError, match=rf"{name}: is no training that can be continued"):
            loaded(tmp_path / name, QUICK)


def test_weights_stay_in_the_order_that_is_fastest(tmp_path):
    """Channels last: so they are put when a training begins, and a step is slower where they are not."""
    save_training(tmp_path / "a", fitted()[0])
    training = loaded(tmp_path / "a", QUICK)
    checked = 0
    for weight, state in training.optimizer.state.items():
        assert weight.stride() == state["momentum_buffer"].stride()
        checked += weight.ndim == 5 and not weight.is_contiguous()
    assert checked
