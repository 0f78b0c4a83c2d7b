"""Commands that are killed at random moments, or lack disk, memory or time: nothing is half done, or lost."""

from __future__ import annotations

import random
from functools import cache

import pytest
from faults import clocks, disks, kills, memory, moments
from faults.trials import CASES, Trials, compiled, compiler


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return Trials(tmp_path_factory.mktemp("trials"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Return a function that compiles a library for LD_PRELOAD."""
    if compiler() is None:
        pytest.skip("there is no C compiler")
    return cache(lambda source: compiled(source, tmp_path_factory.mktemp("library")))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_target_is_absent_or_complete_after_a_kill_and_the_next_run_makes_what_one_run_does(trials, name):
    kills.kill(trials, name, *kills.drawn(random.Random(name)))  # noqa: S311 (a test, no secret)


@pytest.mark.slow
@pytest.mark.parametrize("replaces", [False, True])
def test_a_file_is_absent_or_complete_with_its_history_whenever_the_run_is_killed(trials, replaces):
    for number, _, how in moments.every_moment(trials, "convert to TIFF", replaces=replaces):
        moments.kill(trials, "convert to TIFF", number, how, replaces=replaces)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES)[::3])
def test_a_failing_disk_is_named_in_one_line_and_the_next_run_makes_what_one_run_does(trials, library, name):
    shim = library(disks.SOURCE)
    disks.fail(trials, shim, name, *disks.drawn(random.Random(name)))  # noqa: S311 (a test, no secret)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES)[2::4])
def test_a_clock_that_is_set_while_a_command_runs_changes_nothing(trials, library, name):
    clocks.jump(trials, library(clocks.SOURCE), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES)[3::4])
def test_too_little_memory_is_said_in_one_line_and_the_next_run_makes_what_one_run_does(trials, name):
    memory.starve(trials, name, *memory.drawn(random.Random(name)))  # noqa: S311 (a test, no secret)
