"""fetch: download a data set that is known by name into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from brainuad.config.datasets import Known, OpenNeuro
from brainuad.jobs.base import Job, Paths


class FetchInputs(Paths):
    """None."""


class FetchOutputs(Paths):
    note: Path
    """Says that the files have been downloaded."""


class FetchJob(Job):
    """Downloads the files of a data set that are not there already."""

    rule = "fetch"
    untracked: ClassVar[frozenset[str]] = frozenset({"label", "dataset"})
    inputs: FetchInputs = FetchInputs()
    outputs: FetchOutputs
    label: str
    dataset: Annotated[Known | OpenNeuro, Field(discriminator="source")]
    remotes: list[tuple[str, Any]]
    """Address and checksum of each file."""

    def run(self) -> None:
        from brainuad.download.fetch import fetch

        fetch(self.label, self.dataset, self.outputs.note)

    def code_roots(self) -> list[str]:
        return [f"brainuad.download.sets.{self.dataset.source}"]


JOB = FetchJob
