"""Commands that are killed at random moments leave nothing behind that is half done."""

from __future__ import annotations

import random

import pytest
from faults.kills import drawn, kill
from faults.trials import CASES, Trials


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return Trials(tmp_path_factory.mktemp("kills"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_target_is_absent_or_complete_after_a_kill_and_the_next_run_makes_what_one_run_does(trials, name):
    kill(trials, name, *drawn(random.Random(name)))  # noqa: S311 (a test, no secret)
