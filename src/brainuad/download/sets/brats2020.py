"""BraTS 2020."""

from __future__ import annotations

import re

from brainuad.download.known.brats import FILES, OVERLAP, Brats
from brainuad.download.known.known_set import About


class Brats2020(Brats):
    """Labelled cases; the grade is read from `name_mapping.csv`, the age from `survival_info.csv`."""

    about = About(
        title="BraTS 2020, training part",
        licence="research only",
        access="form",
        page="https://www.med.upenn.edu/cbica/brats2020/data.html",
        how_to_get="Register at CBICA's Image Processing Portal and request the BraTS 2020 data.",
        layout=f"BraTS20_Training_001/{FILES}   (or one or two folders below)\nname_mapping.csv, survival_info.csv",
        modalities=("T1w", "T1ce", "T2w", "FLAIR"),
        deviations=f"The mask of case 355 is named W39_1998.09.19_Segm.nii, and is read. {OVERLAP}",
    )
    case = re.compile(r"BraTS20_(Training|Validation)_\d{3}")
    released = 369
    mask_names = {"BraTS20_Training_355": "W39_1998.09.19_Segm"}


SET = Brats2020
