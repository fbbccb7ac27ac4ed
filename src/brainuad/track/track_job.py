"""track: the study's run records, imported into MLflow."""

from __future__ import annotations

from pathlib import Path

from brainuad.jobs.base import Job, Paths


class TrackInputs(Paths):
    tables: list[Path]
    records: list[Path]


class TrackOutputs(Paths):
    mark: Path


class TrackJob(Job):
    """Imports runs. A server that is away is a warning; `attempt` then changes, so that the next run tries again."""

    rule = "track"
    inputs: TrackInputs
    outputs: TrackOutputs
    uri: str | None
    attempt: int
    runs: list[tuple[str, int, str]]
    """Model, seed, and the label under which the model was trained."""

    def run(self) -> None:
        from brainuad.formats.files import write_json
        from brainuad.track.job import track

        mark = self.outputs.mark
        folder = mark.parent
        if not track(self.tags["study"], folder, self.runs, folder.parent / "mlflow", self.uri, mark):
            write_json(mark, {"complete": False})
            mark.with_name("track.attempts").write_text(str(self.attempt + 1))


JOB = TrackJob
