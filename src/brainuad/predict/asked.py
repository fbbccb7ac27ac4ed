"""What a prediction is asked for: scans, or sessions of several sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Input:
    """One scan. `scan`: `sub-01_ses-2`; `modality`: as its name says, None if it says nothing.

    `further`: files of other sequences of its session, by modality, where the model takes several.
    """

    scan: str
    image: Path
    modality: str | None = None
    problem: str = ""
    """Why it cannot be read, if that is known by now."""
    converted: bool = False
    """Whether it was made from DICOM files, and goes when the command ends."""
    further: Mapping[str, Path] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path]:
        """Of a session: all files by modality; of a scan without a modality none."""
        return {self.modality: self.image, **self.further} if self.modality else {}


@dataclass(frozen=True)
class Inputs:
    """All scans, sorted, and what was left out and why."""

    scans: list[Input]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """Which scans of a folder. `modality`: of the model; labels without `sub-` and `ses-`, all if empty.

    `further`: other sequences of a session that the model takes.
    """

    modality: str
    participants: Sequence[str] = ()
    sessions: Sequence[str] = ()
    said: str | None = None
    """The modality of all scans of a folder, if the user says it."""
    further: Sequence[str] = ()

    @property
    def sequences(self) -> list[str]:
        """All that the model takes of a session."""
        return [self.modality, *self.further]
