"""The verdict on a scan: its quality numbers against the limits of a recipe, with reasons.

Preprocessing measures and applies no limits, so that another limit preprocesses nothing again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from brainuad.config.recipe import Quality
from brainuad.config.study import Missing
from brainuad.formats.handling import Handling
from brainuad.formats.status import Numbers, SequenceStatus, Status
from brainuad.preprocess.modality import csf_is_bright, is_ct

CT_MEDIAN_HU = (5.0, 70.0)
"""Range of the median of a brain in CT."""
CT_AIR_HU = -500.0
"""Air lies lower in CT; MR images hardly ever reach it, least of all with such a median."""
NO_CONTRAST = 0.08
"""Differences between tissues up to this share of the brain's range mean nothing."""
MIN_T1_RATIO, MAX_OTHER_RATIO = 0.2, 0.25
"""White above grey matter, divided by grey matter above fluid: the least in T1w, and the most in other modalities.
Measured: 79 real T1w scans 0.32 and more; a FLAIR with much oedema 0.17, all others under 0."""
T2_CSF_CONTRAST = 0.75
"""Fluid above grey matter in T2w, at least (phantoms 0.88). A bright lesion of 119 ml painted over the ventricles of
FLAIR reaches 0.57. In CT blood in the ventricles reaches as much, so CT is not judged by it."""
CONTRASTS = ("white_grey_contrast", "csf_grey_contrast")
NO_TISSUE = 0.03
"""Both contrasts are smaller in bottles and noise."""
LARGE_SHEAR_DEG = 5.0
"""Gantries are tilted by more; rounding of headers is less."""
REMEDY = "look at overlay.png; correct the scan or its header, or decide on it in the study's `decisions`"

HANDLED = (
    Handling(
        "CT", "a gantry tilt in header and voxels", "accepted", "the sheared affine places the voxels, with a note"
    ),
    Handling(
        "CT",
        f"a shear of the header of more than {LARGE_SHEAR_DEG:g} degrees that the voxels do not show",
        "refused",
        "the reason gives the degrees",
    ),
    Handling(
        "head",
        "skull-stripped with neck, dura, eyes or scalp left",
        "warned",
        "warned above `quality.warn_outside_brain_fraction`, failed above `quality.max_outside_brain_fraction`; "
        "`skullstrip: {restrip: auto}` strips the scan again, with a note",
    ),
    Handling(
        "head",
        "upside down or back to front by its header",
        "refused",
        "the reason says that the head does not lie as its header says",
    ),
    Handling("head", "a bottle, noise, no head", "refused", "the registration fails, or the tissues do not differ"),
)


@dataclass
class Findings:
    """Sentences that say why a scan failed, why it is warned, and what to do beside `REMEDY`; empty if all is well."""

    failed: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)


def judged(measured: Status, limits: Quality, missing: Missing = "leave_out_scan") -> Status:
    """The status that preprocessing wrote, with the verdict by these limits in place of its state.

    A scan that could not be preprocessed has failed already; a reason that preprocessing gave for another one warns.
    Further sequences that cannot be used fail the scan under `leave_out_scan`, else they warn.
    """
    if measured.state == "failed" or not measured.quality:
        return measured
    found = verdict(measured.quality, limits, measured.modality)
    for sequence, told in measured.sequences.items():
        own = sequence_verdict(told, limits, sequence)
        lost = found.failed if missing == "leave_out_scan" else found.warned
        lost += [f"{sequence}: {reason}" for reason in own.failed]
        found.warned += [f"{sequence}: {reason}" for reason in own.warned]
        found.remedies += own.remedies
    reasons = [*found.failed, *found.warned, *measured.reasons]
    state = "failed" if found.failed else "warned" if reasons else "ok"
    remedy = "; ".join([*found.remedies, REMEDY]) if found.failed or found.warned else measured.remedy
    return measured.model_copy(update={"state": state, "reasons": reasons, "remedy": remedy})


def unusable_sequences(measured: Status, limits: Quality) -> list[str]:
    """The further sequences of a scan that are missing, or that fail by these limits."""
    return [name for name, told in measured.sequences.items() if sequence_verdict(told, limits, name).failed]


