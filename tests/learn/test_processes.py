"""Several processes of one training."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learn.trainings import QUICK, batch, begun, feed, fitted, masked_batch, weights
from safetensors.torch import load_file
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mitotools.errors import InputError
from mitotools.learn.processes import Processes, joined

ROOT = Path(__file__).parents[2]

CPU = torch.device("cpu")

RANK = """
import json, sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from learn import trainings
from learn.trainings import QUICK, begun, feed, fitted, weights
from mitotools.learn.processes import joined

torch.set_num_threads(1)
folder, change = Path(sys.argv[1]), json.loads(sys.argv[2])
parameters = replace(QUICK, **change)
told = {"rows": [], "scored": [], "saved": []}
with joined("cpu") as processes:
    training = begun(parameters, seed=processes.rank)  # only the first one's weights are to count
    training, result = fitted(
        parameters,
        training,
        feed(rank=processes.rank, count=processes.count, made=getattr(trainings, sys.argv[3])),
        processes,
        logged=told["rows"].append,
        validated=lambda training: told["scored"].append(training.iteration),
        saved=lambda training: told["saved"].append(training.iteration),
    )
told |= {"iterations": result.iterations, "seconds": result.seconds, "loss": result.loss}
(folder / f"{processes.rank}.json").write_text(json.dumps(told))
save_file({k: v.contiguous() for k, v in weights(training).items()}, folder / f"{processes.rank}.safetensors")
"""


def torchrun(folder, program, *arguments, count=2):
    """Run a program in several processes, as torchrun does."""
    (folder / "program.py").write_text(program)
    command = [
        sys.executable, "-W", "error::UserWarning:torch.autograd", "-m", "torch.distributed.run",
        "--standalone", "--nproc-per-node", str(count), folder / "program.py", *arguments,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def ranks(folder, made=batch, **change):
    """Train in two processes, and return what each was told and its weights."""
    result = torchrun(folder, RANK, folder, json.dumps(change), made.__name__)
    assert result.returncode == 0, result.stderr
    assert "strides" not in result.stderr  # which would be slow
    told = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    return told, [load_file(folder / f"{rank}.safetensors") for rank in range(2)], result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "made"), [("sgd", batch), ("adam", batch), ("sgd", masked_batch)])
def test_two_processes_learn_what_one_does(tmp_path, optimizer, made):
    change = {
        "iterations": 6, "optimizer": optimizer, "accumulate": 2, "validations": 3, "clip_gradient": 1.0,
        "save_minutes": 0.0,
    }  # fmt: skip
    rows, scored = [], []
    alone, result = fitted(
        replace(QUICK, **change),
        batches=feed(made=made),
        logged=rows.append,
        validated=lambda t: scored.append(t.iteration),
    )
    (first, second), (one, other), _ = ranks(tmp_path, made, **change)
    for name in ("loss", "learning_rate"):
        expected = [row[name] for row in rows]
        assert [row[name] for row in first["rows"]] == pytest.approx(expected, abs=1e-5)
    assert first["loss"] == pytest.approx(result.loss, abs=1e-5)
    assert first["scored"] == scored == [2, 4, 6]
    assert first["saved"]
    assert second["rows"] == second["scored"] == second["saved"] == []
    assert (second["iterations"], second["seconds"]) == (6, first["seconds"])
    for name, tensor in weights(alone).items():
        assert torch.equal(one[name], other[name]), name
        torch.testing.assert_close(one[name], tensor, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_batch_norms_take_the_statistics_of_their_own_process(tmp_path):
    """The weights stay the same, for they follow the mean of both gradients."""
    change = {"iterations": 3, "batch": 8, "norm": "batch"}
    _, (one, other), _ = ranks(tmp_path, **change)
    same = {name for name, tensor in one.items() if torch.equal(tensor, other[name])}
    own = {name for name in one if name.endswith(("running_mean", "running_var"))}
    assert own
    assert same == one.keys() - own


@pytest.mark.slow
def test_processes_stop_together_when_the_time_is_over(tmp_path):
    (first, second), (one, other), _ = ranks(tmp_path, iterations=10**9, minutes=0.02)
    assert first["iterations"] == second["iterations"] > 1
    assert first["seconds"] == second["seconds"] >= 1.2
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture
def group(monkeypatch):
    """Have the environment in which torchrun starts the only process of a group."""
    told = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with joined("cpu") as processes:
        assert processes == Processes(0, 1, 0)
        assert processes.is_first
        assert not distributed.is_initialized()


def test_one_process_needs_no_other():
    network = begun().network
    processes = Processes()
    assert processes.around(network, CPU) is network
    assert processes.mean(3.0, CPU) == processes.of_first(3.0, CPU) == 3.0
    processes.require_same(7, CPU)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.usefixtures("group")
def test_a_group_is_joined_and_left_however_the_training_ends(fails):
    try:
        with joined("cpu") as processes:
            assert processes == Processes(0, 1, 0)
            assert distributed.get_backend() == "gloo"
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert not distributed.is_initialized()


@pytest.mark.usefixtures("group")
def test_numbers_are_shared_as_double_precision():
    """Of two processes one is there: the mean is half of what it says."""
    with joined("cpu"):
        processes = Processes(0, 2)
        assert processes.mean(3.0, CPU) == 1.5
        assert processes.of_first(0.1, CPU) == 0.1


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_what_averages_gradients_leaves_weights_in_their_order(norm):
    """A warning that they are not, which would make it slow, is an error in tests."""
    with joined("cpu"):
        parameters = replace(QUICK, norm=norm)
        network = begun(parameters).network
        before = {name: (tensor.clone(), tensor.stride()) for name, tensor in network.named_parameters()}
        wrapped = Processes(0, 2).around(network, CPU)
        assert isinstance(wrapped, DistributedDataParallel)
        assert wrapped.module is network
        for name, tensor in network.named_parameters():
            assert torch.equal(tensor, before[name][0])
            assert tensor.stride() == before[name][1]
        wrapped(next(iter(feed())).images).sum().backward()
        assert all(tensor.grad is not None for tensor in network.parameters())


@pytest.mark.parametrize(
    "change", [{"RANK": "first"}, {"WORLD_SIZE": "many"}, {"MASTER_PORT": "door"}, {"MASTER_PORT": "-5"}]
)
def test_a_group_that_cannot_be_joined_is_said_in_a_line(group, change):
    for name, value in change.items():
        group.setenv(name, value)
    with (
        pytest.raises(InputError, match=r"^the other processes: cannot be joined \(.*\)\. Start them with"),
        joined("cpu"),
    ):
        raise AssertionError
