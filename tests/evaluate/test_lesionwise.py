from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from monai.metrics.froc import compute_froc_curve_data
from scipy import optimize
from sklearn.metrics import f1_score, jaccard_score, matthews_corrcoef, precision_score, recall_score

from brainuad.config.evaluate import Evaluate, Matching
from brainuad.evaluate.scan import count_mask, map_values, scan_truth
from brainuad.evaluate.scored import ScoredScans, Scores
from brainuad.formats.scans import Scan
from brainuad.images import components
from brainuad.metrics import mask_metrics
from brainuad.metrics.evidence import MaskEvidence, Patients
from brainuad.metrics.froc import Components, Froc
from brainuad.metrics.lesionwise import find, label_lesions
from brainuad.metrics.statistics import leave_one_out

SHAPE = (20, 20, 10)
ALL = np.ones(SHAPE, bool)
FLAT = np.zeros(SHAPE, np.float32)
EVERY = Evaluate(min_lesion_ml=0, min_component_ml=0, erode_voxels=0)


def boxes(*places):
    mask = np.zeros(SHAPE, bool)
    for place in places:
        mask[place] = True
    return mask


BIG, SMALL = np.s_[2:6, 2:6, 2:6], np.s_[10:12, 10:12, 2:4]  # 64 and 8 voxels
HALF = np.s_[2:4, 2:6, 2:6]


def found(lesion, predicted, voxel_ml=1.0, anomaly=FLAT, **settings):
    given = EVERY.model_copy(update=settings)
    return find(label_lesions(lesion, ALL, voxel_ml), predicted, anomaly, given)


def counted(brain, lesion, predicted, scan=None, ignored=None, **settings):
    given = EVERY.model_copy(update=settings)
    seen = scan_truth(scan or Scan("sub-1", "sub-1", "ms"), brain, lesion, 1.0, given, ignored)
    return seen, count_mask(predicted, FLAT, seen, given)


def test_lesions_are_numbered_from_the_largest():
    lesions = label_lesions(boxes(SMALL, BIG), ALL, 0.008)
    assert lesions.ml == pytest.approx([64 * 0.008, 8 * 0.008])
    assert (lesions.labels[BIG] == 1).all()
    assert (lesions.labels[SMALL] == 2).all()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_lesions_are_the_components_of_simpleitk(share):
    mask = np.random.default_rng(3).random(SHAPE) < share
    theirs = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    theirs = SimpleITK.RelabelComponent(SimpleITK.ConnectedComponent(theirs, True))  # 26 neighbours, largest first
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.Execute(theirs)
    assert label_lesions(mask, ALL, 1.0).ml.tolist() == [shape.GetNumberOfPixels(i) for i in shape.GetLabels()]


def test_a_lesion_outside_the_scored_brain_is_there_and_a_divided_one_stays_one():
    scored = ALL.copy()
    scored[4] = False
    scored[SMALL] = False
    lesions = label_lesions(boxes(BIG, SMALL), scored, 1.0)
    assert lesions.ml.tolist() == [64, 8]
    assert lesions.outside.tolist() == [16 / 64, 1]


def test_the_share_of_each_lesion_that_is_predicted():
    assert found(boxes(BIG, SMALL), boxes(HALF, np.s_[0:1, 0:1, 0:1])).overlaps.tolist() == [0.5, 0]


TOUCHING = np.s_[5:17, 2:6, 2:6]  # 192 voxels, 16 of them lesion: an intersection over union of 1/15
TWO = (np.s_[2:4, 2:6, 2:6], np.s_[5:6, 2:6, 2:6])  # 32 and 16 voxels of the lesion, apart
AROUND = boxes(np.s_[1:7, 1:7, 2:6]) & ~boxes(np.s_[2:6, 2:6, 2:6])  # a tube of 80 voxels


