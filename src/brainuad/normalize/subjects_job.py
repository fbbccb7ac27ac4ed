"""subjects: the tables of all data sets as one; a scan in two roles ends the study."""

from __future__ import annotations

from pathlib import Path

from brainuad.jobs.base import Job, Paths


class SubjectsInputs(Paths):
    tables: list[Path]


class SubjectsOutputs(Paths):
    table: Path


class SubjectsJob(Job):
    """Joins the tables of scans with roles, and refuses scans that are in two roles."""

    rule = "subjects"
    inputs: SubjectsInputs
    outputs: SubjectsOutputs

    def run(self) -> None:
        from brainuad.formats import scans
        from brainuad.normalize.leaks import refuse_shared_scans

        rows = [row for table in self.inputs.tables for row in scans.read(table)]
        refuse_shared_scans(rows)
        scans.write(self.outputs.table, rows)


JOB = SubjectsJob
