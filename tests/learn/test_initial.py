"""Networks that begin with the weights of a model."""

import logging

import pytest
import torch

from mitotools.errors import InputError, ModelError
from mitotools.learn.checkpoint import save_model
from mitotools.learn.initial import NETWORK_SETTINGS, fine_tuned
from mitotools.learn.metadata import ModelMetadata
from mitotools.learn.models import build
from mitotools.parameters import TrainParameters

SETTINGS = {"in_channels": 1, "filters": [4, 8], "norm": "batch", "isotropic": True}


@pytest.fixture(params=["residual-unet", "two-decoder-unet"])
def model(tmp_path, request):
    """Write a model of mask and contour, and return its path and tensors."""
    torch.manual_seed(0)
    settings = {**SETTINGS, "out_channels": 2}
    network = build(request.param, settings)
    network(torch.rand(4, 1, 8, 8, 8))  # so that norms have seen something
    known = ModelMetadata(
        request.param, settings, ("mask", "contour"), (8, 8, 8), (30, 8, 8), history=({"command": "old"},)
    )
    save_model(tmp_path / "old.model", network, known)
    return tmp_path / "old.model", network.state_dict()


def new_names(old, network):
    """Return the tensors that are not those of the old network."""
    return {
        name
        for name, tensor in network.state_dict().items()
        if name not in old or not torch.equal(tensor, old[name])
    }


def test_the_same_channels_keep_every_weight(model):
    path, old = model
    network, metadata = fine_tuned(path, ("mask", "contour"))
    assert new_names(old, network) == set()
    assert metadata.settings["out_channels"] == 2
    assert metadata.history == ({"command": "old"},)
    assert all(tensor.requires_grad for tensor in network.parameters())


def test_other_channels_have_a_new_head_alone(model, caplog):
    """Of one decoder a channel, the third is new."""
    path, old = model
    with caplog.at_level(logging.INFO):
        network, metadata = fine_tuned(path, ("mask", "contour", "distance"))
    new, start = (
        new_names(old, network),
        "up.2." if metadata.architecture == "two-decoder-unet" else "up.0.head.",
    )
    others = {name for name in network.state_dict() if name.startswith(start)}
    assert new <= others
    assert {name for name in others if name.endswith("head.weight")} <= new
    assert metadata.settings["out_channels"] == 3
    assert network(torch.rand(1, 1, 8, 8, 8)).shape == (1, 3, 8, 8, 8)
    total = len(network.state_dict())
    assert f"old.model puts out mask,contour: of {total} tensors, {len(others)} are new" in caplog.text
    assert caplog.text.rstrip().endswith("to put out mask,contour,distance")


def test_as_many_other_channels_keep_every_weight_and_it_is_said(model, caplog):
    path, old = model
    with caplog.at_level(logging.INFO):
        network, metadata = fine_tuned(path, ("mask", "distance"))
    assert new_names(old, network) == set()
    assert metadata.settings["out_channels"] == 2
    assert "0 are new to put out mask,distance" in caplog.text


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        fine_tuned(tmp_path / "none.model", ("mask",))
    (tmp_path / "words.model").write_text("no model")
    with pytest.raises(ModelError, match="is not a mitotools model"):
        fine_tuned(tmp_path / "words.model", ("mask",))


def test_what_describes_a_network_are_parameters_of_a_training():
    assert all(hasattr(TrainParameters(), name) for name in NETWORK_SETTINGS)
    assert {"architecture", "filters", "norm", "fold", "squeeze"} <= set(NETWORK_SETTINGS)
