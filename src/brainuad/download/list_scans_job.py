"""list_scans: write the table of a data set's scans; synthesise heads or convert files where that is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from brainuad.config.datasets import AnyScans
from brainuad.download.source_of import source_of
from brainuad.jobs.base import Job, Paths


class ListScansInputs(Paths):
    note: list[Path]
    """From `fetch`, if the data set can be downloaded."""
    scans: list[Path]
    """Files that are converted; none if the scans are read where they are."""


class ListScansOutputs(Paths):
    table: Path


class ListScansJob(Job):
    """Writes the table of a data set's scans."""

    rule = "list_scans"
    untracked: ClassVar[frozenset[str]] = frozenset({"label", "dataset"})
    inputs: ListScansInputs
    outputs: ListScansOutputs
    label: str
    dataset: Annotated[AnyScans, Field(discriminator="source")]
    content: dict[str, Any]
    """Settings of synthesised heads; else the scans and the names of their files."""

    def run(self) -> None:
        from brainuad.download.list_scans import list_scans

        list_scans(self.label, self.dataset, self.outputs.table)

    def describe(self) -> list[str]:
        source = source_of(self.label, self.dataset)
        return [source.describe(), *source.read_without()]

    def code_roots(self) -> list[str]:
        return source_of(self.label, self.dataset).code_roots()


JOB = ListScansJob
