"""How well a subject came out, in numbers; `formats.verdict` says what the limits of a recipe make of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from brainuad.formats.status import Numbers
from brainuad.formats.transform import Affine
from brainuad.preprocess import appearance
from brainuad.preprocess.head import CT_WINDOW
from brainuad.preprocess.skullstrip import RegisteredScan, field_of_view, to_scan
from brainuad.preprocess.symmetry import residual_pose

Mask = Bool[np.ndarray, "x y z"]


def measure(registered: RegisteredScan, mask: Mask, similarity: float, turned: float) -> Numbers:
    """Quality numbers by name; `formats.quality` says what each means.

    `mask`: the brain on the template's grid; `similarity`, `turned`: as `nmi_search.similarity` gives them. A number
    that cannot be measured on this scan is left out.
    """
    return {"similarity": similarity, "turned": turned, **_place(registered, mask), **_look(registered, mask)}


def _place(registered: RegisteredScan, mask: Mask) -> Numbers:
    brain = registered.template.brain
    voxel_ml = abs(float(np.linalg.det(registered.template.affine[:3, :3]))) / 1000
    seen = field_of_view(registered) & brain
    stretch = np.linalg.svd(registered.transform.matrix[:3, :3])[1]
    lean, offset = residual_pose(_tissue(registered), registered.template)
    return {
        "overlap": float(2 * (mask & brain).sum() / max(1, mask.sum() + brain.sum())),
        "coverage": float(seen.sum() / brain.sum()),
        "volume_ml": float(mask.sum() * voxel_ml * abs(np.linalg.det(registered.transform.matrix[:3, :3]))),
        "scale_min": float(stretch.min()),
        "scale_max": float(stretch.max()),
        "turn_degrees": turn(registered.transform),
        "lean_degrees": lean,
        "offset_mm": offset,
    }


def _look(registered: RegisteredScan, mask: Mask) -> Numbers:
    scan, modality = registered.scan, registered.modality
    brain = to_scan(mask, scan, registered.transform, registered.template)
    seen = {
        "clipped": appearance.clipped(scan, brain),
        "noise": appearance.noise(scan, brain, modality),
        "missing_slices": appearance.missing_slices(scan, brain),
        "ghosts": None if modality.lower() == "ct" else appearance.ghosts(scan, brain),  # around CT lies the headrest
    }
    return {
        **appearance.contrast(_tissue(registered), mask, registered.template),
        "level": float(np.median(registered.image[mask])),
        "lowest": float(scan.data.min()),
        **{name: number for name, number in seen.items() if number is not None},
    }


def _tissue(registered: RegisteredScan) -> Float[np.ndarray, "x y z"]:
    """The scan on the template's grid; of CT what differs in the brain, without the bone around it."""
    return np.clip(registered.image, *CT_WINDOW) if registered.modality.lower() == "ct" else registered.image


def turn(transform: Affine) -> float:
    """Angle of the rotation in an affine, in degrees."""
    left, _, right = np.linalg.svd(transform.matrix[:3, :3])
    cosine = (np.trace(left @ right) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
