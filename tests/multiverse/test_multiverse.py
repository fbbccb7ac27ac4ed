"""`brainuad multiverse` on a study of small volumes: its values, its ranks, and what it says of what is not there."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from sealed import sealed

from brainuad.cli import main
from brainuad.config.load import load_study
from brainuad.evaluate.scan import count_mask
from brainuad.evaluate.scoring_grid import placed_scans
from brainuad.formats import array_cache, maps, volume
from brainuad.formats.array_cache import CacheHeader, Entry
from brainuad.formats.scans import Scan
from brainuad.layout import Layout
from brainuad.metrics import voxelwise
from brainuad.multiverse import choices, pages
from brainuad.multiverse.progress import FIRST_SECONDS, Progress
from brainuad.multiverse.rescore import Universe

SHAPE, AFFINE = (14, 15, 12), np.diag([2.0, 2, 2, 1])
ROLES = {"healthy": ["validation", "validation", "test"], "patients": ["test"] * 4}
STUDY = """
study: tiny
results: {results}
datasets:
  healthy: {{source: phantom, subjects: 4, healthy: true, split: {{train: 0.25, validation: 0.5, test: 0.25}}}}
  patients: {{source: phantom, subjects: 4, healthy: false, lesions: mixed}}
recipe: mri_2mm
models: {{thresh_histeq: , zscore_atlas: }}
seeds: [0, 1]
postprocessing: {{plain: none}}
thresholds: [{{rule: healthy_quantile, quantile: 0.9}}, {{rule: fixed, value: 2.5}}]
evaluate: {{min_lesion_ml: 0.1}}
"""
GAINS = {"thresh_histeq": 1.0, "zscore_atlas": 5.0}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Four patients with a lesion of .216 ml and one of a voxel; the maps are noise and `GAINS` times the lesion."""
    file, rng = tmp_path / "tiny.yaml", np.random.default_rng(0)
    file.write_text(STUDY.format(results=tmp_path / "results"))
    monkeypatch.setattr(choices, "QUANTILES", (0.95,))
    layout, brain = Layout(load_study(file)), np.zeros(SHAPE, bool)
    brain[1:-1, 1:-1, 1:-1] = True
    for dataset, roles in ROLES.items():
        entries = []
        for number, role in enumerate(roles):
            lesion = np.zeros(SHAPE, bool)
            if dataset == "patients":
                lesion[4:7, 5:8, 4:7] = lesion[10, 11, 4 + number] = True
            scan = Scan(f"sub-{number}", f"sub-{number}", dataset, role=role)
            entries.append(Entry(scan, rng.random(SHAPE, np.float32), brain, lesion))
        array_cache.write(layout.array_cache(dataset), entries, CacheHeader(AFFINE))
        seal = array_cache.read(layout.array_cache(dataset)).seal
        for model, gain in GAINS.items():
            for seed in (0, 1):
                folder = layout.maps(model, seed, dataset)
                for entry in entries:
                    anomaly = np.where(brain, rng.standard_normal(SHAPE) + gain * entry.lesion, 0).astype(np.float32)
                    volume.write(maps.anomaly_path(folder, entry.scan.scan), anomaly, AFFINE)
                sealed(folder, model=model, seed=str(seed), dataset=dataset, array_cache=seal)
    return layout, file


def run(layout, file, capsys):
    status = main(["multiverse", str(layout.folder), "--study", str(file)])
    return status, capsys.readouterr()


def test_values_ranks_page_and_picture(study, capsys):
    layout, file = study
    status, shown = run(layout, file, capsys)
    assert status == 0
    folder = layout.folder / "multiverse"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "multiverse.tsv", "ranks_patients.png"]
    table = pd.read_csv(folder / "multiverse.tsv", sep="\t", keep_default_na=False, na_values=[""])
    assert set(table["model"]) == set(GAINS)
    assert (table["seeds"] == 2).all()
    assert "not independent" in shown.out
    assert "zscore_atlas leads" in shown.out
    page = (folder / "index.html").read_text()
    assert all(word in page for word in ("model by choice", "healthy_quantile_0.9", "fixed_2.5", "not independent"))

    auprc = table[(table["metric"] == "AUPRC") & (table["postprocessing"] == "plain")]
    wanted = {pooling: [exact(layout, "zscore_atlas", seed, pooling) for seed in (0, 1)] for pooling in POOLINGS}
    for pooling, values in wanted.items():
        row = auprc[(auprc["pooling"] == pooling) & (auprc["model"] == "zscore_atlas")]
        assert row["value"].item() == pytest.approx(np.mean(values), abs=0.002)
        assert row["rank"].item() == 1
    dice = table[(table["metric"] == "Dice") & (table["model"] == "zscore_atlas") & (table["pooling"] == "pooled")]
    row = dice[(dice["postprocessing"] == "plain") & (dice["threshold_rule"] == "fixed_2.5")]
    assert row["value"].item() == pytest.approx(np.mean([dice_at(layout, seed, 2.5) for seed in (0, 1)]), rel=1e-5)
    recall = table[(table["metric"] == "lesion recall") & (table["model"] == "zscore_atlas")]
    recall = recall[(recall["threshold_rule"] == "fixed_2.5") & (recall["postprocessing"] == "plain")]
    of = recall.set_index(["hit_rule", "min_lesion_ml", "pooling"])["value"]
    f1 = table[(table["metric"] == "lesion F1") & (table["model"] == "zscore_atlas")]
    f1 = f1[(f1["threshold_rule"] == "fixed_2.5") & (f1["postprocessing"] == "plain")]
    own = f1.set_index(["hit_rule", "min_lesion_ml", "pooling"])["value"]["iou", 0.1, "pooled"]
    assert own == pytest.approx(np.mean([f1_at(layout, seed, 2.5) for seed in (0, 1)]), rel=1e-5), "as evaluate says"
    assert of["iou", 0.1, "pooled"] == 1, "the voxel is too small to count"
    assert of["any", 0.5, "pooled"] != of["any", 0.5, "pooled"], "no lesion is that large"