@pytest.mark.parametrize(
    ("lesion", "predicted", "matching", "detected", "false"),
    [
        (boxes(BIG), boxes(BIG), {}, [1], 0),
        (boxes(BIG), boxes(), {}, [0], 0),
        (boxes(), boxes(BIG, SMALL), {}, [], 2),
        (boxes(BIG), boxes(TOUCHING), {}, [0], 1),
        (boxes(BIG), boxes(TOUCHING), {"iou": 0.05}, [1], 0),
        (boxes(BIG), boxes(TOUCHING), {"rule": "any"}, [1], 0),
        (boxes(BIG), boxes(TOUCHING), {"rule": "centroid"}, [0], 1),
        (boxes(BIG), boxes(*TWO), {}, [1], 1),  # the second piece has no lesion of its own
        (boxes(*TWO), boxes(BIG), {}, [1, 0], 0),
        (boxes(BIG), AROUND, {"rule": "centroid"}, [1], 0),
        (boxes(BIG), AROUND, {"rule": "any"}, [0], 1),
        (boxes(BIG, SMALL), ALL, {"rule": "any"}, [1, 0], 0),
        (boxes(BIG, SMALL), ALL, {}, [0, 0], 1),
        (boxes(BIG, SMALL), ALL, {"rule": "centroid"}, [0, 0], 1),
    ],
)
def test_components_detect_lesions_one_to_one(lesion, predicted, matching, detected, false):
    result = found(lesion, predicted, matching=Matching(**matching))
    assert result.detected.tolist() == detected
    assert result.component_false.sum() == false


def test_of_two_centres_in_a_lesion_the_component_that_overlaps_more_detects_it():
    predicted = boxes(np.s_[2, 2, 2], np.s_[4:6, 2:6, 2:6])
    result = found(boxes(BIG), predicted, min_component_ml=2, matching=Matching(rule="centroid"))
    assert (result.detected.tolist(), result.component_false.sum()) == ([True], 0)


def test_the_whole_brain_scores_badly():
    """Ten lesions and one component that holds all of them: it is no detection, and nearly all of it is false."""
    lesion = boxes(*(np.s_[4 * i : 4 * i + 2, 4 * j : 4 * j + 2, 3:5] for i in range(5) for j in range(2)))
    _, all_brain = counted(ALL, lesion, ALL)
    assert (all_brain.detected, all_brain.false_positives, all_brain.false_ml) == (0, 1, 4000 - 80)
    _, any_voxel = counted(ALL, lesion, ALL, matching=Matching(rule="any"))
    assert any_voxel.detected == 1, "of ten"


@pytest.mark.parametrize(("least", "false"), [(0, 2), (18, 1), (18.1, 0)])
def test_false_positives_have_a_least_volume(least, false):
    predicted = boxes(np.s_[12:15, 12:15, 5:7], np.s_[18, 18, 9])  # 18 voxels and one
    assert found(boxes(BIG), predicted, min_component_ml=least).component_false.sum() == false


def test_sizes_count_in_the_scans_own_space():
    lesion, predicted = boxes(BIG, SMALL), boxes(np.s_[15:17, 15:17, 2:4])
    limits = {"min_lesion_ml": 8, "min_component_ml": 8}
    for own_ml, lesions, false in (("", 2, 1), ("0.9", 1, 0)):
        seen, mask = counted(ALL, lesion, predicted, Scan("a", "a", "ms", own_ml=own_ml), **limits)
        assert (seen.facts.lesions, len(mask.lesions_ml), mask.false_positives) == (lesions, lesions, false)
    assert (mask.lesions_ml, mask.false_ml) == ([64 * 0.9], 8 * 0.9)


def test_a_component_of_a_lesion_too_small_to_count_is_neither_right_nor_wrong():
    result = found(boxes(BIG, SMALL), boxes(SMALL, np.s_[2:3, 2:6, 2:6]), min_lesion_ml=9)
    assert result.detected.tolist() == [True]
    assert not result.component_false.any()
    shared = boxes(np.s_[4:12, 4:12, 2:4])  # fits both lesions: the one that counts has it
    assert found(boxes(BIG, SMALL), shared, min_lesion_ml=9, matching=Matching(rule="any")).detected.all()


def test_small_components_stand_in_groups_and_keep_their_volume():
    """A noisy map has more of them than memory holds for many scans; only their false-positive volume counts."""
    grid = np.zeros((40, 40, 20), bool)
    grid[::2, ::2, ::2] = True  # 4,000 components of a voxel
    anomaly = np.random.default_rng(0).random(grid.shape).astype(np.float32)
    lesions = label_lesions(np.zeros_like(grid), np.ones_like(grid), 0.001)
    result = find(lesions, grid, anomaly, Evaluate())
    assert len(result.component_scores) <= 200
    assert not result.component_false.any()
    assert result.component_false_ml.sum() == pytest.approx(4)
    upper = result.component_false_ml[result.component_scores >= 0.5].sum()
    assert upper == pytest.approx(0.001 * (anomaly[grid] >= 0.5).sum(), abs=4 / 200)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_the_best_assignment_of_scipy(seed):
    """As many pairs as an assignment over the whole table of intersections over unions, computed pair by pair."""
    rng = np.random.default_rng(seed)
    lesion = rng.random(SHAPE) < 0.05
    predicted = (rng.random(SHAPE) < 0.03) | (lesion & (rng.random(SHAPE) < 0.6))
    (lesions, many), (parts, some) = components.label(lesion), components.label(predicted)
    each = [(lesions == i, parts == j) for i in range(1, many + 1) for j in range(1, some + 1)]
    table = np.array([(a & b).sum() / (a | b).sum() for a, b in each]).reshape(many, some)
    fit = table > 0.1
    chosen = optimize.linear_sum_assignment(fit, maximize=True)
    result = found(lesion, predicted)
    assert result.detected.sum() == fit[chosen].sum() > 10
    assert (fit.sum(axis=0) > 1).any(), "a component has several lesions to choose from"
    assert result.component_false.sum() == some - fit[chosen].sum()


