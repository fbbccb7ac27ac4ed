"""The threshold between head and air."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

BINS = 256


def head_threshold(values: Float[np.ndarray, "..."]) -> float:
    """Half of Otsu's threshold (Otsu 1979), in units of `values`: the whole one takes dark tissue for air.

    scikit-image's differs in the last digits and moved one head (docs/decisions/0022-scikit-image.md).
    """
    counts, edges = np.histogram(values, bins=BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = counts.sum() - below
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    return float(edges[1:-1][np.nanargmax(between)]) / 2
