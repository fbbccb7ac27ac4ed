"""Names of brain regions by MNI coordinates: lobes between planes through well-known sulci.

No atlas can be packaged, so the borders are coarse: expect them to be wrong by 10 to 15 mm, and by more where a lesion
displaces the brain. They say where to look, not what is damaged.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

LOBES = (
    "frontal lobe",
    "parietal lobe",
    "temporal lobe",
    "occipital lobe",
    "insula",
    "basal ganglia and thalamus",
    "brain stem",
    "cerebellum",
)
MIDDLE_MM = 3.0
"""Nearer to the midplane a region has no side."""
Points = Float[np.ndarray, "n 3"]


def lobes(points: Points) -> Int[np.ndarray, "n"]:
    """Index into `LOBES` of each point; `points`: MNI coordinates in mm, x to the right, y to the front, z up."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    central = -5 - 0.44 * (z - 18)
    sylvian = 0.5 - 0.45 * y
    parieto_occipital = -58 - 0.53 * (np.maximum(z, 8) - 8)
    tentorium = -2 - 0.55 * x + 0.3 * np.minimum(y + 60, 0)
    cerebellum = ((y < -36 - 0.2 * x) & (z < tentorium)) | ((z < -36) & (y < -25) & (x > 16))
    temporal = np.where(y > 5, (z < -14) & (x > 22) & (y < 24), (z < sylvian) & (x > 16) & (y > -60))
    rules = [
        (cerebellum, "cerebellum"),
        ((x <= 16) & (y > -42) & (y < -8) & (z < -6), "brain stem"),
        ((x < 30) & (y > -34) & (y < 20) & (z > -9) & (z < 20), "basal ganglia and thalamus"),
        ((x >= 30) & (x < 44) & (y > -20) & (y < 24) & (z > -10) & (z < 14), "insula"),
        (temporal, "temporal lobe"),
        ((x <= 16) & (y > -10) & (y < 8) & (z < 0), "basal ganglia and thalamus"),
        ((y < parieto_occipital) | ((z < sylvian) & (y < -40)), "occipital lobe"),
        (y < central, "parietal lobe"),
    ]
    index = [LOBES.index(name) for _, name in rules]
    return np.asarray(np.select([where for where, _ in rules], index, LOBES.index("frontal lobe")))


def named(points: Points) -> tuple[str, float]:
    """The region that holds most of the points, as in `left frontal lobe`, and the share that it holds."""
    found = lobes(points)
    count = np.bincount(found, minlength=len(LOBES))
    best = int(count.argmax())
    x = points[found == best, 0].mean()
    side = "" if abs(x) < MIDDLE_MM or LOBES[best] == "brain stem" else "left " if x < 0 else "right "
    return side + LOBES[best], float(count[best] / count.sum())
