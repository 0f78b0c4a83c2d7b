"""Which arithmetic a network runs in."""

import pytest
import torch

from mitotools.learn.device import chosen_precision


@pytest.fixture
def gpus(monkeypatch):
    """Have two GPUs: an old one, which only emulates bfloat16, and a new one."""
    current = [0]

    class Current:
        def __init__(self, device):
            self._device = torch.device(device)

        def __enter__(self):
            current.append(self._device.index or 0)

        def __exit__(self, *_):
            current.pop()

    def is_supported(including_emulation=True):
        return including_emulation or current[-1] == 1

    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("device", "precision"), [("cuda", "float32"), ("cuda:0", "float32"), ("cuda:1", "bfloat16")]
)
def test_auto_is_bfloat16_on_the_gpu_that_multiplies_in_it(device, precision):
    assert chosen_precision("auto", torch.device(device)) == precision


def test_a_precision_that_is_named_is_taken():
    assert chosen_precision("bfloat16", torch.device("cuda:7")) == "bfloat16"
