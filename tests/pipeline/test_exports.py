"""Models of the finished study as files: they map as the study did."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from brainuad.errors import InputError
from brainuad.formats import array_cache, maps, model_file, scans
from brainuad.metrics.voxelwise import scored_brain
from brainuad.predict import selftest
from brainuad.predict.export import Wanted, export
from brainuad.predict.source import load


@pytest.mark.parametrize("model", ["thresh_histeq", "zscore_atlas", "sae_test"])
def test_an_exported_model_gives_the_maps_of_the_study_bit_by_bit(finished, tmp_path, monkeypatch, model):
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(finished.folder / "masks"))
    study, file = finished.results / "test", tmp_path / "mine.brainuad"
    export(finished.folder / "study.yaml", study, Wanted(model, "1", "cleaned"), file)
    row = scans.with_role(scans.read(study / "normalize/patients.tsv"), "test")[0]
    found = load(file).predict(finished.folder / row.image)
    made, masks = study / f"infer/{model}/seed-1/patients", study / f"postprocess/{model}/seed-1/patients/cleaned"
    np.testing.assert_array_equal(found.anomaly, maps.read_map(maps.anomaly_path(made, row.scan), found.brain.shape))
    assert found.score == maps.read_scores(made)[row.scan]
    assert set(found.masks) == {"healthy_quantile_0.98", "val_dice"}
    for rule, mask in found.masks.items():
        np.testing.assert_array_equal(mask, maps.read_mask(maps.mask_path(masks, row.scan, rule), mask.shape))
    assert found.doubts == []
    unread = {name for part in model_file.read(file).bundles.values() for name in part.arrays if "held_out" in name}
    assert not unread, "the file holds residual statistics that its map does not read"


def test_the_mean_of_all_seeds_has_thresholds_and_scores_of_its_own(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(finished.folder / "masks"))
    monkeypatch.setattr(selftest, "make", lambda _: None)
    study, file = finished.results / "test", tmp_path / "mine.brainuad"
    export(finished.folder / "study.yaml", study, Wanted("sae_test", "ensemble"), file)
    about = model_file.read(file).manifest
    opened = array_cache.read(study / "normalize/healthy")
    folders = [study / f"infer/sae_test/seed-{seed}/healthy" for seed in about.seeds]
    values, scores = [], []
    for row, scan in enumerate(opened.scans):
        if scan.role == "validation":
            brain = opened.brain(row)
            each = [maps.read_map(maps.anomaly_path(folder, scan.scan), brain.shape) for folder in folders]
            values.append(np.mean(each, axis=0)[scored_brain(brain, about.erode_voxels)])
            scores.append(np.mean([maps.read_scores(folder)[scan.scan] for folder in folders]))
    above = np.mean(np.concatenate(values) > about.thresholds["healthy_quantile_0.98"].value)
    assert above == pytest.approx(0.02, abs=1e-4)
    assert about.healthy_scores == pytest.approx(sorted(scores))
    with pytest.raises(InputError, match="does not depend on the seed"):
        export(finished.folder / "study.yaml", study, Wanted("zscore_atlas", "ensemble"), file)


def test_a_study_that_was_edited_after_it_ran_is_not_exported(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(finished.folder / "masks"))
    edited = tmp_path / "edited.yaml"
    edited.write_text(
        yaml.safe_dump(finished.study(models__zscore_atlas={"use": "zscore_atlas", "set": {"smooth_mm": 9}}))
    )
    with pytest.raises(InputError, match="earlier version of the study"):
        export(edited, finished.results / "test", Wanted("zscore_atlas"), tmp_path / "mine.brainuad")
    assert not (tmp_path / "mine.brainuad").exists()
