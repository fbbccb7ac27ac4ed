"""What the limits of a recipe make of the quality numbers of a scan: a verdict, with its reasons.

Preprocess measures and does not judge, so that another limit preprocesses nothing anew.
"""

from __future__ import annotations

import math
from pathlib import Path

from brainuad.config.recipe import Quality
from brainuad.formats import status
from brainuad.formats.status import Numbers, Status, fluid_bright

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
LOOK = "look at overlay.png; correct the scan or its header, or decide on it in the study's `decisions`"


def read(path: str | Path, limits: Quality) -> Status:
    """The `status.json` that preprocess left of a scan, judged by these limits."""
    return judged(status.read(path), limits)


def judged(left: Status, limits: Quality) -> Status:
    """What preprocess `left` of a scan, with the verdict by these limits in place of its state.

    A scan that preprocess could not bring to an end has failed already; what it noted of others marks them.
    """
    if left.state == "failed" or not left.quality:
        return left
    failed, doubtful = verdict(left.quality, limits, left.modality)
    reasons = [*failed, *doubtful, *left.reasons]
    state = "failed" if failed else "warned" if reasons else "ok"
    remedy = LOOK if failed or doubtful else left.remedy
    return left.model_copy(update={"state": state, "reasons": reasons, "remedy": remedy})


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
        ("ghosts", limits.usual_ghosts, math.inf, "the air around the head shows {:.0%} of the brain, as if it moved"),
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