def sequence_verdict(told: SequenceStatus, limits: Quality, modality: str) -> Findings:
    """A further sequence of a session against the limits, as far as they are not those of the session's brain mask."""
    found = Findings()
    if not told.quality:
        found.failed += told.reasons
        found.remedies.append(f"add or mend the {modality} of the session, or set `missing` in the study")
        return found
    _check_registration(told.quality, limits, found)
    _check_coverage(told.quality, limits, found)
    _check_appearance(told.quality, limits, found, modality)
    for name in OF_A_SEQUENCE:
        _check_upper_limit(name, UPPER_LIMITS[name], told.quality.get(name, 0.0), limits, found)
    if (ratio := told.quality.get("shift_ratio", 0.0)) > 1:
        found.warned.append(f"its header does not seem to place it on the first sequence: shifted, {ratio:.2f} times")
        found.warned[-1] += " as much of the one tells of the other"
    return found


def verdict(numbers: Numbers, limits: Quality, modality: str) -> Findings:
    """The numbers of a scan against the limits. A number that could not be measured is no fault."""
    found = Findings()
    _check_registration(numbers, limits, found)
    _check_brain(numbers, limits, found)
    _check_pose(numbers, limits, found)
    _check_appearance(numbers, limits, found, modality)
    for name, text in UPPER_LIMITS.items():
        _check_upper_limit(name, text, numbers.get(name, 0.0), limits, found)
    return found


UPPER_LIMITS = {
    "tilt_deg": "the registered head is tilted by {:.1f} degrees",
    "offset_mm": "the registered head lies {:.1f} mm beside the template's midplane",
    "clipped_fraction": "{:.0%} of the brain have the scan's highest value",
    "noise_ratio": "the noise is {:.0%} of the intensity range of the brain",
    "ghosting_ratio": "the air around the head shows {:.0%} of the brain's intensity, as after motion",
    "outside_brain_fraction": "{:.1%} of the stripped scan lie outside the brain, such as neck, dura, eyes or scalp",
    "missing_slice_fraction": "{:.0%} of the brain's slices are empty or dark",
}
"""Numbers with a `warn_` and a `max_` limit, and how a sentence gives them."""


OF_A_SEQUENCE = ("clipped_fraction", "noise_ratio", "ghosting_ratio", "missing_slice_fraction")
"""Those that a further sequence has of its own."""
REMEDIES = {"outside_brain_fraction": "set `skullstrip: {restrip: auto}` in the recipe to take off what is no brain"}


def _check_upper_limit(name: str, text: str, value: float, limits: Quality, found: Findings) -> None:
    """A number without a `warn_` limit warns above 0, one without a `max_` limit never fails."""
    highest = getattr(limits, f"max_{name}", float("inf"))
    if value > highest:
        allowed = f"{highest:.0%}" if "%" in text else f"{highest:g}"
        found.failed.append(f"{text.format(value)}, at most {allowed} is allowed")
    elif value > getattr(limits, f"warn_{name}", 0.0):
        found.warned.append(text.format(value))
    else:
        return
    found.remedies += [REMEDIES[name]] if name in REMEDIES else []


def _check_registration(numbers: Numbers, limits: Quality, found: Findings) -> None:
    nmi, half_turn_ratio = numbers["nmi"], numbers["half_turn_ratio"]
    if nmi < limits.min_nmi:
        found.failed.append(
            f"the registration to the template failed: normalised mutual information {nmi:.3f}, "
            f"needed {limits.min_nmi:g}"
        )
    if half_turn_ratio > limits.max_half_turn_ratio:
        found.failed.append(
            f"the head does not lie as its header says: rotated by 180 degrees it keeps {half_turn_ratio:.0%} of its "
            f"similarity to the template, at most {limits.max_half_turn_ratio:.0%} is allowed"
        )
    if found.failed and (shear := numbers.get("shear_deg", 0.0)) > LARGE_SHEAR_DEG:
        tilt = f"its header has a shear of {shear:.0f} degrees, a gantry tilt, and the head does not look tilted by it"
        found.failed.insert(0, tilt)
        found.remedies.append("take the tilt out of the header, or out of the voxels as well")
    if found.failed and max(abs(numbers.get(name, 1.0)) for name in CONTRASTS) < NO_TISSUE:
        found.failed.append("grey matter, white matter and fluid do not differ: it may show no brain")


