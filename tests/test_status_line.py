"""How far long work is: in a terminal, and in a log."""

from __future__ import annotations

import io
import logging

import pytest

from brainuad import status_line
from brainuad.status_line import Count


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def counted(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, before: int = 0) -> str:
    """100 steps of 2 s each, of which some were done before."""
    now = [0.0]
    monkeypatch.setattr(status_line.sys, "stderr", stream)
    count = Count("dae 0", "steps", 100, before, clock=lambda: now[0])
    for _ in range(100 - before):
        now[0] += 2.0
        count.step()
    count.close()
    return stream.getvalue()


@pytest.fixture
def log():
    lines = io.StringIO()
    handler, level = logging.StreamHandler(lines), status_line.logger.level
    status_line.logger.addHandler(handler)
    status_line.logger.setLevel(logging.INFO)
    yield lines
    status_line.logger.removeHandler(handler)
    status_line.logger.setLevel(level)


def test_a_log_has_a_line_each_tenth(monkeypatch, log):
    counted(io.StringIO(), monkeypatch)
    lines = log.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "dae 0: 10 of 100 steps, 3 min left"
    assert lines[-1] == "dae 0: 100 of 100 steps"


def test_a_terminal_has_one_line_that_is_rewritten(monkeypatch):
    text = counted(Tty(), monkeypatch)
    assert text.count("\n") == 1
    assert text.endswith("dae 0: 100 of 100 steps\n")
    assert "\r\x1b[Kdae 0: 50 of 100 steps, 2 min left\r" in text


def test_steps_that_were_done_before_do_not_count_for_the_pace(monkeypatch):
    text = counted(Tty(), monkeypatch, before=50)
    assert "dae 0: 60 of 100 steps, 80 s left" in text
