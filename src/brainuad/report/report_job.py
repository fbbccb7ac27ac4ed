"""report: the page of the study, and its tables of failures and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from brainuad.config.study import Study
from brainuad.jobs.base import Job, Paths


class ReportInputs(Paths):
    tables: list[Path]
    subjects: Path
    qualities: list[Path]
    contact_sheets: list[Path]
    ceilings: list[Path]


class ReportOutputs(Paths):
    page: Path
    failures: Path
    costs: Path


class ReportJob(Job):
    """Writes the report of a study."""

    rule = "report"
    untracked: ClassVar[frozenset[str]] = frozenset({"study", "preprocessed"})
    inputs: ReportInputs
    outputs: ReportOutputs
    shown: dict[str, Any]
    """What the page shows of the study's settings and no other input tells."""
    methods: list[tuple[str, list[str]]]
    """Headings and paragraphs of the methods section, from each job's `describe`; a list, since params sort keys."""
    decisions: dict[str, dict[str, str]]
    """A person's decisions in words, by data set and scan."""
    controls: dict[str, str]
    """Which healthy scans whole scans are compared with, in words, by data set."""
    study: Study
    preprocessed: Path
    """Folder of the recipe's preprocessed scans."""

    def run(self) -> None:
        from brainuad.report.study_report import ReportSources, write_report

        folder = self.outputs.failures.parent
        sources = ReportSources(
            self.study, folder, self.preprocessed, dict(self.methods), self.decisions, self.controls
        )
        write_report(sources, self.outputs.page.parent)


JOB = ReportJob
