"""How well a subject came out: numbers, and a verdict by the limits of the recipe."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from brainuad.config.recipe import Quality
from brainuad.formats.transform import Affine
from brainuad.preprocess.skullstrip import Placed, field_of_view

Mask = Bool[np.ndarray, "x y z"]


def measure(placed: Placed, mask: Mask, similarity: float, turned: float) -> dict[str, float]:
    """Quality numbers by name.

    `similarity`: normalised mutual information with the template, 1 to 2; `turned`: what is left of its excess over 1
    after the best half-turn, which is much only where the scan does not look like a brain in place; `overlap`: Dice of
    the brain mask with the template's; `coverage`: share of the template's brain in the field of view; `volume_ml`: the
    brain's volume in the scan's own space; `scale_min`, `scale_max`: how the template is stretched; `turn_degrees`: how
    it is turned.
    """
    brain = placed.template.brain
    voxel_ml = abs(float(np.linalg.det(placed.template.affine[:3, :3]))) / 1000
    seen = field_of_view(placed) & brain
    stretch = np.linalg.svd(placed.transform.matrix[:3, :3])[1]
    return {
        "similarity": similarity,
        "turned": turned,
        "overlap": float(2 * (mask & brain).sum() / max(1, mask.sum() + brain.sum())),
        "coverage": float(seen.sum() / brain.sum()),
        "volume_ml": float(mask.sum() * voxel_ml * abs(np.linalg.det(placed.transform.matrix[:3, :3]))),
        "scale_min": float(stretch.min()),
        "scale_max": float(stretch.max()),
        "turn_degrees": turn(placed.transform),
    }


def turn(transform: Affine) -> float:
    """Angle of the rotation in an affine, in degrees."""
    left, _, right = np.linalg.svd(transform.matrix[:3, :3])
    cosine = (np.trace(left @ right) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def verdict(numbers: dict[str, float], limits: Quality) -> tuple[list[str], list[str]]:
    """Sentences that say why a subject failed, and why it is doubtful; both empty when all is well."""
    failed: list[str] = []
    doubtful: list[str] = []
    similarity, turned, overlap, coverage = (numbers[k] for k in ("similarity", "turned", "overlap", "coverage"))
    if similarity < limits.min_similarity:
        failed.append(
            f"the registration to the template failed: similarity {similarity:.3f}, needed {limits.min_similarity:g}"
        )
    if turned > limits.max_turned:
        failed.append(
            f"the head does not lie as its header says: turned by 180 degrees it keeps {turned:.0%} of its similarity "
            f"to the template, at most {limits.max_turned:.0%} is usual"
        )
    low, high = limits.volume_ml
    if not low <= numbers["volume_ml"] <= high:
        failed.append(f"the brain has {numbers['volume_ml']:.0f} ml, expected {low:g} to {high:g}")
    fit = f"the brain mask fits the template's with a Dice of {overlap:.2f}"
    if overlap < limits.min_overlap:
        failed.append(f"{fit}, needed {limits.min_overlap:g}")
    elif overlap < limits.usual_overlap:
        doubtful.append(f"{fit}, usual is {limits.usual_overlap:g}")
    if coverage < limits.min_coverage:
        failed.append(f"the scan covers {coverage:.0%} of the brain, needed {limits.min_coverage:.0%}")
    elif coverage < limits.usual_coverage:
        doubtful.append(f"the scan covers {coverage:.0%} of the brain")
    if numbers["turn_degrees"] > limits.usual_turn:
        doubtful.append(f"the head is turned by {numbers['turn_degrees']:.0f} degrees")
    return failed, doubtful
