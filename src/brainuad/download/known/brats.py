"""BraTS: what its years share. Patients with glioma; four stripped, registered modalities of 240 x 240 x 155 voxels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from brainuad.config.datasets import Known, Modality
from brainuad.download.known.find_files import (
    count_note,
    find_folders,
    find_nifti,
    is_unlabelled,
    patients_only_problem,
    read_table,
)
from brainuad.download.known.known_set import KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.formats.scans import Scan, changed

SUFFIX: dict[Modality, str] = {"T1w": "t1", "T1ce": "t1ce", "T2w": "t2", "FLAIR": "flair"}
SHAPE = (240, 240, 155)
LABELS = {0, 1, 2, 4}
FILES = "<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg   (.nii also)"
OVERLAP = "Its cases recur in other years of BraTS and in MSD Task01: never train on one and test on another."


class Brats(KnownSet):
    """One year of BraTS; a subclass gives the names and the number of its cases."""

    converts = True
    case: ClassVar[re.Pattern[str]]
    released: ClassVar[int]
    """Labelled cases."""
    graded: ClassVar[bool] = False
    """Whether each case must lie in a folder `HGG` or `LGG`."""
    mask_names: ClassVar[dict[str, str]] = {}
    """Masks whose name differs from the rule, by case."""

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """The labelled cases; the grade, where known, is stored as the site, so that the split is stratified by it."""
        root, problems, notes = settings.folder, patients_only_problem(settings), []
        cases = list(find_folders(root, self.case, 4))
        ages, grades = _table(cases, "survival_", "age"), _table(cases, "name_mapping", "grade")
        scans, left = [], 0
        for folder in cases:
            name, grade = folder.name, folder.parent.name
            image, mask = find_nifti(folder, f"{name}_{SUFFIX[settings.modality]}"), find_nifti(folder, f"{name}_seg")
            if mask is None and name in self.mask_names and (mask := find_nifti(folder, self.mask_names[name])):
                notes.append(f"the mask of {name} is named {mask.name}")
            if mask is None and is_unlabelled(folder, root):
                left += 1
                continue
            if image is None:
                problems.append(f"{name} has no {name}_{SUFFIX[settings.modality]}.nii.gz")
            if mask is None:
                problems.append(f"{name} has no {name}_seg.nii.gz")
            if self.graded and grade not in ("HGG", "LGG"):
                problems.append(f"{name} lies in {grade}, not in HGG or LGG")
            if image and mask:
                subject = f"sub-{name.replace('_', '-')}"
                site = grade if self.graded else grades.get(name, "")
                about = {"age": ages.get(name, ""), "site": site, "lesion_type": lesion_types_of("brats", (1, 2, 4))}
                scans.append(changed(Scan(subject, subject, label, str(image), str(mask)), **about))
        if not cases:
            problems.append(f"no folder of a case is named like {self.case.pattern}")
        notes += count_note(len(scans), self.released, "labelled cases")
        notes += [f"cases of the validation part, without masks, excluded: {left}"] if left else []
        return SourceContent(sorted(scans, key=lambda scan: scan.scan), problems, notes)

    def convert(self, scan: Scan, folder: Path) -> Scan:  # noqa: ARG002
        """The unchanged files; raises InputError for another shape or labels other than 0, 1, 2 and 4."""
        from brainuad.download.known.checks import check_mask, require_shape

        require_shape(scan.image, SHAPE)
        check_mask(scan.image, scan.mask, LABELS)
        return scan


def _table(cases: list[Path], prefix: str, column: str) -> dict[str, str]:
    """A column by case, of the first table with this prefix in a folder that holds cases or in its parent."""
    places = sorted({place for case in cases for place in (case.parent, case.parent.parent)})
    found = [path for place in places for path in sorted(place.glob(f"{prefix}*.csv"))]
    values = {}
    for row in read_table(found[0]) if found else []:
        names = [cell for key, cell in row.items() if key.startswith("brats") and cell]
        values[names[-1] if names else ""] = row.get(column, "")
    return values
