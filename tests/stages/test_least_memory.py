"""The least memory that a command names is enough: for what it does first, and for all that follows."""

from __future__ import annotations

import numpy as np
import pytest
from command_runs import least_memory, printed_by, started
from stages.networks import write_volume

NOISE_MIB = 3
"""By which the memory of two processes that have loaded the same differs."""


@pytest.fixture
def folder(tmp_path):
    """Maps and labels of twelve boxes; in the maps a contour is around each."""
    labels = np.zeros((20, 70, 90), np.uint16)
    for number in range(12):
        y, x = 5 + 22 * (number // 4), 5 + 22 * (number % 4)
        labels[3:17, y : y + 14, x : x + 18] = number + 1
    contours = labels > 0
    contours[4:16, 1:-1, 1:-1] &= labels[4:16, 1:-1, 1:-1] != labels[4:16, 2:, 1:-1]
    write_volume(tmp_path / "labels.h5", labels)
    write_volume(tmp_path / "heat.h5", (labels > 0).astype(np.float32))
    write_volume(tmp_path / "maps.h5", np.stack([np.where(labels, 250, 0), contours * 200]).astype(np.uint8))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "evaluate labels.h5 labels.h5 --heatmap heat.h5 --report page.html",
        "decode maps.h5 found.h5 --scores scores.tsv",
        "decode maps.h5 found.h5 --method cc",
        "decode maps.h5 found.h5 --method multicut",
        "tune maps.h5 labels.h5 --grid min-size=1,10",
        "filter labels.h5 found.h5 --split --where neighbours>=0",
    ],
)
def test_the_least_memory_that_is_named_is_enough_for_all_steps(folder, command):
    words = [*command.split(), "--force"]
    process = started(folder, *words, "--memory", f"{least_memory(folder, *words) + NOISE_MIB}M")
    _, errors = printed_by(process)
    assert process.returncode == 0, errors
