"""BrainMetShare: metastases, four sequences on one grid; as pictures by slice, or newer as NIfTI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from brainuad.config.datasets import Known, Modality
from brainuad.download.known.find_files import (
    count_note,
    find_folders,
    find_nifti,
    is_unlabelled,
    patients_only_problem,
)
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.errors import InputError
from brainuad.formats.scans import Scan, changed


class Names(NamedTuple):
    """Names of a sequence in the older layout and the newer one."""

    pictures: str
    file: str


SEQUENCES: dict[Modality, Names] = {
    "T1ce": Names("0", "bravo"),
    "T1w": Names("1", "t1_pre"),
    "FLAIR": Names("3", "flair"),
}
SPACING = (0.94, 0.94, 1.0)
"""Of the pictures, which have no header, in mm: columns, rows, slices. Source: public readers of the set."""
LABELS = {0, 1, 255}
RELEASED = 105
"""Patients with masks, of 156."""
PATIENT = re.compile(r"Mets_\d+")


class BrainMetShare(KnownSet):
    """Stripped. Patients without a mask are not healthy: they are left out."""

    about = About(
        title="BrainMetShare",
        licence="Stanford AIMI research-use agreement, no redistribution",
        access="form",
        page="https://aimi.stanford.edu/brainmetshare",
        how_to_get="Follow the link there to Stanford's Redivis, register, accept the research-use agreement, and "
        "download.",
        layout="""train/Mets_005/{bravo,t1_pre,t1_gd,flair,seg}.nii.gz           (newer: brainmetshare-3)
test/Mets_101/...                                               (without seg)
or mets_stanford_releaseMask_train/Mets_005/{0,1,2,3,seg}/0.png (older; a picture per slice)""",
        modalities=("T1ce", "T1w", "FLAIR"),
        deviations="T1ce is the gradient-echo scan (bravo, 0), on which the masks were drawn; the spin-echo one "
        "(t1_gd, 2) is not read. The older layout has no header: 0.94 x 0.94 x 1 mm, rows from front to back, columns "
        "from right to left and slices from bottom to top are assumed. Prefer the newer one.",
    )
    converts = True

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """The patients with masks."""
        root, names = settings.folder, SEQUENCES[settings.modality]
        scans, left, layouts, problems = [], 0, set(), patients_only_problem(settings)
        for folder in find_folders(root, PATIENT, 4):
            older = any((folder / name).is_dir() for name in ("0", "1", "2", "3"))
            layouts.add(older)
            image = _pictures(folder / names.pictures) if older else find_nifti(folder, names.file)
            mask = _pictures(folder / "seg") if older else find_nifti(folder, "seg")
            wanted = names.pictures if older else f"{names.file}.nii.gz"
            if mask is None and is_unlabelled(folder, root):
                left += 1
                continue
            problems += [f"{folder.name} has no {wanted}"] if image is None else []
            problems += [f"{folder.name} has no seg"] if mask is None else []
            if image and mask:
                problems += _picture_problems(image, mask) if older else []
                subject = f"sub-{folder.name.replace('_', '')}"
                lesion_type = lesion_types_of("brainmetshare", [1])
                scans.append(Scan(subject, subject, label, image=str(image), mask=str(mask), lesion_type=lesion_type))
        if len(layouts) > 1:
            problems.append("pictures and NIfTI files lie in one folder: keep one of the two layouts")
        elif not layouts:
            problems.append("no folder of a patient is named like Mets_005")
        notes = count_note(len(scans), RELEASED, "patients with masks")
        notes += [f"patients of the test part, who have no mask, left out: {left}"] if left else []
        return SourceContent(sorted(scans, key=lambda scan: scan.scan), problems, notes)

    def convert(self, scan: Scan, folder: Path) -> Scan:
        """Pictures become NIfTI, NIfTI files stay where they are; masks of 0 and 1 or 0 and 255 are checked."""
        from brainuad.download.known.checks import check_mask

        if not Path(scan.image).is_dir():
            check_mask(scan.image, scan.mask, LABELS)
            return scan
        return _to_nifti(scan, folder)


def _pictures(folder: Path) -> Path | None:
    return folder if any(folder.glob("*.png")) else None


def _picture_problems(image: Path, mask: Path) -> list[str]:
    """What is wrong with the names and numbers of two folders of slices."""
    patient, counts, problems = image.parent.name, [], []
    for folder in (image, mask):
        names = [path.stem for path in folder.glob("*.png")]
        counts.append(len(names))
        problems += [f"{patient}/{folder.name}/{name}.png has no number" for name in names if not name.isdecimal()]
    if counts[0] != counts[1]:
        problems.append(f"{patient} has {counts[0]} slices in {image.name} and {counts[1]} in seg")
    return problems


def _to_nifti(scan: Scan, folder: Path) -> Scan:
    import numpy as np

    from brainuad.download.known.checks import require_labels, stack_pictures
    from brainuad.formats import volume

    image, mask = stack_pictures(Path(scan.image)), stack_pictures(Path(scan.mask))
    if image.shape != mask.shape:
        why = f"shapes {image.shape} and {mask.shape}"
        raise InputError(f"the mask of {scan.scan} has another size than its scan", file=scan.mask, why=why)
    lesion = require_labels(mask, LABELS, scan.mask)
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(image.shape) - 1) / 2
    made = {"image": str(folder / f"{scan.scan}.nii.gz"), "mask": str(folder / f"{scan.scan}_desc-lesion_mask.nii.gz")}
    volume.write(made["image"], image, affine)
    volume.write(made["mask"], lesion, affine)
    return changed(scan, **made)


SET = BrainMetShare