def test_counts_of_a_mask_in_the_scored_brain():
    brain = boxes(np.s_[1:19, 1:19, 1:9])
    lesion = boxes(np.s_[1:6, 5:7, 4:6])  # 20 voxels, 4 of them in the rim
    predicted = boxes(np.s_[2:6, 5:7, 4:5], np.s_[0:3, 0:3, 0:3])  # 8 hits; 1 voxel of the rest is scored
    settings = Evaluate(min_lesion_ml=0.5)
    seen = scan_truth(Scan("sub-1", "sub-1", "ms"), brain, lesion, 0.5, settings)
    mask = count_mask(predicted, FLAT, seen, settings)
    assert (mask.lesion, mask.true_positives, mask.predicted) == (20, 8, 9)
    assert mask.normal == 16 * 16 * 6 - 16
    assert mask.dice == pytest.approx(2 * 8 / (9 + 20))
    assert (mask.slice_dice, mask.slices) == (pytest.approx(2 * 8 / 18), 2)  # four fifths of one slice, one missed
    assert mask.found.overlaps.tolist() == [8 / 20]
    assert (mask.predicted_ml, mask.lesion_ml, mask.false_ml) == (4.5, 10, 0.5)
    assert seen.facts.lesion_share_outside == pytest.approx(4 / 20)
    assert seen.facts.dice_ceiling == pytest.approx(2 * 16 / (16 + 20))
    assert (seen.facts.lesion_ml, seen.facts.brain_ml) == (10, 16 * 16 * 6 / 2)


def test_what_the_strip_or_the_rim_removed_is_missed():
    """Four lesions: one in the brain, one half in the rim, one in the rim, one outside; the map is the lesion mask."""
    brain = boxes(np.s_[1:19, 1:19, :])
    places = np.s_[8:10, 8:10, 4:6], np.s_[8:10, 1:3, 4:6], np.s_[1:2, 8:10, 4:6], np.s_[0:1, 14:16, 4:6]
    lesion = boxes(*places)  # 8, 8, 4 and 4 voxels; 8 + 4 are scored
    seen, mask = counted(brain, lesion, lesion, erode_voxels=1)
    assert (mask.lesion, mask.true_positives, mask.predicted) == (24, 12, 12)
    assert mask.recall == 0.5
    assert mask.dice == pytest.approx(2 * 12 / 36) == seen.facts.dice_ceiling
    assert dict(zip(mask.lesions_outside, mask.found.detected, strict=True)) == {0: True, 0.5: True, 1: False}
    values = map_values(lesion.astype(np.float32), seen)
    assert (values.auprc, values.auroc) == (0.5, 1), "recall cannot pass a half"
    wholly = counted(brain, boxes(places[3]), boxes(places[3]), erode_voxels=1)
    assert (wholly[1].dice, wholly[1].detected, wholly[0].facts.lesions) == (0, 0, 1)
    assert map_values(FLAT, wholly[0]).auprc == 0


def test_a_mask_that_lost_its_voxels_on_the_way_is_missed():
    seen, mask = counted(ALL, boxes(), boxes(), Scan("a", "a", "ms", mask="lost.nii.gz"))
    assert (seen.facts.lesion_share_outside, seen.facts.dice_ceiling, mask.dice) == (1, 0, 0)
    assert map_values(FLAT, seen).auprc == 0


