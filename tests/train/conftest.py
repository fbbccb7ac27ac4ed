from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _records_reach_pytest(monkeypatch):
    """Whatever a test before has configured."""
    monkeypatch.setattr(logging.getLogger("brainuad"), "propagate", True)
