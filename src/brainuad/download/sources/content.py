"""What a source of scans holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from brainuad.formats.scans import Scan


@dataclass
class SourceContent:
    """The scans of one data set, and what is to be said about its files."""

    scans: list[Scan] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Sentences. Any of them stops the study; all are shown at once."""
    notes: list[str] = field(default_factory=list)
    """Sentences that stop nothing, such as an unexpected number of scans."""
    failed: list[Scan] = field(default_factory=list)
    """A row for each subject without a usable file, so that the subject is not lost from sight."""
