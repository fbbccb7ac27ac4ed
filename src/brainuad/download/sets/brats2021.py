"""BraTS 2021."""

from __future__ import annotations

import re

from brainuad.download.known.brats import FILES, OVERLAP, Brats
from brainuad.download.known.known_set import About


class Brats2021(Brats):
    """Labelled cases; no grade is published with them."""

    about = About(
        title="BraTS 2021, training part",
        licence="research only",
        access="form",
        page="https://www.synapse.org/#!Synapse:syn25829067",
        how_to_get="Register at Synapse, ask to join the BraTS 2021 challenge, and download its training data.",
        layout=f"BraTS2021_00000/{FILES}   (or one or two folders below)",
        modalities=("T1w", "T1ce", "T2w", "FLAIR"),
        deviations=OVERLAP,
    )
    case = re.compile(r"BraTS2021_\d{5}")
    released = 1251


SET = Brats2021
