"""The threshold between head and air."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from skimage.filters import threshold_otsu

BINS = 256


def head_threshold(values: Float[np.ndarray, "..."]) -> float:
    """Half of Otsu's threshold (Otsu 1979): the whole one takes dark tissue for air."""
    half_bin = float(np.ptp(values)) / BINS / 2  # scikit-image gives the middle of the bin that ends at the threshold
    return (float(threshold_otsu(values, nbins=BINS)) + half_bin) / 2
