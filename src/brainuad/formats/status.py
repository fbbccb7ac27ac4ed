"""What preprocess says of one subject: its quality numbers, and why it came to no end. Verdicts: `formats.verdict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from brainuad.config.section import Section
from brainuad.formats.files import read_json, write_json

Numbers = dict[str, float]
"""Quality numbers by name; `formats.quality` says what each means."""

NAME = "status.json"
IMAGE, BRAIN, OVERLAY = "image.nii.gz", "brain.nii.gz", "overlay.png"
"""What lies beside it: the scan and its brain, on the template's grid; a picture."""
MASKS = {"mask": "lesion.nii.gz", "ignore": "ignore.nii.gz"}
"""And, where the scan has them, its lesions and what is not scored, by their names among the files of a scan."""


class Status(Section):
    """What is said of one subject."""

    subject: str
    """BIDS label."""
    modality: str = ""
    """BIDS suffix of the scan."""
    state: Literal["ok", "warned", "failed"]
    """`failed` subjects leave the study; the others stay. As written by preprocess it knows of no limits."""
    reasons: list[str] = []
    """One sentence each, for `warned` and `failed`."""
    remedy: str | None = None
    """What the user may do."""
    quality: Numbers = {}
    """Numbers by name, e.g. `similarity` (NMI), `overlap` (Dice), `volume_ml`."""
    provenance: dict[str, Any] = {}
    """Input file and its SHA-256, software versions."""


def fluid_bright(modality: str) -> bool:
    """Whether fluid is the brightest tissue under this BIDS suffix: T2w, and T2 under its other names."""
    return "t2" in modality.lower()


def write(path: str | Path, status: Status) -> None:
    """Write it."""
    write_json(path, status.model_dump(mode="json"))


def read(path: str | Path) -> Status:
    """Read what was written."""
    return Status.model_validate(read_json(path))
