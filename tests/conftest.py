"""What each test leaves behind is taken back."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command line that a test called keeps log records from pytest; the next test expects them."""
    log = logging.getLogger("brainuad")
    before = (list(log.handlers), log.level, log.propagate)
    yield
    log.handlers, log.level, log.propagate = before
