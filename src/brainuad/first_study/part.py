"""What was found in a folder: scans that may be a data set of a study, and what says so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainuad.formats.scans import Scan

HEALTHY = re.compile(
    r"(healthy|normals?|controls?|ctrls?|ctls?|con|hcs?|hvs?|ncs?|cn|td|volunteers?|(healthy|normal|typical)\W?\w+)"
)
"""Groups and folders of healthy people, in small letters; the whole of a name."""
PATIENTS = re.compile(
    r"patients?|lesion|stroke|infarct|tumou?r|gliom|glioblastoma|metasta|sclerosis|haemorrhage|hemorrhage|bleed|"
    r"epilep|trauma|brats|isles|(^|[^a-z])(ms|tbi|ich|ad|mci|wmh)([^a-z]|$)"
)
"""In names of folders of patients."""


@dataclass(frozen=True)
class Part:
    """Scans of one kind of people. `why`: what says that they are healthy or not; `guessed`: nothing does.

    `decided`: a table or a folder inside says it of everyone. `scans`: by modality; `settings`: of the data set in the
    study file but for modality, healthy and split, or empty for scans that a table must list.
    """

    label: str
    folder: Path
    healthy: bool
    why: str
    guessed: bool
    scans: Mapping[str, Sequence[Scan]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    decided: bool = False

    def people(self, modality: str) -> int:
        """How many people have a scan of the modality."""
        return len({scan.subject for scan in self.scans.get(modality, ())})

    def marked(self, modality: str) -> int:
        """How many scans of the modality have a lesion mask."""
        return sum(bool(scan.mask) for scan in self.scans.get(modality, ()))


@dataclass(frozen=True)
class Found:
    """All that a folder holds. `masks`: folders of lesion masks in MNI space without scans; `notes`: what was left.

    `unclear`: whose people may be healthy or not, with what the user can say.
    """

    parts: list[Part]
    masks: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def label_of(name: str) -> str:
    """A label for a study file from the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "scans"


def by_name(folder: Path, marked: bool) -> tuple[bool, str, bool]:
    """Whether the people of a folder are healthy, why, and whether that is a guess. `marked`: a scan has a mask."""
    name = folder.absolute().name.lower()
    if marked:
        return False, "scans have lesion masks", False
    if any(HEALTHY.fullmatch(word) for word in (name, *re.split(r"[\W_]+", name))):
        return True, f"the folder is called {folder.absolute().name}", False
    if PATIENTS.search(name):
        return False, f"the folder is called {folder.absolute().name}", False
    return True, "no lesion mask and no table says otherwise", True
