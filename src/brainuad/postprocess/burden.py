"""The threshold at which healthy scans have a set volume of false positives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from brainuad.errors import InputError
from brainuad.postprocess.ordered_values import OrderedValues, lowest_cut


def burden_cut(healthy: OrderedValues, people: Sequence[str], voxel_ml: Sequence[float], ml: float) -> float:
    """The lowest value above which healthy scans have `ml` or less, mean over people of the mean over their scans.

    `people`, `voxel_ml`: whose each part of `healthy` is, and the volume of its voxels in the scan's own space. Raises
    InputError if there are none.
    """
    if not len(healthy):
        what = "no healthy validation scan to measure false positives on"
        raise InputError(what, do="give a healthy set a validation share")
    scans = Counter(people)
    each = zip(people, healthy.sizes, voxel_ml, strict=True)
    volumes = [size * voxel / scans[person] for person, size, voxel in each]
    return lowest_cut(healthy, volumes, largest=1.0, budget=ml * len(scans))
