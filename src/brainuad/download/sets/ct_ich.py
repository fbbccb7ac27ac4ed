"""CT-ICH of PhysioNet: head CT after trauma, haemorrhage drawn, its types and fractures listed slice by slice."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note, find_nifti, find_table, read_table
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.download.transfer.remote import RemoteFile
from brainuad.errors import InputError
from brainuad.formats.scans import Scan, changed

BLOOD = ("intraventricular", "intraparenchymal", "subarachnoid", "epidural", "subdural")
FRACTURE = "fracture_yes_no"
DIAGNOSES, DEMOGRAPHICS = "hemorrhage_diagnosis_raw_ct.csv", "Patient_demographics.csv"
RELEASED, RELEASED_WITH_HAEMORRHAGE = 75, 36
"""Patients released, of 82 (049 to 130 without 059 to 065), and those with haemorrhage."""
LABELS = {0, 1, 255}
HOST = "https://physionet.org/files/ct-ich/1.3.1"
NUMBERS = (*range(49, 59), *range(66, 131))


class CtIch(KnownSet):
    """Patients have haemorrhage in a slice; the healthy have neither haemorrhage nor fracture in any."""

    about = About(
        title="Computed Tomography Images for Intracranial Hemorrhage Detection and Segmentation 1.3.1",
        licence="PhysioNet Restricted Health Data License 1.5.0",
        access="form",
        page="https://physionet.org/content/ct-ich/1.3.1/",
        how_to_get="Register at PhysioNet, sign the data use agreement of version 1.3.1, and download its files; or, "
        "once signed, set accept_licence: true, your PhysioNet login in the environment or ~/.netrc, and type "
        "`snakemake download`.",
        layout=f"""ct_scans/049.nii   (049 to 130; .nii.gz also)
masks/049.nii
{DIAGNOSES}
{DEMOGRAPHICS}   (may be left out)""",
        modalities=("ct",),
        deviations="Scans with a fracture and no haemorrhage are neither healthy nor patients with a lesion in the "
        "brain, and are left out. Simarro Viana 2020 counts 37 scans without findings and 33 with: the release has "
        "36 with haemorrhage among 75, and the paper does not say which it dropped.",
    )
    converts = True

    def remotes(self, settings: Known) -> list[RemoteFile]:
        """The files one by one, for who has signed; nothing else before that, so that a study says how to apply."""
        if not settings.accept_licence:
            return []
        scans = [f"{folder}/{number:03d}.nii" for number in NUMBERS for folder in ("ct_scans", "masks")]
        return [RemoteFile(f"{HOST}/{path}", path, login="physionet") for path in (DIAGNOSES, DEMOGRAPHICS, *scans)]

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Scans by what the table of slices says of them."""
        root, problems = settings.folder, []
        path = find_table(root, DIAGNOSES)
        found, missing = _findings(path) if path else ({}, [])
        problems += [] if path else [f"{DIAGNOSES} is missing"]
        problems += [f"{DIAGNOSES} has no column {name}" for name in missing]
        numbers = sorted({name.name.split(".")[0] for name in (root / "ct_scans").glob("*.nii*")})
        problems += [] if numbers else ["ct_scans holds no scan"]
        participants = _participants(root)
        scans, broken, ill = [], [], 0
        for number in numbers:
            image, mask = find_nifti(root / "ct_scans", number), find_nifti(root / "masks", number)
            if not re.fullmatch(r"\d{3}", number) or image is None:
                problems.append(f"ct_scans/{number} is no name of CT-ICH")
                continue
            if mask is None:
                problems.append(f"masks/{number}.nii is missing")
            if path and not missing and number not in found:
                problems.append(f"{DIAGNOSES} says nothing of {number}")
            seen = found.get(number, set())
            bleeds = bool(seen & set(BLOOD))
            ill += bleeds
            broken += [number] if seen == {FRACTURE} else []
            if mask and (bleeds if not settings.healthy else not seen):
                subject, participant = f"sub-{number}", participants.get(number, {})
                about = {"lesion_type": lesion_types_of("ct_ich", seen), **participant}
                scans.append(changed(Scan(subject, subject, label, str(image), str(mask)), **about))
        problems += [f"ct_scans/{number} is missing" for number in sorted(set(found) - set(numbers))]
        notes = count_note(len(numbers), RELEASED, "scans") + count_note(
            ill, RELEASED_WITH_HAEMORRHAGE, "scans with haemorrhage"
        )
        if broken:
            notes.append(f"scans with a fracture and no haemorrhage, left out: {', '.join(broken)}")
        return SourceContent(scans, problems, notes)

    def convert(self, scan: Scan, folder: Path) -> Scan:
        """The mask on the scan's own grid, as 0 and 1; none for the healthy, whose mask must be empty.

        Masks belong to their scans voxel by voxel, as the authors' own script reads them, whatever their header says.
        Raises InputError for a scan that is not in Hounsfield units and for a mask that contradicts the diagnosis.
        """
        import nibabel as nib
        import numpy as np

        from brainuad.download.known.checks import require_hounsfield, require_labels, require_shape
        from brainuad.formats import volume
        from brainuad.formats.whole_file import require_whole

        require_hounsfield(volume.read(scan.image).data, scan.image)
        require_whole(Path(scan.mask))
        opened = nib.load(scan.image)
        require_shape(scan.mask, opened.shape)
        values = np.asarray(nib.load(scan.mask).dataobj)
        if not scan.lesion_type:
            if values.any():
                why = f"{int((values > 0).sum())} voxels of its mask are set"
                raise InputError(f"{scan.scan} has a lesion, but no haemorrhage in its table", file=scan.mask, why=why)
            return changed(scan, mask="")
        path = folder / f"{scan.scan}_desc-lesion_mask.nii.gz"
        volume.write(path, require_labels(values, LABELS, scan.mask), opened.affine)
        return changed(scan, mask=str(path))


def _findings(path: Path) -> tuple[dict[str, set[str]], list[str]]:
    """What any slice of each patient shows, and the columns that the table lacks."""
    rows = read_table(path)
    columns = set(rows[0]) if rows else set()
    if missing := [name for name in ("patientnumber", *BLOOD, FRACTURE) if name not in columns]:
        return {}, missing
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if number := _number(row["patientnumber"]):
            found[number] |= {name for name in (*BLOOD, FRACTURE) if row.get(name, "") in ("1", "1.0")}
    return found, []


def _participants(root: Path) -> dict[str, dict[str, str]]:
    """Age and sex; the second line of the table's head, which names types of haemorrhage, has no patient."""
    path = find_table(root, DEMOGRAPHICS)
    participants = {}
    for row in read_table(path) if path else []:
        age = next((cell for name, cell in row.items() if name.startswith("age")), "")
        sex = next((cell for name, cell in row.items() if name.startswith(("gender", "sex"))), "")
        number = _number(next((cell for name, cell in row.items() if name.startswith("patient")), ""))
        if number:
            participants[number] = {"age": age if re.fullmatch(r"[\d.]+", age) else "", "sex": sex[:1].upper()}
    return participants


def _number(text: str) -> str:
    """`49` and `49.0` as `049`; empty where there is none."""
    return f"{int(float(text)):03d}" if re.fullmatch(r"\d+(\.0)?", text) else ""


SET = CtIch
