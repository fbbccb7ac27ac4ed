"""What the limits of a recipe make of quality numbers."""

from __future__ import annotations

import pytest
from good_numbers import GOOD

from brainuad.config.recipe import Quality
from brainuad.formats.status import Status
from brainuad.formats.verdict import judged, verdict

CASES = [
    ({"lean_degrees": 5.0}, "", "leans by 5.0 degrees"),
    ({"lean_degrees": 13.0}, "leans by 13.0 degrees, at most 12 is allowed", ""),
    ({"offset_mm": 5.0}, "", "5.0 mm beside the middle"),
    ({"clipped": 0.3}, "30% of the brain have the scan's highest value, at most 25% is allowed", ""),
    ({"noise": 0.3}, "", "noise is 30%"),
    ({"noise": 0.6}, "noise is 60%", ""),
    ({"ghosts": 0.3}, "", "the air around the head shows 30%"),
    ({"missing_slices": 0.03}, "", "3% of the brain's slices are empty or dark"),
    ({"missing_slices": 0.2}, "20% of the brain's slices", ""),
    ({"scale_min": 0.5}, "", "stretched by 0.50 to 1.00"),
    ({"lowest": -1024.0}, "", ""),  # noise around 0, under a median that is none of CT
    ({"lowest": -1024.0, "level": 30.0}, "goes down to -1024, as CT does", ""),
    ({"turned": 0.7, "white_grey": -0.2}, "does not lie as its header says", ""),
]


@pytest.mark.parametrize(("numbers", "fault", "doubt"), CASES)
def test_limits_become_sentences(numbers, fault, doubt):
    failed, doubtful = verdict(GOOD | numbers, Quality(), "T1w")
    for found, wanted in ((failed, fault), (doubtful, doubt)):
        assert len(found) == bool(wanted), found
        assert wanted in "".join(found)


def test_what_was_not_measured_is_no_fault():
    bare = {k: v for k, v in GOOD.items() if k not in ("ghosts", "white_grey", "fluid")}
    assert verdict(bare, Quality(), "T1w") == ([], [])


@pytest.mark.parametrize(("modality", "white", "fluid"), [("ct", -0.2, 1.48), ("FLAIR", -0.3, 0.57)])
def test_blood_or_a_lesion_in_the_ventricles_marks_a_scan_and_does_not_refuse_it(modality, white, fluid):
    failed, doubtful = verdict(GOOD | {"white_grey": white, "fluid": fluid, "level": 35.0}, Quality(), modality)
    assert failed == []
    assert any("fluid is brighter" in reason for reason in doubtful)


def test_verdict_names_what_is_doubtful():
    failed, doubtful = verdict(GOOD | {"overlap": 0.85, "coverage": 0.8, "turn_degrees": 60.0}, Quality(), "T1w")
    assert (failed, len(doubtful)) == ([], 3)
    bad = {"turned": 0.7, "overlap": 0.5, "coverage": 0.3, "volume_ml": 90.0}
    assert len(verdict(GOOD | bad, Quality(), "T1w")[0]) == 4


def test_a_verdict_takes_the_place_of_the_state_and_keeps_what_was_noted():
    def said(limits, state="ok", **about):
        found = judged(Status(subject="sub-1", modality="T1w", state=state, quality=GOOD, **about), limits)
        return found.state, found.reasons, bool(found.remedy)

    assert said(Quality()) == ("ok", [], False)
    strict, narrow = Quality(usual_overlap=0.99), Quality(volume_ml=(1400, 2300))
    doubt, fault = "the brain mask fits the template's with a Dice of 0.95, usual is 0.99", "the brain has 1300 ml"
    assert said(strict) == ("warned", [doubt], True)
    assert said(narrow) == ("failed", [fault + ", expected 1400 to 2300"], True)
    assert said(Quality(), reasons=["registered alone"]) == ("warned", ["registered alone"], False)
    assert said(strict, reasons=["registered alone"]) == ("warned", [doubt, "registered alone"], True)
    assert said(narrow, "failed", reasons=["no head"]) == ("failed", ["no head"], False)
