from __future__ import annotations

import numpy as np
import pytest

from brainuad.config.evaluate import Evaluate
from brainuad.evaluate.scan import count_mask, scan_truth
from brainuad.formats.scans import Scan
from brainuad.metrics.lesionwise import false_positives, label_lesions, overlaps

SHAPE = (20, 20, 10)
ALL = np.ones(SHAPE, bool)


def boxes(*places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask


BIG, SMALL = np.s_[2:6, 2:6, 2:6], np.s_[10:12, 10:12, 2:4]  # 64 and 8 voxels


def test_lesions_are_numbered_from_the_largest():
    found = label_lesions(boxes(SMALL, BIG), ALL, 0.008)
    assert found.ml == pytest.approx([64 * 0.008, 8 * 0.008])
    assert (found.labels[BIG] == 1).all()
    assert (found.labels[SMALL] == 2).all()


def test_only_what_lies_in_the_scored_brain_counts_and_a_divided_lesion_stays_one():
    scored = ALL.copy()
    scored[4] = False
    scored[SMALL] = False
    found = label_lesions(boxes(BIG, SMALL), scored, 1.0)
    assert found.ml.tolist() == [48]
    assert overlaps(found, boxes(np.s_[2:4, 2:6, 2:6])).tolist() == [pytest.approx(32 / 48)]


def test_the_share_of_each_lesion_that_is_predicted():
    found = label_lesions(boxes(BIG, SMALL), ALL, 1.0)
    assert overlaps(found, boxes(np.s_[2:4, 2:6, 2:6], np.s_[0:1, 0:1, 0:1])).tolist() == [0.5, 0]


def test_false_positives_are_large_enough_and_overlap_no_lesion():
    lesion = boxes(BIG)
    wrong = np.s_[12:15, 12:15, 5:7]  # 18 voxels
    predicted = boxes(np.s_[5:9, 2:6, 2:6], wrong, np.s_[18, 18, 9])  # the first one overlaps the lesion by a face
    assert false_positives(predicted, lesion, 10) == 1
    assert false_positives(predicted, lesion, 1) == 2
    assert false_positives(predicted, lesion, 19) == 0
    assert false_positives(predicted, boxes(), 10) == 2


def test_counts_of_a_mask_in_the_scored_brain():
    brain = boxes(np.s_[1:19, 1:19, 1:9])
    lesion = boxes(np.s_[1:6, 5:7, 4:6])  # 20 voxels, 4 of them in the rim
    predicted = boxes(np.s_[2:6, 5:7, 4:5], np.s_[0:3, 0:3, 0:3])  # 8 hits; 1 voxel of the rest is scored
    seen = scan_truth(Scan("sub-1", "sub-1", "ms"), brain, lesion, 0.5, Evaluate(min_lesion_ml=0.5))
    counted = count_mask(predicted, seen, Evaluate(min_lesion_ml=0.5))
    assert (counted.lesion, counted.true_positives, counted.predicted) == (16, 8, 9)
    assert counted.normal == 16 * 16 * 6 - 16
    assert counted.dice == pytest.approx(2 * 8 / (9 + 16))
    assert (counted.slice_dice, counted.slices) == (1, 2)  # one slice whole, one missed
    assert counted.overlaps.tolist() == [0.5]
    assert seen.facts.lesion_share_outside == pytest.approx(4 / 20)
    assert (seen.facts.lesion_ml, seen.facts.brain_ml) == (8, 16 * 16 * 6 / 2)


def test_dice_of_all_brain_is_two_p_over_one_plus_p():
    lesion = boxes(BIG)
    seen = scan_truth(Scan("sub-1", "sub-1", "ms"), ALL, lesion, 1.0, Evaluate(erode_voxels=0))
    share = 64 / ALL.size
    assert count_mask(ALL, seen, Evaluate()).dice == pytest.approx(2 * share / (1 + share))


def test_an_empty_mask_without_lesion_has_no_dice_and_a_false_one_has_0():
    seen = scan_truth(Scan("sub-1", "sub-1", "ms"), ALL, boxes(), 1.0, Evaluate())
    assert np.isnan(count_mask(boxes(), seen, Evaluate()).dice)
    assert count_mask(boxes(BIG), seen, Evaluate()).dice == 0
    assert np.isnan(seen.facts.lesion_share_outside)
