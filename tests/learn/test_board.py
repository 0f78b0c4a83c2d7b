"""Numbers of a training as TensorBoard reads them."""

from __future__ import annotations

import logging
import sys

import pytest

from mitotools.learn.board import Board


@pytest.fixture
def scalars(tmp_path):
    """What TensorBoard itself reads from a folder: (step, value) of a tag."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(tag):
        events = reading.EventAccumulator(str(tmp_path))
        events.Reload()
        return [(event.step, event.value) for event in events.Scalars(tag)]

    return read


def written(folder, first, *losses):
    board = Board.in_folder(folder, first)
    for iteration, loss in enumerate(losses, start=first + 1):
        board.add("training", {"iteration": iteration, "loss": loss, "method": "mw"})
    board.close()


def test_tensorboard_reads_the_numbers_of_every_iteration(tmp_path, scalars):
    written(tmp_path, 0, 0.5, 0.25)
    assert scalars("training/loss") == [(1, 0.5), (2, 0.25)]


def test_what_a_continued_training_learns_again_replaces_what_was_lost(tmp_path, scalars):
    written(tmp_path, 0, 0.5, 0.25, 0.75)
    written(tmp_path, 1, 0.125)
    assert scalars("training/loss") == [(1, 0.5), (2, 0.125)]


def test_without_tensorboard_its_extra_is_named(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("mitotools"), "propagate", True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.INFO, "mitotools"):
        assert Board.in_folder(tmp_path, 0) is None
    assert "pip install 'mitotools[tensorboard]'" in caplog.text
