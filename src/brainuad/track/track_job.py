"""track: the study's run records, imported into MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.formats.missing import Missing
from brainuad.jobs.base import Job, Paths


class TrackInputs(Paths):
    tables: list[Path]
    records: list[Path]


class TrackOutputs(Paths):
    mark: Path


class TrackJob(Job):
    """Imports runs. An unavailable server is a warning; `attempt` then changes, so that the next run tries again."""

    rule = "track"
    untracked: ClassVar[frozenset[str]] = frozenset({"missing", "models"})
    inputs: TrackInputs
    outputs: TrackOutputs
    uri: str | None
    attempt: int
    runs: list[tuple[str, int, str]]
    """Model, seed, and the label under which the model was trained."""
    models: list[str] = []
    """All of the study, in its order."""
    missing: list[Missing] = []
    """Evaluations of these runs that are not there."""

    def run(self) -> None:
        from brainuad.formats.files import write_json
        from brainuad.track.experiment import Destination
        from brainuad.track.run_import import import_study
        from brainuad.track.tracked_run import Training

        mark = self.outputs.mark
        folder = mark.parent
        trainings = [Training(*each) for each in self.runs]
        to = Destination(folder.parent / "mlflow", self.uri)
        imported = import_study(self.tags["study"], folder, trainings, to, self.missing, self.models)
        write_json(mark, {"complete": False} if imported is None else imported)
        if imported is None:
            mark.with_name("track.attempts").write_text(str(self.attempt + 1))


JOB = TrackJob
