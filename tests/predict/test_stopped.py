"""`brainuad predict` that is killed, or whose disk is full: no half-written scan, and `--continue` finishes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from full_disk import no_file_larger_than
from stub_model import rows

from brainuad.formats import leftovers, status, volume
from brainuad.predict import command, outputs, record

NAMES = ("a", "b", "c")
GO_ON = {"continue": ""}


def complete(out: Path) -> set[str]:
    """The scans whose results are finished, with all files that their records name."""
    done = {path.parent.name for path in out.glob("sub-*/status.json")}
    for scan in done:
        about = record.read(out / scan / record.NAME)
        assert about.files
        assert all((out / path).is_file() for path in about.files.values())
    return done


def killed(at: Callable[..., Any], nth: int) -> Callable[..., Any]:
    """The function, but its nth call ends in SIGKILL of the process: after its work."""
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        made = at(*args, **kwargs)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    return wrapped


@pytest.mark.parametrize(
    ("place", "name", "nth", "done"),
    [
        (volume, "write_like", 6, {"sub-a"}),  # four images a scan
        (outputs, "write", 2, {"sub-a"}),
        (status, "write", 2, {"sub-a"}),
        (command.page, "write", 2, {"sub-a"}),
        (Path, "replace", 16, None),  # somewhere while files move to their place
        (record, "write_table", 1, {"sub-a", "sub-b", "sub-c"}),
        (command.contact_sheet, "pages", 1, {"sub-a", "sub-b", "sub-c"}),
    ],
    ids=["map", "images", "status", "viewer", "moves", "table", "sheets"],
)
def test_a_run_that_is_killed_leaves_no_half_written_scan_and_is_finished(predict, monkeypatch, place, name, nth, done):
    out = predict(*NAMES, dry_run="")[1]  # writes the scans alone

    def run() -> None:
        setattr(place, name, killed(getattr(place, name), nth))
        predict()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    there = complete(out)
    assert done is None or there == done
    kept = {path: path.stat().st_ino for scan in there for path in (out / scan).rglob("*") if path.is_file()}
    assert predict(**GO_ON)[0] == 0
    assert complete(out) == {"sub-a", "sub-b", "sub-c"}
    assert {path: path.stat().st_ino for path in kept} == kept  # finished scans are not made again
    assert set(rows(out)) == {"sub-a", "sub-b", "sub-c"}
    assert (out / "contact_sheets/page-1.png").is_file()
    assert leftovers.unfinished(out) == []


@pytest.mark.parametrize("size", [0, 300, 1000, 3000, 10_000])
def test_a_full_disk_ends_in_a_sentence_keeps_what_is_finished_and_is_continued(predict, capsys, size):
    out = predict("a")[1]
    before = {path: path.read_bytes() for path in (out / "sub-a").rglob("*") if path.is_file()}
    predict("b", "c", dry_run="", overwrite="")  # writes the scans alone
    capsys.readouterr()
    with no_file_larger_than(size):
        assert predict(**GO_ON)[0] == 1
    told = capsys.readouterr().err
    assert told.count("error:") == 1
    assert "free space" in told
    assert leftovers.UNFINISHED not in told  # it is gone
    assert complete(out) == {"sub-a"}
    assert {path: path.read_bytes() for path in before} == before
    assert leftovers.unfinished(out) == []
    assert predict(**GO_ON)[0] == 0
    assert complete(out) == set(rows(out)) == {"sub-a", "sub-b", "sub-c"}
