"""Commands that are killed at random moments, or whose disk fails: nothing half done, and nothing lost."""

from __future__ import annotations

import random

import pytest
from faults import disks, kills
from faults.trials import CASES, Trials


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return Trials(tmp_path_factory.mktemp("trials"))


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if disks.compiler() is None:
        pytest.skip("there is no C compiler")
    return disks.library(tmp_path_factory.mktemp("shim"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_target_is_absent_or_complete_after_a_kill_and_the_next_run_makes_what_one_run_does(trials, name):
    kills.kill(trials, name, *kills.drawn(random.Random(name)))  # noqa: S311 (a test, no secret)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES)[::3])
def test_a_failing_disk_is_named_in_one_line_and_the_next_run_makes_what_one_run_does(trials, shim, name):
    disks.fail(trials, shim, name, *disks.drawn(random.Random(name)))  # noqa: S311 (a test, no secret)
