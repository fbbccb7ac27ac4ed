"""list_scans: the table of a data set's scans; makes phantoms and converts files where the set needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from brainuad.config.datasets import AnyScans, Known, Phantoms
from brainuad.jobs.base import Job, Paths


class ListScansInputs(Paths):
    note: list[Path]
    """Of `fetch`, for a data set that can be downloaded."""
    scans: list[Path]
    """Files that are converted; none for a set whose scans are read where they lie."""


class ListScansOutputs(Paths):
    table: Path


class ListScansJob(Job):
    """Writes the table of a data set's scans."""

    rule = "list_scans"
    untracked: ClassVar[frozenset[str]] = frozenset({"label", "dataset", "threads"})
    inputs: ListScansInputs
    outputs: ListScansOutputs
    label: str
    dataset: Annotated[AnyScans, Field(discriminator="source")]
    content: dict[str, Any]
    """What decides which scans there are: settings of phantoms, or scans and the names of their files."""
    threads: int = 1
    """Phantoms made at a time."""

    def run(self) -> None:
        from brainuad.download.job import download

        download(self.label, self.dataset, self.outputs.table, workers=self.threads)

    def describe(self) -> list[str]:
        settings = self.dataset
        if isinstance(settings, Phantoms):
            lesions = "healthy" if settings.healthy else f"with lesions ({settings.lesions})"
            heads = "1 synthesised head" if settings.subjects == 1 else f"{settings.subjects} synthesised heads"
            return [f"`{self.label}`: {heads}, {lesions}; no real person."]
        return [f"`{self.label}`: {'healthy subjects' if settings.healthy else 'subjects with lesions'}."]

    def code_roots(self) -> list[str]:
        return [f"brainuad.download.sets.{self.dataset.source}"] if isinstance(self.dataset, Known) else []


JOB = ListScansJob
