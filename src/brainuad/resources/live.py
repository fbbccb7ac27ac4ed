"""What a training shows while it runs: `live.json` beside its outputs, its curves and progress beside its checkpoint.

Plain files, written by the job itself; MLflow's follower reads them (`brainuad.track.live_training`). No job does, and
a disk that refuses them ends no training. Why so: docs/decisions/0054-live-runs.md.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainuad.errors import BrainuadError, InputError, StorageError
from brainuad.formats.files import read_json, write_json
from brainuad.resources import course
from brainuad.resources.recording import environment
from brainuad.resources.time_left import Progress

NAME, CURVES = "live.json", "curves.jsonl"
PROGRESS = ".progress.json"
"""End of the file that says how far a stage is, beside its checkpoint."""
RUNNING, FAILED, KILLED = "RUNNING", "FAILED", "KILLED"
BEAT_SECONDS = 15.0
"""Between two signs of life: the file's time of change."""
DEAD_SECONDS = 90.0
"""Without a sign of life after which a job counts as killed; a network file system may show it a minute late."""


@contextmanager
def shown_live(folder: Path, about: Mapping[str, Any], stops: tuple[type[BaseException], ...]) -> Iterator[None]:
    """While the block runs, `folder`/live.json says so; it goes at the end, or says how the work failed.

    `about`: stage, tags, settings and seed, as in a run record; `stops`: errors that are no fault, such as a signal.
    """
    record = {**about, **environment(), "facts": {}, "started": time.time(), "status": RUNNING, "why": ""}
    path, over = folder / NAME, threading.Event()
    _write(path, record)
    threading.Thread(target=_beat, args=(path, over), daemon=True).start()
    threading.Thread(target=course.record, args=(folder / course.NAME, over), daemon=True).start()
    try:
        yield
    except BaseException as error:
        over.set()
        why = error.what if isinstance(error, BrainuadError) else f"{type(error).__name__}: {error}"
        status = KILLED if isinstance(error, stops) else FAILED
        _write(path, {**record, "status": status, "why": why, "ended": time.time()})
        raise
    over.set()
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any] | None:
    """The record of a training that runs or failed, with its present status; None if there is none to read."""
    try:
        beat = path.stat().st_mtime
        record: dict[str, Any] = read_json(path)
        status = record["status"]
    except (OSError, InputError, KeyError, TypeError):
        return None
    if status == RUNNING and time.time() - beat > DEAD_SECONDS:
        return {**record, "status": KILLED, "why": f"no sign of life for {DEAD_SECONDS:.0f} s", "ended": beat}
    return record


class CurveFile:
    """The curves of an unfinished training, a line for each point in time, first the start of its first turn.

    `stage`: name of the part of the training that goes on; `known`: the curves (step, name, value) that its checkpoint
    holds. Lines that the checkpoint does not know belong to a training that was thrown away: the file starts anew.
    """

    def __init__(self, path: Path, started: float, stage: str, known: Sequence[Sequence[Any]]):
        self._path, self._stage, self._written = path, stage, 0
        start, lines = read_curves(path)
        own = sum(len(line["values"]) for line in lines if line["stage"] == stage)
        if start != started or own > len(known):
            with suppress(OSError):
                path.write_text(json.dumps({"started": started}) + "\n", encoding="utf-8")
        else:
            self._written = own
            with suppress(OSError):
                os.utime(path)
        self.append(known)

    def append(self, curves: Sequence[Sequence[Any]]) -> None:
        """Write what is new. `curves`: all of the stage so far."""
        by_step: dict[int, dict[str, float]] = {}
        for step, name, value in curves[self._written :]:
            by_step.setdefault(int(step), {})[str(name)] = float(value)
        now = time.time()
        lines = [{"time": now, "stage": self._stage, "step": step, "values": by_step[step]} for step in by_step]
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        self._written = len(curves)


def read_curves(path: Path) -> tuple[float | None, list[dict[str, Any]]]:
    """Start of the training, s since 1970, and the whole lines of a `CurveFile`; None and nothing if it has none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None, []
    lines = []
    for line in text.splitlines(keepends=True):
        with suppress(ValueError):
            lines += [json.loads(line)] if line.endswith("\n") else []
    if not lines or "started" not in lines[0]:
        return None, []
    return lines[0]["started"], [line for line in lines[1:] if "values" in line]


def write_progress(checkpoint: Path, began: float, steps: tuple[int, int, int]) -> None:
    """Say how far the stage with this checkpoint is. `began`: this turn, s since 1970; steps then, now, and in all."""
    told = {"began": began, "at": time.time(), **dict(zip(("start", "taken", "total"), steps, strict=True))}
    with suppress(StorageError):
        write_json(checkpoint.with_name(checkpoint.stem + PROGRESS), told)


def read_progress(place: Path, parts: int, since: float) -> Progress | None:
    """How far the training in `place` is that was started at `since`, s since 1970; None as long as it does not say.

    `parts`: its stages, those of all folds counted; they are taken to be alike.
    """
    found: list[tuple[str, dict[str, float]]] = []
    for path in place.glob(f"resume/**/*{PROGRESS}"):
        with suppress(OSError, InputError):
            found.append((path.relative_to(place).parts[1], read_json(path)))
    key, last = max(found, key=lambda each: each[1]["at"], default=("", {"at": -math.inf}))
    if last["at"] < since:
        return None
    now = [told for of, told in found if of == key]  # not of a training with other settings
    ended = sum(told["taken"] / told["total"] for told in now)
    this_turn = [told for told in now if told["at"] >= since]
    done = sum((told["taken"] - told["start"]) / told["total"] for told in this_turn)
    return Progress(done / parts, max(0.0, 1 - ended / parts), min(told["began"] for told in this_turn), last["at"])


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(path)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with suppress(StorageError):  # the job itself reports a full disk
        write_json(path, record)
