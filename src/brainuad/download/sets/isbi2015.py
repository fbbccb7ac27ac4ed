"""ISBI 2015, longitudinal multiple sclerosis: five patients seen four or five times, two raters."""

from __future__ import annotations

import re

from brainuad.config.datasets import Known, Modality
from brainuad.download.known.find_files import count_note, find_folders, find_nifti, patients_only_problem
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.formats.scans import Scan

STEM: dict[Modality, str] = {"FLAIR": "flair", "T1w": "mprage", "T2w": "t2", "PDw": "pd"}
RELEASED, RELEASED_PATIENTS = 21, 5
"""Source: Carass 2017."""
RATER = 1
"""Whose masks are read, the same in every study: results of two raters must not be mixed."""
PATIENT = re.compile(r"training(\d\d)")


class Isbi2015(KnownSet):
    """Preprocessed scans of 1 mm in MNI space; the time points of a patient share its role."""

    about = About(
        title="ISBI 2015 longitudinal MS lesion segmentation challenge, training part",
        licence="terms of the challenge, after registration",
        access="form",
        page="https://smart-stats-tools.org/lesion-challenge-2015",
        how_to_get="Register for the challenge there and download the training data.",
        layout="""training/training01/preprocessed/training01_01_{flair,mprage,t2,pd}_pp.nii
training/training01/masks/training01_01_mask1.nii   (the first training/ may be left out)""",
        modalities=("FLAIR", "T1w", "T2w", "PDw"),
        deviations="The masks of rater 1 are read. The test part has no masks and is not read.",
    )

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """A scan per time point."""
        root, problems = settings.folder, patients_only_problem(settings)
        scans, patients = [], 0
        for folder in find_folders(root, PATIENT, 2):
            patients += 1
            points = sorted({path.name[:13] for path in (folder / "preprocessed").glob(f"{folder.name}_??_*.nii*")})
            if not points:
                problems.append(f"{folder.name} holds no preprocessed/{folder.name}_01_flair_pp.nii")
            for point in points:
                image = find_nifti(folder / "preprocessed", f"{point}_{STEM[settings.modality]}_pp")
                mask = find_nifti(folder / "masks", f"{point}_mask{RATER}")
                problems += [] if image else [f"{point} has no {point}_{STEM[settings.modality]}_pp.nii"]
                problems += [] if mask else [f"{point} has no {point}_mask{RATER}.nii"]
                if image and mask:
                    subject = f"sub-{folder.name[-2:]}"
                    name, lesion_type = f"{subject}_ses-{point[-2:]}", lesion_types_of("isbi2015", [1])
                    scans.append(Scan(name, subject, label, image=str(image), mask=str(mask), lesion_type=lesion_type))
        problems += [] if patients else ["no folder of a patient is named like training01"]
        notes = count_note(patients, RELEASED_PATIENTS, "patients") + count_note(len(scans), RELEASED, "time points")
        return SourceContent(scans, problems, notes)


SET = Isbi2015
