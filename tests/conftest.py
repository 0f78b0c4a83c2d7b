"""What every test starts from."""

from __future__ import annotations

import logging

import pytest


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
