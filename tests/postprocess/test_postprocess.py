from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from sealed import sealed

from brainuad.config.burden import Burden, Components
from brainuad.config.postprocessing import POSTPROCESSING, Conformal, Fixed, HealthyQuantile, ValDice
from brainuad.errors import InputError
from brainuad.formats import array_cache, thresholds, volume
from brainuad.formats import maps as files
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.postprocess.find_thresholds import Thresholding
from brainuad.postprocess.postprocess_job import PostprocessInputs
from brainuad.postprocess.postprocessing import postprocess

SHAPE = (14, 15, 12)
RULES = [
    HealthyQuantile(rule="healthy_quantile", quantile=0.95),
    ValDice(rule="val_dice"),
    Fixed(rule="fixed", value=2),
]
PLAIN = POSTPROCESSING.validate_python({})
SMOOTHED = POSTPROCESSING.validate_python(
    {"operators": [{"op": "gaussian", "sigma_mm": 2}, {"op": "remove_small_components", "min_ml": 0.016}]}
)
ROLES = {"v": "validation", "c": "calibration", "t": "test"}
TAGS = {"model": "zscore", "seed": "0", "dataset": "ms"}


def brain() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    return mask


def dataset(root: Path, name: str, roles: str, lesions: bool, seed: int) -> tuple[Path, Path]:
    """An array cache and infer's folder: one scan per letter of `roles`, lesions 3 brighter."""
    rng, inside = np.random.default_rng(seed), brain()
    entries, maps = [], root / "infer" / name
    for i, letter in enumerate(roles):
        scan = Scan(f"sub-{i}", f"sub-{i}", name, role=ROLES[letter])
        lesion = np.zeros(SHAPE, bool)
        if lesions:
            lesion[4:7, 4:7, 4 + i % 3 : 7 + i % 3] = True
        anomaly = np.where(inside, rng.standard_normal(SHAPE) + 3 * lesion, 0).astype(np.float32)
        volume.write(files.anomaly_path(maps, scan.scan), anomaly, np.diag([2.0, 2, 2, 1]))
        entries.append(array_cache.Entry(scan, anomaly, inside, lesion))
    array_cache.write(root / "array_caches" / name, entries, CacheHeader(np.diag([2.0, 2, 2, 1])))
    sealed(maps)
    return maps, root / "array_caches" / name


@pytest.fixture
def study(tmp_path):
    healthy, ms = dataset(tmp_path, "ixi", "vvt", False, 1), dataset(tmp_path, "ms", "vvtt", True, 2)
    return healthy, ms


def inputs(scored, validation):
    maps, caches = ([pair[i] for pair in validation] for i in (0, 1))
    return PostprocessInputs(
        maps=scored[0], array_cache=scored[1], validation_maps=maps, validation_array_caches=caches
    )


def thresholding(*healthy, rules=RULES, roles=None, erode_voxels=0):
    return Thresholding(rules, healthy, roles or ["validation"] * len(healthy), erode_voxels)


def run(study, out, postprocessing=PLAIN, rules=RULES):
    healthy, ms = study
    postprocess(inputs(ms, [healthy, ms]), thresholding(True, False, rules=rules), postprocessing, out, TAGS)
    return thresholds.read(out)


def voxels(pair, scans):
    return np.concatenate([volume.read(files.anomaly_path(pair[0], scan)).data[brain()] for scan in scans])


def test_thresholds_come_from_the_right_voxels(study, tmp_path):
    found = run(study, tmp_path / "out")
    healthy = voxels(study[0], ["sub-0", "sub-1"])
    assert found["healthy_quantile_0.95"].value == pytest.approx(np.quantile(healthy, 0.95))
    assert found["healthy_quantile_0.95"].scans == ("ixi/sub-0", "ixi/sub-1")
    assert found["healthy_quantile_0.95"].source == "unsupervised"
    assert (found["fixed_2"].value, found["fixed_2"].source) == (2, "paper constant")
    assert found["val_dice"].scans == ("ms/sub-0", "ms/sub-1")
    assert found["val_dice"].source == "labelled validation"


