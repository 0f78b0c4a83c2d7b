"""Disks that are full, broken, or take less than they are given, in the middle of every command."""

from __future__ import annotations

import random

import pytest
from faults.disks import compiler, drawn, fail, library
from faults.trials import CASES, Trials


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return Trials(tmp_path_factory.mktemp("disks"))


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if compiler() is None:
        pytest.skip("there is no C compiler")
    return library(tmp_path_factory.mktemp("shim"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_failing_disk_is_named_in_one_line_and_the_next_run_makes_what_one_run_does(trials, shim, name):
    fail(trials, shim, name, *drawn(random.Random(name)))  # noqa: S311 (a test, no secret)
