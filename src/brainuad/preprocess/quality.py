"""How well a subject came out: numbers, and a verdict by the limits of the recipe."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.recipe import Quality
from brainuad.formats.transform import Affine
from brainuad.preprocess.skullstrip import Placed, field_of_view

Mask = Bool[np.ndarray, "x y z"]


def measure(placed: Placed, mask: Mask, similarity: float) -> dict[str, float]:
    """Quality numbers by name.

    `similarity`: normalised mutual information with the template, 1 to 2; `agreement`: share of the scan's variance
    around the brain that the template's intensity explains, 0 to 1; `overlap`: Dice of the brain mask with the
    template's; `coverage`: share of the template's brain in the field of view; `volume_ml`: the brain's volume in the
    scan's own space; `scale_min`, `scale_max`: how the template is stretched; `turn_degrees`: how it is turned."""
    brain = placed.template.brain
    voxel_ml = abs(float(np.linalg.det(placed.template.affine[:3, :3]))) / 1000
    seen = field_of_view(placed) & brain
    stretch = np.linalg.svd(placed.transform.matrix[:3, :3])[1]
    return {
        "similarity": similarity,
        "agreement": agreement(placed.image, placed.template.t1, seen),
        "overlap": float(2 * (mask & brain).sum() / max(1, mask.sum() + brain.sum())),
        "coverage": float(seen.sum() / brain.sum()),
        "volume_ml": float(mask.sum() * voxel_ml * abs(np.linalg.det(placed.transform.matrix[:3, :3]))),
        "scale_min": float(stretch.min()),
        "scale_max": float(stretch.max()),
        "turn_degrees": turn(placed.transform),
    }


def agreement(image: Float[np.ndarray, "x y z"], t1: Float[np.ndarray, "x y z"], where: Mask) -> float:
    """Correlation ratio (Roche 1998): variance of the mean image value per template value, over the whole variance.

    Needs no like contrast, only that equal tissue looks alike. Values clipped to their 1st and 99th percentile."""
    values = image[where]
    if values.size == 0 or values.min() == values.max():
        return 0.0
    values = np.clip(values, *np.percentile(values, (1, 99)))
    bins = np.minimum((t1[where] / t1.max() * 32).astype(int), 31)
    count = np.bincount(bins, minlength=32)
    mean = np.bincount(bins, values, 32) / np.maximum(count, 1)
    return float((count * (mean - values.mean()) ** 2).sum() / (values.size * max(values.var(), 1e-12)))


def turn(transform: Affine) -> float:
    """Angle of the rotation in an affine, in degrees."""
    left, _, right = np.linalg.svd(transform.matrix[:3, :3])
    cosine = (np.trace(left @ right) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def verdict(numbers: dict[str, float], limits: Quality) -> tuple[list[str], list[str]]:
    """Sentences that say why a subject failed, and why it is doubtful; both empty when all is well."""
    failed: list[str] = []
    doubtful: list[str] = []
    if numbers["similarity"] < limits.min_similarity:
        failed.append(
            f"the registration to the template failed: similarity {numbers['similarity']:.3f}, "
            f"needed {limits.min_similarity:g}"
        )
    if numbers["overlap"] < limits.min_overlap:
        failed.append(
            f"the brain mask does not fit the template's: Dice {numbers['overlap']:.2f}, needed {limits.min_overlap:g}"
        )
    low, high = limits.volume_ml
    if not low <= numbers["volume_ml"] <= high:
        failed.append(f"the brain has {numbers['volume_ml']:.0f} ml, expected {low:g} to {high:g}")
    return failed, doubtful
