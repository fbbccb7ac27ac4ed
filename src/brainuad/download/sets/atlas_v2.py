"""ATLAS v2.0: chronic stroke on T1, in MNI space at 1 mm."""

from __future__ import annotations

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import count_note, patients_only_problem
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.formats.scans import Scan, changed

RELEASED = 655
"""Scans with masks, of 955 released. Source: github.com/npnl/ATLAS."""
PLACE = "R*/sub-*/ses-*/anat"


class AtlasV2(KnownSet):
    """The cohort (R001 ...) is the site; one file per subject and session."""

    about = About(
        title="ATLAS v2.0",
        licence="terms of INDI, after a form",
        access="form",
        page="http://fcon_1000.projects.nitrc.org/indi/retro/atlas.html",
        how_to_get="Fill in the form there, download the archive, and unpack it with the key that is mailed to you.",
        layout="""Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz
    (and ..._label-L_desc-T1lesion_mask.nii.gz beside it; Training may lie in one folder)""",
        modalities=("T1w",),
        deviations="The 300 scans of Testing have no masks and are left out. There is no FLAIR.",
    )

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """The scans of the training part."""
        root, problems = settings.folder, patients_only_problem(settings)
        parts = [path for path in (root / "Training", *sorted(root.glob("*/Training"))) if path.is_dir()]
        scans = []
        for place in sorted(place for part in parts for place in part.glob(PLACE)):
            subject, session = place.parts[-3], place.parts[-2]
            name = f"{subject}_{session}"
            images = sorted(place.glob(f"{name}_*T1w.nii*"))
            masks = sorted(place.glob(f"{name}_*_label-L_desc-T1lesion_mask.nii*"))
            for files, what in ((images, "T1w.nii.gz"), (masks, "label-L_desc-T1lesion_mask.nii.gz")):
                if len(files) != 1:
                    problems.append(f"{name} has {len(files)} files {name}_*{what}, not one")
            if len(images) == len(masks) == 1:
                about = {"site": place.parts[-4], "lesion_type": lesion_types_of("atlas_v2", [1])}
                scans.append(changed(Scan(name, subject, label, str(images[0]), str(masks[0])), **about))
        if not parts:
            problems.append("there is no folder Training")
        elif not scans and not problems:
            problems.append(f"Training holds no folder {PLACE}")
        return SourceContent(scans, problems, count_note(len(scans), RELEASED, "scans with masks"))


SET = AtlasV2
