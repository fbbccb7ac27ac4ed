"""BraTS 2019."""

from __future__ import annotations

import re

from brainuad.download.known.brats import FILES, OVERLAP, Brats
from brainuad.download.known.known_set import About


class Brats2019(Brats):
    """Labelled cases in `HGG` and `LGG`; 259 and 76."""

    about = About(
        title="BraTS 2019, training part",
        licence="research only",
        access="form",
        page="https://www.med.upenn.edu/cbica/brats2019/data.html",
        how_to_get="Register at CBICA's Image Processing Portal and request the BraTS 2019 data.",
        layout=f"HGG/<case>/{FILES}\nLGG/<case>/   (as HGG; both may lie in one folder below)",
        modalities=("T1w", "T1ce", "T2w", "FLAIR"),
        deviations=OVERLAP,
    )
    case = re.compile(r"BraTS19_\w+")
    released = 335
    graded = True


SET = Brats2019
