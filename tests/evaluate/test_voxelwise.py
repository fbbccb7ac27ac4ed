from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from brainuad.metrics.pooled import MapValues, ValuesOnDisk, count_in_bins, oracle_dice, oracle_threshold, pooled_areas
from brainuad.metrics.voxelwise import Sweep, bin_counts, bin_edges, scan_areas, scored_brain


def pooled(scans, folder):
    """Pool scans given as (values in lesions, values outside)."""
    values = ValuesOnDisk(folder)
    for lesion, normal in scans:
        values.add(MapValues(np.sort(np.float32(lesion)), np.sort(np.float32(normal)), np.nan, np.nan))
    return count_in_bins(values)


def exact(scans):
    truth = np.concatenate([np.repeat([1, 0], [len(lesion), len(normal)]) for lesion, normal in scans])
    values = np.concatenate([np.float32(part) for scan in scans for part in scan])
    return average_precision_score(truth, values), roc_auc_score(truth, values)


def test_a_worked_example():
    lesion, normal = np.array([4, 2]), np.array([1, 2, 3.0])
    auprc, auroc = scan_areas(lesion, normal)  # 4: precision 1; 2: two of the four at 2 or more
    assert auprc == pytest.approx((1 + 2 / 4) / 2)
    assert auroc == pytest.approx((3 + 1.5) / 6)


@pytest.mark.parametrize("levels", [3, 50, None])
def test_areas_of_a_scan_are_exact_with_ties(levels):
    rng = np.random.default_rng(0)
    lesion, normal = rng.normal(1, 1, 200), np.sort(rng.normal(0, 1, 5000))
    if levels:
        lesion, normal = np.round(lesion * levels / 6), np.round(normal * levels / 6)
    assert scan_areas(lesion, normal) == pytest.approx(exact([(lesion, normal)]), abs=1e-9)


SHAPES = {
    "gaussian": lambda rng, size, shift: rng.normal(shift, 1, size),
    "heavy tail": lambda rng, size, shift: np.exp(3 * rng.normal(shift / 3, 1, size)),
    "far from 0": lambda rng, size, shift: 1e4 + rng.normal(shift, 1, size),
    "16 levels": lambda rng, size, shift: np.round(4 * rng.normal(shift, 1, size)) / 4,
    "mostly 0": lambda rng, size, shift: np.maximum(rng.normal(shift - 2, 1, size), 0),
}


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_pooled_areas_differ_from_the_exact_ones_by_less_than_a_thousandth(shape, shift, tmp_path):
    rng = np.random.default_rng(1)
    draw = SHAPES[shape]
    scans = [(draw(rng, 400 * (i + 1), shift), draw(rng, 60_000, 0.2 * i)) for i in range(5)]
    found = pooled_areas(pooled(scans, tmp_path), None)
    auprc, auroc = exact(scans)
    assert found.auprc[0] == pytest.approx(auprc, abs=1e-3)
    assert found.auroc[0] == pytest.approx(auroc, abs=1e-3)


def test_a_resample_equals_the_pool_of_its_scans(tmp_path):
    rng = np.random.default_rng(2)
    scans = [(rng.normal(1 + i, 1, 50), rng.normal(0, 1, 900)) for i in range(3)]
    whole = pooled(scans, tmp_path)
    weight = np.array([2.0, 0, 1])
    sweep = Sweep.of(weight @ whole.lesion, weight @ whole.normal)
    assert (float(sweep.auprc()), float(sweep.auroc())) == pytest.approx(
        exact([scans[0], scans[0], scans[2]]), abs=1e-3
    )


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_a_constant_map_gives_the_prevalence(value, tmp_path):
    found = pooled_areas(pooled([(np.full(30, value), np.full(970, value))] * 2, tmp_path), None)
    assert found.auprc[0] == pytest.approx(0.03)
    assert found.auroc[0] == pytest.approx(0.5)
    assert found.best_dice[0] == pytest.approx(2 * 0.03 / 1.03)  # of all brain: 2p / (1 + p)
    assert scan_areas(np.full(30, value), np.full(970, value)) == pytest.approx((0.03, 0.5))


def test_a_random_map_gives_about_the_prevalence(tmp_path):
    rng = np.random.default_rng(3)
    found = pooled_areas(pooled([(rng.random(5000), rng.random(95_000))] * 3, tmp_path), None)
    assert found.auprc[0] == pytest.approx(0.05, abs=0.003)
    assert found.auroc[0] == pytest.approx(0.5, abs=0.01)


def test_a_perfect_map_and_its_reverse(tmp_path):
    assert pooled_areas(pooled([([2, 3], [0, 1, 1])], tmp_path), None).auprc[0] == 1
    reverse = pooled_areas(pooled([([0], [1, 2, 3])], tmp_path), None)
    assert reverse.auroc[0] == 0
    assert reverse.auprc[0] == pytest.approx(0.25)


