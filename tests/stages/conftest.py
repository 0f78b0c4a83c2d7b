import logging

import pytest

import mitotools.learn  # noqa: F401 (before torch, for the setting it makes)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Paths of a raw volume and its labels."""
    from stages.networks import write_phantom  # which loads torch

    return write_phantom(tmp_path_factory.mktemp("phantom"))


@pytest.fixture
def said(caplog, monkeypatch):
    """What commands log, from info on."""
    monkeypatch.setattr(logging.getLogger("mitotools"), "propagate", True)
    caplog.set_level(logging.INFO, "mitotools")
    return caplog
