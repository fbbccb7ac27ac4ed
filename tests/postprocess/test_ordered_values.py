"""Thresholds from values in a file are those of NumPy on one array of all values, and memory does not grow."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from brainuad.errors import InputError
from brainuad.postprocess.burden import burden_cut
from brainuad.postprocess.find_thresholds import conformal_cut, healthy_quantile
from brainuad.postprocess.ordered_values import OrderedValues, best_dice

RNG = np.random.default_rng(5)


def ordered(folder, *parts, name="values"):
    values = OrderedValues(folder / name)
    for part in parts:
        values.add(np.asarray(part, np.float32))
    return values


def plain_best_dice(lesion, normal):
    """The same from two arrays in memory."""
    lowest, counts = np.unique(lesion, return_counts=True)
    hits = np.cumsum(counts[::-1])[::-1]
    false = normal.size - np.searchsorted(np.sort(normal), lowest)
    dice = 2 * hits / (hits + false + lesion.size)
    best = len(dice) - 1 - int(np.argmax(dice[::-1]))
    return float(np.nextafter(lowest[best], np.float32(-np.inf)))


POOLS = {
    "normal": RNG.normal(0, 1, 40_001),
    "residuals": np.abs(RNG.normal(0, 1e-3, 30_000)),
    "mostly zero": np.maximum(RNG.normal(-2, 1, 20_000), 0),
    "ties": RNG.integers(-3, 4, 5_000),
    "constant": np.full(50, 3.25),
    "negative": -np.exp(RNG.normal(0, 9, 9_999)),
    "one value": np.array([0.7]),
    "two values": np.array([-1e-42, 3e38]),
    "many scales": np.exp(RNG.normal(0, 20, 50_000)) * RNG.choice([-1, 1], 50_000),
}
"""Maps of many kinds, as pools of voxels."""


@pytest.mark.parametrize("kind", POOLS)
def test_quantiles_are_numpys_to_the_last_bit(kind, tmp_path):
    pool = POOLS[kind].astype(np.float32)
    values = ordered(tmp_path, *np.array_split(pool, 3))
    for quantile in (0.0, 0.5, 0.9, 0.98, 0.999, 1.0, *RNG.random(5)):
        assert healthy_quantile(values, float(quantile)) == float(np.quantile(pool, float(quantile)))


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("kind", POOLS)
def test_the_best_dice_is_that_of_arrays_in_memory(kind, shift, tmp_path):
    normal = POOLS[kind].astype(np.float32)
    lesion = np.resize(normal, max(1, len(normal) // 20)) + np.float32(shift)
    found = best_dice(ordered(tmp_path, *np.array_split(lesion, 2), name="in"), ordered(tmp_path, normal, name="out"))
    assert found == plain_best_dice(lesion, normal)


def test_a_flat_optimum_over_many_bins_is_searched_to_its_end(tmp_path):
    lesion = np.repeat(np.geomspace(1e-9, 1e9, 300).astype(np.float32), 2)  # every threshold: as many hits as false
    normal = np.geomspace(1e-9, 1e9, 300).astype(np.float32)
    found = best_dice(ordered(tmp_path, lesion, name="in"), ordered(tmp_path, normal, name="out"))
    assert found == plain_best_dice(lesion, normal)
    assert best_dice(ordered(tmp_path, lesion, name="all"), ordered(tmp_path, name="none")) < 1e-9


def test_best_dice_is_just_under_the_lowest_lesion_value_that_pays(tmp_path):
    lesion = np.array([1, 5, 6], np.float32)
    normal = np.array([0, 1, 2, 2, 3, 5], np.float32)
    threshold = best_dice(ordered(tmp_path, lesion, name="in"), ordered(tmp_path, normal, name="out"))
    assert 3 < threshold < 5  # 5 and 6 with one false voxel: 2 * 2 / (3 + 3); all: 2 * 3 / (8 + 3)


def plain_risk(parts, people, cut, largest):
    """n / (n + 1) R + B / (n + 1) with the values above `cut`, from arrays in memory."""
    shares = np.array([min((part > cut).mean(), largest) for part in parts])
    persons = np.unique(people)
    mean = np.mean([shares[np.asarray(people) == person].mean() for person in persons])
    return (len(persons) * mean + largest) / (len(persons) + 1)


@pytest.mark.parametrize("kind", ["normal", "ties", "mostly zero", "negative", "many scales"])
@pytest.mark.parametrize(("level", "largest"), [(0.3, 1.0), (0.3, 0.5), (0.05, 0.2), (1 / 6, 1.0), (0.9, 1.0)])
def test_a_conformal_cut_is_the_lowest_that_keeps_the_risk(kind, level, largest, tmp_path):
    pool = POOLS[kind].astype(np.float32)
    parts = [part * np.float32(1 + i / 3) for i, part in enumerate(np.array_split(pool, 6))]
    people = ["a", "b", "b", "c", "d", "e"]
    values = ordered(tmp_path, *parts)
    cut = conformal_cut(values, people, level, largest)
    assert plain_risk(parts, people, cut, largest) <= level + 1e-9
    lower = pool[:0] if cut is None else np.concatenate(parts)
    lower = lower[lower < cut]
    assert lower.size == 0 or plain_risk(parts, people, lower.max(), largest) > level
    assert conformal_cut(values, people, largest / 6 - 1e-3, largest) is None, "five people allow no less"


def plain_burden(parts, people, voxel_ml, cut):
    """Mean over people of the mean over their scans of the volume above `cut`, from arrays in memory."""
    ml = np.array([(part > cut).sum() * voxel for part, voxel in zip(parts, voxel_ml, strict=True)])
    return np.mean([ml[np.asarray(people) == person].mean() for person in np.unique(people)])


@pytest.mark.parametrize("kind", ["normal", "ties", "mostly zero", "negative", "many scales"])
@pytest.mark.parametrize("ml", [0.001, 0.3, 2.0, 1000.0])
def test_equal_burden_is_the_lowest_cut_that_keeps_the_volume(kind, ml, tmp_path):
    pool = POOLS[kind].astype(np.float32)
    parts = [part * np.float32(1 + i / 3) for i, part in enumerate(np.array_split(pool, 5))]
    people, voxel_ml = ["a", "b", "b", "c", "d"], [0.008, 0.006, 0.007, 0.005, 0.009]
    cut = burden_cut(ordered(tmp_path, *parts), people, voxel_ml, ml)
    assert plain_burden(parts, people, voxel_ml, cut) <= ml + 1e-9
    values = np.concatenate(parts)
    lower = values[values < cut]
    assert lower.size == 0 or plain_burden(parts, people, voxel_ml, lower.max()) > ml


@pytest.mark.parametrize("lowest", [-1.0, 0.0, 0.1])
def test_a_burden_larger_than_any_brain_marks_all_but_the_lowest_value(lowest, tmp_path):
    assert burden_cut(ordered(tmp_path, [lowest, 0.2], [0.5, 0.3]), ["a", "b"], [1, 1], 5) == np.float32(lowest)


def test_equal_burden_needs_a_healthy_scan(tmp_path):
    with pytest.raises(InputError, match="no healthy validation scan"):
        burden_cut(ordered(tmp_path), [], [], 5.0)


def test_a_constant_map_gives_a_threshold_that_nothing_exceeds(tmp_path):
    healthy = np.array([0.0, -0.0] * 25, np.float32)
    assert not (healthy > healthy_quantile(ordered(tmp_path, healthy), 0.98)).any()


def test_memory_does_not_grow_with_the_scans(tmp_path):
    def peak(scans):
        tracemalloc.start()
        values = [OrderedValues(tmp_path / f"{scans}_{name}") for name in ("normal", "lesion")]
        for scan in range(scans):
            for each in values:
                each.add(np.random.default_rng(scan).random(60_000, np.float32))
        healthy_quantile(values[0], 0.98)
        best_dice(values[1], values[0])
        conformal_cut(values[0], [str(scan) for scan in range(scans)], 0.3, 1.0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(5), peak(40)  # 35 scans of both kinds are 17 MB
    assert many < few + 2e6