def test_the_oracle_finds_the_best_threshold_and_the_dice_of_each_scan(tmp_path):
    scans = [([5, 6], [0, 1, 5]), ([6], [0, 0, 7]), ([], [0, 1, 2])]
    counted = pooled(scans, tmp_path)
    assert oracle_threshold(counted) == 5  # from 5 up: 3 hits, 2 false
    dice = oracle_dice(counted, np.ones(3))
    assert dice[:2] == pytest.approx([2 * 2 / (3 + 2), 2 * 1 / (2 + 1)])
    assert np.isnan(dice[2])
    assert pooled_areas(pooled(scans, tmp_path), None).best_dice[0] == pytest.approx(2 * 3 / (5 + 3))


def test_the_oracle_of_the_mean_dice_has_a_threshold_of_its_own(tmp_path):
    large, small = ([9] * 50, [0] * 50), ([5], [0] * 98 + [4])
    counted = pooled([large, small], tmp_path)
    assert oracle_dice(counted, np.ones(2)) == pytest.approx([1, 1])
    worse = pooled([large, ([5], [0, 6, 6])], tmp_path)
    assert oracle_dice(worse, np.ones(2)) == pytest.approx([1, 2 / 4])
    assert oracle_dice(worse, np.array([1, 0]))[0] == 1


def test_bins_hold_every_voxel_once():
    rng = np.random.default_rng(4)
    lesion, normal = rng.normal(3, 1, 900).astype(np.float32), np.sort(rng.normal(0, 1, 50_000)).astype(np.float32)
    edges = bin_edges(lesion, normal[::7])
    assert len(edges) <= 2 * 4096
    found = bin_counts(normal, edges)
    assert found.sum() == normal.size
    expected = np.bincount(np.clip(np.searchsorted(edges, normal, side="right") - 1, 0, None), minlength=len(edges))
    np.testing.assert_array_equal(found, expected)


def test_the_curve_keeps_to_its_points_and_ends_at_full_recall():
    rng = np.random.default_rng(5)
    lesion, normal = np.sort(rng.normal(2, 1, 5000)), np.sort(rng.normal(0, 1, 50_000))
    edges = bin_edges(lesion, normal)
    recall, precision = Sweep.of(
        *(bin_counts(values, edges).astype(float) for values in (lesion, normal))
    ).precision_recall(200)
    assert len(recall) <= 200
    assert (np.diff(recall) > 0).all()
    assert recall[-1] == 1
    middle = np.abs(recall - 0.5).argmin()
    threshold = np.quantile(lesion, 0.5)
    assert precision[middle] == pytest.approx(2500 / (2500 + (normal >= threshold).sum()), abs=0.02)


def test_the_scored_brain_has_lost_its_rim():
    brain = np.pad(np.ones((5, 5, 5), bool), 1)
    assert scored_brain(brain, 0).sum() == 125
    assert scored_brain(brain, 1).sum() == 27
    assert scored_brain(brain, 2).sum() == 1


@pytest.mark.parametrize("depth", [1, 2])
def test_the_rim_is_that_of_scipy(depth):
    brain = ndimage.gaussian_filter(np.random.default_rng(0).random((20, 24, 9)), 1) > 0.47
    expected = ndimage.binary_erosion(brain, iterations=depth, border_value=1)
    assert expected.any()
    np.testing.assert_array_equal(scored_brain(brain, depth), expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_ends_of_a_slab_are_no_rim(depth):
    """The brain of 20 slices that a grid cuts out of a head: each slice is what it is with more slices around."""
    x, y, z = np.ogrid[-1:1:30j, -1:1:36j, -1:1:60j]
    head = x**2 + y**2 + z**2 < 0.8
    slab = scored_brain(head[..., 20:40], depth)
    assert slab.any(axis=(0, 1)).sum() == 20
    np.testing.assert_array_equal(slab[..., depth:-depth], scored_brain(head, depth)[..., 20 + depth : 40 - depth])


def test_lesion_voxels_outside_are_never_found(tmp_path):
    """As if they had the lowest values of all, without the last step of the curve, which marks everything."""
    rng = np.random.default_rng(6)
    lesion, normal = rng.normal(2, 1, 300), np.sort(rng.normal(0, 1, 4000))
    precision, recall, _ = precision_recall_curve(
        np.repeat([1, 0, 1], [300, 4000, 100]), np.concatenate([lesion, normal, np.full(100, -99.0)])
    )
    reached = recall <= 300 / 400
    expected = float((-np.diff(recall[reached]) * precision[reached][:-1]).sum())
    auprc, auroc = scan_areas(lesion, normal, 100)
    assert auprc == pytest.approx(expected, abs=1e-9)
    assert auroc == scan_areas(lesion, normal)[1]
    values = ValuesOnDisk(tmp_path)
    values.add(MapValues(np.sort(np.float32(lesion)), np.float32(normal), np.nan, np.nan, 100))
    counts = count_in_bins(values)
    found = pooled_areas(counts, None)
    assert found.auprc[0] == pytest.approx(expected, abs=1e-3)
    assert found.best_dice[0] == pytest.approx(oracle_dice(counts, np.ones(1))[0])
    assert found.best_dice[0] < 2 * 300 / (300 + 400)
    assert counts.pool().precision_recall(200)[0].max() == 0.75