def test_masks_of_test_scans_alone_are_written_and_hold_what_is_above_the_threshold(study, tmp_path):
    found = run(study, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.nii.gz"))
    rules = ["fixed2", "healthyQuantile0p95", "valDice"]
    start = "space-MNI152NLin2009aSym_label-lesion_desc"
    assert names == [f"sub-{i}_{start}-{rule}_mask.nii.gz" for i in (2, 3) for rule in rules]
    anomaly = volume.read(files.anomaly_path(study[1][0], "sub-2")).data
    mask = files.read_mask(files.mask_path(tmp_path / "out", "sub-2", "val_dice"), SHAPE)
    np.testing.assert_array_equal(mask, brain() & (anomaly > found["val_dice"].value))
    assert json.loads((tmp_path / "out" / "run.json").read_text())["tags"] == TAGS


def test_a_postprocessing_that_changes_maps_writes_them_and_takes_their_quantile(study, tmp_path):
    found = run(study, tmp_path / "out", SMOOTHED)
    smooth = files.read_map(files.processed_path(tmp_path / "out", "sub-2"), SHAPE)
    raw = files.read_map(files.anomaly_path(study[1][0], "sub-2"), SHAPE)
    assert smooth[brain()].std() < 0.7 * raw[brain()].std()
    assert 0 < found["healthy_quantile_0.95"].value < 1


def test_no_threshold_and_no_mask_sees_a_test_label_or_another_scans_map(study, tmp_path):
    before = run(study, tmp_path / "before", SMOOTHED)
    maps, path = study[1]
    labels = np.lib.format.open_memmap(path / "lesions.npy", mode="r+")
    labels[2:] = ~labels[2:]  # the test scans' labels are inverted
    labels.flush()
    volume.write(files.anomaly_path(maps, "sub-3"), 100 * brain().astype(np.float32), np.diag([2.0, 2, 2, 1]))
    sealed(maps)
    after = run(study, tmp_path / "after", SMOOTHED)
    assert after == before
    for rule in before:
        first, second = (files.mask_path(tmp_path / name, "sub-2", rule).read_bytes() for name in ("before", "after"))
        assert first == second


def test_of_the_labels_only_those_of_validation_scans_are_touched(study, tmp_path, monkeypatch):
    touched = []
    opened = array_cache.read_lesions

    class Watched:
        def __init__(self, path):
            self.masks, self.name = opened(path), path.name

        def __getitem__(self, row):
            touched.append((self.name, row))
            return self.masks[row]

    monkeypatch.setattr(array_cache, "read_lesions", Watched)
    run(study, tmp_path / "out")
    assert touched == [("ms", 0), ("ms", 1)]


def test_validation_labels_do_move_val_dice_and_nothing_else(study, tmp_path):
    before = run(study, tmp_path / "before")
    opened, labels = array_cache.read(study[1][1]), np.array(array_cache.read_lesions(study[1][1]))
    labels[:2] = np.roll(labels[:2], 4, axis=2)
    entries = [
        array_cache.Entry(*four) for four in zip(opened.scans, opened.images, opened.brains, labels, strict=True)
    ]
    array_cache.write(tmp_path / "moved", entries, CacheHeader(opened.affine))
    after = run((study[0], (study[1][0], tmp_path / "moved")), tmp_path / "after")
    assert {rule for rule in before if after[rule] != before[rule]} == {"val_dice"}


def test_thresholds_are_drawn_from_the_voxels_that_are_scored(study, tmp_path):
    """A rim of high values, which evaluate does not score, moved the cut."""
    maps, path = study[0]
    core, opened = ndimage.binary_erosion(brain()), array_cache.read(path)
    for scan in opened.scans:
        anomaly = files.read_map(files.anomaly_path(maps, scan.scan), SHAPE)
        volume.write(
            files.anomaly_path(maps, scan.scan),
            np.where(brain() & ~core, 50, anomaly).astype(np.float32),
            opened.affine,
        )
    sealed(maps)
    healthy, ms = study
    postprocess(inputs(ms, [healthy, ms]), thresholding(True, False, erode_voxels=1), PLAIN, tmp_path / "out", TAGS)
    scored = [files.read_map(files.anomaly_path(maps, f"sub-{i}"), SHAPE)[core] for i in range(2)]
    found = thresholds.read(tmp_path / "out")["healthy_quantile_0.95"].value
    assert found == pytest.approx(np.quantile(np.concatenate(scored), 0.95))
    assert run(study, tmp_path / "whole")["healthy_quantile_0.95"].value == 50, "without erosion the rim counts"


def test_calibration_scans_alone_set_thresholds_where_they_are_named(tmp_path):
    healthy, ms = dataset(tmp_path, "ixi", "vvct", False, 1), dataset(tmp_path, "ms", "vvtt", True, 2)
    given = thresholding(True, False, roles=["calibration", "validation"])
    postprocess(inputs(ms, [healthy, ms]), given, PLAIN, tmp_path / "out", TAGS)
    found = thresholds.read(tmp_path / "out")
    assert found["healthy_quantile_0.95"].scans == ("ixi/sub-2",)
    assert found["healthy_quantile_0.95"].value == pytest.approx(np.quantile(voxels(healthy, ["sub-2"]), 0.95))
    assert found["val_dice"].scans == ("ms/sub-0", "ms/sub-1")


def test_a_conformal_threshold_says_which_level_its_scans_allow(study, tmp_path):
    rules = [
        Conformal(rule="conformal", false_positive_share=0.02),
        Conformal(rule="conformal", false_positive_share=0.35),
        Conformal(rule="conformal", false_positive_share=0.02, largest_share=0.05),
    ]
    found = run(study, tmp_path / "out", rules=rules)
    refused, high, bounded = (found[rule.label] for rule in rules)
    assert refused.value is None
    assert all(word in refused.note for word in ("2 healthy people", "0.333", "0.02 needs 49"))
    above = [(voxels(study[0], [f"sub-{i}"]) > high.value).mean() for i in range(2)]
    assert 2 / 3 * np.mean(above) + 1 / 3 <= 0.35
    assert bounded.value is not None
    assert not list((tmp_path / "out").rglob("*conformal0p02_mask*"))


def test_equal_burden_is_the_volume_of_healthy_scans_before_mask_operators(study, tmp_path):
    rule = Burden(rule="burden", ml=0.4)
    found = run(study, tmp_path / "out", rules=[rule])["burden_0.4_ml"]
    volumes = [(voxels(study[0], [f"sub-{i}"]) > found.value).sum() * 0.008 for i in range(2)]
    assert 0.39 < np.mean(volumes) <= 0.4
    assert found.scans == ("ixi/sub-0", "ixi/sub-1")


def test_equal_false_alarms_are_the_components_of_healthy_scans(study, tmp_path):
    rule = Components(rule="components", per_scan=2.5, min_ml=0.008)
    found = run(study, tmp_path / "out", rules=[rule])["components_2.5"]
    maps = [files.read_map(files.anomaly_path(study[0][0], f"sub-{i}"), SHAPE) for i in range(2)]

    def alarms(threshold):
        return sum(ndimage.label(brain() & (each > threshold), np.ones((3, 3, 3)))[1] for each in maps)

    assert alarms(found.value) == 5
    assert alarms(found.value - 0.01) > 5
    assert found.scans == ("ixi/sub-0", "ixi/sub-1")


def test_what_is_not_scored_moves_no_threshold(study, tmp_path):
    maps, path = study[1]
    before = run(study, tmp_path / "before")
    opened, lesions = array_cache.read(path), array_cache.read_lesions(path)
    odd = np.zeros(SHAPE, bool)
    odd[9:12, 9:12, 3:6] = True
    entries = [
        array_cache.Entry(*four, odd) for four in zip(opened.scans, opened.images, opened.brains, lesions, strict=True)
    ]
    array_cache.write(tmp_path / "again", entries, CacheHeader(opened.affine))
    for scan in opened.scans:
        anomaly = files.read_map(files.anomaly_path(maps, scan.scan), SHAPE)
        volume.write(files.anomaly_path(maps, scan.scan), np.where(odd, 50, anomaly).astype(np.float32), opened.affine)
    sealed(maps)
    assert run(study, tmp_path / "counted")["val_dice"] != before["val_dice"]
    left_out = run((study[0], (maps, tmp_path / "again")), tmp_path / "left_out")
    assert left_out["val_dice"].value == pytest.approx(before["val_dice"].value, abs=0.05)


def test_what_is_not_scored_is_no_part_of_healthy_scans(study, tmp_path):
    maps, path = study[0]
    opened, odd = array_cache.read(path), np.zeros(SHAPE, bool)
    odd[9:12, 9:12, 3:6] = True
    entries = [
        array_cache.Entry(*three, None, odd) for three in zip(opened.scans, opened.images, opened.brains, strict=True)
    ]
    array_cache.write(tmp_path / "again", entries, CacheHeader(opened.affine))
    threshold = run(((maps, tmp_path / "again"), study[1]), tmp_path / "out")["healthy_quantile_0.95"]
    left = [files.read_map(files.anomaly_path(maps, f"sub-{i}"), SHAPE)[brain() & ~odd] for i in range(2)]
    assert threshold.value == pytest.approx(np.quantile(np.concatenate(left), 0.95))


def test_val_dice_is_left_out_with_a_note_without_labelled_validation_scans(study, tmp_path):
    healthy, ms = study
    postprocess(inputs(ms, [healthy]), thresholding(True), PLAIN, tmp_path / "out", TAGS)
    threshold = thresholds.read(tmp_path / "out")["val_dice"]
    assert threshold.value is None
    assert "no validation scan with lesions in the scored brain" in threshold.note
    assert not list((tmp_path / "out").glob("*val_dice*"))


def test_a_study_without_healthy_validation_scans_is_told_so(study, tmp_path):
    with pytest.raises(InputError, match="no healthy validation scan"):
        postprocess(inputs(study[1], [study[1]]), thresholding(False), PLAIN, tmp_path / "out", TAGS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("roles", "deep", "told"),
    [(["calibration"], 0, "no healthy calibration scan is left"), (None, 9, "no voxel of 2 healthy validation scans")],
)
def test_why_healthy_scans_give_no_threshold_is_told(study, tmp_path, roles, deep, told):
    with pytest.raises(InputError, match=told):
        given = thresholding(True, roles=roles, erode_voxels=deep)
        postprocess(inputs(study[1], [study[0]]), given, PLAIN, tmp_path / "out", TAGS)


def test_a_map_on_another_grid_is_refused(study, tmp_path):
    maps = study[1][0]
    volume.write(files.anomaly_path(maps, "sub-2"), np.zeros((3, 3, 3), np.float32), np.eye(4))
    sealed(maps)
    with pytest.raises(InputError, match="not on the array cache's grid"):
        run(study, tmp_path / "out")


def test_two_runs_give_equal_bytes(study, tmp_path):
    for name in ("a", "b"):
        run(study, tmp_path / name, SMOOTHED)
    for path in sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file()):
        if path.name != "run.json":
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
