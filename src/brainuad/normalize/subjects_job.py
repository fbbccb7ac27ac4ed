"""subjects: the tables of all data sets as one."""

from __future__ import annotations

from pathlib import Path

from brainuad.jobs.base import Job, Paths


class SubjectsInputs(Paths):
    tables: list[Path]


class SubjectsOutputs(Paths):
    table: Path


class SubjectsJob(Job):
    """Joins the tables of scans with roles."""

    rule = "subjects"
    inputs: SubjectsInputs
    outputs: SubjectsOutputs

    def run(self) -> None:
        from brainuad.formats import scans

        scans.write(self.outputs.table, [row for table in self.inputs.tables for row in scans.read(table)])


JOB = SubjectsJob
