"""Brings trainings into MLflow while they run: reads the files that they write, every few seconds.

It keeps nothing that it could not find out again, so it may be stopped at any time, and several may run. The `track`
job at the end of a study completes the same runs. Why so: docs/decisions/0054-live-runs.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from logging import getLogger
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from brainuad.resources.live import KILLED, RUNNING
from brainuad.track import views
from brainuad.track.experiment import (
    BEGAN,
    HASH,
    LIVE,
    Destination,
    Experiment,
    ImportFailedError,
    legal,
    live_run,
    new_params,
    opened,
)
from brainuad.track.live_training import FINISHED, LiveTraining, read_trainings
from brainuad.track.tracked_run import training_params, training_tags

if TYPE_CHECKING:
    from mlflow.entities import Run

SECONDS = 5.0
"""Between two looks."""
MARK = "track.json"
"""Written beside the stages when a study is imported as a whole."""
WHY = "why"
"""Tag: how a training failed."""
logger = getLogger(__name__)


class Follower:
    """Follows studies. `destination`: of a study, by its results folder; it is asked once."""

    def __init__(self, destination: Callable[[Path], Destination]):
        self._destination = destination
        self._destinations: dict[Path, Destination] = {}
        self._seen: dict[tuple[Path, str, int], LiveTraining] = {}
        self._failing: set[Path] = set()

    def follow(self, folders: Callable[[], Iterable[Path]], stop: Event, seconds: float = SECONDS) -> None:
        """Look until `stop` is set. `folders`: the results folders of the studies, asked each time."""
        while not stop.is_set():
            for folder in folders():
                self.look(folder)
            stop.wait(seconds)

    def look(self, folder: Path) -> None:
        """Bring what is new of a study to MLflow. `folder`: `results/<study>`.

        A server that is away, or a database that cannot be used, is a warning once; the next look tries again.
        """
        trainings = read_trainings(folder, since=_imported(folder))
        new = [each for each in trainings if self._seen.get(_key(folder, each)) != each]
        if not new:
            return
        try:
            to = self._destinations.get(folder) or self._destinations.setdefault(folder, self._destination(folder))
            with opened(folder.name, to) as experiment:
                self._write(experiment, folder, trainings)
        except ImportFailedError as error:
            if folder not in self._failing:
                logger.warning("%s; it is tried again", str(error).removeprefix("error: "))
            self._failing.add(folder)
            return
        self._failing.discard(folder)
        self._seen |= {_key(folder, each): each for each in trainings}

    def _write(self, experiment: Experiment, folder: Path, trainings: list[LiveTraining]) -> None:
        live = experiment.live_runs()
        claimed = set()
        for training in trainings:
            run = live_run(training, live)
            if run is not None:
                claimed.add(run.info.run_id)
            if self._seen.get(_key(folder, training)) == training:
                continue
            if run is None and not _is_imported(experiment, training):
                run = _create(experiment, training)
            if run is not None and run.info.lifecycle_stage != "deleted":  # else somebody wants it away while it trains
                _bring(experiment, run, training)
        for run in live:
            if run.info.run_id not in claimed and (run.info.status, run.info.lifecycle_stage) == (RUNNING, "active"):
                experiment.client.set_terminated(run.info.run_id, KILLED)  # its training was thrown away
        if not experiment.search(f"tags.`{HASH}` != ''", most=1):
            experiment.write_views(_shown_names(trainings))


def studies(results: Path) -> list[Path]:
    """The results folders of the studies that have trainings."""
    return sorted(path.parent for path in results.glob("*/train") if path.is_dir())


def _key(folder: Path, training: LiveTraining) -> tuple[Path, str, int]:
    return folder, training.model, training.seed


def _imported(folder: Path) -> float:
    """When the study was last imported as a whole, s since 1970; 0 if it was not."""
    try:
        return (folder / MARK).stat().st_mtime
    except OSError:
        return 0.0


def _is_imported(experiment: Experiment, training: LiveTraining) -> bool:
    """Whether a training that ended well has a whole run, of this version or an earlier one, or had it once."""
    if training.status != FINISHED:
        return False
    same = f"tags.model = '{training.model}' and tags.seed = '{training.seed}'"
    at = (f"attributes.start_time = {training.start}", f"tags.`{BEGAN}` = '{training.start}'")
    return any(experiment.search(f"{same} and {each}", deleted=True, most=1) for each in at)


def _create(experiment: Experiment, training: LiveTraining) -> Run:
    record, seed = training.record, training.seed
    tags = training_tags(experiment.study, training.model, seed, record) | {LIVE: training.settings_hash}
    run_id = experiment.create(f"{training.model}/seed-{seed}", training.began or training.start, tags)
    return experiment.client.get_run(run_id)


def _bring(experiment: Experiment, run: Run, training: LiveTraining) -> None:
    """Write what the run of a training lacks."""
    run_id, known = str(run.info.run_id), experiment.known_points(run)
    new = [point for point in training.points if (legal(point.name), point.step) not in known]
    tags = {BEGAN: "" if training.began is None else str(training.began), WHY: training.why}
    changed = {key: value for key, value in tags.items() if value and run.data.tags.get(key) != value}
    experiment.log(run_id, new, new_params(run, training_params(training.record, training.model)), changed)
    if WHY in run.data.tags and not training.why:
        experiment.client.delete_tag(run_id, WHY)
    if training.status == run.info.status:
        return
    if training.status == RUNNING:
        experiment.client.update_run(run_id, RUNNING)
    else:
        experiment.client.set_terminated(run_id, training.status, training.end)


def _shown_names(trainings: list[LiveTraining]) -> views.ShownNames:
    """While no run has results: the losses."""
    lowest: dict[str, float] = {}
    for point in (point for training in trainings for point in training.points):
        name = legal(point.name)
        lowest[name] = min(point.value, lowest.get(name, point.value))
    names = sorted(lowest)
    losses = sorted((name for name in names if name.endswith("loss")), key=lambda name: "validation" not in name)
    models = sorted({training.model for training in trainings})
    return views.ShownNames(
        losses,
        losses,
        models,
        names,
        grouped=len(models) < len(trainings),
        positive=frozenset(name for name in names if lowest[name] > 0),
    )
