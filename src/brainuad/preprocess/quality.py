"""How well a subject came out: numbers, and a verdict by the limits of the recipe."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from brainuad.config.recipe import Quality
from brainuad.formats.transform import Affine
from brainuad.preprocess import appearance
from brainuad.preprocess.head import CT_WINDOW, fluid_bright
from brainuad.preprocess.skullstrip import Placed, field_of_view, to_scan
from brainuad.preprocess.symmetry import residual_pose

Mask = Bool[np.ndarray, "x y z"]
Numbers = dict[str, float]
HOUNSFIELD = (5.0, 70.0)
"""Where the median of a brain lies in CT."""
NOTHING = 0.08
"""Difference of tissues that says nothing, in units of the brain's range."""
IN_T1, ELSEWHERE = 0.2, 0.25
"""How far white matter lies above grey, as a share of how far fluid lies below it: at least in T1w, at most in others.
Measured: 79 real T1w scans 0.32 and more; a FLAIR with much oedema 0.17, all others under 0."""
LIKE_T2 = 0.75
"""How far fluid lies above grey matter in T2w, at least (phantoms 0.88); a bright lesion of 119 ml painted over the
ventricles of FLAIR reaches 0.57. In CT blood in the ventricles goes as far, so that nothing follows from it."""
LOWEST_MR = -500.0
"""Air in CT lies lower, and magnetic resonance hardly ever, least of all around such a median."""


def measure(placed: Placed, mask: Mask, similarity: float, turned: float) -> Numbers:
    """Quality numbers by name; `formats.quality` says what each means.

    `mask`: the brain on the template's grid; `similarity`, `turned`: as `nmi_search.similarity` gives them. A number
    that cannot be measured on this scan is left out.
    """
    return {"similarity": similarity, "turned": turned, **_place(placed, mask), **_look(placed, mask)}


def _place(placed: Placed, mask: Mask) -> Numbers:
    brain = placed.template.brain
    voxel_ml = abs(float(np.linalg.det(placed.template.affine[:3, :3]))) / 1000
    seen = field_of_view(placed) & brain
    stretch = np.linalg.svd(placed.transform.matrix[:3, :3])[1]
    lean, offset = residual_pose(_tissue(placed), placed.template)
    return {
        "overlap": float(2 * (mask & brain).sum() / max(1, mask.sum() + brain.sum())),
        "coverage": float(seen.sum() / brain.sum()),
        "volume_ml": float(mask.sum() * voxel_ml * abs(np.linalg.det(placed.transform.matrix[:3, :3]))),
        "scale_min": float(stretch.min()),
        "scale_max": float(stretch.max()),
        "turn_degrees": turn(placed.transform),
        "lean_degrees": lean,
        "offset_mm": offset,
    }


def _look(placed: Placed, mask: Mask) -> Numbers:
    scan, modality = placed.scan, placed.modality
    brain = to_scan(mask, scan, placed.transform, placed.template)
    noise = appearance.noise(scan, brain, modality)
    air = None if modality.lower() == "ct" else appearance.ghosts(scan, brain)  # around CT lies the headrest
    return {
        **appearance.contrast(_tissue(placed), mask, placed.template),
        "level": float(np.median(placed.image[mask])),
        "lowest": float(scan.data.min()),
        "clipped": appearance.clipped(scan, brain),
        **({} if noise is None else {"noise": noise}),
        "missing_slices": appearance.missing_slices(scan, brain),
        **({} if air is None else {"ghosts": air}),
    }


def _tissue(placed: Placed) -> Float[np.ndarray, "x y z"]:
    """The scan on the template's grid; of CT what differs in the brain, without the bone around it."""
    return np.clip(placed.image, *CT_WINDOW) if placed.modality.lower() == "ct" else placed.image


def turn(transform: Affine) -> float:
    """Angle of the rotation in an affine, in degrees."""
    left, _, right = np.linalg.svd(transform.matrix[:3, :3])
    cosine = (np.trace(left @ right) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def verdict(numbers: Numbers, limits: Quality, modality: str) -> tuple[list[str], list[str]]:
    """Sentences that say why a subject failed, and why it is doubtful; both empty when all is well."""
    failed, doubtful = _place_verdict(numbers, limits)
    if limits.check_modality and not failed and (sign := _foreign(numbers, modality)):
        failed.append(f"the scan does not look like {modality}: {sign}")
    if not failed and _wet(numbers, modality):
        doubtful.append(f"fluid is brighter than grey matter, which is unusual in {modality} but for blood or a lesion")
    for name, usual, most, text in (
        ("lean_degrees", limits.usual_lean, limits.max_lean, "the registered head leans by {:.1f} degrees"),
        ("offset_mm", limits.usual_offset, limits.max_offset, "the registered head lies {:.1f} mm beside the middle"),
        ("clipped", limits.usual_clipped, limits.max_clipped, "{:.0%} of the brain have the scan's highest value"),
        ("noise", limits.usual_noise, limits.max_noise, "noise is {:.0%} of the range of the brain's tissues"),
        ("ghosts", limits.usual_ghosts, np.inf, "the air around the head shows {:.0%} of the brain, as when it moved"),
        ("missing_slices", 0.0, limits.max_missing, "{:.0%} of the brain's slices are empty or dark"),
    ):
        value = numbers.get(name, 0.0)
        if value > most:
            failed.append(f"{text.format(value)}, at most {_like(text, most)} is allowed")
        elif value > usual:
            doubtful.append(text.format(value))
    return failed, doubtful


def _like(text: str, limit: float) -> str:
    return f"{limit:.0%}" if "%" in text else f"{limit:g}"


def _place_verdict(numbers: Numbers, limits: Quality) -> tuple[list[str], list[str]]:
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
    least, most = limits.usual_scale
    if numbers["scale_min"] < least or numbers["scale_max"] > most:
        how = f"by {numbers['scale_min']:.2f} to {numbers['scale_max']:.2f}"
        doubtful.append(f"the template is stretched {how}, usual is {least:g} to {most:g}")
    return failed, doubtful


def _wet(numbers: Numbers, modality: str) -> bool:
    """Whether fluid is bright where it should not be; blood or a lesion in the ventricles makes it so, too."""
    return not fluid_bright(modality) and modality.lower() != "pdw" and numbers.get("fluid", 0.0) > NOTHING


def _foreign(numbers: Numbers, modality: str) -> str:
    """What in a scan speaks against its modality, if anything does."""
    kind = modality.lower()
    if kind == "ct" and not HOUNSFIELD[0] <= numbers["level"] <= HOUNSFIELD[1]:
        return f"the brain's median is {numbers['level']:.4g}, which is not in Hounsfield units"
    if kind != "ct" and numbers["lowest"] < LOWEST_MR and HOUNSFIELD[0] <= numbers["level"] <= HOUNSFIELD[1]:
        return f"it goes down to {numbers['lowest']:.4g}, as CT does"
    if "white_grey" not in numbers:
        return ""
    white, fluid = numbers["white_grey"], numbers["fluid"]
    if kind.startswith("t1") and white < max(NOTHING, -IN_T1 * fluid):
        return "white matter is not brighter than grey"
    if not kind.startswith("t1") and white > max(NOTHING, -ELSEWHERE * fluid):
        return "white matter is brighter than grey"
    if fluid_bright(kind) and fluid < -NOTHING:
        return "fluid is not brighter than grey matter"
    if not fluid_bright(kind) and kind not in ("pdw", "ct") and fluid > LIKE_T2:
        return "fluid is as bright as on T2w"
    return ""