POOLINGS = ("per scan", "pooled")


def values_of(layout, model, seed):
    cache = array_cache.read(layout.array_cache("patients"))
    lesions = np.asarray(array_cache.read_lesions(layout.array_cache("patients")))
    for row, scan in enumerate(cache.scans):
        anomaly = volume.read(maps.anomaly_path(layout.maps(model, seed, "patients"), scan.scan)).data
        scored = voxelwise.scored_brain(cache.brain(row), 1)
        yield anomaly[scored & lesions[row]], np.sort(anomaly[scored & ~lesions[row]])


def exact(layout, model, seed, pooling):
    scans = list(values_of(layout, model, seed))
    if pooling == "pooled":
        scans = [(np.concatenate([a for a, _ in scans]), np.sort(np.concatenate([b for _, b in scans])))]
    return np.mean([voxelwise.scan_areas(*scan)[0] for scan in scans])


def dice_at(layout, seed, threshold):
    hits = [
        ((lesion > threshold).sum(), (normal > threshold).sum(), lesion.size)
        for lesion, normal in values_of(layout, "zscore_atlas", seed)
    ]
    true, false, lesion = np.sum(hits, axis=0)
    return 2 * true / (true + false + lesion)


def f1_at(layout, seed, threshold):
    """Lesion F1 as evaluate counts it, over all scans."""
    path, settings = layout.array_cache("patients"), layout.study.evaluate
    opened = array_cache.read(path)
    right = total = 0
    for placed in placed_scans(opened, path, settings, None):
        scan = opened.scans[placed.row].scan
        anomaly = maps.read_map(maps.anomaly_path(layout.maps("zscore_atlas", seed, "patients"), scan), SHAPE)
        counts = count_mask(anomaly > threshold, anomaly, placed.truth, settings)
        right += 2 * counts.detected
        total += counts.detected + counts.false_positives + len(counts.lesions_ml)
    return right / total


def test_a_missing_model_is_named_and_a_lost_seed_too(study, capsys):
    layout, file = study
    shutil.rmtree(layout.maps("zscore_atlas", 1, "patients"))
    status, shown = run(layout, file, capsys)
    assert status == 0
    assert "zscore_atlas, seed 1: no anomaly maps of patients" in shown.out
    shutil.rmtree(layout.maps("zscore_atlas", 0, "healthy"))
    status, shown = run(layout, file, capsys)
    assert status == 1
    assert "no two models" in shown.err
    assert "zscore_atlas, seed 0: no anomaly maps of healthy" in shown.err


def test_another_studys_folder_and_foreign_maps_are_refused(study, tmp_path, capsys):
    layout, file = study
    assert main(["multiverse", str(tmp_path), "--study", str(file)]) == 1
    assert "--study" in capsys.readouterr().err
    folder = layout.maps("zscore_atlas", 1, "patients")
    sealed(folder, model="other", seed="1", dataset="patients")
    status, shown = run(layout, file, capsys)
    assert (status, "other" in shown.err) == (1, True)
    assert not (layout.folder / "multiverse").exists()


def test_time_left_follows_the_pace_of_each_kind_of_step():
    now = [0.0]
    progress = Progress({"a": 2, "b": 10}, clock=lambda: now[0])
    for _ in range(2):
        now[0] += FIRST_SECONDS
        progress.step("a")
    assert progress.line("a") == "a: 2 of 2", "the pace of b is not known"
    now[0] += 20
    progress.step("b")
    assert progress.line("b") == "b: 1 of 10, 3 min left"


def test_the_caveat_claims_nothing():
    assert "no test" in pages.CAVEAT


@pytest.mark.parametrize(
    ("second", "told"),
    [([0.2, 0.2], "a leads in 100%"), ([0.5, 0.2], "a leads in 75%"), ([0.7, 0.2], "a and b each lead in 50%")],
)
def test_models_that_lead_equally_often_are_both_named(second, told):
    of = [choices.Choice(choices.AUPRC, pooling, "none") for pooling in choices.POOLING]
    values = np.array([[0.5, second[0]], [0.5, second[1]]])
    assert told in pages.lead(Universe("ms", ["a", "b"], [1, 1], of, values, 3, 3))
