"""What a source of scans holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from brainuad.config.datasets import Scans
from brainuad.formats.scans import Scan

SHOWN = 5
"""Scans and subjects that are named."""


@dataclass
class SourceContent:
    """The scans of one data set, and what is to be said about its files."""

    scans: list[Scan] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Sentences. Any of them stops the study; all are shown at once."""
    notes: list[str] = field(default_factory=list)
    """Sentences that stop nothing, such as an unexpected number of scans."""
    failed: list[Scan] = field(default_factory=list)
    """A row for each subject without a usable file, so that the subject is listed as failed."""
    about_files: dict[str, list[str]] = field(default_factory=dict)
    """Sentences by scan: which of several files was chosen, and what is wrong with others; part of its note."""

    def remarks(self) -> list[str]:
        """What a user should know before the first job: notes, subjects that are left out, notes of scans."""
        left_out = [f"{row.scan}: {row.note}" for row in self.failed]
        masks_first = sorted(self.scans, key=lambda row: bool(row.mask))  # notes say why there is none
        noted = [f"{row.scan}: {row.note}" for row in masks_first if row.note]
        return [*self.notes, *counted(left_out, "subjects left out"), *counted(noted, "scans with a note")]


def unmasked_note(scans: Sequence[Scan], settings: Scans) -> list[str]:
    """A sentence on patients without a lesion mask, if there are some that were to be scored."""
    unmasked = sum(not scan.mask for scan in scans)
    if settings.healthy or settings.split is None or not unmasked:
        return []
    return [f"{unmasked} of {len(scans)} scans of patients have no lesion mask and cannot be scored"]


def counted(sentences: list[str], what: str) -> list[str]:
    """How many there are, and the first of them."""
    if not sentences:
        return []
    more = [f"  and {len(sentences) - SHOWN} more"] if len(sentences) > SHOWN else []
    return [f"{what}: {len(sentences)}", *(f"  {sentence}" for sentence in sentences[:SHOWN]), *more]
