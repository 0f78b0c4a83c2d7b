"""Commands that are killed at random moments leave nothing behind that is half done."""

from __future__ import annotations

import random

import pytest
from faults.kills import CASES, Kills, drawn


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    return Kills(tmp_path_factory.mktemp("kills"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_target_is_absent_or_complete_after_a_kill_and_the_next_run_makes_what_one_run_does(kills, name):
    kills.kill(name, *drawn(random.Random(name)))  # noqa: S311 (a test, no secret)
