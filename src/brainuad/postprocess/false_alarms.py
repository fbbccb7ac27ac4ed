"""The threshold at which healthy scans have a set number of components."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainuad.errors import InputError
from brainuad.images import components
from brainuad.postprocess.ordered_values import OrderedValues

SHARES = np.geomspace(1e-6, 0.5, 60)
"""Shares of the voxels of healthy scans above the thresholds that are tried, from the strictest on."""
REFINEMENTS = 10
"""Halvings of the step in which the number is first exceeded."""


@dataclass(frozen=True)
class HealthyMap:
    """A map of a healthy scan. `values`: -inf where nothing is scored; `voxel_ml`: in the scan's own space."""

    person: str
    values: Float[np.ndarray, "x y z"]
    voxel_ml: float

    def count(self, threshold: float, min_ml: float) -> int:
        """Components above `threshold` of `min_ml` or more."""
        labels, found = components.label(self.values > np.float32(threshold))
        return int((components.sizes(labels, found) * self.voxel_ml >= min_ml).sum())


def components_cut(maps: Sequence[HealthyMap], values: OrderedValues, per_scan: float, min_ml: float) -> float:
    """The lowest threshold, coming from above, before healthy scans have more than `per_scan` components.

    Mean over people of the mean over their scans. Further down the number falls again, as components merge; that is not
    searched. `values`: those of all maps where they are scored. Raises InputError if there are none.
    """
    if not len(values):
        what = "no healthy validation scan to count components on"
        raise InputError(what, do="give a healthy set a validation share")
    scans = Counter(each.person for each in maps)

    def too_many(threshold: float) -> bool:
        counts = [each.count(threshold, min_ml) / scans[each.person] for each in maps]
        return sum(counts) > per_scan * len(scans)

    kept = values.quantile(1)
    for share in SHARES:
        exceeded = values.quantile(1 - share)
        if too_many(exceeded):
            break
        kept = exceeded
    else:
        return kept
    for _ in range(REFINEMENTS):
        middle = (kept + exceeded) / 2
        kept, exceeded = (kept, middle) if too_many(middle) else (middle, exceeded)
    return kept
