"""contact_sheets: pictures of all scans of a data set on a few pages."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from brainuad.jobs.base import Job, Paths


class ContactSheetsInputs(Paths):
    quality: Path


class ContactSheetsOutputs(Paths):
    folder: Path


class ContactSheetsJob(Job):
    """Draws contact sheets. Apart from `quality`, so that an edit of the pictures reruns nothing else."""

    rule = "contact_sheets"
    untracked: ClassVar[frozenset[str]] = frozenset({"preprocessed"})
    inputs: ContactSheetsInputs
    outputs: ContactSheetsOutputs
    label: str
    """Of the data set."""
    preprocessed: Path
    """Folder of the data set's preprocessed scans."""

    def run(self) -> None:
        from brainuad.preprocess.review.contact_sheet import write_contact_sheets

        write_contact_sheets(self.label, self.inputs.quality, self.preprocessed, self.outputs.folder)


JOB = ContactSheetsJob
