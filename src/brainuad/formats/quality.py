"""`quality.tsv`: the verdict on every scan of a data set with its quality numbers, one row each, worst first."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from brainuad.errors import InputError
from brainuad.formats.files import atomic, read_tsv
from brainuad.formats.status import Numbers

NAME = "quality.tsv"
State = Literal["failed", "warned", "ok"]
STATES: tuple[State, ...] = ("failed", "warned", "ok")
"""In the order of the rows."""
ABOUT = {
    "dataset": "label of the data set",
    "scan": "label of the scan",
    "subject": "label of the person",
    "state": "ok, warned (look at it) or failed (excluded, unless a person decides otherwise)",
    "reasons": "why it is not ok",
    "notes": "what was converted or decided while the files were read",
    "remedy": "what you can do",
    "stripped": "yes or no: whether the scan was taken as skull-stripped; empty where there is no image",
    "content": "hash of the scan's voxel values as they were read, equal for copies under any name",
    "has_image": "yes or no: whether preprocessing wrote an image; empty where there was no scan to preprocess",
}
NUMBERS = {
    "nmi": "normalised mutual information with the template, 1 (none) to 2",
    "half_turn_ratio": "nmi - 1 after the best rotation of the head by 180 degrees, divided by that before: large "
    "where the head lies back to front or upside down; left and right are known from the header alone",
    "template_dice": "Dice of the brain mask with the template's",
    "coverage": "fraction of the template's brain in the field of view",
    "volume_ml": "volume of the brain in the scan's own space",
    "outside_brain_ml": "what of a stripped scan, or of a program's brain mask, lies more than 6 mm outside the brain "
    "of the template, in the scan's ml; empty for masks made from the template",
    "outside_brain_fraction": "the same, divided by the volume of the stripped scan or the mask",
    "scale_min": "smallest scaling of the template",
    "scale_max": "largest scaling of the template",
    "rotation_deg": "rotation between the scan and the template before registration, in degrees",
    "shear_deg": "how far the axes of the scan's header are from right angles, in degrees: a gantry tilt in CT",
    "tilt_deg": "angle between the head's plane of symmetry and the template's midplane after registration, in degrees",
    "offset_mm": "distance between these planes, in mm",
    "white_grey_contrast": "white minus grey matter, divided by the intensity range of the brain: above 0 in T1w",
    "csf_grey_contrast": "ventricular fluid minus grey matter, divided by the same range: above 0 in T2w",
    "median_intensity": "median of the brain, in the scan's units",
    "min_intensity": "lowest value of the scan",
    "clipped_fraction": "fraction of the brain at the scan's highest value",
    "noise_ratio": "standard deviation of the noise, divided by the intensity range of the brain's tissues",
    "missing_slice_fraction": "fraction of the brain's slices that are empty or dark",
    "ghosting_ratio": "structure in the air around the head, as motion leaves it, divided by the brain's median; empty "
    "for CT and where there is no air to examine",
    "lesion_ml": "volume of the lesion mask in the scan's own space; empty without a mask",
}
COLUMNS = ABOUT | NUMBERS
OF_SEQUENCES = {
    "missing": "sequences of the study that the session lacks or that cannot be used, joined by ;",
    "sequence_contents": "hashes of the further sequences that can be used, as in content: `T2w=...` and so on, joined "
    "by a bar",
}
"""Further columns, of studies with several sequences."""


@dataclass(frozen=True)
class QualityRow:
    """One scan. `has_image`: None for a subject without a scan to preprocess; `numbers`: those that were measured."""

    dataset: str
    scan: str
    subject: str
    state: State
    reasons: str = ""
    remedy: str = ""
    notes: str = ""
    stripped: bool | None = None
    has_image: bool | None = None
    content: str = ""
    numbers: Numbers = field(default_factory=dict)
    missing: str = ""
    sequence_contents: str = ""


def sorted_rows(rows: Iterable[QualityRow]) -> list[QualityRow]:
    """Failed scans first, then warned ones, each by name."""
    return sorted(rows, key=lambda row: (STATES.index(row.state), row.scan))


def write(path: str | Path, rows: Sequence[QualityRow]) -> None:
    """Write the table, sorted; a number that was not measured is empty."""
    several = any(getattr(row, name) for row in rows for name in OF_SEQUENCES)
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow([*COLUMNS, *OF_SEQUENCES] if several else COLUMNS)
        for row in sorted_rows(rows):
            words = [row.dataset, row.scan, row.subject, row.state, row.reasons, row.notes, row.remedy]
            about = [*words, YES_NO[row.stripped], row.content, YES_NO[row.has_image]]
            numbers = [f"{row.numbers[name]:.6g}" if name in row.numbers else "" for name in NUMBERS]
            writer.writerow([*about, *numbers, *[getattr(row, name) for name in OF_SEQUENCES] * several])


def read(path: str | Path) -> list[QualityRow]:
    """Read the table; raises InputError if it is missing or has other columns."""
    columns, rows = read_tsv(path, "the table of quality")
    if columns not in (list(COLUMNS), [*COLUMNS, *OF_SEQUENCES]):
        raise InputError(f"{Path(path).name} has other columns", file=path, do="delete its folder and run again")
    return [_row(row) for row in rows]


YES_NO = {True: "yes", False: "no", None: ""}


def _row(cells: dict[str, str]) -> QualityRow:
    (state,) = (each for each in STATES if each == cells["state"])
    values = {text: value for value, text in YES_NO.items()}
    return QualityRow(
        dataset=cells["dataset"],
        scan=cells["scan"],
        subject=cells["subject"],
        state=state,
        reasons=cells["reasons"],
        remedy=cells["remedy"],
        notes=cells["notes"],
        stripped=values[cells["stripped"]],
        has_image=values[cells["has_image"]],
        content=cells["content"],
        numbers={name: float(cells[name]) for name in NUMBERS if cells[name]},
        **{name: cells.get(name, "") for name in OF_SEQUENCES},
    )
