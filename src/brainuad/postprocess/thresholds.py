"""Where a cut comes from (models.md 4.3): healthy validation voxels, labelled validation voxels, or a paper's constant.

No function here can reach a test scan: they see values, and `job` hands over those of validation scans alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from brainuad.errors import InputError


def healthy_quantile(healthy: Float[np.ndarray, "n"], quantile: float) -> float:
    """The `quantile` of the pooled brain voxels of healthy scans. Raises InputError if there are none."""
    if not healthy.size:
        raise InputError(
            "no healthy validation scan to take a threshold from", do="give a healthy set a validation share"
        )
    return float(np.quantile(healthy, quantile))


def best_dice(lesion: Float[np.ndarray, "n"], normal: Float[np.ndarray, "m"]) -> float:
    """The cut above which voxels are marked with the best pooled Dice; of equals the highest.

    `lesion`, `normal`: values of the map in and outside lesions. Raises InputError without lesion voxels.
    """
    if not lesion.size:
        raise InputError("the labelled validation scans hold no lesion", do="check their masks or drop val_dice")
    lowest, counts = np.unique(lesion, return_counts=True)  # Dice can only peak at a lesion's value
    hits = np.cumsum(counts[::-1])[::-1]
    false = normal.size - np.searchsorted(np.sort(normal), lowest)
    dice = 2 * hits / (hits + false + lesion.size)
    best = len(dice) - 1 - int(np.argmax(dice[::-1]))
    return float(np.nextafter(lowest[best], np.float32(-np.inf)))
