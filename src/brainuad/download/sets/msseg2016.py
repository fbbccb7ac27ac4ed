"""MSSEG 2016: multiple sclerosis on four scanners of three hospitals, drawn by seven experts."""

from __future__ import annotations

import re

from brainuad.config.datasets import Known, Modality
from brainuad.download.known.find_files import count_note, find_folders, find_nifti, patients_only_problem
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.formats.scans import Scan, changed

STEM: dict[Modality, str] = {"FLAIR": "FLAIR", "T1w": "T1", "T1ce": "GADO", "T2w": "T2", "PDw": "DP"}
RELEASED = 53
"""15 of the training and 38 of the testing part. Source: Commowick 2021."""
PATIENT, CENTRE = re.compile(r"Patient_(\d+)"), re.compile(r"Center_(\d+)")


class Msseg2016(KnownSet):
    """Preprocessed scans with the consensus of the experts; the centre, with its scanner, is the site."""

    about = About(
        title="MSSEG 2016",
        licence="data use agreement of OFSEP",
        access="form",
        page="https://portal.fli-iam.irisa.fr/msseg-challenge/",
        how_to_get="Request an account of Shanoir, accept the data use agreement, and download both parts.",
        layout="""Training/Center_01/Patient_01/Preprocessed_Data/{FLAIR,T1,GADO,T2,DP}_preprocessed.nii.gz
Training/Center_01/Patient_01/Masks/Consensus.nii.gz
Testing/Center_03/Patient_01/...                      (as Training; both may lie in one folder below)""",
        modalities=("FLAIR", "T1w", "T1ce", "T2w", "PDw"),
        deviations="The consensus of a patient may be empty: the experts did not agree on any lesion.",
    )

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Patients of both parts, which count them anew in each centre."""
        root, problems = settings.folder, patients_only_problem(settings)
        scans, seen = [], 0
        for folder in find_folders(root, PATIENT, 4):
            seen += 1
            part, centre = folder.parts[-3], folder.parent.name
            name = f"{part}/{centre}/{folder.name}"
            if part not in ("Training", "Testing") or not CENTRE.fullmatch(centre):
                problems.append(f"{folder.relative_to(root)} lies in no Center of Training or Testing")
                continue
            stem = f"{STEM[settings.modality]}_preprocessed"
            image, mask = find_nifti(folder / "Preprocessed_Data", stem), find_nifti(folder / "Masks", "Consensus")
            problems += [] if image else [f"{name} has no Preprocessed_Data/{stem}.nii.gz"]
            problems += [] if mask else [f"{name} has no Masks/Consensus.nii.gz"]
            if image and mask:
                digits = re.sub(r"\D", "", centre) + "P" + re.sub(r"\D", "", folder.name)
                subject = f"sub-{part.lower()}C{digits}"
                about = {"site": centre, "lesion_type": lesion_types_of("msseg2016", [1])}
                scans.append(changed(Scan(subject, subject, label, str(image), str(mask)), **about))
        problems += [] if seen else ["no folder of a patient is named like Patient_01"]
        return SourceContent(
            sorted(scans, key=lambda scan: scan.scan), problems, count_note(len(scans), RELEASED, "patients")
        )


SET = Msseg2016