def test_a_volume_bias_may_be_negative_where_no_observed_one_is():
    masks = [counted(ALL, boxes(BIG), boxes(BIG, np.s_[10, 10, :extra]))[1] for extra in (0, 1, 9)]
    patients = Patients(list("abc"), leave_one_out(list("abc")))
    found = mask_metrics.volume_bias(MaskEvidence(patients, "r", 0.5, masks))
    half = 4.302653 * np.std([0, 1, 9], ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((10 / 3 - half, 10 / 3 + half), rel=1e-5)


def test_patients_whose_lesions_were_all_lost_on_the_way_have_numbers():
    facts = [counted(ALL, boxes(), boxes(), Scan(name, name, "ms", mask="lost.nii.gz"))[0].facts for name in "ab"]
    assert ScoredScans(EVERY, Scores([0, 0], [], []), facts).patients.with_lesions


def test_ignored_voxels_of_a_lesion_are_neither_found_nor_missed():
    seen, mask = counted(ALL, boxes(BIG), boxes(BIG), ignored=boxes(HALF))
    assert (mask.lesion, mask.predicted, mask.dice, seen.facts.lesion_share_outside) == (32, 32, 1, 0)


def test_dice_of_all_brain_is_two_p_over_one_plus_p():
    share = 64 / ALL.size
    assert counted(ALL, boxes(BIG), ALL)[1].dice == pytest.approx(2 * share / (1 + share))


def test_an_empty_mask_without_lesion_has_no_dice_and_a_false_one_has_0():
    seen, empty = counted(ALL, boxes(), boxes())
    assert np.isnan([empty.dice, empty.jaccard, empty.mcc, empty.recall, empty.precision]).all()
    assert counted(ALL, boxes(), boxes(BIG))[1].dice == 0
    assert np.isnan([seen.facts.lesion_share_outside, seen.facts.dice_ceiling]).all()


def test_numbers_of_voxels_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    lesion, predicted = rng.random((2, *SHAPE)) < [[[[0.2]]], [[[0.4]]]]
    brain = boxes(np.s_[3:, :, :])  # a part of the lesion is lost, and counts as not predicted
    _, mask = counted(brain, lesion, predicted)
    union = brain | lesion
    truth, guess = lesion[union], (predicted & brain)[union]
    theirs = [score(truth, guess) for score in (f1_score, jaccard_score, precision_score, recall_score)]
    assert [mask.dice, mask.jaccard, mask.precision, mask.recall] == pytest.approx(theirs)
    assert mask.mcc == pytest.approx(matthews_corrcoef(truth, guess))


def froc_of(*scans):
    """Of scans given as (values of detecting components, of false ones, lesions); a false one has 2 ml."""
    return Froc.of(
        [
            Components(np.array(hit, float), np.array(false, float), np.array([*hit, *false], float),
                       np.repeat([0.0, 2.0], [len(hit), len(false)]), lesions)
            for hit, false, lesions in scans
        ]
    )  # fmt: skip


def test_froc_by_hand():
    """Four lesions in two scans. As thresholds fall: hit, false, hit, false and false, hit."""
    froc = froc_of(([9, 7], [8, 5], 2), ([3], [5], 2))
    assert [tuple(map(float, point)) for point in zip(*froc.curve(), strict=True)] == [
        (0, 0),
        (0, 0.25),
        (0.5, 0.25),
        (0.5, 0.5),
        (1.5, 0.5),
        (1.5, 0.75),
    ]
    assert froc.curve(ml=True)[0].tolist() == [0, 0, 1, 1, 3, 3]
    at = {0.25: 0.25, 0.5: 0.5, 1: 0.5, 2: 0.75, 4: 0.75, 8: 0.75}
    assert froc.score(np.ones(2)) == pytest.approx(np.mean(list(at.values())))
    at_ml = {0.5: 0.25, 1: 0.5, 2: 0.5, 4: 0.75, 8: 0.75, 16: 0.75}
    assert froc.score(np.ones(2), ml=True) == pytest.approx(np.mean(list(at_ml.values())))
    assert np.isnan(froc_of(([], [1], 0)).score(np.ones(1)))
    resampled = froc.score(np.array([[2.0, 0], [1, 1]]))
    assert resampled.tolist() == [froc_of(*[([9, 7], [8, 5], 2)] * 2).score(np.ones(2)), froc.score(np.ones(2))]


def test_the_curve_is_that_of_monai():
    rng = np.random.default_rng(0)
    scans = [(rng.random(int(rng.integers(5))), rng.random(int(rng.integers(9))), 5) for _ in range(6)]
    hit, false = (np.concatenate([scan[i] for scan in scans]) for i in (0, 1))
    missed = np.zeros(6 * 5 - len(hit))
    theirs = compute_froc_curve_data(false, np.append(hit, missed), 6 * 5, 6)
    ours = froc_of(*scans).curve()
    np.testing.assert_allclose(ours, [each[::-1] for each in theirs])
