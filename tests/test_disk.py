"""The estimate of disk space, and what folders occupy."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from brainuad import disk
from brainuad.config.load import build_study
from brainuad.papers.catalogue import parameters
from brainuad.plan import Plan

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def plan(tmp_path):
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))

    def make(**changes) -> Plan:
        content = {**raw, "results": str(tmp_path / "results"), **changes}
        return Plan(build_study(content, REPOSITORY / "config.yaml"))

    return make


def test_the_estimate_scales_with_the_study(plan):
    once = disk.estimate(plan())
    twice = disk.estimate(plan(seeds=[0, 1]))
    for part in ("models", "anomaly maps", "postprocessed maps and masks"):
        assert twice.results[part] == pytest.approx(2 * once.results[part])
    assert twice.results["array caches"] == once.results["array caches"]
    fine, coded = (
        disk.estimate(plan(recipe={"use": "mri_2mm", "set": {"normalize": normalize}, "label": "other"}))
        for normalize in ({}, {"storage_dtype": "uint8"})
    )
    assert coded.results["array caches"] == pytest.approx(fine.results["array caches"] / 2), (
        "1 + 2 bytes a voxel in place of 4 + 2"
    )
    # 2 of 3 models have a reconstruction; 8 healthy scans and 10 patients; 0.9 MB each at 2 mm
    assert fine.results["anomaly maps"] == pytest.approx(5 * 18 * 0.9e6, rel=0.1)


def test_each_sequence_of_a_session_takes_space(plan):
    one, two = (
        disk.estimate(plan(modalities=names, models={"zscore_atlas": None})).results
        for names in (["T1w"], ["T1w", "T2w"])
    )
    assert two["generated or converted scans"] == pytest.approx(2 * one["generated or converted scans"])
    assert two["array caches"] == pytest.approx(one["array caches"] * 10 / 6)
    assert two["preprocessed scans"] > 1.5 * one["preprocessed scans"]


def test_checkpoints_of_all_trainings_may_exist_at_once(plan):
    labels = ("baur_dae_small", "baur_sae3_small", "baur_dvae_small")
    one, all_three = (
        disk.estimate(plan(models=dict.fromkeys(each), seeds=[0, 1])).checkpoints for each in (labels[:1], labels)
    )
    weights = [parameters(plan(models=dict.fromkeys(labels)).study.models[label]) for label in labels]
    # weights, best weights and Adam's two moments; the new checkpoint is written beside the old one
    assert one == 2 * (4 * 4 * weights[0]) * 2
    assert all_three == 2 * (4 * 4 * sum(weights)) * 2
    assert disk.estimate(plan(models={"zscore_atlas": None})).checkpoints == 0


def test_values_of_voxels_take_space_while_jobs_run(plan, monkeypatch):
    """evaluate keeps its test scans once, and once more for each postprocessing with map operators."""
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    smooth = [{"op": "gaussian", "sigma_mm": 2}]
    plain, both, two = (
        disk.estimate(plan(postprocessing=each))
        for each in ({"none": "none"}, {"none": "none", "a": smooth}, {"b": smooth, "a": smooth})
    )
    assert plain.job == pytest.approx(10 * 0.9e6 * (2 / 2.5) ** 3, rel=0.1), "10 patients at 2.5 mm"
    assert both.job == two.job == 2 * plain.job
    assert plain.peak == plain.total + plain.checkpoints + 3 * plain.job
    assert any("each evaluate or postprocess job" in line and "3 at once" in line for line in disk.report(plan()))


def test_too_little_space_is_a_warning(plan, monkeypatch):
    assert not any("warning" in line for line in disk.report(plan()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50e6))
    lines = disk.report(plan())
    assert any("50.0 MB free" in line for line in lines)
    assert lines[-1].startswith("warning: the disk is too small: free some space")


def test_present_results_are_subtracted(plan, monkeypatch):
    layout = plan()
    need = disk.estimate(layout).peak
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0.2 * need))
    monkeypatch.setattr(disk, "used", lambda folder: 0.9 * need if folder == layout.folder else 0)
    assert not any("warning" in line for line in disk.report(layout))


def test_the_size_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.npy").write_bytes(bytes(range(256)) * 400)
    assert disk.used(tmp_path) == pytest.approx(102_400, abs=8192)
    assert disk.used(tmp_path / "none") == 0
