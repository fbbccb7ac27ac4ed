"""Trainings that run, failed or have just ended, read from the files that they write. Independent of MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad.errors import InputError
from brainuad.formats import run as run_record
from brainuad.resources import course, live
from brainuad.track.tracked_run import Point, curve_points, system_points, training_hash

FINISHED = "FINISHED"
SECOND = 1000


@dataclass(frozen=True)
class LiveTraining:
    """A training of a study, at the moment it was read. Times are in ms since 1970."""

    model: str
    seed: int
    record: dict[str, Any]
    """`run.json` of one that has ended well; else `live.json`, which has the same keys as far as they are known."""
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    why: str
    """It failed or was killed."""
    start: int
    """Of its present turn."""
    began: int | None
    """Start of the first turn, known once there are curves: what tells it from a training that was thrown away."""
    end: int | None
    points: tuple[Point, ...]

    @property
    def settings_hash(self) -> str:
        """Of the settings of the training."""
        return training_hash(self.record)


def read_trainings(folder: Path, since: float = 0.0) -> list[LiveTraining]:
    """Trainings of the study in `folder` (`results/<study>`), by model and seed.

    `since`: those that ended well before are left out, s since 1970; one that cannot be read now is read next time.
    """
    found = []
    for place in sorted((folder / "train").glob("*/seed-*")):
        number = place.name.removeprefix("seed-")
        if place.is_dir() and number.isdecimal():
            found += list(_read(place, place.parent.name, int(number), since))
    return found


def _read(place: Path, model: str, seed: int, since: float) -> Iterator[LiveTraining]:
    record = live.read(place / live.NAME)
    if record is not None:
        began, points = _live_curves(place, record["started"])
        points += system_points(
            course.read(place / course.NAME, since=record["started"] if began is None else began / SECOND)
        )
        start, end = int(record["started"] * SECOND), int(record["ended"] * SECOND) if "ended" in record else None
        yield LiveTraining(model, seed, record, record["status"], record["why"], start, began, end, points)
        return
    done = place / run_record.NAME
    try:
        if done.stat().st_mtime < since:
            return
        record = run_record.read(done)
        curves = run_record.read_curves(place / run_record.CURVES)
    except (OSError, InputError):
        return
    start, length = int(record["started"] * SECOND), int(record["seconds"] * SECOND)
    points = (*curve_points(curves, start, length), *system_points(course.read(place / course.NAME, record["started"])))
    yield LiveTraining(model, seed, record, FINISHED, "", start, start, start + length, points)


def _live_curves(place: Path, turn: float) -> tuple[int | None, tuple[Point, ...]]:
    """Start of the first turn and the curves so far; nothing until the turn that started at `turn` has read them."""
    files = [path for path in place.glob(f"resume/*/{live.CURVES}") if path.stat().st_mtime > turn - 1]
    if not files:
        return None, ()
    started, lines = live.read_curves(max(files, key=lambda path: path.stat().st_mtime))
    return (None if started is None else int(started * SECOND)), tuple(_points(lines))


def _points(lines: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    """The points as the run record of the whole training will name them: stages follow each other."""
    stage, before, step = "", 0, 0
    for line in lines:
        if line["stage"] != stage:
            stage, before = line["stage"], before + step
        step = line["step"]
        prefix = f"{stage}_" if stage else ""
        for name, value in line["values"].items():
            yield Point(prefix + name, value, int(line["time"] * SECOND), before + step)
