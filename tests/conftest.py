"""What every test starts from."""

from __future__ import annotations

import logging
import sys

import pytest


def pytest_configure(config):
    """Hide OpenVINO from the tests that are not of it: `--backend auto` is torch in them.

    Its threads stay with a process, and one that had run hundreds of other tests as well ended without a word
    when it started the next program.
    """
    if config.option.markexpr != "openvino":
        sys.modules["openvino"] = None


@pytest.fixture(autouse=True)
def _fresh_logging():
    """Take back what a command set: in a test, commands share one process."""
    yield
    logger = logging.getLogger("mitotools")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def bucket():
    """Run an S3 server, one for all tests: its clients remember where it was. Return the URL of a bucket."""
    import s3_server

    with s3_server.bucket() as url:
        yield url
