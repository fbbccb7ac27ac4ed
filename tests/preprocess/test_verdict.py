"""What the limits of a recipe make of quality numbers."""

from __future__ import annotations

import pytest
from good_numbers import GOOD

from brainuad.config.recipe import Quality
from brainuad.formats.status import Status
from brainuad.preprocess.quality.verdict import Findings, judged, verdict

CASES = [
    ({"tilt_deg": 5.0}, "", "is tilted by 5.0 degrees"),
    ({"tilt_deg": 13.0}, "is tilted by 13.0 degrees, at most 12 is allowed", ""),
    ({"offset_mm": 5.0}, "", "5.0 mm beside the template's midplane"),
    ({"clipped_fraction": 0.3}, "30% of the brain have the scan's highest value, at most 25% is allowed", ""),
    ({"noise_ratio": 0.3}, "", "the noise is 30%"),
    ({"noise_ratio": 0.6}, "the noise is 60%", ""),
    ({"ghosting_ratio": 0.3}, "", "the air around the head shows 30%"),
    ({"missing_slice_fraction": 0.03}, "", "3% of the brain's slices are empty or dark"),
    ({"missing_slice_fraction": 0.2}, "20% of the brain's slices", ""),
    ({"scale_min": 0.5}, "", "scaled by 0.50 to 1.00"),
    ({"min_intensity": -1024.0}, "", ""),  # noise around 0, under a median that is none of CT
    ({"min_intensity": -1024.0, "median_intensity": 30.0}, "lowest value is -1024, as in CT", ""),
    ({"half_turn_ratio": 0.7, "white_grey_contrast": -0.2}, "does not lie as its header says", ""),
]


@pytest.mark.parametrize(("numbers", "fault", "doubt"), CASES)
def test_limits_become_sentences(numbers, fault, doubt):
    findings = verdict(GOOD | numbers, Quality(), "T1w")
    for found, wanted in ((findings.failed, fault), (findings.warned, doubt)):
        assert len(found) == bool(wanted), found
        assert wanted in "".join(found)


def test_what_was_not_measured_is_no_fault():
    bare = {k: v for k, v in GOOD.items() if k not in ("ghosting_ratio", "white_grey_contrast", "csf_grey_contrast")}
    assert verdict(bare, Quality(), "T1w") == Findings()


@pytest.mark.parametrize(("modality", "white", "fluid"), [("ct", -0.2, 1.48), ("FLAIR", -0.3, 0.57)])
def test_blood_or_a_lesion_in_the_ventricles_marks_a_scan_and_does_not_refuse_it(modality, white, fluid):
    numbers = GOOD | {"white_grey_contrast": white, "csf_grey_contrast": fluid, "median_intensity": 35.0}
    found = verdict(numbers, Quality(), modality)
    assert found.failed == []
    assert any("fluid is brighter" in reason for reason in found.warned)


def test_verdict_names_what_is_doubtful():
    found = verdict(GOOD | {"template_dice": 0.85, "coverage": 0.8, "rotation_deg": 60.0}, Quality(), "T1w")
    assert (found.failed, len(found.warned)) == ([], 3)
    bad = {"half_turn_ratio": 0.7, "template_dice": 0.5, "coverage": 0.3, "volume_ml": 90.0}
    assert len(verdict(GOOD | bad, Quality(), "T1w").failed) == 4


def test_a_verdict_takes_the_place_of_the_state_and_keeps_what_was_noted():
    def said(limits, state="ok", **about):
        found = judged(Status(scan="sub-1", modality="T1w", state=state, quality=GOOD, **about), limits)
        return found.state, found.reasons, bool(found.remedy)

    assert said(Quality()) == ("ok", [], False)
    strict, narrow = Quality(warn_template_dice=0.99), Quality(volume_ml=(1400, 2300))
    doubt, fault = "the brain mask has a Dice of 0.95 with the template's, expected 0.99", "the brain has 1300 ml"
    assert said(strict) == ("warned", [doubt], True)
    assert said(narrow) == ("failed", [fault + ", expected 1400 to 2300"], True)
    assert said(Quality(), reasons=["registered alone"]) == ("warned", ["registered alone"], False)
    assert said(strict, reasons=["registered alone"]) == ("warned", [doubt, "registered alone"], True)
    assert said(narrow, "failed", reasons=["no head"]) == ("failed", ["no head"], False)