def _check_brain(numbers: Numbers, limits: Quality, found: Findings) -> None:
    low, high = limits.volume_ml
    if not low <= numbers["volume_ml"] <= high:
        found.failed.append(f"the brain has {numbers['volume_ml']:.0f} ml, expected {low:g} to {high:g}")
    dice = numbers["template_dice"]
    fit = f"the brain mask has a Dice of {dice:.2f} with the template's"
    if dice < limits.min_template_dice:
        found.failed.append(f"{fit}, needed {limits.min_template_dice:g}")
    elif dice < limits.warn_template_dice:
        found.warned.append(f"{fit}, expected {limits.warn_template_dice:g}")
    _check_coverage(numbers, limits, found)


def _check_coverage(numbers: Numbers, limits: Quality, found: Findings) -> None:
    coverage = numbers["coverage"]
    if coverage < limits.min_coverage:
        found.failed.append(f"the scan covers {coverage:.0%} of the brain, needed {limits.min_coverage:.0%}")
    elif coverage < limits.warn_coverage:
        found.warned.append(f"the scan covers {coverage:.0%} of the brain")


def _check_appearance(numbers: Numbers, limits: Quality, found: Findings, modality: str) -> None:
    if limits.check_modality and not found.failed and (sign := _sign_of_other_modality(numbers, modality)):
        found.failed.append(f"the scan does not look like {modality}: {sign}")
    if not found.failed and _csf_too_bright(numbers, modality):
        found.warned.append(
            f"fluid is brighter than grey matter, which in {modality} is unusual without blood or a lesion"
        )


def _check_pose(numbers: Numbers, limits: Quality, found: Findings) -> None:
    if numbers["rotation_deg"] > limits.warn_rotation_deg:
        found.warned.append(f"the head is rotated by {numbers['rotation_deg']:.0f} degrees")
    least, most = limits.warn_scale
    if numbers["scale_min"] < least or numbers["scale_max"] > most:
        scale = f"by {numbers['scale_min']:.2f} to {numbers['scale_max']:.2f}"
        found.warned.append(f"the template is scaled {scale}, expected {least:g} to {most:g}")


def _csf_too_bright(numbers: Numbers, modality: str) -> bool:
    """Whether fluid is brighter than in this modality; blood or a lesion in the ventricles does that, too."""
    expected = csf_is_bright(modality) or modality.lower() == "pdw"
    return not expected and numbers.get("csf_grey_contrast", 0.0) > NO_CONTRAST


def _sign_of_other_modality(numbers: Numbers, modality: str) -> str:
    """The first sign that the scan is of another modality than declared; empty if there is none."""
    return next(_signs_of_other_modality(numbers, modality.lower()), "")


def _signs_of_other_modality(numbers: Numbers, modality: str) -> Iterator[str]:
    median_like_ct = CT_MEDIAN_HU[0] <= numbers["median_intensity"] <= CT_MEDIAN_HU[1]
    if is_ct(modality) and not median_like_ct:
        yield f"the brain's median is {numbers['median_intensity']:.4g}, which is not in Hounsfield units"
    if not is_ct(modality) and median_like_ct and numbers["min_intensity"] < CT_AIR_HU:
        yield f"its lowest value is {numbers['min_intensity']:.4g}, as in CT"
    if "white_grey_contrast" not in numbers:
        return
    white, csf = numbers["white_grey_contrast"], numbers["csf_grey_contrast"]
    if modality.startswith("t1") and white < max(NO_CONTRAST, -MIN_T1_RATIO * csf):
        yield "white matter is not brighter than grey"
    if not modality.startswith("t1") and white > max(NO_CONTRAST, -MAX_OTHER_RATIO * csf):
        yield "white matter is brighter than grey"
    if csf_is_bright(modality) and csf < -NO_CONTRAST:
        yield "fluid is not brighter than grey matter"
    if not csf_is_bright(modality) and modality not in ("pdw", "ct") and csf > T2_CSF_CONTRAST:
        yield "fluid is as bright as on T2w"
